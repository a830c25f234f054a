/**
 * The preset dictionary of compressed frames: an example of every event, so
 * that a single one has what it shares with all others in common with it.
 *
 * @module
 * @see {@link https://www.rfc-editor.org/rfc/rfc1951}
 */
import { encodeEvent } from "../protocol/encode.ts";
import { MESSAGES } from "../protocol/messages.ts";
import type { MessageType } from "../protocol/messages.ts";
import { eventExample } from "./examples.ts";

/** Longest distance that DEFLATE can refer back, in bytes. */
const WINDOW_BYTES = 32_768;

/** The most frequent, last: what is near is referred to by fewer bits. */
const FREQUENT: readonly MessageType[] = ["NEW_BLOCK", "TX_RECEIVED"];

/** The dictionary, and its name. */
export interface Dictionary {
  /** At most 32,768. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** 16 hexadecimal digits: the first of the SHA-256 of the bytes. */
  readonly hash: string;
}

/** Writes the dictionary; the same build always writes the same. */
export async function dictionary(): Promise<Dictionary> {
  const types = Object.keys(MESSAGES) as MessageType[];
  const rare = types.filter((type) => !FREQUENT.includes(type));
  const text = [...rare, ...FREQUENT].map(written).join("");
  const bytes = new TextEncoder().encode(text).slice(-WINDOW_BYTES);
  const digest = await crypto.subtle.digest("SHA-256", bytes);
  return { bytes, hash: new Uint8Array(digest).toHex().slice(0, 16) };
}

/** An example with its fields in the order in which the service writes them. */
function written(type: MessageType): string {
  const { payload, channel, seq, epoch, id, timestamp } = eventExample(
    type,
  ) as unknown as Example;
  return encodeEvent(
    type,
    JSON.stringify(payload),
    { channel, seq, epoch },
    { id, now: Date.parse(timestamp) },
  );
}

/** The fields of an event. */
interface Example {
  readonly payload: object;
  readonly channel: string;
  readonly seq?: number;
  readonly epoch?: string;
  readonly id: string;
  readonly timestamp: string;
}
