/**
 * Keeps streams in step with the log when links lose or delay events.
 *
 * @module
 */
import type { Clock } from "../platform/clock.ts";
import type { EventLog } from "../store/event_log.ts";
import type { HubObserver } from "./hub_observer.ts";
import type { Stream } from "./stream.ts";
import { STREAM_IDLE_MS } from "./streams.ts";
import type { Streams } from "./streams.ts";

/** How long a missing event may still arrive over the link, in milliseconds. */
export const HOLD_MS = 10;
/** How often all heads are compared with the log, in milliseconds. */
export const POLL_MS = 1_000;
/**
 * Rest after a comparison that no link triggered, as a multiple of its duration:
 * polling takes at most 1/21 of the time.
 */
const POLL_REST = 20;
/** The same after a comparison that a link triggered: at most 1/4 of the time. */
const RING_REST = 3;
/** Longest rest, however slow the log is, in milliseconds. */
export const MAX_REST_MS = 5_000;
/** Wait after a failed repair, in milliseconds. */
const REPAIR_RETRY_MS = 200;
/** Events read from the log at once for a repair. */
const REPAIR_EVENTS = 512;
/** Bytes read from the log at once for a repair. */
const REPAIR_BYTES = 1024 * 1024;

/** Parts that repairs need. */
export interface RepairParts {
  /** The log, which decides. */
  readonly log: EventLog;
  /** The streams that are kept in step with it. */
  readonly streams: Streams;
  /** Time, for holding and polling. */
  readonly clock: Clock;
  /** Called with repairs and failures. */
  readonly observer: HubObserver;
  /** Called when a stream has new events. */
  readonly changed: (stream: Stream) => void;
  /** How long a link may still deliver before the log is read. */
  readonly holdMs?: number | undefined;
}

/** Compares streams with the log, and reads missing events. */
export class Repair implements Disposable {
  readonly #parts: RepairParts;
  readonly #holdMs: number;
  readonly #repairs = new Map<Stream, "due" | "reading" | "outdated">();
  #checking: Disposable | undefined;
  /** When the next comparison is due, on the monotonic clock. */
  #checkAt = Infinity;
  /** No comparison before this, on the monotonic clock. */
  #restUntil = 0;
  #isChecking = false;
  /** Whether a link reported new events during a comparison. */
  #hasRung = false;
  #open = true;

  /** Starts polling. */
  constructor(parts: RepairParts) {
    this.#parts = parts;
    this.#holdMs = parts.holdMs ?? HOLD_MS;
    this.#checkIn(POLL_MS);
  }

  /** Reads a missing event soon, unless it arrives over a link. */
  repair(stream: Stream): void {
    this.#repairIn(stream, this.#holdMs);
  }

  /** Reads a missing event that no link carries, at once. */
  repairNow(stream: Stream): void {
    this.#repairIn(stream, 0);
  }

  /** Compares all heads soon, because events may be missing. */
  check(): void {
    if (this.#isChecking) this.#hasRung = true;
    else this.#checkIn(this.#holdMs);
  }

  /**
   * Brings `stream` to the head of the log.
   *
   * @throws errors of the log.
   */
  async readUp(stream: Stream): Promise<void> {
    const { log, observer, changed } = this.#parts;
    const { channel } = stream;
    const [head] = await log.heads([channel]);
    const { epoch, seq: upTo } = head!;
    if (epoch !== stream.epoch && (upTo > 0 || stream.seq > 0)) {
      const first = await log.oldest(channel);
      if (epoch !== stream.epoch) stream.resetTo({ epoch, seq: first - 1 });
      changed(stream);
    }
    while (stream.seq < upTo) {
      const after = stream.seq;
      const { entries } = await log.read(channel, {
        after,
        upTo,
        limit: REPAIR_EVENTS,
        maxBytes: REPAIR_BYTES,
      });
      if (stream.epoch !== epoch) return;
      // The log was replaced meanwhile: the next comparison detects that.
      if (entries.some((entry) => entry.epoch !== epoch)) return;
      if (entries.length === 0 && stream.seq < upTo) {
        stream.resetTo({ epoch, seq: upTo });
      }
      let taken = 0;
      for (const entry of entries) {
        const { seq } = entry;
        // Retention has deleted the events in between.
        if (seq > stream.seq + 1) stream.resetTo({ epoch, seq: seq - 1 });
        if (stream.offer(entry) === "taken") taken++;
      }
      if (taken > 0) observer.repaired?.(channel, taken);
      changed(stream);
    }
  }

  /** Stops polling. */
  [Symbol.dispose](): void {
    this.#open = false;
    this.#checking?.[Symbol.dispose]();
  }

  #repairIn(stream: Stream, ms: number): void {
    if (!this.#open) return;
    const state = this.#repairs.get(stream);
    // A read that started earlier may not see the missing events.
    if (state === "reading") this.#repairs.set(stream, "outdated");
    if (state) return;
    this.#repairs.set(stream, "due");
    this.#parts.clock.after(ms, () => void this.#repair(stream));
  }

  async #repair(stream: Stream): Promise<void> {
    this.#repairs.set(stream, "reading");
    let failed = false;
    try {
      if (this.#open) await this.readUp(stream);
    } catch (error) {
      this.#parts.observer.failed?.(error);
      failed = true;
    }
    const outdated = this.#repairs.get(stream) === "outdated";
    this.#repairs.delete(stream);
    if (outdated && !failed) this.#repairIn(stream, this.#holdMs);
    else if (failed || stream.waits) this.#repairIn(stream, REPAIR_RETRY_MS);
  }

  #checkIn(ms: number): void {
    if (!this.#open) return;
    const { clock } = this.#parts;
    const now = clock.monotonic();
    const at = Math.max(now + ms, this.#restUntil);
    if (at >= this.#checkAt) return;
    this.#checking?.[Symbol.dispose]();
    this.#checkAt = at;
    this.#checking = clock.after(at - now, () => {
      this.#checkAt = Infinity;
      this.#check();
    });
  }

  /** Compares every stream with the log. */
  async #check(): Promise<void> {
    const { log, streams, clock, observer } = this.#parts;
    const began = clock.monotonic();
    this.#isChecking = true;
    streams.closeIdle(STREAM_IDLE_MS);
    try {
      const logged = [...streams].filter((stream) => stream.logged);
      const heads = await log.heads(logged.map(({ channel }) => channel));
      for (const [i, { epoch, seq }] of heads.entries()) {
        const stream = logged[i]!;
        if (seq > stream.seq || epoch !== stream.epoch) {
          this.#repairIn(stream, 0);
        }
      }
    } catch (error) {
      observer.failed?.(error);
    }
    this.#isChecking = false;
    const now = clock.monotonic();
    const rest = (times: number) =>
      Math.min((now - began) * times, MAX_REST_MS);
    this.#restUntil = now + rest(RING_REST);
    this.#checkIn(Math.max(POLL_MS, rest(POLL_REST)));
    if (this.#hasRung) this.check();
    this.#hasRung = false;
  }
}
