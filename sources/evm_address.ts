/**
 * The address of a contract, known before the contract is there.
 *
 * @module
 */
import { keccak_256 } from "@noble/hashes/sha3.js";
import { bytesToHex, hexToBytes } from "@noble/hashes/utils.js";

/** An empty string of bytes and a short list, in RLP. */
const [EMPTY, LIST] = [0x80, 0xc0];
/** Below this a byte is its own RLP; from here on a string has its length. */
const SHORT = 0x80;
/** Bytes of an address. */
const ADDRESS_BYTES = 20;

/**
 * The address that `CREATE` gives a contract: the last 20 bytes of
 * `keccak256(rlp([from, nonce]))`.
 *
 * @param from who creates it, in lower or upper case.
 * @param nonce of the transaction, 0 to 2^53 - 1.
 * @returns in lower case.
 * @see {@link https://ethereum.github.io/yellowpaper/paper.pdf} section 7 and
 * appendix B.
 */
export function contractAddress(from: string, nonce: number): string {
  const digits = nonce === 0 ? "" : nonce.toString(16);
  const number = hexToBytes(
    digits.padStart(digits.length + digits.length % 2, "0"),
  );
  const content = [
    ...[EMPTY + ADDRESS_BYTES, ...hexToBytes(from.slice(2))],
    ...(number.length === 1 && number[0]! < SHORT
      ? number
      : [EMPTY + number.length, ...number]),
  ];
  // At most 29 bytes: a short list.
  const hash = keccak_256(Uint8Array.of(LIST + content.length, ...content));
  return `0x${bytesToHex(hash.slice(-ADDRESS_BYTES))}`;
}
