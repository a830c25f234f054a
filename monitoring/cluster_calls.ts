/**
 * Requests of one instance to all, and orders to the instance concerned,
 * carried by the store.
 *
 * @module
 */
import type { Clock } from "../platform/clock.ts";
import { pause } from "../platform/pause.ts";
import { retryWhileBusy } from "../platform/retry.ts";
import type { Instances } from "./instances.ts";
import { isBusy } from "../store/store.ts";
import type { Key, Store } from "../store/store.ts";

/** How long the others may take to answer a question, in milliseconds. */
export const ANSWER_MS = 1_500;
/** How often answers are looked for, in milliseconds. */
const LOOK_MS = 50;
/** How often the store is asked for questions that no watch reported, in milliseconds. */
export const ROSTER_POLL_MS = 800;
/** How long questions, orders and answers are stored at least, in milliseconds. */
const STAY_MS = 60_000;
/** Bytes of an answer in one value, which holds at most 64 KiB. */
const PIECE_BYTES = 60_000;
/** Most questions and most orders read at a time. */
const MAX_WORDS = 100;

/** What {@link ClusterCalls} needs. */
export interface ClusterCallsOptions {
  /** Carries questions and answers; stays the caller's to close. */
  kv: Store;
  /** Time, for waiting and polling. */
  clock: Clock;
  /** Unique name of this instance. */
  id: string;
  /** Names for questions. */
  nextId: (now: number) => string;
  /** Knows which instances have to answer. */
  instances: Instances;
}

/** What an instance does when it is called. */
export interface Called {
  /** The answer, as JSON has it; nothing for a question of another version. */
  readonly answer: (question: unknown) => unknown;
  /** Carries out an order, if it concerns this instance. */
  readonly obey: (order: string) => void;
}

/** Changes at every question and order. */
const BELL = ["roster", "bell"];
const QUESTIONS = ["roster", "question"];
const ORDERS = ["roster", "order"];

/** Asks the other instances, and answers them. */
export class ClusterCalls implements AsyncDisposable {
  readonly #options: ClusterCallsOptions;
  readonly #called: Called;
  readonly #reader: ReadableStreamDefaultReader<unknown>;
  readonly #watching: Promise<void>;
  #timer: Disposable | undefined;
  /** Stored questions that need no answer; nothing before the first look. */
  #answered: ReadonlySet<string> | undefined;
  /** Questions of this instance that wait for answers. */
  readonly #asked = new Set<string>();
  /** Value of {@link BELL} at the last look. */
  #seen: string | undefined;
  #looking: Promise<void> | undefined;
  #lookAgain = false;
  #open = true;

  /** Starts to answer the others. */
  constructor(options: ClusterCallsOptions, called: Called) {
    this.#options = options;
    this.#called = called;
    this.#reader = options.kv.watch([BELL]).getReader();
    this.#watching = this.#watch();
    this.#poll();
  }

  /**
   * Asks all instances, this one too.
   *
   * @param question small plain data.
   * @returns the answers, this instance's first; `complete` is false when an
   * instance did not answer in time.
   * @throws what the store throws.
   */
  async ask<Answer>(
    question: unknown,
  ): Promise<{ answers: Answer[]; complete: boolean }> {
    const { clock, nextId, instances, id } = this.#options;
    const own = this.#called.answer(question) as Answer;
    const others = (await instances.list()).filter((it) => it.id !== id);
    if (others.length === 0) return { answers: [own], complete: true };
    const call = nextId(clock.now());
    this.#asked.add(call);
    try {
      await this.#ring([...QUESTIONS, call], question);
      const end = clock.monotonic() + ANSWER_MS;
      for (;;) {
        const answered = await this.#answeredTo(call);
        const missing = others.some((it) => !answered.has(it.id));
        if (!missing || clock.monotonic() >= end) {
          const answers = await Promise.all(
            [...answered].map(([id, pieces]) =>
              this.#answerOf<Answer>(call, id, pieces)
            ),
          );
          const whole = answers.filter((it) => it !== undefined);
          return {
            answers: [own, ...whole],
            complete: !missing && whole.length === answers.length,
          };
        }
        await pause(clock, LOOK_MS);
      }
    } finally {
      this.#asked.delete(call);
    }
  }

