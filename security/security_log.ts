/**
 * Events of the guards and orders of operators: stored for operators, bounded,
 * and written in the background. Orders have a separate ring, which no caller
 * can fill.
 *
 * @module
 */
import { Refusal } from "../protocol/refusals.ts";
import type { Clock } from "../platform/clock.ts";
import type { Store } from "../store/store.ts";
import { AUTOMATIC } from "./block_list.ts";
import { bucketOf } from "./client_ip.ts";
import { EventRing, RING_BATCH } from "./event_ring.ts";

/** Most events kept besides orders; the oldest make room. */
export const MAX_SECURITY_EVENTS = 10_000;
/** How long an event is kept at most, in milliseconds. */
export const SECURITY_EVENT_LIFE_MS = 30 * 24 * 3_600_000;
/**
 * Most orders kept: enough to keep them by time, unless an operator's
 * token is misused.
 */
export const MAX_ORDERS = 100_000;
/** How long an order is kept, in milliseconds: a year. */
export const ORDER_LIFE_MS = 366 * 24 * 3_600_000;
/** Most different events, and most orders, that wait to be written. */
export const MAX_WAITING_EVENTS = 1_000;
/** Most events that {@link SecurityLog.latest} returns. */
export const MAX_LATEST_EVENTS = 1_000;
/** Most reasons counted apart; the rest count as `other`. */
export const MAX_COUNTED_REASONS = 200;
/** How often events are written, in milliseconds. */
export const LOG_FLUSH_MS = 500;
/** Longest text in an event, in characters; more is cut off. */
export const MAX_EVENT_TEXT_LENGTH = 200;

/** What can happen. */
export type SecurityEventKind =
  | "auth_failed"
  | "forbidden"
  | "rate_limited"
  | "violation"
  | "blocked"
  | "unblocked"
  | "revoked"
  | "refused"
  | "admin";

/** What an event holds; never a token, never a whole frame. */
export interface SecurityReport {
  /** What happened. */
  readonly kind: SecurityEventKind;
  /** Why, from a small vocabulary: a refusal's code, an action's name. */
  readonly reason: string;
  /** Address of the caller, or the address acted on. */
  readonly ip?: string | undefined;
  /** The user concerned, when known. */
  readonly user?: string | undefined;
  /** The operator whose order it was; {@link AUTOMATIC} for the service itself. */
  readonly by?: string | undefined;
  /** A sentence for a person. */
  readonly detail?: string | undefined;
}

/** An event as it is kept; a repetition is counted in the same event. */
export interface SecurityEvent extends SecurityReport {
  /** When it happened first, in epoch milliseconds. */
  readonly at: number;
  /** When it happened last, in epoch milliseconds. */
  readonly lastAt: number;
  /** How often. */
  readonly count: number;
}

/** How often something happened on this instance since its start. */
export interface SecurityCount {
  /** What happened. */
  readonly kind: SecurityEventKind;
  /** Why; `other` beyond {@link MAX_COUNTED_REASONS}. */
  readonly reason: string;
  /** How often. */
  readonly count: number;
}

/** What the log needs. */
export interface SecurityLogOptions {
  /** Holds the events; stays the caller's to close. */
  readonly kv: Store;
  /** Instants of events, pace of the writing. */
  readonly clock: Clock;
  /** Most events kept besides orders; the same on all instances. */
  readonly maxEvents?: number;
  /** How often events are written, in milliseconds. */
  readonly flushMs?: number;
}

/** The log of security events, shared by all instances. */
export class SecurityLog implements AsyncDisposable {
  readonly #clock: Clock;
  readonly #flushMs: number;
  readonly #events: Recorder;
  readonly #orders: Recorder;
  readonly #counts = new Map<string, SecurityCount & { count: number }>();
  #order = 0;
  #timer: Disposable | undefined;
  #isDisposed = false;

