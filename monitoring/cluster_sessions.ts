/**
 * Who is connected anywhere, and sending someone away: questions that one
 * isolate asks of all through KV.
 *
 * @module
 */
import type { Identity } from "../protocol/replies.ts";
import type { Clock } from "../platform/clock.ts";
import type { Instances } from "./instances.ts";
import type { Sessions } from "../realtime/sessions.ts";

/** How long the others may take to answer a call, in milliseconds. */
export const ANSWER_MS = 1_500;
/** How often answers are looked for, in milliseconds. */
const LOOK_MS = 50;
/** How often KV is asked for calls that no watch rang for, in milliseconds. */
export const ROSTER_POLL_MS = 800;
/** How long a call or an order means anything, in milliseconds. */
const WORD_MS = 10_000;
/** How long words and answers stay in KV at least, in milliseconds. */
const STAY_MS = 60_000;
/** Most sessions one isolate tells of, the longest connected first. */
export const MAX_TOLD_SESSIONS = 2_000;
/** Sessions in one value, which holds at most 64 KiB. */
const SESSIONS_PER_VALUE = 20;
/** Most channels told of one session. */
export const MAX_TOLD_POSITIONS = 16;
/** Most calls and most orders looked at, at a time. */
const MAX_WORDS = 100;
/** Most tries of one commit. */
const MAX_COMMIT_TRIES = 8;
/** Longest first wait for a locked file; each further may be twice as long. */
const FIRST_WAIT_MS = 4;

/** A connection, as operators see it. */
export interface SessionInfo {
  /** Unique name. */
  readonly id: string;
  /** The isolate it is connected to. */
  readonly instance: string;
  /** Its address. */
  readonly ip: string;
  /** Its token's subject; `null` for strangers. */
  readonly user: Identity["user"];
  /** What it may do. */
  readonly role: Identity["role"];
  /** Name and version of the client program, as it said itself. */
  readonly client: string | null;
  /** When it connected, in epoch milliseconds. */
  readonly since: number;
  /** The channels it follows, and how many events behind it is in each. */
  readonly channels: readonly { channel: string; seq: number; lag: number }[];
}

/** What the roster needs. */
export interface RosterOptions {
  /** Carries questions and answers; stays the caller's to close. */
  kv: Deno.Kv;
  /** Time, for waiting and polling. */
  clock: Clock;
  /** Unique name of this isolate. */
  id: string;
  /** Names for calls. */
  nextId: (now: number) => string;
  /** Those connected here. */
  sessions: Sessions;
  /** Who has to answer. */
  instances: Instances;
}

/** Rung at every call and order; holds nothing that matters. */
const BELL = ["roster", "bell"];
const CALLS = ["roster", "call"];
const ORDERS = ["roster", "order"];

/** One question or order, for as long as it means anything. */
interface Word {
  /** A call, or the session to send away. */
  readonly id: string;
  /** When nobody waits for it any more, in epoch milliseconds. */
  readonly until: number;
}

/** Asks, answers, and obeys. */
export class ClusterSessions implements AsyncDisposable {
  readonly #options: RosterOptions;
  readonly #reader: ReadableStreamDefaultReader<unknown>;
  readonly #watching: Promise<void>;
  #timer: Disposable | undefined;
  /** Calls answered that may still be found. */
  #answered: ReadonlySet<string> = new Set();
  #heard: string | undefined;
  #looking: Promise<void> | undefined;
  #lookAgain = false;
  #open = true;

  /** Begins to listen for the others. */
  constructor(options: RosterOptions) {
    this.#options = options;
    this.#reader = options.kv.watch([BELL]).getReader();
    this.#watching = this.#watch();
    this.#poll();
  }

  /**
   * Everyone connected, wherever it is.
   *
   * @returns `complete` is false when an isolate did not answer in time, or
   * left out some.
   * @throws whatever KV throws.
   */
  async list(): Promise<{ sessions: SessionInfo[]; complete: boolean }> {
    const { clock, nextId, instances, id, sessions } = this.#options;
    const own = this.#own();
    const isWhole = own.length === sessions.size;
    const others = (await instances.list()).filter((it) => it.id !== id);
    if (others.length === 0) return { sessions: own, complete: isWhole };
    const call = nextId(clock.now());
    // Nobody asks itself.
    this.#answered = new Set([...this.#answered, call]);
    await this.#ring(CALLS, call);
    const end = clock.now() + ANSWER_MS;
    for (;;) {
      const heard = await this.#heardOf(call);
      const missing = others.some((it) => !heard.has(it.id));
      if (!missing || clock.now() >= end) {
        const answers = await this.#answersTo(call, heard);
        return {
          sessions: [...own, ...answers],
          complete: isWhole && !missing && [...heard.values()].every(Boolean),
        };
      }
      await this.#pause(LOOK_MS);
    }
  }

