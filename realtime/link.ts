/**
 * How isolates hear of each other's commits. A link only hints: what it loses,
 * doubles or reorders, the log repairs.
 *
 * @module
 */
import type { Clock } from "../platform/clock.ts";
import { isEntry } from "../store/entry.ts";
import type { Entry } from "../store/entry.ts";
import type { Found, Store } from "../store/store.ts";

/** The ways there are between isolates. */
export type LinkName = "broadcast" | "doorbell";

/** What happened on a link, for those who count. */
export interface LinkObserver {
  /** Events were told, or the bell was rung. */
  posted?(link: LinkName): void;
  /** Something came; `incomplete` when something before it was lost. */
  heard?(link: LinkName, incomplete: boolean): void;
  /** A ring of this isolate's own came back through KV. */
  rang?(ms: number): void;
  /** KV could not be rung or watched. */
  linkFailed?(link: LinkName): void;
}

/** What one isolate tells the others. */
export interface Hint {
  /** Events just committed; none when only the bell rang. */
  readonly events: readonly Entry[];
  /** Whether something was, or may have been, left out: look at the log. */
  readonly incomplete: boolean;
}

/** A way between isolates; best effort. */
export interface Link extends Disposable {
  /** Tells every other isolate, never the sender. Must not throw. */
  publish(events: readonly Entry[]): void;
  /** Names who hears; one listener, which must not throw. */
  receive(listener: (hint: Hint) => void): void;
}

/** What goes through the channel: numbered, so that a lost post is noticed. */
interface Post {
  readonly from: string;
  readonly number: number;
  readonly events: readonly Entry[];
}

/** Senders whose numbering is remembered; the oldest are forgotten. */
export const MAX_SENDERS = 256;

/**
 * Carries the events themselves over a `BroadcastChannel`: fast between the
 * isolates of one process, where the backlog holds 256 posts and drops the
 * rest silently. Hence one channel, one post a commit, a number on each.
 */
export class BroadcastLink implements Link {
  readonly #channel: BroadcastChannel;
  readonly #from: string;
  readonly #observer: LinkObserver;
  readonly #numbers = new Map<string, number>();
  #number = 0;
  #open = true;
  #listener: (hint: Hint) => void = () => {};

  /**
   * Joins.
   *
   * @param name shared by the isolates that should hear each other.
   * @param from unique name of this isolate.
   * @param observer hears of posts.
   */
  constructor(name: string, from: string, observer: LinkObserver = {}) {
    this.#from = from;
    this.#observer = observer;
    this.#channel = new BroadcastChannel(name);
    this.#channel.onmessage = ({ data }) => this.#accept(data);
  }

