/**
 * What happened at the guards: kept for operators, bounded, and never waited
 * for.
 *
 * @module
 */
import { Refusal } from "../protocol/refusals.ts";
import { retryWhileBusy } from "../platform/retry.ts";
import { isBusy } from "../store/store.ts";
import type { Clock } from "../platform/clock.ts";
import type { CommitResult, Key, Selector, Store } from "../store/store.ts";

/** Most events kept, by all isolates together; the oldest make room. */
export const MAX_SECURITY_EVENTS = 10_000;
/** How long an event is kept at most, in milliseconds. */
export const SECURITY_EVENT_LIFE_MS = 30 * 24 * 3_600_000;
/** Most different events that wait to be written; more are only counted. */
export const MAX_WAITING_EVENTS = 1_000;
/** Most events that {@link SecurityLog.latest} returns. */
export const MAX_LATEST_EVENTS = 1_000;
/** Most reasons counted apart; the rest count as `other`. */
export const MAX_COUNTED_REASONS = 200;
/** How often events are written, in milliseconds. */
export const LOG_FLUSH_MS = 500;
/** Longest text in an event, in characters; more is cut off. */
export const MAX_EVENT_TEXT_LENGTH = 200;
/** Most events of one commit: well below KV's 800 KiB and 1,000 mutations. */
const BATCH = 100;
/** Tries in a row when isolates write at once. */
const TRIES = 10;

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

/** What is said of an event; never a token, never a whole frame. */
export interface SecurityReport {
  /** What happened. */
  readonly kind: SecurityEventKind;
  /** Why, from a small vocabulary: a refusal's code, an action's name. */
  readonly reason: string;
  /** Address of the caller, or the address acted on. */
  readonly ip?: string | undefined;
  /** The user concerned, when known. */
  readonly user?: string | undefined;
  /** Who did it, for what operators do. */
  readonly by?: string | undefined;
  /** A sentence for a person. */
  readonly detail?: string | undefined;
}

/** An event as it is kept; the same thing again and again is one event. */
export interface SecurityEvent extends SecurityReport {
  /** When it happened first, in epoch milliseconds. */
  readonly at: number;
  /** When it happened last, in epoch milliseconds. */
  readonly lastAt: number;
  /** How often. */
  readonly count: number;
}

/** How often something happened on this isolate since its start. */
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
  /** Tells the time and paces the writing. */
  readonly clock: Clock;
  /** Most events kept; the same on all isolates. */
  readonly maxEvents?: number;
  /** How often events are written, in milliseconds. */
  readonly flushMs?: number;
}

/**
 * The log of security events, shared by all isolates: a ring of numbered
 * places in KV, so that its size is bounded by construction.
 */
export class SecurityLog {
  readonly #kv: Store;
  readonly #clock: Clock;
  readonly #maxEvents: number;
  readonly #flushMs: number;
  readonly #waiting = new Map<string, SecurityEvent>();
  readonly #counts = new Map<string, SecurityCount & { count: number }>();
  #dropped = 0;
  #order = 0;
  #flushing: Promise<void> | undefined;
  #isAway = false;
  #timer: Disposable | undefined;
  #isDisposed = false;

  /** Prepares to write; nothing runs while nothing happens. */
  constructor(options: SecurityLogOptions) {
    this.#kv = options.kv;
    this.#clock = options.clock;
    this.#maxEvents = options.maxEvents ?? MAX_SECURITY_EVENTS;
    this.#flushMs = options.flushMs ?? LOG_FLUSH_MS;
  }

  /** `degraded` while events cannot be written. */
  get state(): "ok" | "degraded" {
    return this.#isAway ? "degraded" : "ok";
  }

  /** How many events were counted but will never be in the log. */
  get dropped(): number {
    return this.#dropped;
  }

