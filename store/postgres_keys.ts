/**
 * Keys and values as PostgreSQL stores them: keys as bytes in the order that
 * `store.ts` defines, values in a form that later versions can read.
 *
 * @module
 */
import type { Key, KeyPart } from "./store.ts";

/** Marks the start of a text part; texts sort before numbers. */
const TEXT = 2;
/** Marks the start of a number part: eight bytes follow. */
const NUMBER = 0x21;
/** Marks the end of a text part. */
const END = 0;
/** Follows a zero byte inside a text, to distinguish it from the end. */
const ESCAPED = 0xff;
/** The sign bit, set for negative numbers. */
const SIGN = 0x80;

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/**
 * A key as bytes; comparing them byte by byte orders keys part by part.
 *
 * @returns texts as UTF-8 ended by a zero byte, numbers as IEEE 754 with the
 * sign inverted, as in the ordered encodings of other key-value stores.
 */
export function encodeKey(key: Key): Uint8Array {
  const bytes: number[] = [];
  for (const part of key) {
    if (typeof part === "string") {
      bytes.push(TEXT);
      for (const byte of encoder.encode(part)) {
        bytes.push(byte);
        if (byte === END) bytes.push(ESCAPED);
      }
      bytes.push(END);
    } else bytes.push(NUMBER, ...sortable(part));
  }
  return Uint8Array.from(bytes);
}

/** Decodes a key of {@link encodeKey}. */
export function decodeKey(encoded: Uint8Array): Key {
  // The client's bytes are Node's, whose slices share memory.
  const bytes = new Uint8Array(encoded);
  const key: KeyPart[] = [];
  for (let at = 0; at < bytes.length;) {
    if (bytes[at++] === NUMBER) {
      key.push(numberIn(bytes.slice(at, at + 8)));
      at += 8;
      continue;
    }
    const text: number[] = [];
    while (bytes[at] !== END || bytes[at + 1] === ESCAPED) {
      const byte = bytes[at++]!;
      text.push(byte);
      if (byte === END) at++;
    }
    at++;
    key.push(decoder.decode(Uint8Array.from(text)));
  }
  return key;
}

function sortable(value: number): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setFloat64(0, value);
  if (bytes[0]! < SIGN) bytes[0]! |= SIGN;
  else for (let i = 0; i < 8; i++) bytes[i]! ^= 0xff;
  return bytes;
}

function numberIn(bytes: Uint8Array): number {
  if (bytes[0]! >= SIGN) bytes[0]! &= ~SIGN;
  else for (let i = 0; i < 8; i++) bytes[i]! ^= 0xff;
  return new DataView(bytes.buffer).getFloat64(0);
}

/** The encoding of a value. */
export type ValueKind = typeof JSON_VALUE | typeof BYTES_VALUE;

/** The value is JSON in UTF-8. */
export const JSON_VALUE = 0;
/** The value is bytes. */
export const BYTES_VALUE = 1;
/** The value is a counter, in a column of its own. */
export const COUNTER_VALUE = 2;

/** A value as bytes, with its encoding. */
export function encodeValue(value: unknown): [Uint8Array, ValueKind] {
  return value instanceof Uint8Array
    ? [value, BYTES_VALUE]
    : [encoder.encode(JSON.stringify(value)), JSON_VALUE];
}

/** Decodes a value of {@link encodeValue}. */
export function decodeValue(bytes: Uint8Array, kind: ValueKind): unknown {
  // The client's bytes share one buffer: a copy does not keep all of it.
  return kind === BYTES_VALUE
    ? new Uint8Array(bytes)
    : JSON.parse(decoder.decode(bytes));
}
