/**
 * Group commit: what arrives while a commit is in flight goes with the next,
 * one atomic commit for many messages and channels, checked against the heads.
 *
 * Besides `["head", channel]`, rows and ids it writes `["state", key]`, the
 * newest event about one thing, `["room", publisher, channel]`, which rooms a
 * publisher began, and `["commit", name]`: that a commit took effect, should
 * its answer be lost.
 *
 * @module
 */
import { Refusal } from "../protocol/refusals.ts";
import { backoffMs } from "../platform/backoff.ts";
import type { Growth } from "../platform/backoff.ts";
import type { Clock } from "../platform/clock.ts";
import { Deadline, within } from "../platform/deadline.ts";
import { pause } from "../platform/pause.ts";
import type { Random } from "../platform/random.ts";
import type { Tracing } from "../platform/tracing.ts";
import {
  COMMIT_BYTES,
  COMMIT_CHANNELS,
  CommitLoad,
  fits,
  sizeOf,
} from "./commit_size.ts";
import type { CommitSize } from "./commit_size.ts";
import type { LoggedEntry } from "./entry.ts";
import { UNBORN_EPOCH } from "./event_log.ts";
import type {
  Draft,
  Head,
  LogObserver,
  Retention,
  StreamPosition,
} from "./event_log.ts";
import { remember, usedIds } from "./id_memory.ts";
import { encodeHead, FORGOTTEN_KEY, headKey, readHeads } from "./log_heads.ts";
import type { FoundHead, HeadRecord } from "./log_heads.ts";
import { deleteRows } from "./log_retention.ts";
import { STATE_MS } from "./latest_states.ts";
import { DraftCommit } from "./draft_commit.ts";
import type { Answer, Known } from "./draft_commit.ts";
import { packed, partsOf } from "./rows.ts";
import { isBusy, StoreUnusable } from "./store.ts";
import type { Commit, Store } from "./store.ts";

/** How long a commit is tried before its publishers are refused. */
export const COMMIT_DEADLINE_MS = 3_000;
/** How long to look, after that, whether a lost commit took effect. */
export const LAST_LOOK_MS = 1_000;
/** Longest single look at that, in milliseconds. */
const LOOK_MS = 400;
/** How long a commit can be looked for, in milliseconds. */
const COMMIT_MEMORY_MS = 60_000;
/** Ceilings of the wait after a lost race or a locked file. */
const RETRY_GROWTH: Growth = { baseMs: 2, capMs: 100 };
/** Most events waiting for a commit; beyond, publishers are asked to wait. */
export const MAX_WAITING_EVENTS = 20_000;
/** Most bytes waiting for a commit. */
export const MAX_WAITING_BYTES = 64 * 1024 * 1024;
/** Heads remembered between commits. */
const MAX_CACHED_HEADS = 20_000;
/** What the writer needs. */
export interface LogWriterOptions {
  /** Where events are stored. */
  readonly store: Store;
  /** Time, for retries and the `timestamp` of events. */
  readonly clock: Clock;
  /** Names for events whose publisher gave none, and for epochs. */
  readonly nextId: (now: number) => string;
  /** How much of `channel` is kept. */
  readonly retention: (channel: string) => Retention;
  /** Uniform in [0, 1), for jitter. */
  readonly random: Random;
  /** Receives commits, conflicts and failures. */
  readonly observer: LogObserver;
  /** Records which publishes a commit holds. */
  readonly tracing?: Tracing | undefined;
  /**
   * What a commit announces to those who share the store; nothing when absent,
   * or where the store has no announcements.
   */
  readonly announcement?: Announcement | undefined;
  /** Receives the events of each commit, before their publishers' answers. */
  readonly onCommit: (entries: readonly LoggedEntry[]) => void;
}

/** Writes what a commit announces, from where it lets channels end. */
export type Announcement = (
  heads: ReadonlyMap<string, Head>,
  maxBytes: number,
) => string;

