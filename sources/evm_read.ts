/**
 * Validates a node's answers before the rest of the source uses them. Each
 * field is checked separately, so that an invalid one does not discard the
 * others.
 *
 * @module
 */
import { z } from "zod";
import { contractAddress } from "./evm_address.ts";
import { NodeFault } from "./evm_view.ts";
import type {
  EvmBlock,
  EvmHead,
  EvmLog,
  EvmOutcome,
  EvmTransaction,
} from "./evm_view.ts";

const Hash = z.string().regex(/^0x[0-9a-fA-F]{64}$/).toLowerCase();
const Address = z.string().regex(/^0x[0-9a-fA-F]{40}$/).toLowerCase();
const Bytes = z.string().regex(/^0x[0-9a-fA-F]*$/);
const Quantity = z.union([
  z.string().regex(/^0x[0-9a-fA-F]{1,64}$/),
  z.int().nonnegative(),
]).transform((value) => BigInt(value));
const Whole = Quantity.refine((value) => value <= Number.MAX_SAFE_INTEGER)
  .transform(Number);
const List = z.array(z.unknown());
const Fields = z.record(z.string(), z.unknown());

const Log = z.object({
  address: Address,
  topics: z.array(Bytes.max(66)).max(4),
  data: Bytes,
  logIndex: Whole.optional().catch(undefined),
}).transform((log): EvmLog => ({ ...log, logIndex: log.logIndex }));
const Authorization = z.object({ address: Address });

/** Reads fields one by one, and remembers which could not be read. */
class Reader {
  readonly missing: string[] = [];
  readonly #fields: Readonly<Record<string, unknown>>;

  constructor(fields: Readonly<Record<string, unknown>>) {
    this.#fields = fields;
  }

  /**
   * A field that may be absent.
   *
   * @param as the protocol's name for it, by which it counts as missing when
   * it is there and cannot be read.
   */
  may<T>(field: string, schema: z.ZodType<T>, as = field): T | undefined {
    const value = this.#fields[field];
    if (value === undefined || value === null) return undefined;
    const { success, data } = schema.safeParse(value);
    if (!success) this.missing.push(as);
    return data;
  }