  /**
   * Notes an event, at once; it is written within {@link LOG_FLUSH_MS}. The
   * same report repeated meanwhile becomes one event with a count; what
   * operators do is noted each time.
   *
   * @param report what happened; texts beyond {@link MAX_EVENT_TEXT_LENGTH}
   * are cut off.
   */
  record(report: SecurityReport): void {
    const now = this.#clock.now();
    const said = trimmed(report);
    this.#count(said);
    const key = JSON.stringify([
      said.kind,
      said.reason,
      said.ip,
      said.user,
      said.by,
      said.by === undefined ? "" : this.#order++,
    ]);
    const same = this.#waiting.get(key);
    if (same) {
      this.#waiting.set(key, { ...same, lastAt: now, count: same.count + 1 });
    } else if (this.#waiting.size >= MAX_WAITING_EVENTS) {
      this.#dropped++;
    } else {
      this.#waiting.set(key, { ...said, at: now, lastAt: now, count: 1 });
    }
    this.#plan();
  }

  /** How often each thing happened on this isolate since its start, at once. */
  counts(): SecurityCount[] {
    return [...this.#counts.values()].map((count) => ({ ...count }));
  }

  /**
   * The latest events of all isolates, latest first.
   *
   * @param limit how many at most, 1 to {@link MAX_LATEST_EVENTS}.
   * @throws {Refusal} `STORE_UNAVAILABLE` when KV is away.
   */
  async latest(limit = 100): Promise<SecurityEvent[]> {
    const most = Math.max(1, Math.min(Math.floor(limit), MAX_LATEST_EVENTS));
    try {
      await this.flush();
      const { value } = await this.#kv.get<number>(HEAD);
      const next = (value ?? 0) % this.#maxEvents;
      const newer = await this.#read(
        { prefix: RING, end: [...RING, next] },
        most,
      );
      const older = newer.length === most ? [] : await this.#read(
        { prefix: RING, start: [...RING, next] },
        most - newer.length,
      );
      const oldest = this.#clock.now() - SECURITY_EVENT_LIFE_MS;
      return [...newer, ...older].filter(({ lastAt }) => lastAt > oldest);
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
    this.#flushing ??= this.#writeWaiting()
      .finally(() => this.#flushing = undefined);
    await this.#flushing;
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
        if (this.#waiting.size > 0) this.#plan();
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

  async #writeWaiting(): Promise<void> {
    while (this.#waiting.size > 0) {
      const batch = [...this.#waiting.entries().take(BATCH)];
      // What repeats from now on is another event.
      for (const [key] of batch) this.#waiting.delete(key);
      const events = batch.map(([, event]) => event);
      if (await this.#write(events)) continue;
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

  async #write(events: readonly SecurityEvent[]): Promise<boolean> {
    try {
      for (let i = 0; i < TRIES; i++) {
        const { ok } = await retryWhileBusy(
          { clock: this.#clock, isBusy },
          () => this.#commit(events),
        );
        if (ok) return true;
      }
    } catch {
      // They are kept and written when KV is back.
    }
    return false;
  }

  async #commit(
    events: readonly SecurityEvent[],
  ): Promise<CommitResult> {
    const head = await this.#kv.get<number>(HEAD);
    const first = head.value ?? 0;
    const commit = this.#kv.atomic().check(head)
      .set(HEAD, first + events.length);
    events.forEach((event, n) => {
      commit.set([...RING, (first + n) % this.#maxEvents], event, {
        expireIn: SECURITY_EVENT_LIFE_MS,
      });
    });
    return await commit.commit();
  }

  async #read(
    where: Selector,
    limit: number,
  ): Promise<SecurityEvent[]> {
    const entries = this.#kv.list<SecurityEvent>(where, {
      reverse: true,
      limit,
      batchSize: 500,
    });
    return await Array.fromAsync(entries, ({ value }) => value);
  }
}

/** How many events were ever written: the number of the next one. */
const HEAD: Key = ["security", "head"];
/** Where they are: at their number modulo the size of the ring. */
const RING: Key = ["security", "ring"];

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
