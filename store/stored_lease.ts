/**
 * The {@link Lease} on any store: a row that its holder renews.
 *
 * @module
 */
import type { Clock } from "../platform/clock.ts";
import { systemRandom } from "../platform/random.ts";
import type { Random } from "../platform/random.ts";
import type { Lease } from "./lease.ts";
import type { Key, Store } from "./store.ts";

/**
 * Time to live of a lease without a renewal, in milliseconds. A waiting instance
 * measures on its own monotonic clock how long the row stays unchanged, so that
 * wall clocks do not matter.
 */
export const LEASE_TTL_MS = 5_000;
/** Renewals, and checks by waiting instances, in one time to live. */
const LOOKS_PER_TTL = 5;
/** Longest pause after a failed check, as a part of the usual one. */
const RETRY_PART = 0.25;
/**
 * Part of the time to live by which a holder that cannot renew stops early. It
 * covers the end of its work and different rates of clocks.
 */
const GUARD_PART = 0.2;

/** Parts that a {@link StoredLease} needs. */
export interface StoredLeaseOptions {
  /** Holds the lease; closed by the caller. */
  readonly kv: Store;
  /** Measures intervals and deadlines. */
  readonly clock: Pick<Clock, "monotonic" | "after">;
  /** Name of the lease; holders of one name exclude each other. */
  readonly name: string;
  /**
   * Runs while the lease is held, once per acquisition. Must end within a fifth
   * of `ttlMs` after its signal is aborted, or another holder may have started.
   */
  readonly work: (signal: AbortSignal) => Promise<void>;
  /**
   * Receives errors of the work, and lasting errors of the store: a briefly
   * locked file only causes another check.
   */
  readonly report?: (error: unknown) => void;
  /** This holder's name; unique when absent. */
  readonly holder?: string;
  /** Milliseconds without a renewal after which others may take over. */
  readonly ttlMs?: number;
  /** Uniform in [0, 1), for jitter. */
  readonly random?: Random;
}

interface Holding {
  readonly holder: string;
}

/** The row as another holder wrote it. */
interface Seen {
  readonly versionstamp: string;
  /** When this state was first read, on the monotonic clock. */
  readonly since: number;
}

/** Acquires the lease when it is free, and renews it while it is held. */
export class StoredLease implements Lease {
  readonly #kv: Store;
  readonly #clock: Pick<Clock, "monotonic" | "after">;
  readonly #key: Key;
  readonly #name: string;
  readonly #work: (signal: AbortSignal) => Promise<void>;
  readonly #report: (error: unknown) => void;
  readonly #holder: string;
  readonly #ttlMs: number;
  readonly #random: Random;
  #disposed = false;
  #seen: Seen | undefined;
  /** When checks began to fail, or when that was last reported. */
  #failingSince: number | undefined;
  /** Aborts the running work; absent when there is none. */
  #stop: AbortController | undefined;
  #working: Promise<void> | undefined;
  #deadline: Disposable | undefined;
  #next: Disposable | undefined;
  /** Settles when the running check has ended. */
  #looking: Promise<void>;

  /** Starts trying to acquire the lease at once. */
  constructor(options: StoredLeaseOptions) {
    this.#kv = options.kv;
    this.#clock = options.clock;
    this.#name = options.name;
    this.#key = ["lease", options.name];
    this.#work = options.work;
    this.#report = options.report ?? (() => {});
    this.#holder = options.holder ?? crypto.randomUUID();
    this.#ttlMs = options.ttlMs ?? LEASE_TTL_MS;
    this.#random = options.random ?? systemRandom;
    this.#looking = this.#look();
  }

  /** Whether the lease is held now, so that the work may continue. */
  get held(): boolean {
    return this.#stop !== undefined && !this.#stop.signal.aborted;
  }

  /** Stops the work, waits for its end and releases the lease at once. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#disposed = true;
    this.#next?.[Symbol.dispose]();
    await this.#looking;
    this.#lose("disposed");
    await this.#working;
    await this.#release();
  }

  /** One check of the lease: acquires it, renews it, or waits. Never throws. */
  async #look(): Promise<void> {
    let waitMs = this.#ttlMs / LOOKS_PER_TTL;
    try {
      await this.#tryToHold();
      this.#failingSince = undefined;
    } catch (error) {
      // A locked file or an unreachable store: the deadline decides.
      this.#failed(error);
      // Jitter, so that two instances do not collide again.
      waitMs *= RETRY_PART * this.#random();
    }
    if (this.#disposed) return;
    this.#next = this.#clock.after(waitMs, () => {
      this.#looking = this.#look();
    });
  }

  /** Reports only errors that last as long as a holder may work without the store. */
  #failed(cause: unknown): void {
    const now = this.#clock.monotonic();
    this.#failingSince ??= now;
    const ms = now - this.#failingSince;
    if (ms < this.#ttlMs * (1 - GUARD_PART)) return;
    this.#failingSince = now;
    this.#report(
      new Error(
        `Cannot see for ${
          Math.round(ms)
        } ms who holds "${this.#name}", still trying: ${cause}`,
        { cause },
      ),
    );
  }

  async #tryToHold(): Promise<void> {
    const entry = await this.#kv.get<Holding>(this.#key);
    // The following runs before others can read the renewal.
    const now = this.#clock.monotonic();
    const isMine = entry.value?.holder === this.#holder;
    if (entry.value && !isMine && !this.#isOver(entry.versionstamp, now)) {
      this.#lose("taken by another");
      return;
    }
    if (this.#disposed) return;
    const { ok } = await this.#kv.atomic()
      .check(entry)
      .set(this.#key, { holder: this.#holder } satisfies Holding)
      .commit();
    if (!ok) {
      this.#lose("taken by another");
      return;
    }
    this.#seen = undefined;
    this.#hold(now + this.#ttlMs);
  }

  /** Whether another holder's row stayed unchanged for its time to live. */
  #isOver(versionstamp: string, now: number): boolean {
    if (this.#seen?.versionstamp !== versionstamp) {
      this.#seen = { versionstamp, since: now };
    }
    return now - this.#seen.since >= this.#ttlMs;
  }

  /** @param until when others may take over, on the monotonic clock. */
  #hold(until: number): void {
    const left = until - this.#ttlMs * GUARD_PART - this.#clock.monotonic();
    // The commit took too long, or ended after the lease.
    if (this.#disposed || left <= 0) return;
    this.#deadline?.[Symbol.dispose]();
    this.#deadline = this.#clock.after(left, () => this.#lose("not renewed"));
    // Stopped work must end before it is started again; meanwhile the lease
    // prevents others from starting.
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
      // It expires by itself.
    }
  }
}
