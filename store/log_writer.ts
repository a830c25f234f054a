/**
 * Group commit: requests that arrive while a commit is in flight share the next
 * one, an atomic commit of many messages and channels, checked against the
 * heads.
 *
 * Besides `["head", channel]`, rows and ids it writes `["state", key]`, the
 * newest event about one thing, `["room", publisher, channel]`, which rooms a
 * publisher began, and `["commit", name]`: that a commit took effect, in case
 * its answer is lost.
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
import { CommitQueue } from "./commit_queue.ts";
import { fits, sizeOf } from "./commit_size.ts";
import type { LoggedEntry } from "./entry.ts";
import { KnownHeads } from "./known_heads.ts";
import { UNBORN_EPOCH } from "./event_log.ts";
import type {
  Draft,
  Head,
  LogObserver,
  Retention,
  StreamPosition,
} from "./event_log.ts";
import { remember, usedIds } from "./id_memory.ts";
import { encodeHead, headKey, UNBORN } from "./log_heads.ts";
import type { HeadRecord } from "./log_heads.ts";
import type { HeadMove, Ingest, LogSource } from "./ingest.ts";
import { STATE_MS } from "./latest_states.ts";
import { DraftCommit } from "./draft_commit.ts";
import type { Answer, Known } from "./draft_commit.ts";
import { roomsBegun } from "./room_births.ts";
import { packed, partsOf } from "./rows.ts";
import { isBusy, StoreUnusable } from "./store.ts";
import type { Commit, Store } from "./store.ts";

/** How long a commit is tried before its publishers are refused. */
export const COMMIT_DEADLINE_MS = 3_000;
/**
 * Longest wait of a commit for the receivers of commits, in milliseconds. Other
 * instances may publish more than the receivers can process; this bounds the
 * delay of publishers on this instance.
 */
export const READY_MS = 250;
/** How long to check, after that, whether a lost commit took effect. */
export const LAST_LOOK_MS = 1_000;
/** Longest single check, in milliseconds. */
const LOOK_MS = 400;
/** How long a commit can be looked for, in milliseconds: clocks may step. */
const COMMIT_MEMORY_MS = 600_000;
/** Ceilings of the wait after a lost race or a locked file. */
const RETRY_GROWTH: Growth = { baseMs: 2, capMs: 100 };

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
   * What a commit announces to the other instances on the store; nothing when
   * absent, or where the store has no announcements.
   */
  readonly announcement?: Announcement | undefined;
  /** Judges what enters the log by its content; nothing does when absent. */
  readonly ingest?: Ingest | undefined;
  /** Reads the log for that. */
  readonly source: LogSource;
  /** Receives the events of each commit, before their publishers' answers. */
  readonly onCommit: (entries: readonly LoggedEntry[]) => void;
  /** Asked before each commit, which waits for the promise it returns. */
  readonly ready?: (() => Promise<void> | undefined) | undefined;
}

/** Writes what a commit announces, from where it lets channels end. */
export type Announcement = (
  heads: ReadonlyMap<string, Head>,
  maxBytes: number,
) => string;

const NOTHING_KNOWN: Known = { ids: new Map(), rooms: new Map() };

/** One try at a commit, kept until it is known whether it took effect. */
interface Attempt {
  readonly commit: Commit;
  readonly entries: readonly LoggedEntry[];
  /** Stands in the store once the commit took effect, when its events may not. */
  readonly name: string;
  readonly answers: readonly Answer[];
  readonly heads: ReadonlyMap<string, HeadRecord>;
  /** Whether there is nothing to store or check. */
  readonly isEmpty: boolean;
  /** Called once it is known to have taken effect. */
  readonly settle?: (() => void) | undefined;
}

/** Thrown when the additional rows do not fit beside other requests. */
const CRAMPED = new Error("More than one commit holds");

/** Appends events to the log. */
export class LogWriter {
  readonly #options: LogWriterOptions;
  readonly #heads: KnownHeads;
  readonly #queue = new CommitQueue(COMMIT_DEADLINE_MS);
  #running: Promise<void> | undefined;

