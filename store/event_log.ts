/**
 * The log in Deno KV: the truth that everything else only hints at.
 *
 * `["head", channel]` holds the log's epoch and newest number,
 * `["log", channel, seq, part]` a row of events up to that number (see
 * `rows.ts`), `["id", channel, id]` where a publisher's message went, `["state",
 * key]` the newest event about one thing, and `["commit", name]` that a commit
 * took effect, should its answer be lost.
 *
 * @module
 */
import { encodeEvent } from "../protocol/encode.ts";
import type { Tags } from "../protocol/messages.ts";
import { Refusal } from "../protocol/refusals.ts";
import { backoffMs } from "../platform/backoff.ts";
import type { Growth } from "../platform/backoff.ts";
import type { Clock } from "../platform/clock.ts";
import { Deadline, within } from "../platform/deadline.ts";
import { pause } from "../platform/pause.ts";
import { systemRandom } from "../platform/random.ts";
import type { Random } from "../platform/random.ts";
import type { LoggedEntry } from "./entry.ts";
import { isBusy } from "./store.ts";
import {
  entryIn,
  eventsIn,
  firstIn,
  lineOf,
  packed,
  PART_BYTES,
  partsOf,
  ROW_EVENTS,
  tagsText,
} from "./rows.ts";
import type { Part, Row } from "./rows.ts";
import type { Tracing } from "../platform/tracing.ts";
import type { Check, Commit, Selector, Store } from "./store.ts";

/**
 * Most a commit carries, keys included. KV allows 800 KiB.
 * @see {@link https://docs.deno.com/api/deno/~/Deno.AtomicOperation}
 */
export const COMMIT_BYTES = 700_000;
/** Most a commit's keys take together. KV allows 80 KiB. */
export const COMMIT_KEY_BYTES = 75_000;
/** Most mutations in a commit besides heads; KV allows 1,000 in all. */
export const COMMIT_MUTATIONS = 890;
/** Most channels in a commit; KV allows 100 checks. */
export const COMMIT_CHANNELS = 100;
/** Rows read at once: about as many as a page of shared ones holds. */
const LIST_BATCH = 16;
/** Keys one `getMany` may ask for. */
const GET_MANY = 10;
/** What an event weighs besides its payload, in bytes, at most. */
const ENVELOPE_BYTES = 600;
/** What a mutation weighs besides names and values, in bytes. */
const MUTATION_BYTES = 100;
/** What a key holds besides names, in bytes. */
const KEY_BYTES = 40;
/** Bytes of UTF-8 in one UTF-16 unit, at most. */
const UNIT_BYTES = 3;
/** How long a latest state is kept at least, in milliseconds: seven days. */
export const STATE_MS = 7 * 24 * 3_600_000;
/** How long a publisher's `id` is remembered, in milliseconds. */
export const ID_MEMORY_MS = 600_000;
/** How long a commit is tried before its publishers are refused. */
export const COMMIT_DEADLINE_MS = 3_000;
/** How long to look, after that, whether a lost commit took effect. */
export const LAST_LOOK_MS = 1_000;
/** Longest single look at that, in milliseconds. */
const LOOK_MS = 400;
/** How long a commit can be looked for, in milliseconds. */
const COMMIT_MEMORY_MS = 60_000;
/** How long KV may take to answer a read, in milliseconds. */
export const READ_DEADLINE_MS = 3_000;
/** Ceilings of the wait after a lost race or a locked file. */
const RETRY_GROWTH: Growth = { baseMs: 2, capMs: 100 };
/** Most events waiting for a commit; beyond, publishers are told to wait. */
export const MAX_WAITING_EVENTS = 20_000;
/** Most bytes waiting for a commit. */
export const MAX_WAITING_BYTES = 64 * 1024 * 1024;
/** Heads remembered between commits. */
const MAX_CACHED_HEADS = 20_000;
/** Events of a channel between two trims of it. */
export const TRIM_EVERY = 100;
/** Rows deleted in one commit of a trim. */
const TRIM_ROWS = 500;
/**
 * How many times longer than its events a head is kept: a room nobody uses any
 * more leaves nothing behind.
 */
const HEAD_OUTLIVES = 2;
/** Epoch of a channel that has had no event yet; nothing comes before it. */
export const UNBORN_EPOCH = "0";