  /** Posts the events of one commit. */
  publish(events: readonly Entry[]): void {
    if (!this.#open) return;
    const post: Post = { from: this.#from, number: ++this.#number, events };
    this.#channel.postMessage(post);
    this.#observer.posted?.("broadcast");
  }

  /** Names who hears. */
  receive(listener: (hint: Hint) => void): void {
    this.#listener = listener;
  }

  /** Leaves; nothing is heard any more. */
  [Symbol.dispose](): void {
    this.#open = false;
    this.#listener = () => {};
    this.#channel.close();
  }

  #accept(data: unknown): void {
    // Another version of this program may be on the same channel.
    if (!isPost(data)) return;
    const before = this.#numbers.get(data.from) ?? 0;
    this.#numbers.delete(data.from);
    this.#numbers.set(data.from, data.number);
    for (const from of this.#numbers.keys()) {
      if (this.#numbers.size <= MAX_SENDERS) break;
      this.#numbers.delete(from);
    }
    const incomplete = data.number !== before + 1;
    this.#observer.heard?.("broadcast", incomplete);
    this.#listener({ events: data.events, incomplete });
  }
}

function isPost(data: unknown): data is Post {
  if (typeof data !== "object" || data === null) return false;
  const { from, number, events } = data as Partial<Post>;
  return typeof from === "string" && isNumber(number) &&
    Array.isArray(events) && events.every(isEntry);
}

function isNumber(value: unknown): value is number {
  return Number.isSafeInteger(value) && value as number > 0;
}

/** The key that doorbells watch. */
const BELL = ["bell"];
/** Wait before watching again after KV ended the watch, in milliseconds. */
export const REWATCH_MS = 1_000;

/**
 * Rings a key in KV that the other isolates watch; carries no events. Works
 * wherever the KV is shared and `kv.watch` crosses.
 */
export class DoorbellLink implements Link {
  readonly #kv: Store;
  readonly #clock: Clock;
  readonly #minIntervalMs: number;
  readonly #waitMs: number;
  readonly #observer: LinkObserver;
  /** A ring that has not come back yet. */
  #sent: { at: number; versionstamp: string } | undefined;
  #heardAt: number;
  #listener: (hint: Hint) => void = () => {};
  #reader:
    | ReadableStreamDefaultReader<Found<bigint>[]>
    | undefined;
  /** Rings of this isolate; the key counts everybody's. */
  #own = 0n;
  #others: bigint | undefined;
  #resting: Disposable | undefined;
  #rewatching: Disposable | undefined;
  #ringing = false;
  #again = false;
  #open = true;

  /**
   * Begins to watch.
   *
   * @param kv stays the caller's to close, after this is disposed.
   * @param options `minIntervalMs`: at most one ring in so many milliseconds;
   * `waitMs`: how long a ring waits before it, 0 when omitted; `observer`
   * hears of rings.
   */
  constructor(
    kv: Store,
    { clock, minIntervalMs, waitMs = 0, observer = {} }: {
      clock: Clock;
      minIntervalMs: number;
      waitMs?: number;
      observer?: LinkObserver;
    },
  ) {
    this.#kv = kv;
    this.#clock = clock;
    this.#minIntervalMs = minIntervalMs;
    this.#waitMs = waitMs;
    this.#observer = observer;
    this.#heardAt = clock.now();
    this.#watch();
  }

  /**
   * Milliseconds since a ring, anybody's, was heard through KV, or since this
   * began. Nobody rings while nothing is published: {@link test} does.
   */
  get silentMs(): number {
    return Math.max(0, this.#clock.now() - this.#heardAt);
  }

  /** Rings if nothing was heard for `ms` milliseconds, to hear whether it can. */
  test(ms: number): void {
    if (this.silentMs >= ms) this.publish([]);
  }

  /** Rings, when it has waited and the last ring is long enough ago. */
  publish(_events: readonly Entry[]): void {
    if (!this.#open) return;
    const busy = this.#ringing || this.#resting !== undefined;
    if (!busy && this.#waitMs === 0) {
      void this.#ring();
      return;
    }
    this.#again = true;
    if (!busy) this.#rest(this.#waitMs);
  }

  /** Names who hears. */
  receive(listener: (hint: Hint) => void): void {
    this.#listener = listener;
  }

  /** Stops ringing and watching. */
  [Symbol.dispose](): void {
    this.#open = false;
    this.#listener = () => {};
    this.#resting?.[Symbol.dispose]();
    this.#rewatching?.[Symbol.dispose]();
    this.#reader?.cancel().catch(() => {});
  }

  async #ring(): Promise<void> {
    this.#ringing = true;
    this.#again = false;
    this.#own++;
    const at = this.#clock.monotonic();
    try {
      const result = await this.#kv.atomic().sum(BELL, 1n).commit();
      if (result.ok) this.#sent = { at, versionstamp: result.versionstamp };
      this.#observer.posted?.("doorbell");
    } catch {
      // Not rung; the poll would find what was missed, but try once more.
      this.#observer.linkFailed?.("doorbell");
      this.#own--;
      this.#again = true;
    }
    this.#ringing = false;
    if (!this.#open) return;
    this.#rest(this.#minIntervalMs);
  }

  #rest(ms: number): void {
    this.#resting = this.#clock.after(ms, () => {
      this.#resting = undefined;
      if (this.#again) void this.#ring();
    });
  }

  async #watch(): Promise<void> {
    try {
      this.#reader = this.#kv.watch<bigint>([BELL]).getReader();
      for (;;) {
        const { done, value } = await this.#reader.read();
        if (done) break;
        const { value: bell, versionstamp } = value[0]!;
        this.#cameBack(versionstamp);
        this.#heard(bell ?? 0n);
      }
    } catch {
      this.#observer.linkFailed?.("doorbell");
      // KV went away; watch again below.
    }
    if (!this.#open) return;
    this.#rewatching = this.#clock.after(REWATCH_MS, () => void this.#watch());
  }

  #cameBack(versionstamp: string | null): void {
    this.#heardAt = this.#clock.now();
    const sent = this.#sent;
    if (!sent || versionstamp === null || versionstamp < sent.versionstamp) {
      return;
    }
    this.#sent = undefined;
    this.#observer.rang?.(this.#clock.monotonic() - sent.at);
  }

  /** A watch skips values, so what counts is that others rang at all. */
  #heard(all: bigint): void {
    const others = all - this.#own;
    const before = this.#others;
    this.#others = others;
    if (before !== undefined && others !== before) {
      this.#observer.heard?.("doorbell", false);
      this.#listener({ events: [], incomplete: true });
    }
  }
}
