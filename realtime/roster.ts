/**
 * Who is connected anywhere, and sending someone away: questions that one
 * isolate asks of all through KV.
 *
 * @module
 */
import type { Identity } from "../protocol/replies.ts";
import type { Clock } from "./clock.ts";
import type { Instances } from "./instances.ts";
import type { Sessions } from "./sessions.ts";

/** How long the others may take to answer a call, in milliseconds. */
export const ANSWER_MS = 1_500;
/** How often answers are looked for, in milliseconds. */
const LOOK_MS = 50;
/** How often KV is asked for calls that no watch rang for, in milliseconds. */
export const ROSTER_POLL_MS = 800;
/** How long answers and orders stay in KV at least, in milliseconds. */
const STAY_MS = 60_000;
/** Most sessions one isolate tells of, the longest connected first. */
export const MAX_TOLD_SESSIONS = 2_000;
/** Sessions in one value, which holds at most 64 KiB. */
const SESSIONS_PER_VALUE = 20;
/** Most channels told of one session. */
export const MAX_TOLD_POSITIONS = 16;
/** Most orders looked at, at a time. */
const MAX_ORDERS = 1_000;

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

const CALL = ["roster", "call"];
const ORDERS = ["roster", "orders"];

/** Asks, answers, and obeys. */
export class Roster implements AsyncDisposable {
  readonly #options: RosterOptions;
  readonly #reader: ReadableStreamDefaultReader<unknown>;
  #watching: Promise<void>;
  #timer: Disposable | undefined;
  #answered: string | undefined;
  #obeyed: string | undefined;
  #looking: Promise<void> | undefined;
  #open = true;

  /** Begins to listen for the others. */
  constructor(options: RosterOptions) {
    this.#options = options;
    this.#reader = options.kv.watch([CALL, ORDERS]).getReader();
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
    const { kv, clock, nextId, instances, id } = this.#options;
    const call = nextId(clock.now());
    const others = (await instances.list()).filter((it) => it.id !== id);
    if (others.length > 0) {
      await kv.set(CALL, call, { expireIn: STAY_MS });
    }
    const end = clock.now() + ANSWER_MS;
    for (;;) {
      const answers = await this.#answersTo(call);
      const missing = others.some((it) => !answers.has(it.id));
      if (!missing || clock.now() >= end) {
        const sessions = [this.#own(), ...answers.values()].flat();
        const whole = sessions.length <= MAX_TOLD_SESSIONS;
        return { sessions, complete: !missing && whole };
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
    if (this.#sendAway(session)) return;
    const { kv, clock, nextId } = this.#options;
    await kv.atomic()
      .set([...ORDERS, session], session, { expireIn: STAY_MS })
      .set(ORDERS, nextId(clock.now()), { expireIn: STAY_MS })
      .commit();
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
    return [...sessions].slice(0, MAX_TOLD_SESSIONS).map(({ session, ip }) => ({
      id: session.id,
      instance: id,
      ip,
      user: session.identity.user,
      role: session.identity.role,
      client: session.client ?? null,
      since: session.since,
      channels: [...session.positions].slice(0, MAX_TOLD_POSITIONS),
    }));
  }

  async #answersTo(call: string): Promise<Map<string, SessionInfo[]>> {
    const answers = new Map<string, SessionInfo[]>();
    const prefix = ["roster", "answer", call];
    const rows = this.#options.kv.list<SessionInfo[] | number>({ prefix });
    for await (const { key, value } of rows) {
      const from = key[3] as string;
      const told = answers.get(from) ?? [];
      if (typeof value !== "number") told.push(...value);
      answers.set(from, told);
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

  #look(): void {
    if (!this.#open) return;
    this.#looking ??= this.#attend().catch(() => {}).finally(() => {
      this.#looking = undefined;
    });
  }

  async #attend(): Promise<void> {
    const [call, orders] = await this.#options.kv.getMany<[string, string]>([
      CALL,
      ORDERS,
    ]);
    if (call.value && call.value !== this.#answered) {
      this.#answered = call.value;
      await this.#answer(call.value);
    }
    if (orders.value && orders.value !== this.#obeyed) {
      this.#obeyed = orders.value;
      const rows = this.#options.kv.list<string>({ prefix: ORDERS }, {
        limit: MAX_ORDERS,
      });
      for await (const { value } of rows) this.#sendAway(value);
    }
  }

  /** One commit: an answer is there whole, or not at all. */
  async #answer(call: string): Promise<void> {
    const { kv, id } = this.#options;
    const own = this.#own();
    const operation = kv.atomic();
    const options = { expireIn: STAY_MS };
    operation.set(["roster", "answer", call, id, -1], own.length, options);
    for (let i = 0; i < own.length; i += SESSIONS_PER_VALUE) {
      const some = own.slice(i, i + SESSIONS_PER_VALUE);
      operation.set(["roster", "answer", call, id, i], some, options);
    }
    await operation.commit();
  }

  #sendAway(id: string): boolean {
    const listed = this.#options.sessions.get(id);
    listed?.session.disconnect("FORBIDDEN");
    return listed !== undefined;
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => this.#options.clock.after(ms, resolve));
  }
}
