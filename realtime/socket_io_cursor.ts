/**
 * What one Socket.IO client is subscribed to and how far it came, as text: the
 * offset that its client sends back after an interruption. It holds all that
 * is needed to continue, so a restarted or another instance can.
 *
 * `name=epoch:seq,name=epoch:seq`; `name=` for a channel that keeps nothing.
 * Filters do not fit: a client with one has no offset.
 *
 * @module
 */
import type { Position } from "../protocol/commands.ts";
import type { ReplyPayload } from "../protocol/replies.ts";
import { MAX_SUBSCRIPTIONS } from "./subscribe.ts";

/** Longest offset, in characters; a client with a longer one cannot recover. */
export const MAX_OFFSET_LENGTH = 2_048;
/** Stands for an offset that would be incomplete. */
export const NO_OFFSET = "-";

/** One channel of an offset. */
export interface OffsetEntry {
  /** Canonical name. */
  readonly channel: string;
  /** The last event received; absent on channels that keep nothing. */
  readonly after?: Position;
}

/** One channel as `name=epoch:seq`. */
const ENTRY = /^([\w.:-]{1,128})=(?:([\w.-]{1,64}):(\d{1,15}))?$/;

/** How far a client came in one channel: what {@link Position} names, moving. */
interface Mark {
  epoch: string;
  seq: number;
}

/** Where one client stands. */
export class SocketIoCursor {
  /** By channel; nothing for those that keep nothing. */
  readonly #entries = new Map<string, Mark | undefined>();
  /** Names of filtered subscriptions. */
  readonly #filtered = new Set<string>();
  #isCommon = false;

  /** Whether its offset is that of all who follow nothing but one channel. */
  get isCommon(): boolean {
    return this.#isCommon;
  }

  /** Adds channels from where they begin. */
  begin(channels: ReplyPayload<"subscribed">["channels"]): void {
    for (const { channel, as = channel, epoch, seq, filtered } of channels) {
      this.leave([as]);
      const isKept = epoch !== null && seq !== null;
      if (filtered) this.#filtered.add(as);
      else this.#entries.set(channel, isKept ? { epoch, seq } : undefined);
    }
    this.#count();
  }

  /** Moves to a new position in a channel, if it follows that unfiltered. */
  move(channel: string, epoch: string, seq: number): void {
    // Once an event and client: nothing is allocated.
    const mark = this.#entries.get(channel);
    if (mark) {
      mark.epoch = epoch;
      mark.seq = seq;
    } else if (this.#entries.has(channel)) {
      this.#entries.set(channel, { epoch, seq });
    }
  }

  /** Forgets subscriptions. */
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
 * Reads what {@link SocketIoCursor.offset} wrote.
 *
 * @returns nothing when it cannot be understood.
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
