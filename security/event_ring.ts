/**
 * A bounded log in the store: numbered places, so that its size is bounded by
 * construction, with any number of writers.
 *
 * @module
 */
import { retryWhileBusy } from "../platform/retry.ts";
import type { Clock } from "../platform/clock.ts";
import { isBusy } from "../store/store.ts";
import type { CommitResult, Key, Selector, Store } from "../store/store.ts";

/** Most events of one commit, well below what stores accept. */
export const RING_BATCH = 100;
/** Tries in a row when instances write at once. */
const TRIES = 10;

/** How a ring is kept. */
export interface EventRingOptions {
  /** Holds the events; stays the caller's to close. */
  readonly kv: Store;
  /** Decides which events are too old, and paces retries. */
  readonly clock: Clock;
  /** Sets this ring apart from others in the store. */
  readonly name: string;
  /** Most events kept; the same on all instances. */
  readonly maxEvents: number;
  /** How long an event is kept at most, in milliseconds. */
  readonly lifeMs: number;
}

/**
 * Events of all instances: `[name, "head"]` counts how many were ever written,
 * `[name, "ring", n]` holds the event whose number is `n` modulo the size.
 */
export class EventRing<Event extends { readonly lastAt: number }> {
  readonly #options: EventRingOptions;
  readonly #head: Key;
  readonly #ring: Key;

  /** Writes nothing yet. */
  constructor(options: EventRingOptions) {
    this.#options = options;
    this.#head = [options.name, "head"];
    this.#ring = [options.name, "ring"];
  }

  /**
   * Writes events, all or none; the oldest make room.
   *
   * @param events at most {@link RING_BATCH}.
   * @returns whether they were written.
   */
  async write(events: readonly Event[]): Promise<boolean> {
    const { clock } = this.#options;
    try {
      for (let i = 0; i < TRIES; i++) {
        const { ok } = await retryWhileBusy(
          { clock, isBusy },
          () => this.#commit(events),
        );
        if (ok) return true;
      }
    } catch {
      // The caller holds them until the store is reachable again.
    }
    return false;
  }

  /**
   * Reads the latest events that are not too old, latest first.
   *
   * @param most how many at most.
   * @throws whatever the store throws.
   */
  async latest(most: number): Promise<Event[]> {
    const { kv, clock, maxEvents, lifeMs } = this.#options;
    const ring = this.#ring;
    const { value } = await kv.get<number>(this.#head);
    const next = (value ?? 0) % maxEvents;
    const before = { prefix: ring, end: [...ring, next] };
    const newer = await this.#read(before, most);
    const since = { prefix: ring, start: [...ring, next] };
    const left = most - newer.length;
    const older = left === 0 ? [] : await this.#read(since, left);
    const oldest = clock.now() - lifeMs;
    return [...newer, ...older].filter(({ lastAt }) => lastAt > oldest);
  }

  async #commit(events: readonly Event[]): Promise<CommitResult> {
    const { kv, maxEvents, lifeMs } = this.#options;
    const head = await kv.get<number>(this.#head);
    const first = head.value ?? 0;
    const commit = kv.atomic().check(head)
      .set(this.#head, first + events.length);
    events.forEach((event, n) => {
      const place = (first + n) % maxEvents;
      commit.set([...this.#ring, place], event, { expireIn: lifeMs });
    });
    return await commit.commit();
  }

  async #read(where: Selector, limit: number): Promise<Event[]> {
    const options = { reverse: true, limit, batchSize: 500 };
    const entries = this.#options.kv.list<Event>(where, options);
    return await Array.fromAsync(entries, ({ value }) => value);
  }
}