  /**
   * Sends a client away, wherever it is connected; it may not come back by
   * itself.
   *
   * @param session its name.
   * @throws whatever KV throws.
   */
  async disconnect(session: string): Promise<void> {
    if (!this.#sendAway(session)) await this.#ring(ORDERS, session);
  }

  /** Stops listening. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#open = false;
    this.#timer?.[Symbol.dispose]();
    await this.#reader.cancel().catch(() => {});
    await this.#watching;
    await this.#looking;
  }

  #own(): SessionInfo[] {
    const { sessions, id } = this.#options;
    return Iterator.from(sessions).take(MAX_TOLD_SESSIONS)
      .map(({ session, ip }) => ({
        id: session.id,
        instance: id,
        ip,
        user: session.identity.user,
        role: session.identity.role,
        client: session.client ?? null,
        since: session.since,
        channels: Iterator.from(session.positions)
          .take(MAX_TOLD_POSITIONS).toArray(),
      })).toArray();
  }

  async #ring(kind: Deno.KvKey, id: string): Promise<void> {
    const { kv, clock, nextId } = this.#options;
    const now = clock.now();
    const word: Word = { id, until: now + WORD_MS };
    await this.#commit(() =>
      kv.atomic()
        .set([...kind, id], word, { expireIn: STAY_MS })
        .set(BELL, nextId(now), { expireIn: STAY_MS })
        .commit()
    );
  }

  /** Who has answered, and whether it told of all it has. */
  async #heardOf(call: string): Promise<Map<string, boolean>> {
    const rows = this.#options.kv.list<boolean>({ prefix: doneKey(call) });
    const heard = new Map<string, boolean>();
    for await (const { key, value } of rows) {
      heard.set(key.at(-1) as string, value);
    }
    return heard;
  }

  async #answersTo(
    call: string,
    heard: ReadonlyMap<string, boolean>,
  ): Promise<SessionInfo[]> {
    const answers: SessionInfo[] = [];
    for (const id of heard.keys()) {
      const prefix = answerKey(call, id);
      const rows = this.#options.kv.list<SessionInfo[]>({ prefix });
      for await (const { value } of rows) answers.push(...value);
    }
    return answers;
  }

  async #watch(): Promise<void> {
    try {
      while (!(await this.#reader.read()).done) this.#look();
    } catch {
      // KV went away; the poll goes on.
    }
  }

  #poll(): void {
    this.#look();
    if (!this.#open) return;
    this.#timer = this.#options.clock.after(ROSTER_POLL_MS, () => this.#poll());
  }

  /** What rings during a look is looked at after it. */
  #look(): void {
    if (!this.#open) return;
    this.#lookAgain = this.#looking !== undefined;
    this.#looking ??= this.#attend().catch(() => {
      // The next look hears the same bell.
      this.#heard = undefined;
    }).finally(() => {
      this.#looking = undefined;
      if (this.#lookAgain) this.#look();
    });
  }

  async #attend(): Promise<void> {
    const { kv } = this.#options;
    const { value } = await kv.get<string>(BELL);
    if (value === null || value === this.#heard) return;
    this.#heard = value;
    for (const { id } of await this.#words(ORDERS)) this.#sendAway(id);
    const calls = await this.#words(CALLS);
    const answered = this.#answered;
    this.#answered = new Set(calls.map(({ id }) => id));
    for (const { id } of calls) if (!answered.has(id)) await this.#answer(id);
  }

  async #words(kind: Deno.KvKey): Promise<Word[]> {
    const { kv, clock } = this.#options;
    const rows = kv.list<Word>({ prefix: kind }, {
      limit: MAX_WORDS,
      // The latest names are the newest calls.
      reverse: true,
    });
    const words = await Array.fromAsync(rows, ({ value }) => value);
    return words.filter(({ until }) => until > clock.now());
  }

  /** One value a commit: together they might be too much for one. */
  async #answer(call: string): Promise<void> {
    const { kv, id, sessions } = this.#options;
    const own = this.#own();
    const options = { expireIn: STAY_MS };
    for (let i = 0; i < own.length; i += SESSIONS_PER_VALUE) {
      const some = own.slice(i, i + SESSIONS_PER_VALUE);
      const key = [...answerKey(call, id), i];
      await this.#commit(() => kv.set(key, some, options));
    }
    const isWhole = own.length === sessions.size;
    const key = [...doneKey(call), id];
    await this.#commit(() => kv.set(key, isWhole, options));
  }

  /** Tries again with jitter while another isolate holds the file. */
  async #commit(commit: () => Promise<unknown>): Promise<void> {
    for (let tries = 1;; tries++) {
      try {
        await commit();
        return;
      } catch (error) {
        const isLocked = error instanceof Error &&
          error.message.includes("locked");
        if (!isLocked || tries === MAX_COMMIT_TRIES) throw error;
      }
      await this.#pause(Math.random() * FIRST_WAIT_MS * 2 ** (tries - 1));
    }
  }

  #sendAway(id: string): boolean {
    const listed = this.#options.sessions.get(id);
    listed?.session.disconnect("FORBIDDEN", "Sent away by an operator");
    return listed !== undefined;
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => this.#options.clock.after(ms, resolve));
  }
}

function doneKey(call: string): Deno.KvKey {
  return ["roster", "done", call];
}

function answerKey(call: string, isolate: string): Deno.KvKey {
  return ["roster", "answer", call, isolate];
}
