/**
 * One timer for all connections with filtered subscriptions: it sends current
 * positions to those without a matching event.
 *
 * @module
 */
import type { Clock } from "../platform/clock.ts";

/** Interval of `progress` frames to a subscription without events, in milliseconds. */
export const PROGRESS_MS = 15_000;
/** Connections served in one turn of the event loop. */
export const PROGRESS_SLICE = 64;

/** A part that {@link Progress} drives. */
export interface Progressing {
  /** Sends the positions of filtered subscriptions without a recent event. */
  progress(): void;
}

/** Calls each connection every {@link PROGRESS_MS}. */
export class Progress implements Disposable {
  readonly #clock: Clock;
  /** When each is due, on the monotonic clock, earliest first. */
  readonly #due = new Map<Progressing, number>();
  #timer: Disposable | undefined;

  /** Idle until the first connection is added. */
  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Number of connections. */
  get size(): number {
    return this.#due.size;
  }

  /** Adds a connection; adding it again changes nothing. */
  add(connection: Progressing): void {
    if (this.#due.has(connection)) return;
    this.#due.set(connection, this.#clock.monotonic() + PROGRESS_MS);
    this.#wait();
  }

  /** Removes a connection; does nothing without it. */
  delete(connection: Progressing): void {
    this.#due.delete(connection);
  }

  /** Stops calling. */
  [Symbol.dispose](): void {
    this.#due.clear();
    this.#timer?.[Symbol.dispose]();
    this.#timer = undefined;
  }

  #wait(): void {
    if (this.#timer) return;
    const [first] = this.#due.values();
    if (first === undefined) return;
    const ms = Math.max(0, first - this.#clock.monotonic());
    this.#timer = this.#clock.after(ms, () => this.#tick());
  }

  #tick(): void {
    this.#timer = undefined;
    const now = this.#clock.monotonic();
    let left = PROGRESS_SLICE;
    for (const [connection, at] of this.#due) {
      if (at > now || left-- === 0) break;
      this.#due.delete(connection);
      this.#due.set(connection, now + PROGRESS_MS);
      connection.progress();
    }
    this.#wait();
  }
}
