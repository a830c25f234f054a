/**
 * Follows the log of one channel: reads the events appended since the last read,
 * or only the newest of them when they are too many.
 *
 * @module
 */
import type { LoggedEntry } from "../store/entry.ts";
import type { Head } from "../store/event_log.ts";
import type { LogSource } from "../store/ingest.ts";

/** Newest events read when a channel is first followed. */
export const MAX_FOLLOWED_EVENTS = 2_048;
/** The same bound in UTF-16 units of their frames. */
export const MAX_FOLLOWED_LENGTH = 16 * 1024 * 1024;
/** Events read at once. */
const PAGE_EVENTS = 256;
/** Bytes read at once. */
const PAGE_BYTES = 1024 * 1024;

/** Folds a channel's events. */
export interface Fold {
  /** The next event. */
  readonly add: (entry: LoggedEntry) => void;
  /** The next event does not follow the folded ones: discards the state. */
  readonly clear: () => void;
  /** All current events are folded: entries may be evicted now. */
  readonly done: () => void;
}

/** The followed position of a channel's log. */
export class LogFollower {
  readonly #channel: string;
  readonly #fold: Fold;
  #at: Head | undefined;
  #isWhole = false;
  #following: Promise<void> | undefined;

  /** Starts without a position. */
  constructor(channel: string, fold: Fold) {
    this.#channel = channel;
    this.#fold = fold;
  }

  /** The position; absent before the first {@link follow}. */
  get at(): Head | undefined {
    return this.#at;
  }

  /** Whether every event of the log was folded, from the first on. */
  get isWhole(): boolean {
    return this.#isWhole;
  }

  /** Whether the position is at or beyond a head. */
  has({ epoch, seq }: Head): boolean {
    return this.#at?.epoch === epoch && this.#at.seq >= seq;
  }

  /**
   * Follows the log up to a head.
   *
   * @throws errors of the store.
   */
  async follow(head: Head, log: LogSource): Promise<void> {
    // A read that exceeded its caller's deadline continues and is reused.
    while (this.#following) await this.#following;
    if (this.has(head)) return;
    this.#following = this.#follow(head, log)
      .finally(() => this.#following = undefined);
    await this.#following;
  }

  /**
   * Advances over events that were already folded.
   *
   * @returns `false` when they are not the next ones.
   */
  advance(before: Head, after: Head): boolean {
    if (!this.has(before) || this.#at!.seq > before.seq) return false;
    this.#at = { epoch: after.epoch, seq: after.seq };
    this.#fold.done();
    return true;
  }

  async #follow(head: Head, log: LogSource): Promise<void> {
    const at = this.#at;
    const isSame = at !== undefined && at.epoch === head.epoch &&
      head.seq - at.seq <= MAX_FOLLOWED_EVENTS;
    const after = isSame ? at.seq : 0;
    const range = { after, upTo: head.seq };
    const entries = await newest(log, this.#channel, range);
    if (this.#at !== at) return;
    if (!isSame) {
      this.#fold.clear();
      this.#isWhole = (entries[0]?.seq ?? 1) === 1;
    }
    for (const entry of entries) this.#fold.add(entry);
    this.#at = { epoch: head.epoch, seq: head.seq };
    this.#fold.done();
  }
}

/** The newest events of a range, oldest first, within this module's bounds. */
async function newest(
  log: LogSource,
  channel: string,
  { after, upTo }: { after: number; upTo: number },
): Promise<LoggedEntry[]> {
  const pages: (readonly LoggedEntry[])[] = [];
  let count = 0;
  let length = 0;
  for (let end = upTo; end > after;) {
    const { entries } = await log.read(channel, {
      after,
      upTo: end,
      limit: Math.min(PAGE_EVENTS, MAX_FOLLOWED_EVENTS - count),
      maxBytes: PAGE_BYTES,
      newest: true,
    });
    if (entries.length === 0) break;
    pages.unshift(entries);
    count += entries.length;
    for (const { json } of entries) length += json.length;
    if (count >= MAX_FOLLOWED_EVENTS || length >= MAX_FOLLOWED_LENGTH) break;
    end = entries[0]!.seq - 1;
  }
  return pages.flat();
}