  /** Prepares to write; nothing runs while nothing happens. */
  constructor(options: SecurityLogOptions) {
    const { kv, clock } = options;
    this.#clock = clock;
    this.#flushMs = options.flushMs ?? LOG_FLUSH_MS;
    this.#events = new Recorder(
      new EventRing({
        kv,
        clock,
        name: "security",
        maxEvents: options.maxEvents ?? MAX_SECURITY_EVENTS,
        lifeMs: SECURITY_EVENT_LIFE_MS,
      }),
    );
    this.#orders = new Recorder(
      new EventRing({
        kv,
        clock,
        name: "operator",
        maxEvents: MAX_ORDERS,
        lifeMs: ORDER_LIFE_MS,
      }),
    );
  }

  /** `degraded` while events cannot be written. */
  get state(): "ok" | "degraded" {
    return this.#events.isAway || this.#orders.isAway ? "degraded" : "ok";
  }

  /** How many events were counted but will never be in the log. */
  get dropped(): number {
    return this.#events.dropped + this.#orders.dropped;
  }

  /**
   * Records an event, at once; it is written within {@link LOG_FLUSH_MS}. What
   * one caller (IPv6: one /64) repeats before that becomes one event with a
   * count; every order of an operator is a separate event.
   *
   * @param report what happened; texts beyond {@link MAX_EVENT_TEXT_LENGTH}
   * are cut off.
   */
  record(report: SecurityReport): void {
    const now = this.#clock.now();
    const isOrder = report.by !== undefined && report.by !== AUTOMATIC;
    const { ip } = report;
    // An order names its subject exactly.
    const caller = isOrder || ip === undefined ? {} : { ip: bucketOf(ip) };
    const event = trimmed({ ...report, ...caller });
    this.#count(event);
    if (isOrder) this.#orders.add(String(this.#order++), event, now);
    else {
      const { kind, reason, ip, user, by } = event;
      this.#events.add(
        JSON.stringify([kind, reason, ip, user, by]),
        event,
        now,
      );
    }
    this.#plan();
  }

  /** How often each thing happened on this instance since its start, at once. */
  counts(): SecurityCount[] {
    return [...this.#counts.values()].map((count) => ({ ...count }));
  }

  /**
   * The latest events of all instances, orders among them, latest first.
   *
   * @param limit how many at most, 1 to {@link MAX_LATEST_EVENTS}.
   * @param options `ordersOnly`: leaves out all but operators' orders.
   * @throws {Refusal} `STORE_UNAVAILABLE` when the store is away.
   */
  async latest(
    limit = 100,
    { ordersOnly = false }: { readonly ordersOnly?: boolean } = {},
  ): Promise<SecurityEvent[]> {
    const most = Math.max(1, Math.min(Math.floor(limit), MAX_LATEST_EVENTS));
    try {
      await this.flush();
      const orders = await this.#orders.latest(most);
      if (ordersOnly) return orders;
      const events = await this.#events.latest(most);
      return merged(orders, events).slice(0, most);
    } catch (cause) {
      throw new Refusal(
        "STORE_UNAVAILABLE",
        "The log of security events cannot be read now",
        { cause },
      );
    }
  }

  /** Writes what waits; done by itself. Never rejects. */
  async flush(): Promise<void> {
    await this.#orders.flush();
    await this.#events.flush();
  }

  /** Writes what waits, and stops. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#isDisposed = true;
    this.#timer?.[Symbol.dispose]();
    await this.flush();
    await this.flush();
  }

  #plan(): void {
    if (this.#timer || this.#isDisposed) return;
    this.#timer = this.#clock.after(this.#flushMs, () => {
      this.#timer = undefined;
      void this.flush().then(() => {
        if (this.#orders.isWaiting || this.#events.isWaiting) this.#plan();
      });
    });
  }

  #count({ kind, reason }: SecurityReport): void {
    const key = `${kind} ${reason}`;
    const isNew = !this.#counts.has(key);
    if (isNew && this.#counts.size >= MAX_COUNTED_REASONS) {
      if (reason !== "other") this.#count({ kind, reason: "other" });
      else this.#bump(key, { kind, reason });
    } else this.#bump(key, { kind, reason });
  }

  #bump(key: string, { kind, reason }: SecurityReport): void {
    const count = this.#counts.get(key);
    if (count) count.count++;
    else this.#counts.set(key, { kind, reason, count: 1 });
  }
}

/** Events not yet written to a ring, at most {@link MAX_WAITING_EVENTS}. */
class Recorder {
  readonly #ring: EventRing<SecurityEvent>;
  readonly #waiting = new Map<string, SecurityEvent>();
  #flushing: Promise<void> | undefined;
  #isAway = false;
  #dropped = 0;

  constructor(ring: EventRing<SecurityEvent>) {
    this.#ring = ring;
  }

  /** Whether the latest events could not be written. */
  get isAway(): boolean {
    return this.#isAway;
  }

  get isWaiting(): boolean {
    return this.#waiting.size > 0;
  }

  get dropped(): number {
    return this.#dropped;
  }

  /** @param key the same for what is one event. */
  add(key: string, report: SecurityReport, now: number): void {
    const same = this.#waiting.get(key);
    if (same) {
      this.#waiting.set(key, { ...same, lastAt: now, count: same.count + 1 });
    } else if (this.#waiting.size >= MAX_WAITING_EVENTS) this.#dropped++;
    else this.#waiting.set(key, { ...report, at: now, lastAt: now, count: 1 });
  }

  latest(most: number): Promise<SecurityEvent[]> {
    return this.#ring.latest(most);
  }

  async flush(): Promise<void> {
    this.#flushing ??= this.#writeWaiting()
      .finally(() => this.#flushing = undefined);
    await this.#flushing;
  }

  async #writeWaiting(): Promise<void> {
    while (this.#waiting.size > 0) {
      const batch = [...this.#waiting.entries().take(RING_BATCH)];
      // What repeats from now on is another event.
      for (const [key] of batch) this.#waiting.delete(key);
      if (await this.#ring.write(batch.map(([, event]) => event))) continue;
      this.#isAway = true;
      this.#putBack(batch);
      return;
    }
    this.#isAway = false;
  }

  #putBack(batch: readonly [string, SecurityEvent][]): void {
    for (const [key, event] of batch) {
      const since = this.#waiting.get(key);
      if (!since && this.#waiting.size >= MAX_WAITING_EVENTS) {
        this.#dropped += event.count;
      } else {
        this.#waiting.set(key, {
          ...event,
          lastAt: since?.lastAt ?? event.lastAt,
          count: event.count + (since?.count ?? 0),
        });
      }
    }
  }
}

/** Two lists, each latest first, as one; orders count as older at equal times. */
function merged(
  orders: readonly SecurityEvent[],
  events: readonly SecurityEvent[],
): SecurityEvent[] {
  return [...events, ...orders].sort((a, b) => b.lastAt - a.lastAt);
}

function trimmed({ kind, ...texts }: SecurityReport): SecurityReport {
  const { reason, ip, user, by, detail } = texts;
  const cut = (text: string) => text.slice(0, MAX_EVENT_TEXT_LENGTH);
  return {
    kind,
    reason: cut(reason),
    ...(ip === undefined ? {} : { ip: cut(ip) }),
    ...(user === undefined ? {} : { user: cut(user) }),
    ...(by === undefined ? {} : { by: cut(by) }),
    ...(detail === undefined ? {} : { detail: cut(detail) }),
  };
}
