/**
 * One holder among many isolates, decided in Deno KV: who runs the source.
 *
 * @module
 */
import type { Clock } from "../platform/clock.ts";
import type { Key, Store } from "./store.ts";

/** How long a holder is believed without a sign of life, in milliseconds. */
export const LEASE_TTL_MS = 5_000;
/** Renewals, and looks of those who wait, in one time to live. */
const LOOKS_PER_TTL = 5;
/** Longest wait after a look that failed, as a share of the usual one. */
const AGAIN_SHARE = 0.25;
/**
 * Share of the time to live that a holder who cannot renew gives up early. It
 * covers its own stopping and clocks that differ between machines.
 */
const GUARD_SHARE = 0.2;

/** What a {@link Lease} needs. */
export interface LeaseOptions {
  /** Where the lease is kept. Stays the caller's to close. */
  readonly kv: Store;
  /** Decides what is due and over. */
  readonly clock: Clock;
  /** What is leased; holders of one name exclude each other. */
  readonly name: string;
  /**
   * Done while holding, again each time the lease is won. Must end soon after
   * its signal is aborted: within a fifth of `ttlMs`, or another may have
   * begun.
   */
  readonly work: (signal: AbortSignal) => Promise<void>;
  /**
   * Hears faults of the work, and of the store those that last: a file that is
   * locked for a moment is only looked at again. Nothing else is done.
   */
  readonly report?: (error: unknown) => void;
  /** This holder's name; unique when absent. */
  readonly holder?: string;
  /** Milliseconds without a renewal after which others may take over. */
  readonly ttlMs?: number;
  /** Uniform in [0, 1), for jitter. */
  readonly random?: () => number;
}

interface Holding {
  readonly holder: string;
  /** Epoch milliseconds. */
  readonly until: number;
}

/**
 * A standing wish to hold a lease. While it holds, `work` runs; when the store
 * cannot be reached in time the work is stopped before another may start.
 */
export class Lease implements AsyncDisposable {
  readonly #kv: Store;
  readonly #clock: Clock;
  readonly #key: Key;
  readonly #name: string;
  readonly #work: (signal: AbortSignal) => Promise<void>;
  readonly #report: (error: unknown) => void;
  readonly #holder: string;
  readonly #ttlMs: number;
  readonly #random: () => number;
  #disposed = false;
  /** Since when looks fail, or since that was last reported. */
  #failingSince: number | undefined;
  /** Aborts the work under way; nothing when there is none. */
  #stop: AbortController | undefined;
  #working: Promise<void> | undefined;
  #deadline: Disposable | undefined;
  #next: Disposable | undefined;
  /** Settles when the look under way is over. */
  #looking: Promise<void>;

  /** Begins to try at once. */
  constructor(options: LeaseOptions) {
    this.#kv = options.kv;
    this.#clock = options.clock;
    this.#name = options.name;
    this.#key = ["lease", options.name];
    this.#work = options.work;
    this.#report = options.report ?? (() => {});
    this.#holder = options.holder ?? crypto.randomUUID();
    this.#ttlMs = options.ttlMs ?? LEASE_TTL_MS;
    this.#random = options.random ?? Math.random;
    this.#looking = this.#look();
  }

  /** Whether the lease is held, and the work may go on, at this moment. */
  get held(): boolean {
    return this.#stop !== undefined && !this.#stop.signal.aborted;
  }

  /** Stops the work, waits for its end and lets the next holder in at once. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#disposed = true;
    this.#next?.[Symbol.dispose]();
    await this.#looking;
    this.#lose("disposed");
    await this.#working;
    await this.#release();
  }

  /** One look at the lease: take it, renew it, or leave it. Never throws. */
  async #look(): Promise<void> {
    let waitMs = this.#ttlMs / LOOKS_PER_TTL;
    try {
      await this.#tryToHold();
      this.#failingSince = undefined;
    } catch (error) {
      // A locked file or a store out of reach: the deadline decides.
      this.#failed(error);
      // Two that met at the file should not meet again.
      waitMs *= AGAIN_SHARE * this.#random();
    }
    if (this.#disposed) return;
    this.#next = this.#clock.after(waitMs, () => {
      this.#looking = this.#look();
    });
  }

  /** Tells of it only when it lasts as long as a holder may go on without. */
  #failed(cause: unknown): void {
    const now = this.#clock.now();
    this.#failingSince ??= now;
    const ms = now - this.#failingSince;
    if (ms < this.#ttlMs * (1 - GUARD_SHARE)) return;
    this.#failingSince = now;
    this.#report(
      new Error(
        `Cannot see for ${ms} ms who holds "${this.#name}", still trying: ${cause}`,
        { cause },
      ),
    );
  }

  async #tryToHold(): Promise<void> {
    const entry = await this.#kv.get<Holding>(this.#key);
    const now = this.#clock.now();
    const mine = entry.value?.holder === this.#holder;
    if (entry.value && !mine && now < entry.value.until) {
      this.#lose("taken by another");
      return;
    }
    if (this.#disposed) return;
    const until = now + this.#ttlMs;
    const { ok } = await this.#kv.atomic()
      .check(entry)
      .set(this.#key, { holder: this.#holder, until } satisfies Holding)
      .commit();
    if (!ok) {
      this.#lose("taken by another");
      return;
    }
    this.#hold(until);
  }

  #hold(until: number): void {
    const left = until - this.#ttlMs * GUARD_SHARE - this.#clock.now();
    // The commit took too long to be worth anything, or came after the end.
    if (this.#disposed || left <= 0) return;
    this.#deadline?.[Symbol.dispose]();
    this.#deadline = this.#clock.after(left, () => this.#lose("not renewed"));
    // Work that was stopped must be over before it is begun anew; meanwhile
    // the lease keeps others from beginning beside it.
    if (this.#working) return;
    const stop = new AbortController();
    this.#stop = stop;
    this.#working = this.#run(stop);
  }

  async #run(stop: AbortController): Promise<void> {
    try {
      await this.#work(stop.signal);
    } catch (error) {
      this.#report(error);
    }
    this.#deadline?.[Symbol.dispose]();
    this.#deadline = undefined;
    this.#stop = undefined;
    this.#working = undefined;
  }

  #lose(reason: string): void {
    this.#deadline?.[Symbol.dispose]();
    this.#deadline = undefined;
    this.#stop?.abort(new Error(`Lease was lost: ${reason}`));
  }

  async #release(): Promise<void> {
    try {
      const entry = await this.#kv.get<Holding>(this.#key);
      if (entry.value?.holder !== this.#holder) return;
      await this.#kv.atomic().check(entry).delete(this.#key).commit();
    } catch {
      // It ends by itself when its time is over.
    }
  }
}
