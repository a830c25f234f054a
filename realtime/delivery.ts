/**
 * Delivery at the end of each turn of the event loop.
 *
 * @module
 */
import type { Clock } from "../platform/clock.ts";
import type { FannedOut, Tracing } from "../platform/tracing.ts";
import type { HubObserver } from "./hub_observer.ts";
import type { Stream } from "./stream.ts";

/** Most publishes of one turn whose deliveries are traced. */
export const MAX_TRACES = 32;
/**
 * Subscribers served in one turn of the event loop. Sockets write between
 * turns: with few at a time, what they hold fits the processor's caches, and
 * its memory is used again for the next few.
 */
export const SLICE_CURSORS = 64;

/** Arrival times of what a stream has yet to deliver, on the monotonic clock. */
interface Due {
  /** Of the oldest event being delivered. */
  since: number;
  /** Of the oldest event that arrived after that began. */
  next: number | undefined;
  /** Whether some subscribers were served already. */
  begun: boolean;
}

/** Flushes streams, in slices. */
export class Delivery {
  readonly #clock: Clock;
  readonly #observer: HubObserver;
  readonly #tracing: Tracing | undefined;
  readonly #due = new Map<Stream, Due>();
  /** Traces of events not yet delivered; empty when nothing is traced. */
  readonly #traces = new Set<string>();
  /** Called when no stream is crowded any more. */
  #crowded: PromiseWithResolvers<void> | undefined;

  /** Idle. */
  constructor(
    { clock, observer, tracing }: {
      clock: Clock;
      observer: HubObserver;
      tracing: Tracing | undefined;
    },
  ) {
    this.#clock = clock;
    this.#observer = observer;
    this.#tracing = tracing;
  }

  /**
   * Reports the deliveries of the turn to the trace of a publish.
   *
   * @param trace ignored unless it is text: another version of this program
   * may send anything.
   */
  trace(trace: unknown): void {
    if (!this.#tracing || typeof trace !== "string") return;
    if (this.#traces.size < MAX_TRACES) this.#traces.add(trace);
  }

  /** Flushes `stream` when the turn ends. */
  schedule(stream: Stream): void {
    const due = this.#due.get(stream);
    if (due) {
      if (due.begun) due.next ??= this.#clock.monotonic();
      return;
    }
    if (this.#due.size === 0) this.#clock.soon(() => this.#flush());
    this.#due.set(stream, {
      since: this.#clock.monotonic(),
      next: undefined,
      begun: false,
    });
  }

  /**
   * Whether more may be accepted: events that arrive faster than they can be
   * delivered fall out of memory.
   *
   * @returns resolves when no stream is crowded; `undefined` when none is.
   */
  ready(): Promise<void> | undefined {
    if (!this.#isCrowded) return undefined;
    this.#crowded ??= Promise.withResolvers<void>();
    return this.#crowded.promise;
  }

  get #isCrowded(): boolean {
    for (const stream of this.#due.keys()) if (stream.isCrowded) return true;
    return false;
  }

  /**
   * Delivers one slice. What the sockets of one slice hold is written before
   * the next, and other channels do not wait for a huge one.
   */
  #flush(): void {
    let left = SLICE_CURSORS;
    let since = Infinity;
    let events = 0;
    let deliveries = 0;
    for (const [stream, due] of this.#due) {
      if (left <= 0) break;
      const { size } = stream.cursors;
      const fresh = stream.flush(left);
      const { matched } = stream;
      left -= size + matched;
      // A stream that is not done goes to the end of the line.
      this.#due.delete(stream);
      if (stream.isDue) this.#due.set(stream, due);
      due.begun = stream.isDue && fresh === 0;
      if (due.begun) continue;
      since = Math.min(since, due.since);
      due.since = due.next ?? due.since;
      due.next = undefined;
      events += fresh;
      const delivered = fresh * size + matched;
      deliveries += delivered;
      if (delivered === 0 || stream.first > stream.seq) continue;
      const { channel, seq } = stream;
      this.#observer.flushed?.(channel, delivered, stream.entryAt(seq));
    }
    if (this.#due.size > 0) this.#clock.soon(() => this.#flush());
    if (this.#crowded && !this.#isCrowded) {
      this.#crowded.resolve();
      this.#crowded = undefined;
    }
    if (since === Infinity) return;
    const ms = this.#clock.monotonic() - since;
    this.#report({ events, deliveries, ms });
    if (deliveries > 0) this.#observer.delivered?.(events, deliveries, ms);
  }

  #report(facts: FannedOut): void {
    if (this.#traces.size === 0) return;
    for (const trace of this.#traces) this.#tracing?.fannedOut(trace, facts);
    this.#traces.clear();
  }
}
