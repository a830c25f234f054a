/**
 * Movements of value, decoded from a mined transaction and its logs.
 *
 * @see {@link https://eips.ethereum.org/EIPS/eip-20}
 * @see {@link https://eips.ethereum.org/EIPS/eip-721}
 * @see {@link https://eips.ethereum.org/EIPS/eip-1155}
 * @module
 */
import type { PayloadOf } from "../protocol/messages.ts";
import type { EvmLog, EvmTransaction } from "./evm_view.ts";

/** A movement of value, as `TX_RECEIVED` carries it. */
export type Transfer = NonNullable<
  PayloadOf<"TX_RECEIVED">["transfers"]
>[number];

/** `Transfer(address,address,uint256)` of ERC-20 and ERC-721. */
const TRANSFER =
  "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef";
/** `TransferSingle(address,address,address,uint256,uint256)` of ERC-1155. */
const TRANSFER_SINGLE =
  "0xc3d58168c5ae7397731d063d5bbf3d657854427343f4c083240f7aacaa2d0f62";
/** `TransferBatch(address,address,address,uint256[],uint256[])`, likewise. */
const TRANSFER_BATCH =
  "0x4a39dc06d4c0dbc64b70af90fd698a233a518aa5d07e595d983b8c0526c8f7fb";

/** Hexadecimal digits of a word of the EVM. */
const WORD_DIGITS = 64;

/**
 * What a transaction moved: its own value unless it failed, then what tokens
 * logged, in order. A log that does not follow its standard moves nothing.
 *
 * @param transaction mined, with its outcome.
 */
export function transfersOf(transaction: EvmTransaction): Transfer[] {
  const { from, to, value, outcome } = transaction;
  const logged = (outcome?.logs ?? []).flatMap(decode);
  if (!outcome?.succeeded || !value || !from || !to) return logged;
  return [{ asset: "native", from, to, amount: String(value) }, ...logged];
}

function decode({ address, topics, data }: EvmLog): Transfer[] {
  const token = address;
  const [kind] = topics;
  if (kind === TRANSFER) {
    const [, from, to, tokenId] = topics;
    if (!isWord(from) || !isWord(to)) return [];
    const between = { from: addressIn(from), to: addressIn(to) };
    if (isWord(tokenId)) {
      const id = String(BigInt(tokenId));
      return [{ asset: "erc721", token, ...between, tokenId: id }];
    }
    const [amount] = wordsOf(data);
    if (topics.length !== 3 || amount === undefined) return [];
    return [{ asset: "erc20", token, ...between, amount: String(amount) }];
  }
  if (kind !== TRANSFER_SINGLE && kind !== TRANSFER_BATCH) return [];
  const [, , from, to] = topics;
  if (!isWord(from) || !isWord(to)) return [];
  const words = wordsOf(data);
  const pairs = kind === TRANSFER_SINGLE
    ? [[words[0], words[1]] as const]
    : zip(arrayAt(words, words[0]), arrayAt(words, words[1]));
  return pairs.flatMap(([tokenId, amount]): Transfer[] =>
    tokenId === undefined || amount === undefined ? [] : [{
      asset: "erc1155",
      token,
      from: addressIn(from),
      to: addressIn(to),
      tokenId: String(tokenId),
      amount: String(amount),
    }]
  );
}

function isWord(topic: string | undefined): topic is string {
  return topic?.length === WORD_DIGITS + 2;
}

/** The address in the low 20 bytes of a word. */
function addressIn(word: string): string {
  return `0x${word.slice(-40).toLowerCase()}`;
}

function wordsOf(data: string): bigint[] {
  const words: bigint[] = [];
  for (let at = 2; at + WORD_DIGITS <= data.length; at += WORD_DIGITS) {
    words.push(BigInt(`0x${data.slice(at, at + WORD_DIGITS)}`));
  }
  return words;
}

/** A dynamic array of the ABI: its offset in bytes names its length's word. */
function arrayAt(
  words: readonly bigint[],
  offset: bigint | undefined,
): bigint[] {
  if (offset === undefined || offset % 32n !== 0n) return [];
  const start = Number(offset / 32n);
  const length = words[start];
  if (length === undefined || length > words.length) return [];
  return words.slice(start + 1, start + 1 + Number(length));
}

function zip(
  ids: readonly bigint[],
  amounts: readonly bigint[],
): (readonly [bigint | undefined, bigint | undefined])[] {
  if (ids.length !== amounts.length) return [];
  return ids.map((id, at) => [id, amounts[at]] as const);
}
