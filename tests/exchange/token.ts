/**
 * The least of an ERC-20 token, assembled by hand: `transfer`, `balanceOf` and
 * the event `Transfer`. A balance is in the slot of its address.
 *
 * @module
 */

/** `transfer(address,uint256)`. */
const TRANSFER_CALL = "a9059cbb";
/** `balanceOf(address)`. */
const BALANCE_CALL = "70a08231";
/** `Transfer(address,address,uint256)`. */
const TRANSFER_EVENT =
  "ddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef";

/** Opcodes. @see {@link https://www.evm.codes} */
const OPCODES: Readonly<Record<string, string>> = {
  ADD: "01",
  SUB: "03",
  LT: "10",
  EQ: "14",
  SHR: "1c",
  CALLER: "33",
  CALLDATALOAD: "35",
  CODECOPY: "39",
  MSTORE: "52",
  SLOAD: "54",
  SSTORE: "55",
  JUMPI: "57",
  JUMPDEST: "5b",
  ZERO: "5f",
  DUP1: "80",
  DUP2: "81",
  DUP3: "82",
  SWAP1: "90",
  LOG3: "a3",
  RETURN: "f3",
  REVERT: "fd",
};

/**
 * Turns words into code: an opcode, hexadecimal to push, `:name` a place to jump
 * to, `@name` to push where it is.
 */
function assemble(text: string): string {
  const places = new Map<string, number>();
  const write = () => {
    let code = "";
    for (const word of text.trim().split(/\s+/)) {
      if (word.startsWith(":")) {
        places.set(word.slice(1), code.length / 2);
        code += OPCODES["JUMPDEST"];
      } else if (word.startsWith("@")) {
        const place = places.get(word.slice(1)) ?? 0;
        code += `60${place.toString(16).padStart(2, "0")}`;
      } else {
        code += OPCODES[word] ??
          (0x5f + word.length / 2).toString(16).padStart(2, "0") + word;
      }
    }
    return code;
  };
  write();
  return write();
}

const CODE = assemble(`
  ZERO CALLDATALOAD e0 SHR
  DUP1 ${TRANSFER_CALL} EQ @transfer JUMPI
  ${BALANCE_CALL} EQ @balance JUMPI
  :refuse ZERO ZERO REVERT
  :balance 04 CALLDATALOAD SLOAD ZERO MSTORE 20 ZERO RETURN
  :transfer 24 CALLDATALOAD CALLER SLOAD
  DUP2 DUP2 LT @refuse JUMPI
  DUP2 SWAP1 SUB CALLER SSTORE
  04 CALLDATALOAD DUP1 SLOAD DUP3 ADD DUP2 SSTORE
  DUP2 ZERO MSTORE CALLER ${TRANSFER_EVENT} 20 ZERO LOG3
  01 ZERO MSTORE 20 ZERO RETURN
`);

/** What its creator has, in the token's smallest unit. */
export const SUPPLY = 10n ** 30n;

const word = (value: bigint) => value.toString(16).padStart(64, "0");

/** Call data that creates the token; all of it is its creator's. */
export function creation(): string {
  const length = (CODE.length / 2).toString(16).padStart(4, "0");
  const start = (offset: string) =>
    assemble(`
      ${word(SUPPLY)} CALLER SSTORE
      ${length} ${offset} ZERO CODECOPY ${length} ZERO RETURN
    `);
  const offset = (start("0000").length / 2).toString(16).padStart(4, "0");
  return `0x${start(offset)}${CODE}`;
}

/** Call data that moves an amount to an address. */
export function transferCall(to: string, amount: bigint): string {
  return `0x${TRANSFER_CALL}${word(BigInt(to))}${word(amount)}`;
}

/** Call data that asks for an address's balance. */
export function balanceCall(of: string): string {
  return `0x${BALANCE_CALL}${word(BigInt(of))}`;
}
