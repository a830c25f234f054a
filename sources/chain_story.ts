/**
 * What the parts of a simulated chain share: one random sequence, one time, and
 * the messages that it emits, now or some steps later.
 *
 * @module
 */
import { createHash } from "node:crypto";
import type { AnyMessage, MessageType } from "../protocol/messages.ts";
import type { PayloadOf } from "../protocol/messages.ts";

/** Steps from one block to the next: a block a second. */
export const STEPS_PER_BLOCK = 10;

/** What a {@link Story} begins with. */
export interface StoryOptions {
  /** Begins every `id`, so that another source's events are distinguished. */
  readonly tag: string;
  /** Seed of the random numbers. */
  readonly seed: string;
  /** When it continues, in epoch milliseconds; 0 for a new chain. */
  readonly now: number;
}

/** Collects what happens. The same seed and the same calls give the same. */
export class Story {
  readonly #tag: string;
  readonly #random: () => number;
  /** Work scheduled for later steps, with the number of steps until then. */
  readonly #later: { steps: number; work: () => void }[] = [];
  #now: number;
  #messages: AnyMessage[] = [];

  /** Starts a new chain, or continues one. */
  constructor({ tag, seed, now }: StoryOptions) {
    this.#tag = tag;
    this.#random = generator(seed);
    this.#now = now;
  }

  /** Time of this step, in epoch milliseconds. */
  get now(): number {
    return this.#now;
  }

  /** The same in ISO 8601. */
  get instant(): string {
    return new Date(this.#now).toISOString();
  }

  /** What was emitted in this step, in order. */
  get messages(): AnyMessage[] {
    return this.#messages;
  }

  /**
   * Begins a step with the work that was scheduled for it.
   *
   * @param now epoch milliseconds; taken as later than the step before.
   */
  begin(now: number): void {
    this.#now = Math.max(now, this.#now + 1);
    this.#messages = [];
    const due: (() => void)[] = [];
    for (let i = 0; i < this.#later.length;) {
      const entry = this.#later[i]!;
      if (--entry.steps > 0) i++;
      else {
        due.push(entry.work);
        this.#later.splice(i, 1);
      }
    }
    for (const work of due) work();
  }

  /** Schedules work for a later step; 1 is the next step. */
  later(steps: number, work: () => void): void {
    this.#later.push({ steps, work });
  }

  /**
   * Emits a message.
   *
   * @param key makes its `id`, and is used once.
   * @param channel where the type leaves a choice.
   */
  emit<Type extends MessageType>(
    type: Type,
    key: string,
    payload: PayloadOf<Type>,
    channel?: string,
  ): void {
    const id = `${this.#tag}:${key}`;
    const to = channel === undefined ? {} : { channel };
    this.#messages.push({ type, id, ...to, payload } as AnyMessage);
  }

  /** Reports to operators that a fault began or ended. */
  alert(
    type: string,
    subject: string,
    rest: {
      severity: PayloadOf<"ALERT_TRIGGERED">["severity"];
      message: string;
      status?: "firing" | "resolved";
    },
  ): void {
    this.emit("ALERT_TRIGGERED", `alert:${type}:${subject}:${this.#now}`, {
      type,
      subject,
      ...rest,
      timestamp: this.instant,
    });
  }

  /** Uniform in [0, 1). */
  random(): number {
    return this.#random();
  }

  /** True with the given probability, from 0 to 1. */
  chance(probability: number): boolean {
    return this.#random() < probability;
  }

  /** A whole number from `least` up to and including `most`. */
  between(least: number, most: number): number {
    return least + Math.floor(this.#random() * (most - least + 1));
  }

  /** An amount from `least` up to and including `most`. */
  grains(least: number, most: number): bigint {
    return BigInt(this.between(least, most));
  }

  /** One of several; there must be one. */
  pick<Item>(items: readonly Item[]): Item {
    return items[Math.floor(this.#random() * items.length)]!;
  }
}

/** A number as it is published: with two decimals at most. */
export function rounded(value: number): number {
  return Math.round(value * 100) / 100;
}

/**
 * A small generator of good enough randomness (sfc32).
 *
 * @param seed any text.
 * @returns a function giving numbers uniform in [0, 1).
 * @see {@link https://pracrand.sourceforge.net/}
 */
function generator(seed: string): () => number {
  const digest = createHash("sha256").update(seed).digest();
  let [a, b, c, d] = [0, 4, 8, 12].map((at) => digest.readInt32LE(at)) as [
    number,
    number,
    number,
    number,
  ];
  return () => {
    const t = (a + b + d) | 0;
    d = (d + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (c << 21) | (c >>> 11);
    c = (c + t) | 0;
    return (t >>> 0) / 2 ** 32;
  };
}