  /** A field that should be there: missing as well when it is absent. */
  should<T>(field: string, schema: z.ZodType<T>, as = field): T | undefined {
    const { success, data } = schema.safeParse(this.#fields[field]);
    if (!success) this.missing.push(as);
    return data;
  }
}

const Head = z.object({
  hash: Hash,
  parentHash: Hash,
  number: Whole,
  timestamp: Whole,
}).transform(({ number, timestamp, ...rest }): EvmHead => ({
  ...rest,
  height: number,
  timestampMs: timestamp * 1000,
}));

/**
 * Reads a block's place.
 *
 * @param raw as answered.
 * @returns `undefined` for `null`.
 * @throws {NodeFault} when it is something else.
 */
export function readHead(raw: unknown): EvmHead | undefined {
  if (raw === null || raw === undefined) return undefined;
  const { success, data } = Head.safeParse(raw);
  if (!success) throw new NodeFault("Node answered with what is no block");
  return data;
}

/**
 * Reads a block without receipts.
 *
 * @param raw as answered.
 * @returns `undefined` for `null`.
 * @throws {NodeFault} when it is something else.
 */
export function readBlock(raw: unknown): EvmBlock | undefined {
  const head = readHead(raw);
  if (!head) return undefined;
  const reader = new Reader(Fields.parse(raw));
  const listed = reader.should("transactions", List) ?? [];
  const transactions = listed.map(readTransaction)
    .filter((tx) => tx !== undefined);
  if (transactions.length < listed.length) reader.missing.push("transactions");
  return {
    ...head,
    miner: reader.may("miner", Address, "validator"),
    size: reader.may("size", Quantity),
    gasUsed: reader.may("gasUsed", Quantity),
    gasLimit: reader.may("gasLimit", Quantity),
    baseFee: reader.may("baseFeePerGas", Quantity, "baseFee"),
    transactions,
    transactionCount: listed.length,
    missing: reader.missing,
  };
}

/**
 * Reads a transaction, whole or only its hash.
 *
 * @param raw as answered.
 * @returns `undefined` when it does not even have a hash.
 */
export function readTransaction(raw: unknown): EvmTransaction | undefined {
  const fields = typeof raw === "string" ? { hash: raw } : raw;
  const parsed = Fields.safeParse(fields);
  if (!parsed.success) return undefined;
  const reader = new Reader(parsed.data);
  const hash = reader.should("hash", Hash);
  if (hash === undefined) return undefined;
  const from = reader.should("from", Address);
  const nonce = reader.should("nonce", Whole);
  const called = reader.may("to", Address);
  const creates = called !== undefined || reader.missing.includes("to")
    ? undefined
    : reader.may("creates", Address) ??
      (from === undefined || nonce === undefined
        ? undefined
        : contractAddress(from, nonce));
  const to = called ?? creates;
  if (to === undefined && !reader.missing.includes("to")) {
    reader.missing.push("to");
  }
  const maxFeePerGas = reader.may("maxFeePerGas", Quantity);
  const gasPrice = maxFeePerGas ?? reader.should("gasPrice", Quantity);
  const authorizations = reader.may("authorizationList", List);
  return {
    hash,
    from,
    to,
    creates,
    value: reader.should("value", Quantity, "amount"),
    gasPrice,
    maxFeePerGas,
    maxPriorityFeePerGas: reader.may("maxPriorityFeePerGas", Quantity),
    maxFeePerBlobGas: reader.may("maxFeePerBlobGas", Quantity),
    blobVersionedHashes: reader.may("blobVersionedHashes", z.array(Hash)),
    authorizations: authorizations?.flatMap((entry) =>
      Authorization.safeParse(entry).data?.address ?? []
    ),
    gas: reader.should("gas", Quantity, "gasLimit"),
    nonce,
    input: reader.may("input", Bytes, "data"),
    kind: reader.may("type", Whole, "kind"),
    blockHash: reader.may("blockHash", Hash, "blockId"),
    outcome: undefined,
    missing: reader.missing,
  };
}

/** A receipt, as far as it could be read. */
export interface Receipt extends EvmOutcome {
  /** The transaction. */
  readonly hash: string;
  /** The block that the receipt is of. */
  readonly blockHash: string | undefined;
  /** The contract that was created. */
  readonly creates: string | undefined;
  /** Fields of the protocol that could not be read. */
  readonly missing: readonly string[];
}

/**
 * Reads a receipt.
 *
 * @param raw as answered.
 * @returns `undefined` when it is none.
 */
export function readReceipt(raw: unknown): Receipt | undefined {
  const parsed = Fields.safeParse(raw);
  if (!parsed.success) return undefined;
  const reader = new Reader(parsed.data);
  const hash = reader.should("transactionHash", Hash);
  if (hash === undefined) return undefined;
  const listed = reader.may("logs", List) ?? [];
  const logs = listed.map((log) => Log.safeParse(log).data)
    .filter((log) => log !== undefined);
  if (logs.length < listed.length) reader.missing.push("logs");
  return {
    hash,
    blockHash: reader.may("blockHash", Hash),
    creates: reader.may("contractAddress", Address, "creates"),
    succeeded: reader.may("status", Whole) !== 0,
    gasUsed: reader.should("gasUsed", Quantity),
    gasPrice: reader.may("effectiveGasPrice", Quantity, "gasPrice"),
    logs,
    missing: reader.missing,
  };
}

/** Puts together a mined transaction and its receipt. */
export function withReceipt(
  transaction: EvmTransaction,
  receipt: Receipt | undefined,
): EvmTransaction {
  if (!receipt) {
    return { ...transaction, missing: [...transaction.missing, "receipt"] };
  }
  const { missing, creates, succeeded, gasUsed, gasPrice, logs } = receipt;
  const created = transaction.creates === undefined
    ? undefined
    : creates ?? transaction.creates;
  return {
    ...transaction,
    to: created ?? transaction.to,
    creates: created,
    outcome: { succeeded, gasUsed, gasPrice, logs },
    missing: [...new Set([...transaction.missing, ...missing])],
  };
}

/**
 * Reads a list, such as that of a block's receipts.
 *
 * @returns `undefined` when it is none.
 */
export function readList(raw: unknown): unknown[] | undefined {
  return List.safeParse(raw).data;
}

/**
 * Reads a whole number.
 *
 * @returns `undefined` when it is none.
 */
export function readWhole(raw: unknown): number | undefined {
  return Whole.safeParse(raw).data;
}

/**
 * Reads a transaction's or block's hash.
 *
 * @returns `undefined` when it is none.
 */
export function readHash(raw: unknown): string | undefined {
  return Hash.safeParse(raw).data;
}
