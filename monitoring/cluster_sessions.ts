/**
 * Sessions of the whole cluster: listing and disconnecting them, by questions
 * that one instance asks of all through the store.
 *
 * @module
 */
import type { Identity } from "../protocol/replies.ts";
import type { Clock } from "../platform/clock.ts";
import { pause } from "../platform/pause.ts";
import { retryWhileBusy } from "../platform/retry.ts";
import type { Instances } from "./instances.ts";
import type { Sessions } from "../realtime/sessions.ts";
import { isBusy } from "../store/store.ts";
import type { Key, Store } from "../store/store.ts";

/** How long the others may take to answer a call, in milliseconds. */
export const ANSWER_MS = 1_500;
/** How often answers are looked for, in milliseconds. */
const LOOK_MS = 50;
/** How often the store is asked for calls that no watch reported, in milliseconds. */
export const ROSTER_POLL_MS = 800;
/** How long calls, orders and answers are stored at least, in milliseconds. */
const STAY_MS = 60_000;
/** Most sessions that one instance lists, the longest connected first. */
export const MAX_TOLD_SESSIONS = 2_000;
/** Sessions in one value, which holds at most 64 KiB. */
const SESSIONS_PER_VALUE = 20;
/** Most channels listed of one session. */
export const MAX_TOLD_POSITIONS = 16;
/** Most calls and most orders read at a time. */
const MAX_WORDS = 100;

/** A connection, as operators see it. */
export interface SessionInfo {
  /** Unique name. */
  readonly id: string;
  /** The instance it is connected to. */
  readonly instance: string;
  /** Its address. */
  readonly ip: string;
  /** Its token's subject; `null` without a token. */
  readonly user: Identity["user"];
  /** Its role. */
  readonly role: Identity["role"];
  /** Name and version of the client program, as the client gave them. */
  readonly client: string | null;
  /** When it connected, in epoch milliseconds. */
  readonly since: number;
  /** The channels it follows, and how many events behind it is in each. */
  readonly channels: readonly { channel: string; seq: number; lag: number }[];
}

/** What {@link ClusterSessions} needs. */
export interface ClusterSessionsOptions {
  /** Carries questions and answers; stays the caller's to close. */
  kv: Store;
  /** Time, for waiting and polling. */
  clock: Clock;
  /** Unique name of this instance. */
  id: string;
  /** Names for calls. */
  nextId: (now: number) => string;
  /** Sessions of this instance. */
  sessions: Sessions;
  /** Knows which instances have to answer. */
  instances: Instances;
}

/** Changes at every call and order. */
const BELL = ["roster", "bell"];
const CALLS = ["roster", "call"];
const ORDERS = ["roster", "order"];

/** Asks the other instances, and answers them. */
export class ClusterSessions implements AsyncDisposable {
  readonly #options: ClusterSessionsOptions;
  readonly #reader: ReadableStreamDefaultReader<unknown>;
  readonly #watching: Promise<void>;
  #timer: Disposable | undefined;
  /** Stored calls that need no answer; nothing before the first look. */
  #answered: ReadonlySet<string> | undefined;
  /** Calls of this instance that wait for answers. */
  readonly #asked = new Set<string>();
  /** What {@link BELL} held at the last look. */
  #seen: string | undefined;
  #looking: Promise<void> | undefined;
  #lookAgain = false;
  #open = true;

  /** Starts to answer the others. */
  constructor(options: ClusterSessionsOptions) {
    this.#options = options;
    this.#reader = options.kv.watch([BELL]).getReader();
    this.#watching = this.#watch();
    this.#poll();
  }

  /**
   * All sessions, of every instance.
   *
   * @returns `complete` is false when an instance did not answer in time, or
   * left out some.
   * @throws what the store throws.
   */
  async list(): Promise<{ sessions: SessionInfo[]; complete: boolean }> {
    const { clock, nextId, instances, id, sessions } = this.#options;
    const own = this.#own();
    const isWhole = own.length === sessions.size;
    const others = (await instances.list()).filter((it) => it.id !== id);
    if (others.length === 0) return { sessions: own, complete: isWhole };
    const call = nextId(clock.now());
    this.#asked.add(call);
    try {
      await this.#ring(CALLS, call);
      const end = clock.monotonic() + ANSWER_MS;
      for (;;) {
        const answered = await this.#answeredTo(call);
        const missing = others.some((it) => !answered.has(it.id));
        if (!missing || clock.monotonic() >= end) {
          const answers = await this.#answersTo(call, answered);
          const areWhole = [...answered.values()].every(Boolean);
          return {
            sessions: [...own, ...answers],
            complete: isWhole && !missing && areWhole,
          };
        }
        await pause(clock, LOOK_MS);
      }
    } finally {
      this.#asked.delete(call);
    }
  }

