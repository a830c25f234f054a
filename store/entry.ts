/**
 * An event between its publisher and the log, the links and the rings.
 *
 * @module
 */
import type { Tags } from "../protocol/messages.ts";

/** An event, encoded once, with the fields that routing and storage need. */
export interface Entry {
  /** Canonical name of its channel. */
  readonly channel: string;
  /** Identity of the channel's log; absent on channels without retention. */
  readonly epoch?: string;
  /** Position in it, from 1; absent likewise. */
  readonly seq?: number;
  /** Its message type. */
  readonly type: string;
  /** When the server accepted it, in epoch milliseconds. */
  readonly at: number;
  /** The tags that filters match. */
  readonly tags: Tags;
  /** The whole frame as JSON text, as `encodeEvent` wrote it. */
  readonly json: string;
  /** The publish it belongs to, as a W3C `traceparent`; absent when not traced. */
  readonly trace?: string;
}

/** An event in the log. */
export type LoggedEntry = Entry & Required<Pick<Entry, "epoch" | "seq">>;

/**
 * Whether a value from another instance, perhaps of another version, is an
 * {@link Entry}.
 */
export function isEntry(value: unknown): value is Entry {
  if (typeof value !== "object" || value === null) return false;
  const { channel, epoch, seq, type, at, tags, json } = value as Partial<Entry>;
  return typeof channel === "string" && typeof json === "string" &&
    typeof type === "string" && typeof at === "number" &&
    typeof tags === "object" && tags !== null &&
    (epoch === undefined || typeof epoch === "string") &&
    (seq === undefined || (Number.isSafeInteger(seq) && seq > 0));
}
