/**
 * Text with a checksum in front, so that damage to the store is detected.
 *
 * @module
 */
import { crc32 } from "node:zlib";

/** Bytes in front of the text. */
export const SEAL_BYTES = 4;

/** Space for the checksum: one character is one byte here. */
const ROOM = "\0".repeat(SEAL_BYTES);

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** The text in UTF-8, after its checksum. */
export function seal(text: string): Uint8Array {
  const bytes = encoder.encode(ROOM + text);
  const sum = crc32(bytes.subarray(SEAL_BYTES));
  new DataView(bytes.buffer, bytes.byteOffset).setUint32(0, sum);
  return bytes;
}

/** The text of a {@link seal}, or nothing when it is damaged. */
export function unseal(bytes: Uint8Array): string | undefined {
  if (bytes.byteLength < SEAL_BYTES) return undefined;
  const body = bytes.subarray(SEAL_BYTES);
  const sum = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0);
  return sum === crc32(body) ? decoder.decode(body) : undefined;
}