  /**
   * Gives an order to all other instances.
   *
   * @param order a name that is never used again.
   * @throws what the store throws.
   */
  async order(order: string): Promise<void> {
    await this.#ring([...ORDERS, order], order);
  }

  /** Stops listening. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#open = false;
    this.#timer?.[Symbol.dispose]();
    await this.#reader.cancel().catch(() => {});
    await this.#watching;
    await this.#looking;
  }

  async #ring(key: Key, value: unknown): Promise<void> {
    const { kv, clock, nextId } = this.#options;
    await this.#commit(() =>
      kv.atomic()
        .set(key, value, { expireIn: STAY_MS })
        .set(BELL, nextId(clock.now()), { expireIn: STAY_MS })
        .commit()
    );
  }

  /** Instances that answered, and of how many pieces each answer is. */
  async #answeredTo(call: string): Promise<Map<string, number>> {
    const rows = this.#options.kv.list<number>({ prefix: doneKey(call) });
    const answered = new Map<string, number>();
    for await (const { key, value } of rows) {
      answered.set(key.at(-1) as string, Number(value));
    }
    return answered;
  }

  async #answerOf<Answer>(
    call: string,
    id: string,
    count: number,
  ): Promise<Answer | undefined> {
    const prefix = answerKey(call, id);
    const rows = this.#options.kv.list<Uint8Array<ArrayBuffer>>({ prefix });
    const pieces = await Array.fromAsync(rows, ({ value }) => value);
    if (pieces.length !== count) return undefined;
    return JSON.parse(await new Blob(pieces).text());
  }

  async #watch(): Promise<void> {
    try {
      while (!(await this.#reader.read()).done) this.#look();
    } catch {
      // The store is unreachable; polling continues.
    }
  }

  #poll(): void {
    this.#look();
    if (!this.#open) return;
    this.#timer = this.#options.clock.after(ROSTER_POLL_MS, () => this.#poll());
  }

  /** A change during a look starts another look after it. */
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
    const orders = await this.#words(ORDERS);
    for (const order of orders.keys()) this.#called.obey(order);
    const questions = await this.#words(QUESTIONS);
    // Those who asked before the first look do not know this instance yet. How
    // old a question is otherwise does not matter: clocks of machines differ.
    const before = this.#answered ?? new Set(questions.keys());
    const answered = new Set(
      [...questions.keys()].filter((id) => before.has(id)),
    );
    this.#answered = answered;
    for (const [id, question] of questions) {
      if (answered.has(id)) continue;
      if (!this.#asked.has(id)) await this.#answer(id, question);
      answered.add(id);
    }
  }

  /** The newest questions or orders by name; newer ones have greater names. */
  async #words(kind: Key): Promise<Map<string, unknown>> {
    const rows = this.#options.kv.list({ prefix: kind }, {
      limit: MAX_WORDS,
      reverse: true,
    });
    return new Map(
      await Array.fromAsync(
        rows,
        ({ key, value }) => [key.at(-1) as string, value] as const,
      ),
    );
  }

  /** One value a commit: together they might exceed the size of one. */
  async #answer(call: string, question: unknown): Promise<void> {
    const { kv, id } = this.#options;
    const answer = this.#called.answer(question);
    if (answer === undefined) return;
    const bytes = new TextEncoder().encode(JSON.stringify(answer));
    const count = Math.ceil(bytes.length / PIECE_BYTES);
    const options = { expireIn: STAY_MS };
    for (let i = 0; i < count; i++) {
      const piece = bytes.slice(i * PIECE_BYTES, (i + 1) * PIECE_BYTES);
      const key = [...answerKey(call, id), i];
      await this.#commit(() => kv.set(key, piece, options));
    }
    const key = [...doneKey(call), id];
    await this.#commit(() => kv.set(key, count, options));
  }

  async #commit(commit: () => Promise<unknown>): Promise<void> {
    await retryWhileBusy({ clock: this.#options.clock, isBusy }, commit);
  }
}

function doneKey(call: string): Key {
  return ["roster", "done", call];
}

function answerKey(call: string, instance: string): Key {
  return ["roster", "answer", call, instance];
}