  /** Reads nothing yet: the first append does. */
  constructor(options: LogWriterOptions) {
    this.#options = options;
    this.#heads = new KnownHeads(options.store);
  }

  /** Appends events as `EventLog.append` promises. */
  append(drafts: readonly Draft[]): Promise<readonly StreamPosition[]> {
    const answered = this.#queue.add(drafts);
    this.#running ??= this.#run();
    return answered;
  }

  /** Resolves when nothing waits for a commit. */
  async settled(): Promise<void> {
    await this.#running;
  }

  async #run(): Promise<void> {
    // Requests that arrive in the same turn as the first share its commit.
    await Promise.resolve();
    while (!this.#queue.isEmpty) {
      await this.#ready();
      const group = this.#queue.next();
      try {
        const answers = await this.#traced(group.map(({ drafts }) => drafts));
        for (const [i, { resolve, reject }] of group.entries()) {
          const answer = answers[i]!;
          if (answer instanceof Refusal) reject(answer);
          else resolve(answer);
        }
      } catch (error) {
        if (error === CRAMPED) {
          this.#queue.putBack(group);
          continue;
        }
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

  /** Waits until the receivers of commits have caught up. */
  async #ready(): Promise<void> {
    const { clock, ready } = this.#options;
    const waits = ready?.();
    if (!waits) return;
    await within(clock, READY_MS, "Delivery", waits).catch(() => {});
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
        if (attempt.isEmpty) return attempt.answers;
        unsure.add(attempt);
        const result = await deadline.race(attempt.commit.commit());
        if (result.ok) return this.#done(attempt, began, result.versionstamp);
        unsure.delete(attempt);
        observer.conflicted?.();
      } catch (error) {
        if (error === CRAMPED) throw error;
        last = error;
        if (attempt && (isBusy(error) || error instanceof StoreUnusable)) {
          unsure.delete(attempt);
        }
        if (isBusy(error)) observer.conflicted?.();
        else observer.failed?.(error);
        if (error instanceof StoreUnusable) break;
      }
      this.#heads.forget(groups.flat().map(({ channel }) => channel));
      this.#heads.forget(attempt?.heads.keys() ?? []);
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
    { entries, answers, heads, settle }: Attempt,
    began: number,
    versionstamp?: string,
  ): readonly Answer[] {
    this.#heads.keep(heads, versionstamp);
    settle?.();
    const { observer, clock, onCommit } = this.#options;
    observer.committed?.(entries.length, clock.monotonic() - began);
    if (entries.length > 0) onCommit(entries);
    return answers;
  }

