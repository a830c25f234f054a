/**
 * Reads frames of the server as an independent inflater does: the platform's,
 * which takes no dictionary, with the dictionary in front as a stored block.
 *
 * @module
 */
import { inflateRawSync } from "node:zlib";
import type { Frame } from "../realtime/codec.ts";

/**
 * Reads a frame as text.
 *
 * @param frame as it arrived.
 * @param dictionary what the inflater begins with; nothing when omitted.
 * @throws when the frame is not raw DEFLATE.
 * @see {@link https://www.rfc-editor.org/rfc/rfc1951#section-3.2.4}
 */
export function inflated(
  frame: Frame | ArrayBuffer,
  dictionary: Uint8Array = new Uint8Array(),
): string {
  if (typeof frame === "string") return frame;
  const { length } = dictionary;
  const stored = new Uint8Array(5 + length + frame.byteLength);
  const view = new DataView(stored.buffer);
  view.setUint16(1, length, true);
  view.setUint16(3, ~length, true);
  stored.set(dictionary, 5);
  stored.set(new Uint8Array(frame as ArrayBuffer), 5 + length);
  return inflateRawSync(stored).subarray(length).toString("utf8");
}
