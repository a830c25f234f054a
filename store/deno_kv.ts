/**
 * The store in Deno KV: a file, memory, or a service with KV Connect.
 *
 * @module
 */
import type { Clock } from "../platform/clock.ts";
import { systemClock } from "../platform/clock.ts";
import { within } from "../platform/deadline.ts";
import { pause } from "../platform/pause.ts";
import { systemRandom } from "../platform/random.ts";
import type { Random } from "../platform/random.ts";
import { RelayedCommit } from "./relayed_commit.ts";
import { CALL_DEADLINE_MS, StoreBusy, StoreDamaged } from "./store.ts";
import type {
  Commit,
  Found,
  Key,
  ListOptions,
  Present,
  Selector,
  SetOptions,
  Store,
  StoreLimits,
} from "./store.ts";

/** Deadline of one attempt to open, in milliseconds. */
export const OPEN_TIMEOUT_MS = 1_000;
/** Attempts before the start fails. */
export const OPEN_TRIES = 10;
/** Longest pause between attempts, in milliseconds. */
const OPEN_PAUSE_MS = 100;
/** Subject of errors about calls that take too long. */
const WHAT = "The store";

/**
 * The limits of Deno KV.
 *
 * @see {@link https://docs.deno.com/api/deno/~/Deno.Kv}
 */
export const DENO_KV_LIMITS: StoreLimits = {
  keyBytes: 2_048,
  valueBytes: 65_536,
  commitBytes: 819_200,
  commitKeyBytes: 81_920,
  commitMutations: 1_000,
  commitChecks: 100,
  getManyKeys: 10,
  watchKeys: 10,
};

/** How {@link openStore} opens. */
export interface OpenOptions {
  /** Measures deadlines; the machine's own when absent. */
  readonly clock?: Pick<Clock, "after">;
  /** Opens once. */
  readonly open?: (path: string | undefined) => Promise<Deno.Kv>;
  /** Uniform in [0, 1), for jitter. */
  readonly random?: Random;
}

/**
 * Opens the store. Several instances may open a file at once: on a new file,
 * some get an error that it is locked, or no answer, and retry.
 *
 * @param path a file, `:memory:`, or the address of a service; Deno's own
 * place when absent.
 * @param options time, and how to open.
 * @throws the error of the last attempt.
 */
export async function openStore(
  path: string | undefined,
  { clock = systemClock, open = Deno.openKv, random = systemRandom }:
    OpenOptions = {},
): Promise<Store> {
  for (let tries = 1;; tries++) {
    const opening = open(path);
    try {
      const kv = await within(clock, OPEN_TIMEOUT_MS, WHAT, opening);
      return new DenoKvStore(kv, clock);
    } catch (error) {
      // A store that opens after the deadline is closed.
      opening.then((kv) => kv.close(), () => {});
      if (tries === OPEN_TRIES) throw error;
    }
    await pause(clock, Math.ceil(random() * OPEN_PAUSE_MS));
  }
}

/** Adapts a Deno KV to {@link Store}: deadlines, errors, counters. */
class DenoKvStore implements Store {
  readonly limits = DENO_KV_LIMITS;
  readonly #kv: Deno.Kv;
  readonly #clock: Pick<Clock, "after">;
  #isOpen = true;

  constructor(kv: Deno.Kv, clock: Pick<Clock, "after">) {
    this.#kv = kv;
    this.#clock = clock;
  }

  async get<Value>(key: Key): Promise<Found<Value>> {
    return found(await this.#timely(this.#kv.get(key)));
  }

  async getMany<Value>(keys: readonly Key[]): Promise<Found<Value>[]> {
    const entries = await this.#timely(this.#kv.getMany<unknown[]>(keys));
    return entries.map((entry) => found<Value>(entry));
  }

  async set(key: Key, value: unknown, options?: SetOptions): Promise<void> {
    await this.#timely(this.#kv.set(key, value, options));
  }

  async *list<Value>(
    selector: Selector,
    options?: ListOptions,
  ): AsyncGenerator<Present<Value>> {
    const entries = this.#kv.list(selector, options);
    for (;;) {
      const { done, value } = await this.#timely(entries.next());
      if (done) return;
      yield found<Value>(value) as Present<Value>;
    }
  }

  atomic(): Commit {
    const operation = this.#kv.atomic();
    return new RelayedCommit(
      operation,
      () => this.#timely(operation.commit()),
    );
  }

  watch<Value>(keys: readonly Key[]): ReadableStream<Found<Value>[]> {
    const reader = this.#kv.watch<unknown[]>(keys).getReader();
    return new ReadableStream({
      async pull(controller) {
        const { done, value } = await reader.read();
        if (done) controller.close();
        else controller.enqueue(value.map((entry) => found<Value>(entry)));
      },
      cancel: (reason) => reader.cancel(reason),
    }, { highWaterMark: 0 });
  }

  // deno-lint-ignore require-await -- other stores have to wait.
  async close(): Promise<void> {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#kv.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #timely<T>(work: Promise<T>): Promise<T> {
    try {
      return await within(this.#clock, CALL_DEADLINE_MS, WHAT, work);
    } catch (error) {
      if (isLocked(error)) throw new StoreBusy(error);
      throw isDamage(error) ? new StoreDamaged(error) : error;
    }
  }
}

/** Unwraps a counter's value, which Deno wraps, to a `bigint`. */
function found<Value>(entry: Deno.KvEntryMaybe<unknown>): Found<Value> {
  const { value } = entry;
  const plain = value instanceof Deno.KvU64 ? value.value : value;
  return { ...entry, value: plain } as Found<Value>;
}

/** SQLite reports it of a file's structure, the driver of a cell's content. */
function isDamage(error: unknown): boolean {
  return error instanceof Error &&
    /malformed|Invalid column type/.test(error.message);
}

/** SQLite's error while another connection writes to the file. */
function isLocked(error: unknown): boolean {
  return error instanceof Error && error.message.includes("locked");
}
