/**
 * Converts rows of the table to entries of the store.
 *
 * @module
 */
import { COUNTER_VALUE, decodeValue, encodeKey } from "./postgres_keys.ts";
import type { ValueKind } from "./postgres_keys.ts";
import type { Check, Found, Key, Selector } from "./store.ts";

/** A row of the table. */
export interface Row {
  /** The result of `encodeKey`. */
  readonly key: Uint8Array;
  /** The result of `encodeValue`; empty for a counter. */
  readonly value: Uint8Array;
  /** The value of a counter: 0 to 2^64 - 1 as decimal digits. */
  readonly count: string | null;
  /** The encoding of the value: see `postgres_keys.ts`. */
  readonly kind: number;
  /** The commit that wrote it, as decimal digits. */
  readonly stamp: string;
}

/** The first key of a selection, and the key after its last. */
export function rangeOf(
  selector: Selector,
): [start: Uint8Array, end: Uint8Array] {
  const prefix = "prefix" in selector ? encodeKey(selector.prefix) : undefined;
  const start = "start" in selector
    ? encodeKey(selector.start)
    : Uint8Array.of(...prefix!, 0);
  const end = "end" in selector
    ? encodeKey(selector.end)
    : Uint8Array.of(...prefix!, 0xff);
  return [start, end];
}

/** The entry of a key; an empty one without a row. */
export function foundOf<Value>(key: Key, row: Row | undefined): Found<Value> {
  if (!row) return { key, value: null, versionstamp: null };
  const value = row.kind === COUNTER_VALUE
    ? BigInt(row.count!)
    : decodeValue(row.value, row.kind as ValueKind);
  const versionstamp = versionstampOf(row.stamp);
  return { key, value: value as Value, versionstamp };
}

/** Pads a stamp so that stamps compare as text, as `store.ts` requires. */
export function versionstampOf(stamp: string): string {
  return stamp.padStart(20, "0");
}

/** The stamp that a check requires. */
export function stampOf({ versionstamp }: Check): bigint | null {
  return versionstamp === null ? null : BigInt(versionstamp);
}
