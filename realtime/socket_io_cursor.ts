/**
 * The subscriptions and positions of one Socket.IO client as text: the offset
 * that the client sends back after an interruption. It is complete, so a
 * restarted or another instance can continue.
 *
 * `name=epoch:seq,name=epoch:seq`; `name=` for a channel without retention.
 * Filters do not fit: a client with a filter has no offset.
 *
 * @module
 */
import type { Position } from "../protocol/commands.ts";
import type { ReplyPayload } from "../protocol/replies.ts";
import { MAX_SUBSCRIPTIONS } from "./subscribe.ts";

/** Longest offset, in characters; a client with a longer one cannot recover. */
export const MAX_OFFSET_LENGTH = 2_048;
/** Replaces an offset that would be incomplete. */
export const NO_OFFSET = "-";

/** One channel of an offset. */
export interface OffsetEntry {
  /** Canonical name. */
  readonly channel: string;
  /** The last event received; absent on channels without retention. */
  readonly after?: Position;
}

/** One channel as `name=epoch:seq`. */
const ENTRY = /^([\w.:-]{1,128})=(?:([\w.-]{1,64}):(\d{1,15}))?$/;

/** A client's current position in one channel: a mutable {@link Position}. */
interface Mark {
  epoch: string;
  seq: number;
}

/** The positions of one client. */
export class SocketIoCursor {
  /** By channel; `undefined` for those without retention. */
  readonly #entries = new Map<string, Mark | undefined>();
  /** Names of filtered subscriptions. */
  readonly #filtered = new Set<string>();
  #isCommon = false;

  /** Whether its offset equals that of all clients that follow only one channel. */
  get isCommon(): boolean {
    return this.#isCommon;
  }

  /** Adds channels at their starting positions. */
  begin(channels: ReplyPayload<"subscribed">["channels"]): void {
    for (const { channel, as = channel, epoch, seq, filtered } of channels) {
      this.leave([as]);
      const isKept = epoch !== null && seq !== null;
      if (filtered) this.#filtered.add(as);
      else this.#entries.set(channel, isKept ? { epoch, seq } : undefined);
    }
    this.#count();
  }

  /** Moves to a new position in a channel, if subscribed to it without a filter. */
  move(channel: string, epoch: string, seq: number): void {
    // Runs once per event and client, so it allocates nothing.
    const mark = this.#entries.get(channel);
    if (mark) {
      mark.epoch = epoch;
      mark.seq = seq;
    } else if (this.#entries.has(channel)) {
      this.#entries.set(channel, { epoch, seq });
    }
  }

  /** Removes subscriptions. */
  leave(names: readonly string[]): void {
    for (const name of names) {
      this.#entries.delete(name);
      this.#filtered.delete(name);
    }
    this.#count();
  }

  /** All positions as text that needs no escaping in JSON. */
  offset(): string {
    if (this.#filtered.size > 0) return NO_OFFSET;
    let text = "";
    for (const [channel, mark] of this.#entries) {
      if (text !== "") text += ",";
      text += mark ? `${channel}=${mark.epoch}:${mark.seq}` : `${channel}=`;
    }
    return text.length > MAX_OFFSET_LENGTH ? NO_OFFSET : text;
  }

  #count(): void {
    this.#isCommon = this.#entries.size === 1 && this.#filtered.size === 0;
  }
}

/**
 * Reads an offset written by {@link SocketIoCursor.offset}.
 *
 * @returns nothing for an invalid offset.
 */
export function entriesOf(offset: string): OffsetEntry[] | undefined {
  if (offset.length > MAX_OFFSET_LENGTH || offset === NO_OFFSET) return;
  if (offset === "") return [];
  const entries: OffsetEntry[] = [];
  for (const text of offset.split(",")) {
    const [, channel, epoch, seq] = ENTRY.exec(text) ?? [];
    if (channel === undefined) return;
    entries.push(
      epoch === undefined
        ? { channel }
        : { channel, after: { epoch, seq: Number(seq) } },
    );
  }
  return entries.length > MAX_SUBSCRIPTIONS ? undefined : entries;
}
