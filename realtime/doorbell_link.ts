/**
 * The link between instances that share a store.
 *
 * @module
 */
import type { Clock } from "../platform/clock.ts";
import type { Entry } from "../store/entry.ts";
import type { Found, Store } from "../store/store.ts";
import type { Hint, Link, LinkObserver } from "./link.ts";
import { Ringer } from "./ringer.ts";
import type { Pacing } from "./ringer.ts";

/** The key that doorbells watch. */
const BELL = ["bell"];
/** Pause before a new watch after the store ended the last one, in milliseconds. */
export const REWATCH_MS = 1_000;

/**
 * Increments a key in the store that the other instances watch; carries no
 * events. Works with every shared store whose `watch` reaches other instances.
 */
export class DoorbellLink implements Link {
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #observer: LinkObserver;
  readonly #ringer: Ringer;
  /** A ring that has not returned yet. */
  #sent: { at: number; versionstamp: string } | undefined;
  /** When a ring arrived, on the monotonic clock. */
  #rangAt: number;
  #listener: (hint: Hint) => void = () => {};
  #reader:
    | ReadableStreamDefaultReader<Found<bigint>[]>
    | undefined;
  /** Rings of this instance; the key counts those of all. */
  #own = 0n;
  #others: bigint | undefined;
  #rewatching: Disposable | undefined;
  #open = true;

  /**
   * Starts watching.
   *
   * @param store is closed by the caller, after this is disposed.
   * @param options how rings are paced; `observer` is called with rings.
   */
  constructor(
    store: Store,
    { clock, observer = {}, ...pacing }: Pacing & {
      clock: Clock;
      observer?: LinkObserver;
    },
  ) {
    this.#store = store;
    this.#clock = clock;
    this.#observer = observer;
    this.#ringer = new Ringer(clock, pacing, () => this.#ring());
    this.#rangAt = clock.monotonic();
    this.#watch();
  }

  /**
   * Milliseconds since a ring of any instance arrived through the store, or
   * since the start. While nothing is published, only {@link test} rings.
   */
  get silentMs(): number {
    return this.#clock.monotonic() - this.#rangAt;
  }

  /** Rings if nothing arrived for `ms` milliseconds, to test the link. */
  test(ms: number): void {
    if (this.silentMs >= ms) this.publish([]);
  }

  /** Rings after the delay and the shortest interval between rings. */
  publish(_events: readonly Entry[]): void {
    this.#ringer.announce();
  }

  /** Registers the listener. */
  receive(listener: (hint: Hint) => void): void {
    this.#listener = listener;
  }

  /** Stops ringing and watching. */
  [Symbol.dispose](): void {
    this.#open = false;
    this.#listener = () => {};
    this.#ringer[Symbol.dispose]();
    this.#rewatching?.[Symbol.dispose]();
    this.#reader?.cancel().catch(() => {});
  }

  /** @returns whether it rang; otherwise the poll finds the missed events. */
  async #ring(): Promise<boolean> {
    this.#own++;
    const at = this.#clock.monotonic();
    try {
      const result = await this.#store.atomic().sum(BELL, 1n).commit();
      if (result.ok) this.#sent = { at, versionstamp: result.versionstamp };
      this.#observer.posted?.("doorbell");
      return true;
    } catch {
      this.#observer.linkFailed?.("doorbell");
      this.#own--;
      return false;
    }
  }

  async #watch(): Promise<void> {
    try {
      this.#reader = this.#store.watch<bigint>([BELL]).getReader();
      for (;;) {
        const { done, value } = await this.#reader.read();
        if (done) break;
        const { value: bell, versionstamp } = value[0]!;
        this.#arrived(versionstamp);
        this.#compare(bell ?? 0n);
      }
    } catch {
      this.#observer.linkFailed?.("doorbell");
    }
    if (!this.#open) return;
    this.#rewatching = this.#clock.after(REWATCH_MS, () => void this.#watch());
  }

  #arrived(versionstamp: string | null): void {
    this.#rangAt = this.#clock.monotonic();
    const sent = this.#sent;
    if (!sent || versionstamp === null || versionstamp < sent.versionstamp) {
      return;
    }
    this.#sent = undefined;
    this.#observer.rang?.(this.#clock.monotonic() - sent.at);
  }

  /** A watch may skip values, so only the fact that others rang matters. */
  #compare(all: bigint): void {
    const others = all - this.#own;
    const before = this.#others;
    this.#others = others;
    if (before !== undefined && others !== before) {
      this.#observer.received?.("doorbell", false);
      this.#listener({ events: [], incomplete: true });
    }
  }
}