  /** Prepares one commit, at once unless something must be read first. */
  #prepare(groups: readonly (readonly Draft[])[]): Attempt | Promise<Attempt> {
    const isKnown =
      groups.every((drafts) =>
        drafts.every(({ channel, id }) =>
          id === undefined && this.#heads.isBorn(channel)
        )
      ) && !this.#isBehind(groups);
    return isKnown ? this.#attempt(groups, NOTHING_KNOWN) : this.#learn(groups);
  }

  /** Whether the log must be followed before these requests are judged. */
  #isBehind(groups: readonly (readonly Draft[])[]): boolean {
    const { ingest } = this.#options;
    return judgedChannels(ingest, groups)
      .some((channel) => !this.#isFollowed(channel));
  }

  #isFollowed(channel: string): boolean {
    const head = this.#heads.get(channel)?.head;
    return head !== undefined && this.#options.ingest!.has(channel, head);
  }

  /** Follows channels to their present ends. */
  async #follow(channels: Iterable<string>): Promise<void> {
    const { ingest, source } = this.#options;
    const all = new Set(channels);
    await this.#heads.learn(all);
    for (const channel of all) {
      await ingest!.follow(channel, this.#heads.get(channel)!.head, source);
    }
  }

  async #learn(groups: readonly (readonly Draft[])[]): Promise<Attempt> {
    const { store, clock, ingest } = this.#options;
    const drafts = groups.flat();
    await this.#heads.learn(new Set(drafts.map(({ channel }) => channel)));
    await this.#follow(judgedChannels(ingest, groups));
    return await this.#attempt(groups, {
      ids: await usedIds(store, clock, drafts),
      rooms: await roomsBegun(store, drafts, (it) => this.#heads.isBorn(it)),
    });
  }

  /** Numbers, encodes and checks; answers repeated ids. */
  #attempt(
    groups: readonly (readonly Draft[])[],
    known: Known,
  ): Attempt | Promise<Attempt> {
    const { store, clock, nextId, retention, ingest, source } = this.#options;
    const now = clock.now();
    const unknown = new Set<string>();
    const headOf = (channel: string) => {
      const found = this.#heads.get(channel);
      if (!found) unknown.add(channel);
      return found?.head ?? UNBORN;
    };
    const rehearsal = judgedChannels(ingest, groups).length > 0
      ? ingest!.rehearse({
        now,
        isAlone: groups.length === 1,
        fits: (more) => fits(sizeOf([...groups.flat(), ...more])),
        isFollowed: (channel) => this.#isFollowed(channel),
        isUsed: (channel) => headOf(channel).epoch !== UNBORN_EPOCH,
      })
      : undefined;
    const draftCommit = new DraftCommit({
      now,
      nextId,
      known,
      headOf,
      rehearsal,
    });
    const answers = groups.map((drafts) => draftCommit.take(drafts));
    rehearsal?.end();
    if (rehearsal?.isCramped) throw CRAMPED;
    const lacks = rehearsal?.lacks ?? new Set<string>();
    if (rehearsal?.wants || unknown.size > 0 || lacks.size > 0) {
      return Promise.all([
        rehearsal?.wants?.(source),
        this.#heads.learn(unknown),
        this.#follow(lacks),
      ])
        .then(() => this.#attempt(groups, known));
    }
    const commit = store.atomic();
    const heads = new Map<string, HeadRecord>();
    const moves = new Map<string, HeadMove>();
    for (const [channel, { head, entries }] of draftCommit.channels) {
      const { head: before, versionstamp } = this.#heads.get(channel)!;
      const { rows, bytes } = packed(entries, head.bytes);
      const { ms } = retention(channel);
      for (const row of rows) {
        for (const [part, value] of partsOf(row).entries()) {
          commit.set(["log", channel, row.seq, part], value, { expireIn: ms });
        }
      }
      const next = { ...head, bytes, at: now };
      heads.set(channel, next);
      if (ingest?.channels.has(channel)) {
        moves.set(channel, { before, after: next });
      }
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
    for (const channel of rehearsal?.relies ?? []) {
      if (heads.has(channel)) continue;
      const { versionstamp } = this.#heads.get(channel)!;
      commit.check({ key: headKey(channel), versionstamp });
    }
    const name = nextId(now);
    commit.set(["commit", name], 1, { expireIn: COMMIT_MEMORY_MS });
    const { announcement } = this.#options;
    if (announcement && store.announcements) {
      const text = announcement(heads, store.announcements.maxBytes);
      store.announcements.attach(commit, text);
    }
    const { entries } = draftCommit;
    const isEmpty = entries.length === 0 && !rehearsal?.relies.size;
    const settle = rehearsal && (() => rehearsal.settle(moves));
    return { commit, entries, name, answers, heads, isEmpty, settle };
  }
}

/** Channels of requests whose messages are judged. */
function judgedChannels(
  ingest: Ingest | undefined,
  groups: readonly (readonly Draft[])[],
): string[] {
  if (!ingest) return [];
  const channels = new Set<string>();
  for (const drafts of groups) {
    for (const { channel } of drafts) {
      if (ingest.channels.has(channel)) channels.add(channel);
    }
  }
  return [...channels];
}
