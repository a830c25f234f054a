/**
 * The preset dictionary of compressed frames: an example of every event and the
 * further fields of transactions, so that even a single frame compresses well.
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

/** Most frequent last: near distances take fewer bits. */
const FREQUENT: readonly MessageType[] = ["NEW_BLOCK", "TX_RECEIVED"];

/** Zeros that pad a value of a contract call to 32 bytes. */
const ZEROS = "0".repeat(64);
/** Selectors of ERC-20: approve, transferFrom, transfer. */
const SELECTORS = ["095ea7b3", "23b872dd", "a9059cbb"];

/**
 * Fields of transactions that their example lacks: the position in a block, and
 * token calls.
 */
const TRANSACTION = [
  ...SELECTORS.map((selector) => `"data":"0x${selector}${ZEROS}`),
  '","status":"confirmed","timestamp":"2026-01-01T00:00:00.000Z",',
  '"gasUsed":21000,"fee":"441000","reason":"reverted","blockId":"0x1","blockHeight":15420,"index":1,',
  '"transfers":[{"asset":"native","from":"0x123","to":"0x456","amount":"1000"}],"cause":"reorg","left":',
  '{"txId":"0x1","chain":"evm:1","from":"0x123","to":"0x456","amount":"0","gasPrice":"20",',
  '"gasLimit":21000,"nonce":1,"status":"pending","timestamp":"2026-01-01T00:00:00.000Z"',
].join("");

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
  const text = [...rare, ...FREQUENT].map(written).join("") + TRANSACTION;
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
