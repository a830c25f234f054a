/**
 * Detects a store that was restored from a copy: it would assign numbers again
 * that other events had before. The progress of the store is therefore also
 * written beside it, outside of a copy of the store: the witness. When the two
 * disagree at a start, every log gets a new epoch.
 *
 * `["witness"]` holds the {@link Mark}; the witness holds the versionstamp of a
 * mark that the store has committed.
 *
 * @module
 */
import type { Clock } from "../platform/clock.ts";
import { retryWhileBusy } from "../platform/retry.ts";
import { encodeHead, headIn, MAX_EARLIER } from "./log_heads.ts";
import { isBusy } from "./store.ts";
import type { Found, Key, Store } from "./store.ts";
import type { Testimony, Witness } from "./witness.ts";

/** Shortest time between two marks of one instance, in milliseconds. */
export const MARK_EVERY_MS = 1_000;
/**
 * A witness written this much later than the store's newest mark was written by
 * another program, in milliseconds.
 */
export const LATE_MS = 60_000;
/** The key of the store's mark. */
const MARK_KEY: Key = ["witness"];

/** A mark of the store's progress. */
interface Mark {
  /** When it was written, in epoch milliseconds. */
  readonly at: number;
  /** Identity of the witness file; absent where none can be written. */
  readonly file?: string | undefined;
  /** Name of the running renewal of all epochs; absent otherwise. */
  readonly renewal?: string;
}

/** Parts that {@link Continuity.open} needs. */
export interface ContinuityOptions {
  /** The store; closed by the caller. */
  readonly store: Store;
  /** The witness beside the store. */
  readonly witness: Witness;
  /** Time of marks, and the interval between them. */
  readonly clock: Clock;
  /** Names epochs and renewals. */
  readonly nextId: (now: number) => string;
  /** Receives errors of writing marks; the log continues without them. */
  readonly report: (error: unknown) => void;
}

/** Marks the progress of the store, in the store and beside it. */
export class Continuity {
  readonly #options: ContinuityOptions;
  /** Whether the store disagreed with the witness. */
  readonly wasRestored: boolean;
  #isDirty = false;
  #waiting: Disposable | undefined;
  #marking: Promise<void> | undefined;

  private constructor(options: ContinuityOptions, wasRestored: boolean) {
    this.#options = options;
    this.wasRestored = wasRestored;
  }

  /**
   * Compares the store with its witness, and gives every log a new epoch when
   * they disagree. Instances that start together do it once.
   *
   * @throws errors of the store.
   */
  static async open(options: ContinuityOptions): Promise<Continuity> {
    const wasRestored = await reconcile(options);
    const continuity = new Continuity(options, wasRestored);
    continuity.#isDirty = true;
    await continuity.settled();
    return continuity;
  }

  /** Notes a commit whose loss must be detected. */
  note(): void {
    this.#isDirty = true;
    if (this.#waiting || this.#marking) return;
    this.#waiting = this.#options.clock.after(MARK_EVERY_MS, () => {
      this.#waiting = undefined;
      void this.#start();
    });
  }

  /** Resolves when all noted commits are marked, or marking failed. */
  async settled(): Promise<void> {
    this.#waiting?.[Symbol.dispose]();
    this.#waiting = undefined;
    await this.#marking;
    if (this.#isDirty) await this.#start();
  }

  #start(): Promise<void> {
    this.#marking ??= this.#mark().finally(() => {
      this.#marking = undefined;
      if (this.#isDirty) this.note();
    });
    return this.#marking;
  }

  async #mark(): Promise<void> {
    const { store, witness, clock, report } = this.#options;
    this.#isDirty = false;
    try {
      const file = await witness.name();
      const mark: Mark = { at: clock.now(), file };
      const result = await retryWhileBusy(
        { clock, isBusy },
        () => store.atomic().set(MARK_KEY, mark).commit(),
      );
      if (result.ok && file !== undefined) {
        await witness.write(result.versionstamp);
      }
    } catch (error) {
      report(error);
    }
  }
}

/** Renews all epochs where store and witness disagree. @returns whether they did. */
async function reconcile(options: ContinuityOptions): Promise<boolean> {
  const { store, witness, report } = options;
  for (;;) {
    const found = await store.get<Mark>(MARK_KEY);
    let disagrees = false;
    try {
      disagrees = isOther(found, await witness.read());
    } catch (error) {
      report(error);
    }
    const renewal = found.value?.renewal ??
      (disagrees ? await claimRenewal(options, found) : undefined);
    if (renewal !== undefined) await renewHeads(options, renewal);
    // If another instance was faster, its mark is compared.
    if (renewal !== undefined || !disagrees) return disagrees;
  }
}

/** Whether the witness was written beside another store. */
function isOther(
  { value: mark, versionstamp }: Found<Mark>,
  testimony: Testimony | undefined,
): boolean {
  // A new store, or one of an earlier version, or a copy older than the marks.
  if (!mark) return testimony !== undefined && testimony.stamp !== "";
  if (mark.file === undefined) return false;
  if (!testimony) return true;
  return testimony.file !== mark.file || testimony.stamp > versionstamp ||
    testimony.writtenAt > mark.at + LATE_MS;
}

/**
 * Gives every log a new epoch. Events keep their numbers; positions up to the
 * current heads stay valid, all others do not.
 *
 * @param options the store, the time, and names of epochs.
 * @throws errors of the store; the next start continues the renewal.
 */
export async function renewEpochs(options: RenewalOptions): Promise<void> {
  const { store, clock } = options;
  for (;;) {
    const found = await store.get<Mark>(MARK_KEY);
    const renewal = found.value?.renewal ?? await claimRenewal(options, found);
    if (renewal === undefined) continue;
    await renewHeads(options, renewal);
    const mark: Mark = { at: clock.now(), file: found.value?.file };
    return await retryWhileBusy(
      { clock, isBusy },
      () => store.set(MARK_KEY, mark),
    );
  }
}

/** Parts that a renewal needs. */
export type RenewalOptions = Pick<
  ContinuityOptions,
  "store" | "clock" | "nextId"
>;

/**
 * Starts a renewal, and records it, so that an interrupted one is continued.
 *
 * @returns its name, or nothing when another instance was faster.
 */
async function claimRenewal(
  { store, clock, nextId }: RenewalOptions,
  { key, value, versionstamp }: Found<Mark>,
): Promise<string | undefined> {
  const at = clock.now();
  const renewal = nextId(at);
  const claim: Mark = { at, file: value?.file, renewal };
  const { ok } = await retryWhileBusy(
    { clock, isBusy },
    () => store.atomic().check({ key, versionstamp }).set(key, claim).commit(),
  );
  return ok ? renewal : undefined;
}

async function renewHeads(
  { store, clock, nextId }: RenewalOptions,
  renewal: string,
): Promise<void> {
  const heads = store.list({ prefix: ["head"] });
  for await (const { key, value, versionstamp } of heads) {
    const head = headIn(value);
    if (head === "damaged" || head.renewal === renewal) continue;
    const { epoch, seq } = head;
    const renewed = {
      ...head,
      epoch: nextId(clock.now()),
      earlier: [{ epoch, seq }, ...head.earlier].slice(0, MAX_EARLIER),
      renewal,
    };
    // A head written meanwhile was renewed by another instance.
    await retryWhileBusy(
      { clock, isBusy },
      () =>
        store.atomic().check({ key, versionstamp })
          .set(key, encodeHead(renewed)).commit(),
    );
  }
}