/** Where a channel's log ends. */
export interface Head {
  /** Identity of the log; {@link UNBORN_EPOCH} before its first event. */
  readonly epoch: string;
  /** Newest number; 0 before the first event. */
  readonly seq: number;
}

/** An event on its way into the log. */
export interface Draft {
  /** Canonical name of its channel. */
  readonly channel: string;
  /** Its message type. */
  readonly type: string;
  /** Its payload as JSON. */
  readonly payloadText: string;
  /** What it can be filtered by. */
  readonly tags: Tags;
  /** The publisher's idempotency key. */
  readonly id: string | undefined;
  /** What it is the latest state of: keys to ask by, the lasting one first. */
  readonly keys: readonly string[];
  /** The publish it belongs to, as a W3C `traceparent`; absent when not traced. */
  readonly trace?: string;
}

/** What a page holds. */
export interface PageRange {
  /** The last number before the page. */
  readonly after: number;
  /** The last number that may be in it. */
  readonly upTo: number;
  /** Most events in it. */
  readonly limit: number;
  /** The page ends early after so many bytes, never before one event. */
  readonly maxBytes: number;
  /** Takes the page from the end of the range instead of its start. */
  readonly newest?: boolean;
}

/** Numbers from one to another, both included. */
export interface SeqRange {
  /** The first. */
  readonly from: number;
  /** The last. */
  readonly to: number;
}

/** Events of a channel, in the order of their numbers. */
export interface LogPage {
  /** Numbers may be missing where retention has begun to delete them. */
  readonly entries: readonly LoggedEntry[];
  /** Numbers whose events are stored but cannot be read any more, in order. */
  readonly unreadable: readonly SeqRange[];
}

/** Where a draft came to stand. */
export interface Place {
  /** The publisher's id, or the server's. */
  readonly id: string;
  /** Canonical name of the channel. */
  readonly channel: string;
  /** Identity of the log. */
  readonly epoch: string;
  /** Position in it, from 1. */
  readonly seq: number;
}

/** How much of a channel is kept. */
export interface Retention {
  /** Newest events kept, at least. */
  readonly events: number;
  /** How long an event is kept at least, in milliseconds. */
  readonly ms: number;
}

/** What happened in the log, for those who count. */
export interface LogObserver {
  /** A commit succeeded. */
  committed?(events: number, ms: number): void;
  /** A commit lost a race and is tried again. */
  conflicted?(): void;
  /** A commit or read failed. */
  failed?(error: unknown): void;
}

/** What the log needs. */
export interface EventLogOptions {
  /** Stays the caller's to close. */
  kv: Store;
  /** Time, for retries and the `timestamp` of events. */
  clock: Clock;
  /** Names for events whose publisher gave none, and for epochs. */
  nextId: (now: number) => string;
  /** How much of `channel` is kept. */
  retention: (channel: string) => Retention;
  /** Uniform in [0, 1), for jitter. */
  random?: Random;
  /** Hears of commits, conflicts and failures. */
  observer?: LogObserver;
  /** Tells which publishes a commit took; nobody is told when absent. */
  tracing?: Tracing | undefined;
}

/** A latest state: the event itself, or where to look for it. */
type State =
  | Uint8Array
  | { readonly key: string }
  | { readonly channel: string; readonly epoch: string; readonly seq: number };

interface Request {
  readonly drafts: readonly Draft[];
  readonly bytes: number;
  readonly keyBytes: number;
  readonly mutations: number;
  readonly resolve: (places: readonly Place[]) => void;
  readonly reject: (error: unknown) => void;
}

interface CachedHead extends Head {
  readonly versionstamp: string | null;
}

interface Remembered {
  readonly epoch: string;
  readonly seq: number;
  readonly until: number;
}

/** One try at a commit, kept until it is known whether it took effect. */
interface Attempt {
  readonly operation: Commit;
  readonly events: readonly LoggedEntry[];
  /** Stands in KV once the commit took effect, when its events may not. */
  readonly name: string;
  readonly places: readonly (readonly Place[])[];
  readonly heads: ReadonlyMap<string, Head>;
}

/**
 * Appends and reads events. What arrives while a commit is in flight goes with
 * the next: one atomic commit for many messages and channels, checked against
 * the heads.
 */
