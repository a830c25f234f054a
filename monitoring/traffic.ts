/**
 * Bytes sent to clients.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import type { Frame } from "../realtime/codec.ts";

/** Sums of the frames sent. */
export class Traffic {
  #wireBytes = 0;
  #textBytes = 0;
  #text = "";
  #bytes = 0;

  /** Bytes as they were sent. */
  get wireBytes(): number {
    return this.#wireBytes;
  }

  /** Bytes of the same frames as text, before compression. */
  get textBytes(): number {
    return this.#textBytes;
  }

  /** Adds a frame that was sent. */
  add(frame: Frame): void {
    if (typeof frame !== "string") {
      this.#wireBytes += frame.byteLength;
      this.#textBytes += textBytesOf(frame);
      return;
    }
    // The same text goes to many clients, one after the other.
    if (frame !== this.#text) {
      this.#text = frame;
      this.#bytes = Buffer.byteLength(frame);
    }
    this.#wireBytes += this.#bytes;
    this.#textBytes += this.#bytes;
  }
}

/** Of a frame that is not compressed, its own. */
function textBytesOf(
  frame: Uint8Array & { readonly textBytes?: number },
): number {
  return frame.textBytes ?? frame.byteLength;
}