/** What one call of {@link LogWriter.append} waits for. */
interface Request {
  readonly drafts: readonly Draft[];
  readonly size: CommitSize;
  readonly resolve: (positions: readonly StreamPosition[]) => void;
  readonly reject: (error: unknown) => void;
}

const NOTHING_KNOWN: Known = { ids: new Map(), rooms: new Map() };

/** One try at a commit, kept until it is known whether it took effect. */
interface Attempt {
  readonly commit: Commit;
  readonly entries: readonly LoggedEntry[];
  /** Stands in the store once the commit took effect, when its events may not. */
  readonly name: string;
  readonly answers: readonly Answer[];
  readonly heads: ReadonlyMap<string, HeadRecord>;
}

/** Appends events to the log. */
export class LogWriter {
  readonly #options: LogWriterOptions;
  readonly #heads = new Map<string, FoundHead>();
  #waiting: Request[] = [];
  #waitingEvents = 0;
  #waitingBytes = 0;
  #running: Promise<void> | undefined;

  /** Reads nothing yet: the first append does. */
  constructor(options: LogWriterOptions) {
    this.#options = options;
  }

  /** Appends events as `EventLog.append` promises. */
  append(drafts: readonly Draft[]): Promise<readonly StreamPosition[]> {
    const size = sizeOf(drafts);
    if (!fits(size)) {
      throw new Refusal(
        "MESSAGE_TOO_LARGE",
        `What is published together may hold about ${COMMIT_BYTES} bytes and ${COMMIT_CHANNELS} channels; send less at once`,
      );
    }
    if (
      this.#waitingEvents + drafts.length > MAX_WAITING_EVENTS ||
      this.#waitingBytes + size.bytes > MAX_WAITING_BYTES
    ) {
      throw new Refusal(
        "STORE_UNAVAILABLE",
        "Too much is waiting to be stored; try again",
        { retryAfterMs: COMMIT_DEADLINE_MS },
      );
    }
    const { promise, resolve, reject } = Promise.withResolvers<
      readonly StreamPosition[]
    >();
    this.#waiting.push({ drafts, size, resolve, reject });
    this.#waitingEvents += drafts.length;
    this.#waitingBytes += size.bytes;
    this.#running ??= this.#run();
    return promise;
  }

  /** Resolves when nothing waits for a commit. */
  async settled(): Promise<void> {
    await this.#running;
  }