export class EventLog {
  readonly #kv: Store;
  readonly #clock: Clock;
  readonly #nextId: (now: number) => string;
  readonly #retention: (channel: string) => Retention;
  readonly #random: Random;
  readonly #observer: LogObserver;
  readonly #tracing: Tracing | undefined;
  readonly #heads = new Map<string, CachedHead>();
  readonly #encoder = new TextEncoder();
  #waiting: Request[] = [];
  #waitingEvents = 0;
  #waitingBytes = 0;
  #running: Promise<void> | undefined;
  #trims = new Map<string, number>();
  #trimming: Promise<void> | undefined;
  #onCommit: (events: readonly LoggedEntry[]) => void = () => {};

  /** Opens nothing yet: the first append or read does. */
  constructor(options: EventLogOptions) {
    this.#kv = options.kv;
    this.#clock = options.clock;
    this.#nextId = options.nextId;
    this.#retention = options.retention;
    this.#random = options.random ?? systemRandom;
    this.#observer = options.observer ?? {};
    this.#tracing = options.tracing;
  }

  /**
   * Names who hears of this log's own commits: once for each, events in the
   * order of their numbers, before the publishers do.
   *
   * @param listener must not throw.
   */
  onCommit(listener: (events: readonly LoggedEntry[]) => void): void {
    this.#onCommit = listener;
  }

