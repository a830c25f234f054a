/**
 * Rows of the table, as the seam shows them.
 *
 * @module
 */
import { COUNTER_VALUE, decodeValue, encodeKey } from "./postgres_keys.ts";
import type { ValueKind } from "./postgres_keys.ts";
import type { Check, Found, Key, Selector } from "./store.ts";

/** A row of the table. */
export interface Row {
  /** As `encodeKey` wrote it. */
  readonly key: Uint8Array;
  /** As `encodeValue` wrote it; of a counter nothing. */
  readonly value: Uint8Array;
  /** Of a counter: 0 to 2^64 - 1 as decimal digits. */
  readonly count: string | null;
  /** How the value is kept: see `postgres_keys.ts`. */
  readonly kind: number;
  /** The commit that wrote it, as decimal digits. */
  readonly stamp: string;
}

/** Where the keys of a selection begin, and before which they end. */
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

/** What stands under a key; nothing without a row. */
export function foundOf<Value>(key: Key, row: Row | undefined): Found<Value> {
  if (!row) return { key, value: null, versionstamp: null };
  const value = row.kind === COUNTER_VALUE
    ? BigInt(row.count!)
    : decodeValue(row.value, row.kind as ValueKind);
  const versionstamp = versionstampOf(row.stamp);
  return { key, value: value as Value, versionstamp };
}

/** Stamps compare as text, as the seam wants it. */
export function versionstampOf(stamp: string): string {
  return stamp.padStart(20, "0");
}

/** The stamp that a check asks for. */
export function stampOf({ versionstamp }: Check): bigint | null {
  return versionstamp === null ? null : BigInt(versionstamp);
}