  /**
   * Disconnects a session of any instance; its client does not reconnect by
   * itself.
   *
   * @param session its name.
   * @throws what the store throws.
   */
  async disconnect(session: string): Promise<void> {
    if (!this.#disconnect(session)) await this.#ring(ORDERS, session);
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

  async #ring(kind: Key, id: string): Promise<void> {
    const { kv, clock, nextId } = this.#options;
    await this.#commit(() =>
      kv.atomic()
        .set([...kind, id], id, { expireIn: STAY_MS })
        .set(BELL, nextId(clock.now()), { expireIn: STAY_MS })
        .commit()
    );
  }

  /** Instances that answered, and whether each listed all its sessions. */
  async #answeredTo(call: string): Promise<Map<string, boolean>> {
    const rows = this.#options.kv.list<boolean>({ prefix: doneKey(call) });
    const answered = new Map<string, boolean>();
    for await (const { key, value } of rows) {
      answered.set(key.at(-1) as string, value);
    }
    return answered;
  }

  async #answersTo(
    call: string,
    answered: ReadonlyMap<string, boolean>,
  ): Promise<SessionInfo[]> {
    const answers: SessionInfo[] = [];
    for (const id of answered.keys()) {
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
      // The store is unreachable; polling goes on.
    }
  }

  #poll(): void {
    this.#look();
    if (!this.#open) return;
    this.#timer = this.#options.clock.after(ROSTER_POLL_MS, () => this.#poll());
  }

  /** A change during a look is looked at after it. */
  #look(): void {
    if (!this.#open) return;
    this.#lookAgain = this.#looking !== undefined;
    this.#looking ??= this.#attend().catch(() => {
      // The next look sees the same change.
      this.#seen = undefined;
    }).finally(() => {
      this.#looking = undefined;
      if (this.#lookAgain) this.#look();
    });
  }

  async #attend(): Promise<void> {
    const { kv } = this.#options;
    const { value } = await kv.get<string>(BELL);
    if (value === null) this.#answered ??= new Set();
    if (value === null || value === this.#seen) return;
    this.#seen = value;
    // An old order is harmless: a session's name is never used again.
    for (const id of await this.#words(ORDERS)) this.#disconnect(id);
    const calls = await this.#words(CALLS);
    // Callers of before the first look do not know this instance yet. How old
    // a call is otherwise does not matter: clocks of machines differ.
    const before = this.#answered ?? new Set(calls);
    const answered = new Set(calls.filter((id) => before.has(id)));
    this.#answered = answered;
    for (const id of calls) {
      if (answered.has(id)) continue;
      if (!this.#asked.has(id)) await this.#answer(id);
      answered.add(id);
    }
  }

  /** The newest calls or orders; newer ones have greater names. */
  async #words(kind: Key): Promise<string[]> {
    const rows = this.#options.kv.list<string>({ prefix: kind }, {
      limit: MAX_WORDS,
      reverse: true,
    });
    return await Array.fromAsync(rows, ({ value }) => value);
  }

  /** One value a commit: together they might exceed the size of one. */
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

  async #commit(commit: () => Promise<unknown>): Promise<void> {
    await retryWhileBusy({ clock: this.#options.clock, isBusy }, commit);
  }

  #disconnect(id: string): boolean {
    const listed = this.#options.sessions.get(id);
    listed?.session.disconnect("FORBIDDEN", "Disconnected by an operator");
    return listed !== undefined;
  }
}

function doneKey(call: string): Key {
  return ["roster", "done", call];
}

function answerKey(call: string, instance: string): Key {
  return ["roster", "answer", call, instance];
}