  /**
   * Appends events, all or none, in their order.
   *
   * @param drafts at least one; together small enough for one commit.
   * @returns where each stands; for an `id` seen within
   * {@link ID_MEMORY_MS}, where it came to stand then.
   * @throws {Refusal} `MESSAGE_TOO_LARGE` when they do not fit in one commit,
   * `STORE_UNAVAILABLE` when the commit failed or too much waits.
   */
  append(drafts: readonly Draft[]): Promise<readonly Place[]> {
    let bytes = 0;
    let keyBytes = 0;
    let mutations = 0;
    const channels = new Set<string>();
    for (const { channel, payloadText, tags, keys, id = "" } of drafts) {
      channels.add(channel);
      const size = this.#encoder.encode(payloadText).byteLength +
        this.#encoder.encode(tagsText(tags)).byteLength + ENVELOPE_BYTES;
      const rows = Math.floor(size / PART_BYTES) + (id === "" ? 1 : 2);
      mutations += rows + keys.length;
      bytes += size + (rows + keys.length) * MUTATION_BYTES;
      keyBytes += (rows + 1) * (channel.length + KEY_BYTES) + id.length;
      if (keys.length > 0 && size < PART_BYTES) bytes += size;
      for (const key of keys) {
        keyBytes += this.#encoder.encode(key).byteLength + KEY_BYTES;
        // The lasting key stands in the rows of the others.
        bytes += keys[0]!.length * UNIT_BYTES;
      }
    }
    bytes += keyBytes;
    if (
      bytes > COMMIT_BYTES || keyBytes > COMMIT_KEY_BYTES ||
      mutations > COMMIT_MUTATIONS || channels.size > COMMIT_CHANNELS
    ) {
      throw new Refusal(
        "MESSAGE_TOO_LARGE",
        `What is published together may hold about ${COMMIT_BYTES} bytes and ${COMMIT_CHANNELS} channels; send less at once`,
      );
    }
    if (
      this.#waitingEvents + drafts.length > MAX_WAITING_EVENTS ||
      this.#waitingBytes + bytes > MAX_WAITING_BYTES
    ) {
      throw new Refusal(
        "STORE_UNAVAILABLE",
        "Too much is waiting to be stored; try again",
        { retryAfterMs: COMMIT_DEADLINE_MS },
      );
    }
    const { promise, resolve, reject } = Promise.withResolvers<
      readonly Place[]
    >();
    this.#waiting.push({
      drafts,
      bytes,
      keyBytes,
      mutations,
      resolve,
      reject,
    });
    this.#waitingEvents += drafts.length;
    this.#waitingBytes += bytes;
    this.#running ??= this.#run();
    return promise;
  }

  /** Resolves when nothing waits for a commit any more. */
  async settled(): Promise<void> {
    await this.#running;
    await this.#trimming;
  }

  /**
   * Reads where channels' logs end.
   *
   * @param channels canonical names.
   * @returns their heads, in the same order.
   * @throws whatever KV throws.
   */
  heads(channels: readonly string[]): Promise<Head[]> {
    return this.#timely(this.#readHeads(channels));
  }

  async #readHeads(channels: readonly string[]): Promise<Head[]> {
    const heads: Head[] = [];
    for (let i = 0; i < channels.length; i += GET_MANY) {
      const keys = channels.slice(i, i + GET_MANY).map((name) => [
        "head",
        name,
      ]);
      for (const { value } of await this.#kv.getMany<Head>(keys)) {
        heads.push(value ?? { epoch: UNBORN_EPOCH, seq: 0 });
      }
    }
    return heads;
  }

  /**
   * Reads the oldest number still kept.
   *
   * @param channel canonical name.
   * @returns 1 or more; one past the head when nothing is kept.
   * @throws whatever KV throws.
   */
  oldest(channel: string): Promise<number> {
    return this.#timely(this.#readOldest(channel));
  }

  async #readOldest(channel: string): Promise<number> {
    const [head] = await this.#readHeads([channel]);
    // Rows may outlive the head of their log: they are nobody's then.
    if (head!.epoch === UNBORN_EPOCH) return 1;
    const rows = this.#kv.list<Uint8Array>({ prefix: ["log", channel] }, {
      limit: 1,
    });
    for await (const { key, value } of rows) {
      return firstIn(key[2] as number, value);
    }
    return head!.seq + 1;
  }

  /**
   * Reads events in the order of their numbers.
   *
   * @param channel canonical name.
   * @param range which, and how many of them.
   * @throws whatever KV throws.
   */
  read(channel: string, range: PageRange): Promise<LogPage> {
    return this.#timely(this.#readPage(channel, range));
  }

  async #readPage(
    channel: string,
    { after, upTo, limit, maxBytes, newest = false }: PageRange,
  ): Promise<LogPage> {
    if (upTo <= after || limit < 1) return { entries: [], unreadable: [] };
    const rows = this.#kv.list<Uint8Array>({
      start: ["log", channel, after + 1],
      // The last of the range may lie in a row that ends beyond it.
      end: ["log", channel, upTo + ROW_EVENTS],
    }, { reverse: newest, batchSize: LIST_BATCH });
    const page: LoggedEntry[] = [];
    let bytes = 0;
    let parts: Part[] = [];
    let last = 0;
    const isFull = () =>
      page.length === limit || (page.length > 0 && bytes >= maxBytes);
    const takeRow = () => {
      const events = eventsIn(newest ? parts.reverse() : parts);
      parts = [];
      const first = last - events.length + 1;
      const numbered = events.map((event, i) => ({ seq: first + i, event }));
      for (const { seq, event } of newest ? numbered.reverse() : numbered) {
        if (seq <= after || seq > upTo || isFull()) continue;
        const entry = entryIn(event, channel, seq);
        bytes += entry.json.length;
        page.push(entry);
      }
    };
    for await (const { key, value } of rows) {
      if (key[2] !== last) {
        takeRow();
        if (isFull() || (!newest && last >= upTo)) break;
        last = key[2] as number;
      }
      parts.push({ number: key[3] as number, bytes: value });
    }
    takeRow();
    return { entries: newest ? page.reverse() : page, unreadable: [] };
  }

  /**
   * Reads the newest event about something.
   *
   * @param key as in {@link Draft.keys}.
   * @returns its text, or nothing when none is known any more.
   * @throws whatever KV throws.
   */
  latest(key: string): Promise<string | undefined> {
    return this.#timely(this.#readLatest(key));
  }

  async #readLatest(key: string): Promise<string | undefined> {
    let { value: state } = await this.#kv.get<State>(["state", key]);
    if (state && "key" in state) {
      ({ value: state } = await this.#kv.get<State>(["state", state.key]));
    }
    if (!state || "key" in state) return undefined;
    if (state instanceof Uint8Array) return new TextDecoder().decode(state);
    const { channel, epoch, seq } = state;
    const [head] = await this.#readHeads([channel]);
    if (head!.epoch !== epoch) return undefined;
    const { entries: [entry] } = await this.#readPage(channel, {
      after: seq - 1,
      upTo: seq,
      limit: 1,
      maxBytes: 0,
    });
    return entry?.json;
  }

  async #run(): Promise<void> {
    // What arrives in the same turn as the first goes with it.
    await Promise.resolve();
    while (this.#waiting.length > 0) {
      const group = this.#nextGroup();
      try {
        const places = await this.#traced(group.map(({ drafts }) => drafts));
        group.forEach(({ resolve }, i) => resolve(places[i]!));
      } catch (error) {
        this.#observer.failed?.(error);
        const refusal = error instanceof Refusal
          ? error
          : new Refusal("STORE_UNAVAILABLE", undefined, {
            cause: error,
            retryAfterMs: COMMIT_DEADLINE_MS,
          });
        for (const { reject } of group) reject(refusal);
      }
    }
    this.#running = undefined;
  }

  #nextGroup(): Request[] {
    const channels = new Set<string>();
    let bytes = 0;
    let keyBytes = 0;
    let mutations = 0;
    let size = 0;
    for (const request of this.#waiting) {
      for (const { channel } of request.drafts) channels.add(channel);
      bytes += request.bytes;
      keyBytes += request.keyBytes;
      mutations += request.mutations;
      const full = bytes > COMMIT_BYTES || keyBytes > COMMIT_KEY_BYTES ||
        channels.size > COMMIT_CHANNELS ||
        mutations + channels.size > COMMIT_MUTATIONS + COMMIT_CHANNELS;
      if (full && size > 0) break;
      size++;
    }
    const group = this.#waiting.splice(0, size);
    for (const request of group) {
      this.#waitingEvents -= request.drafts.length;
      this.#waitingBytes -= request.bytes;
    }
    return group;
  }

  /** Commits, told as one piece of work of all the publishes in it. */
  #traced(
    groups: readonly (readonly Draft[])[],
  ): Promise<readonly (readonly Place[])[]> {
    if (!this.#tracing) return this.#commit(groups);
    const drafts = groups.flat();
    const traces = new Set(drafts.flatMap(({ trace }) => trace ?? []));
    return this.#tracing.commit(
      [...traces],
      drafts.length,
      () => this.#commit(groups),
    );
  }

  async #commit(
    groups: readonly (readonly Draft[])[],
  ): Promise<readonly (readonly Place[])[]> {
    const began = this.#clock.now();
    using deadline = new Deadline(
      this.#clock,
      COMMIT_DEADLINE_MS,
      "The store",
    );
    const unsure = new Set<Attempt>();
    let last: unknown;
    for (let tries = 0; this.#inTime(began); tries++) {
      if (tries > 0) await this.#pause(tries);
      let attempt: Attempt | undefined;
      try {
        for (const earlier of unsure) {
          if (await this.#took(earlier)) {
            return this.#done(earlier, began);
          }
        }
        const prepared = this.#prepare(groups);
        attempt = prepared instanceof Promise
          ? await deadline.race(prepared)
          : prepared;
        if (attempt.events.length === 0) return attempt.places;
        unsure.add(attempt);
        const result = await deadline.race(attempt.operation.commit());
        if (result.ok) return this.#done(attempt, began, result.versionstamp);
        unsure.delete(attempt);
        this.#observer.conflicted?.();
      } catch (error) {
        last = error;
        if (attempt && isBusy(error)) unsure.delete(attempt);
        if (isBusy(error)) this.#observer.conflicted?.();
        else this.#observer.failed?.(error);
      }
      for (const { channel } of groups.flat()) this.#heads.delete(channel);
    }
    const took = await this.#lastLook(unsure);
    if (took) return this.#done(took, began);
    throw last ?? new Error("Too many writers of one channel");
  }

  #inTime(began: number): boolean {
    return this.#clock.now() - began < COMMIT_DEADLINE_MS;
  }

  /** Gives up waiting for the store after `ms`. */
  #timely<T>(work: Promise<T>, ms: number = READ_DEADLINE_MS): Promise<T> {
    return within(this.#clock, ms, "The store", work);
  }

  /** The time is up: nobody may be refused whose event is kept. */
  async #lastLook(unsure: ReadonlySet<Attempt>): Promise<Attempt | undefined> {
    const began = this.#clock.now();
    for (let tries = 1; unsure.size > 0; tries++) {
      if (this.#clock.now() - began >= LAST_LOOK_MS) return undefined;
      try {
        for (const attempt of unsure) {
          if (await this.#took(attempt)) return attempt;
        }
        return undefined;
      } catch (error) {
        this.#observer.failed?.(error);
        await this.#pause(tries);
      }
    }
  }

  #pause(tries: number): Promise<void> {
    const ms = Math.ceil(backoffMs(tries, RETRY_GROWTH, this.#random));
    return pause(this.#clock, ms);
  }

  /** Whether a commit whose answer was lost has taken effect after all. */
  async #took({ name }: Attempt): Promise<boolean> {
    const look = this.#kv.get(["commit", name]);
    return (await this.#timely(look, LOOK_MS)).value !== null;
  }

  #done(
    { events, places, heads }: Attempt,
    began: number,
    versionstamp?: string,
  ): readonly (readonly Place[])[] {
    for (const [channel, head] of heads) {
      this.#heads.delete(channel);
      if (versionstamp !== undefined) {
        this.#heads.set(channel, { ...head, versionstamp });
      }
    }
    for (const channel of this.#heads.keys()) {
      if (this.#heads.size <= MAX_CACHED_HEADS) break;
      this.#heads.delete(channel);
    }
    this.#observer.committed?.(events.length, this.#clock.now() - began);
    this.#onCommit(events);
    this.#considerTrim(events);
    return places;
  }

  /** Prepares one commit, at once unless something must be read first. */
  #prepare(groups: readonly (readonly Draft[])[]): Attempt | Promise<Attempt> {
    const isKnown = groups.every((drafts) =>
      drafts.every(({ channel, id }) =>
        id === undefined && this.#heads.has(channel)
      )
    );
    return isKnown ? this.#attempt(groups, new Map()) : this.#learn(groups);
  }

  async #learn(groups: readonly (readonly Draft[])[]): Promise<Attempt> {
    const drafts = groups.flat();
    await this.#learnHeads(new Set(drafts.map(({ channel }) => channel)));
    return this.#attempt(groups, await this.#rememberedIds(drafts));
  }

  /** Numbers, texts, checks, and repeated ids answered. */
  #attempt(
    groups: readonly (readonly Draft[])[],
    remembered: ReadonlyMap<string, Remembered>,
  ): Attempt {
    const now = this.#clock.now();
    const operation = this.#kv.atomic();
    const heads = new Map<string, Head>();
    const events: LoggedEntry[] = [];
    const kept = new Map<string, Row[]>();
    const placed = new Map<string, Place>();
    const states = new Map<string, State>();
    const place = (draft: Draft): Place => {
      const { channel, type, payloadText, id } = draft;
      const key = id === undefined ? undefined : idKey(channel, id);
      const before = key === undefined
        ? undefined
        : placed.get(key) ?? remembered.get(key);
      if (before) return { id: id!, channel, ...position(before) };
      const head = heads.get(channel) ?? this.#nextHead(channel, now);
      const seq = head.seq + 1;
      const { epoch } = head;
      heads.set(channel, { epoch, seq });
      const name = id ?? this.#nextId(now);
      const json = encodeEvent(type, payloadText, { channel, seq, epoch }, {
        id: name,
        now,
      });
      const { tags } = draft;
      const entry = { channel, epoch, seq, type, at: now, tags, json };
      events.push(draft.trace ? { ...entry, trace: draft.trace } : entry);
      const row = { seq, bytes: lineOf(entry) };
      if (!kept.get(channel)?.push(row)) kept.set(channel, [row]);
      for (const [key, state] of statesOf(draft, json, { epoch, seq })) {
        states.set(key, state);
      }
      const result = { id: name, channel, epoch, seq };
      if (key !== undefined) {
        placed.set(key, result);
        const value: Remembered = { epoch, seq, until: now + ID_MEMORY_MS };
        operation.set(["id", channel, id!], value, { expireIn: ID_MEMORY_MS });
      }
      return result;
    };
    const places = groups.map((group) => group.map(place));
    for (const [channel, rows] of kept) this.#addRows(operation, channel, rows);
    for (const [key, state] of states) {
      operation.set(["state", key], state, { expireIn: STATE_MS });
    }
    for (const [channel, head] of heads) {
      const { versionstamp } = this.#heads.get(channel)!;
      operation.check({ key: ["head", channel], versionstamp });
      const expireIn = this.#retention(channel).ms * HEAD_OUTLIVES;
      operation.set(["head", channel], head, { expireIn });
    }
    const name = this.#nextId(now);
    operation.set(["commit", name], 1, { expireIn: COMMIT_MEMORY_MS });
    return { operation, events, name, places, heads };
  }

  #nextHead(channel: string, now: number): Head {
    const { epoch, seq } = this.#heads.get(channel)!;
    return epoch === UNBORN_EPOCH ? { epoch: this.#nextId(now), seq } : {
      epoch,
      seq,
    };
  }

  #addRows(
    operation: Commit,
    channel: string,
    events: readonly Row[],
  ): void {
    const expireIn = this.#retention(channel).ms;
    for (const row of packed(events)) {
      for (const [part, bytes] of partsOf(row).entries()) {
        operation.set(["log", channel, row.seq, part], bytes, { expireIn });
      }
    }
  }

  async #learnHeads(channels: ReadonlySet<string>): Promise<void> {
    const unknown = [...channels].filter((name) => !this.#heads.has(name));
    for (let i = 0; i < unknown.length; i += GET_MANY) {
      const names = unknown.slice(i, i + GET_MANY);
      const entries = await this.#kv.getMany<Head>(
        names.map((name) => ["head", name]),
      );
      for (const [j, { value, versionstamp }] of entries.entries()) {
        if (!value) await this.#clear(names[j]!);
        const head = value ?? { epoch: UNBORN_EPOCH, seq: 0 };
        this.#heads.set(names[j]!, { ...head, versionstamp });
      }
    }
  }

  /**
   * Removes what an older log of the name left, before a new one begins; not
   * when another isolate has begun one meanwhile.
   */
  async #clear(channel: string): Promise<void> {
    const unborn = { key: ["head", channel], versionstamp: null };
    while (await this.#deleteRows({ prefix: ["log", channel] }, unborn) > 0);
  }

  async #rememberedIds(
    drafts: readonly Draft[],
  ): Promise<Map<string, Remembered>> {
    const found = new Map<string, Remembered>();
    const named = drafts.filter(({ id }) => id !== undefined);
    const reads: Promise<void>[] = [];
    for (let i = 0; i < named.length; i += GET_MANY) {
      const some = named.slice(i, i + GET_MANY);
      const keys = some.map(({ channel, id }) => ["id", channel, id!]);
      reads.push(
        this.#kv.getMany<Remembered>(keys).then((entries) => {
          for (const [j, { value }] of entries.entries()) {
            // `expireIn` is the earliest time of deletion, not the time.
            if (!value || value.until <= this.#clock.now()) continue;
            found.set(idKey(some[j]!.channel, some[j]!.id!), value);
          }
        }),
      );
    }
    await Promise.all(reads);
    return found;
  }

  /** Trims channels that have grown enough since, beside the hot path. */
  #considerTrim(events: readonly LoggedEntry[]): void {
    for (const { channel, seq } of events) {
      if (seq % TRIM_EVERY === 0) this.#trims.set(channel, seq);
    }
    if (this.#trims.size > 0) this.#trimming ??= this.#trim();
  }

  async #trim(): Promise<void> {
    for (const [channel, seq] of this.#trims) {
      this.#trims.delete(channel);
      const last = seq - this.#retention(channel).events;
      if (last < 1) continue;
      const range = {
        start: ["log", channel, 0],
        end: ["log", channel, last + 1],
      };
      try {
        while (await this.#deleteRows(range) === TRIM_ROWS);
      } catch (error) {
        // The next trim of the channel takes these rows too.
        if (!isBusy(error)) this.#observer.failed?.(error);
      }
    }
    this.#trimming = undefined;
  }

  async #deleteRows(
    selector: Selector,
    ...checks: Check[]
  ): Promise<number> {
    const operation = this.#kv.atomic().check(...checks);
    let rows = 0;
    for await (const { key } of this.#kv.list(selector, { limit: TRIM_ROWS })) {
      operation.delete(key);
      rows++;
    }
    if (rows === 0) return 0;
    const { ok } = await operation.commit();
    return ok ? rows : 0;
  }
}

/** What to keep of an event so that its subject can be asked for. */
function statesOf(
  { keys, channel }: Draft,
  json: string,
  { epoch, seq }: Head,
): [string, State][] {
  const [lasting, ...others] = keys;
  if (lasting === undefined) return [];
  const bytes = new TextEncoder().encode(json);
  const state = bytes.byteLength <= PART_BYTES
    ? bytes
    : { channel, epoch, seq };
  // A block may be named like its height.
  const aliases = others.filter((key) => key !== lasting);
  return [
    [lasting, state],
    ...aliases.map((key): [string, State] => [key, { key: lasting }]),
  ];
}

function idKey(channel: string, id: string): string {
  // A channel's name holds no space.
  return `${channel} ${id}`;
}

function position({ epoch, seq }: { epoch: string; seq: number }): Head {
  return { epoch, seq };
}