  async #run(): Promise<void> {
    // What arrives in the same turn as the first goes with it.
    await Promise.resolve();
    while (this.#waiting.length > 0) {
      const group = this.#nextGroup();
      try {
        const answers = await this.#traced(group.map(({ drafts }) => drafts));
        for (const [i, { resolve, reject }] of group.entries()) {
          const answer = answers[i]!;
          if (answer instanceof Refusal) reject(answer);
          else resolve(answer);
        }
      } catch (error) {
        this.#options.observer.failed?.(error);
        const refusal = new Refusal("STORE_UNAVAILABLE", undefined, {
          cause: error,
          retryAfterMs: COMMIT_DEADLINE_MS,
        });
        for (const { reject } of group) reject(refusal);
      }
    }
    this.#running = undefined;
  }

  #nextGroup(): Request[] {
    const load = new CommitLoad();
    for (const { size } of this.#waiting) if (!load.take(size)) break;
    const group = this.#waiting.splice(0, load.size);
    for (const { drafts, size } of group) {
      this.#waitingEvents -= drafts.length;
      this.#waitingBytes -= size.bytes;
    }
    return group;
  }

  /** Commits as one piece of work of all the publishes in it. */
  #traced(groups: readonly (readonly Draft[])[]): Promise<readonly Answer[]> {
    const { tracing } = this.#options;
    if (!tracing) return this.#commit(groups);
    const drafts = groups.flat();
    const traces = new Set(drafts.flatMap(({ trace }) => trace ?? []));
    return tracing.commit(
      [...traces],
      drafts.length,
      () => this.#commit(groups),
    );
  }

  async #commit(
    groups: readonly (readonly Draft[])[],
  ): Promise<readonly Answer[]> {
    const { clock, observer } = this.#options;
    const began = clock.monotonic();
    using deadline = new Deadline(clock, COMMIT_DEADLINE_MS, "The store");
    const unsure = new Set<Attempt>();
    let last: unknown;
    for (
      let tries = 0;
      clock.monotonic() - began < COMMIT_DEADLINE_MS;
      tries++
    ) {
      if (tries > 0) await this.#pause(tries);
      let attempt: Attempt | undefined;
      try {
        for (const earlier of unsure) {
          if (await this.#took(earlier)) return this.#done(earlier, began);
        }
        const prepared = this.#prepare(groups);
        attempt = prepared instanceof Promise
          ? await deadline.race(prepared)
          : prepared;
        if (attempt.entries.length === 0) return attempt.answers;
        unsure.add(attempt);
        const result = await deadline.race(attempt.commit.commit());
        if (result.ok) return this.#done(attempt, began, result.versionstamp);
        unsure.delete(attempt);
        observer.conflicted?.();
      } catch (error) {
        last = error;
        if (attempt && (isBusy(error) || error instanceof StoreUnusable)) {
          unsure.delete(attempt);
        }
        if (isBusy(error)) observer.conflicted?.();
        else observer.failed?.(error);
        if (error instanceof StoreUnusable) break;
      }
      for (const { channel } of groups.flat()) this.#heads.delete(channel);
    }
    const took = await this.#lastLook(unsure);
    if (took) return this.#done(took, began);
    throw last ?? new Error("Too many writers of one channel");
  }

  /** Deadline reached: an event that was kept must not be refused. */
  async #lastLook(unsure: ReadonlySet<Attempt>): Promise<Attempt | undefined> {
    const { clock, observer } = this.#options;
    const began = clock.monotonic();
    for (let tries = 1; unsure.size > 0; tries++) {
      if (clock.monotonic() - began >= LAST_LOOK_MS) return undefined;
      try {
        for (const attempt of unsure) {
          if (await this.#took(attempt)) return attempt;
        }
        return undefined;
      } catch (error) {
        observer.failed?.(error);
        await this.#pause(tries);
      }
    }
  }

  #pause(tries: number): Promise<void> {
    const { clock, random } = this.#options;
    return pause(clock, Math.ceil(backoffMs(tries, RETRY_GROWTH, random)));
  }

  /** Whether a commit whose answer was lost has taken effect after all. */
  async #took({ name }: Attempt): Promise<boolean> {
    const { store, clock } = this.#options;
    const look = store.get(["commit", name]);
    return (await within(clock, LOOK_MS, "The store", look)).value !== null;
  }

  #done(
    { entries, answers, heads }: Attempt,
    began: number,
    versionstamp?: string,
  ): readonly Answer[] {
    for (const [channel, head] of heads) {
      this.#heads.delete(channel);
      if (versionstamp !== undefined) {
        this.#heads.set(channel, { head, versionstamp });
      }
    }
    for (const channel of this.#heads.keys()) {
      if (this.#heads.size <= MAX_CACHED_HEADS) break;
      this.#heads.delete(channel);
    }
    const { observer, clock, onCommit } = this.#options;
    observer.committed?.(entries.length, clock.monotonic() - began);
    onCommit(entries);
    return answers;
  }

  /** Prepares one commit, at once unless something must be read first. */
  #prepare(groups: readonly (readonly Draft[])[]): Attempt | Promise<Attempt> {
    const isKnown = groups.every((drafts) =>
      drafts.every(({ channel, id }) =>
        id === undefined && this.#isBorn(channel)
      )
    );
    return isKnown ? this.#attempt(groups, NOTHING_KNOWN) : this.#learn(groups);
  }

  #isBorn(channel: string): boolean {
    const epoch = this.#heads.get(channel)?.head.epoch;
    return epoch !== undefined && epoch !== UNBORN_EPOCH;
  }

  async #learn(groups: readonly (readonly Draft[])[]): Promise<Attempt> {
    const { store, clock } = this.#options;
    const drafts = groups.flat();
    await this.#learnHeads(new Set(drafts.map(({ channel }) => channel)));
    return this.#attempt(groups, {
      ids: await usedIds(store, clock, drafts),
      rooms: await this.#roomsOf(drafts),
    });
  }

  async #learnHeads(channels: ReadonlySet<string>): Promise<void> {
    const { store } = this.#options;
    const unknown = [...channels].filter((name) => !this.#isBorn(name));
    const found = await readHeads(store, unknown);
    let isReborn: boolean | undefined;
    for (const [i, { head, versionstamp }] of found.entries()) {
      const channel = unknown[i]!;
      if (head.epoch === UNBORN_EPOCH) {
        isReborn ??= (await store.get(FORGOTTEN_KEY)).value !== null;
        await this.#clear(channel, versionstamp);
      }
      this.#heads.set(channel, {
        head: isReborn ? { ...head, isReborn } : head,
        versionstamp,
      });
    }
  }

  /**
   * Deletes what an earlier log of the name left, before a new one begins; not
   * when another instance has begun one meanwhile.
   */
  async #clear(channel: string, versionstamp: string | null): Promise<void> {
    const { store } = this.#options;
    const unborn = { key: headKey(channel), versionstamp };
    while (await deleteRows(store, { prefix: ["log", channel] }, unborn) > 0);
  }

  /** How many rooms those publishers began who are about to begin more. */
  async #roomsOf(drafts: readonly Draft[]): Promise<Map<string, number>> {
    const { store } = this.#options;
    const rooms = new Map<string, number>();
    for (const { channel, publisher } of drafts) {
      if (!publisher || this.#isBorn(channel)) continue;
      const { subject, maxRooms } = publisher;
      if (maxRooms === Infinity || rooms.has(subject)) continue;
      let count = 0;
      const selector = { prefix: ["room", subject] };
      for await (const _ of store.list(selector, { limit: maxRooms })) count++;
      rooms.set(subject, count);
    }
    return rooms;
  }

  /** Numbers, encodes and checks; answers repeated ids. */
  #attempt(groups: readonly (readonly Draft[])[], known: Known): Attempt {
    const { store, clock, nextId, retention } = this.#options;
    const now = clock.now();
    const draftCommit = new DraftCommit({
      now,
      nextId,
      known,
      headOf: (channel) => this.#heads.get(channel)!.head,
    });
    const answers = groups.map((drafts) => draftCommit.take(drafts));
    const commit = store.atomic();
    const heads = new Map<string, HeadRecord>();
    for (const [channel, { head, entries }] of draftCommit.channels) {
      const { versionstamp } = this.#heads.get(channel)!;
      const { rows, bytes } = packed(entries, head.bytes);
      const { ms } = retention(channel);
      for (const row of rows) {
        for (const [part, value] of partsOf(row).entries()) {
          commit.set(["log", channel, row.seq, part], value, { expireIn: ms });
        }
      }
      const next = { ...head, bytes, at: now };
      heads.set(channel, next);
      commit.check({ key: headKey(channel), versionstamp });
      commit.set(headKey(channel), encodeHead(next));
    }
    for (const [key, state] of draftCommit.states) {
      commit.set(["state", key], state, { expireIn: STATE_MS });
    }
    for (const [draft, used] of draftCommit.ids) remember(commit, draft, used);
    for (const { channel, subject } of draftCommit.births) {
      const { ms } = retention(channel);
      commit.set(["room", subject, channel], 1, { expireIn: ms });
    }
    const name = nextId(now);
    commit.set(["commit", name], 1, { expireIn: COMMIT_MEMORY_MS });
    const { announcement } = this.#options;
    if (announcement && store.announcements) {
      const text = announcement(heads, store.announcements.maxBytes);
      store.announcements.attach(commit, text);
    }
    return { commit, entries: draftCommit.entries, name, answers, heads };
  }
}
