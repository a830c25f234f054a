/**
 * Follows the log of one channel: reads what was appended since the last look,
 * or the newest of it when that is too much.
 *
 * @module
 */
import type { LoggedEntry } from "../store/entry.ts";
import type { Head } from "../store/event_log.ts";
import type { LogSource } from "../store/ingest.ts";

/** Newest events that are read when a channel is first followed. */
export const MAX_FOLLOWED_EVENTS = 2_048;
/** The same in UTF-16 units of their frames. */
export const MAX_FOLLOWED_LENGTH = 16 * 1024 * 1024;
/** Events read at once. */
const PAGE_EVENTS = 256;
/** Bytes read at once. */
const PAGE_BYTES = 1024 * 1024;

/** Folds a channel's events. */
export interface Fold {
  /** The next event. */
  readonly add: (entry: LoggedEntry) => void;
  /** What was folded does not lead to the next event. */
  readonly clear: () => void;
  /** All up to the present was folded: a chance to forget. */
  readonly done: () => void;
}

/** How far a channel's log was followed. */
export class LogFollower {
  readonly #channel: string;
  readonly #fold: Fold;
  #at: Head | undefined;
  #isWhole = false;
  #following: Promise<void> | undefined;

  /** Has followed nothing yet. */
  constructor(channel: string, fold: Fold) {
    this.#channel = channel;
    this.#fold = fold;
  }

  /** How far; absent before the first {@link follow}. */
  get at(): Head | undefined {
    return this.#at;
  }

  /** Whether every event of the log was folded, from its first. */
  get isWhole(): boolean {
    return this.#isWhole;
  }

  /** Whether everything up to a head was followed, or more. */
  has({ epoch, seq }: Head): boolean {
    return this.#at?.epoch === epoch && this.#at.seq >= seq;
  }

  /**
   * Follows the log up to a head.
   *
   * @throws whatever the store throws.
   */
  async follow(head: Head, log: LogSource): Promise<void> {
    // One that outlived its caller's deadline goes on: it is not begun again.
    while (this.#following) await this.#following;
    if (this.has(head)) return;
    this.#following = this.#follow(head, log)
      .finally(() => this.#following = undefined);
    await this.#following;
  }

  /**
   * What led from one head to the next was folded already.
   *
   * @returns `false` when that is not the next event.
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
