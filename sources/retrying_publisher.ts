/**
 * Publishing through faults: in order, each call again until it is accepted.
 *
 * @module
 */
import { backoffMs } from "../platform/backoff.ts";
import type { Growth } from "../platform/backoff.ts";
import { systemClock } from "../platform/clock.ts";
import type { Clock } from "../platform/clock.ts";
import { pause } from "../platform/pause.ts";
import { systemRandom } from "../platform/random.ts";
import type { Random } from "../platform/random.ts";
import { MAX_BATCH_MESSAGES } from "../protocol/batch.ts";
import type { AnyEvent, AnyMessage } from "../protocol/messages.ts";
import { Refusal } from "../protocol/refusals.ts";
import type { Heights, RefusalCode } from "../protocol/refusals.ts";
import { sizeOf, slimmer } from "./message_size.ts";
import { describe, isFinal, isOrphan } from "./source.ts";
import type { Kept, Log, PageOptions, Publisher } from "./source.ts";

/** Ceilings of the wait before a retry of a source. */
export const RETRY: Growth = { baseMs: 250, capMs: 10_000 };
/** Longest wait that a service may ask for and get, in milliseconds. */
export const MAX_RETRY_AFTER_MS = 60_000;
/** Longest message published, in bytes of UTF-8, unless configured. */
export const DEFAULT_MAX_MESSAGE_BYTES = 65_536;
/** Most bytes of messages in one call, unless a single message is longer. */
export const MAX_BATCH_BYTES = 512 * 1024;

/** Longest `id` of a message, in characters. */
const MAX_ID = 128;

/** Refusals for which the message itself is the cause. */
const MESSAGE_AT_FAULT: ReadonlySet<RefusalCode> = new Set([
  "INVALID_JSON",
  "INVALID_MESSAGE",
  "INVALID_PAYLOAD",
  "UNKNOWN_TYPE",
  "UNKNOWN_CHANNEL",
  "UNSUPPORTED_VERSION",
  "MESSAGE_TOO_LARGE",
  "ID_CONFLICT",
  "PARENT_UNKNOWN",
  "STATUS_CONFLICT",
]);

/** Most requests for the messages that are missing before a block. */
export const MAX_FILLS = 16;
/**
 * Most times that a block is published that is refused because others are
 * missing, where these are left to other publishers.
 */
export const MAX_PARENT_TRIES = 12;

/** Heights of a chain that the service wants, both included. */
export interface Wanted {
  /** The chain's name; absent: the default one. */
  readonly chain?: string | undefined;
  /** The lowest height; a fork may be deeper: more is asked for each time. */
  readonly from: number;
  /** The highest. */
  readonly to: number;
}

/**
 * Returns the current blocks of some heights, with their other messages, in
 * order; none when they are not available. It is called again when it throws.
 */
export type Fill = (wanted: Wanted) => Promise<readonly AnyMessage[]>;

/** What a {@link RetryingPublisher} needs. */
export interface RetryingPublisherOptions {
  /** Where messages go. */
  readonly publisher: Publisher;
  /** Records retries, and messages that were shortened or refused. */
  readonly log: Log;
  /** Measures waits. */
  readonly clock?: Pick<Clock, "after">;
  /** Jitter: uniform in [0, 1). */
  readonly random?: Random;
  /**
   * Has the blocks of heights that the service does not know; when absent they
   * are left to others to publish.
   */
  readonly fill?: Fill | undefined;
  /** Longest message the service takes, in bytes of UTF-8. */
  readonly maxMessageBytes?: number | undefined;
}

/** What became of a message. */
interface Outcome extends Kept {
  /** Set when it is not kept, since others are missing before it. */
  readonly refusal?: Refusal | undefined;
}

/**
 * Publishes messages in the order in which they were given, each call after
 * the one before it. A failed call is repeated unchanged until it is accepted;
 * since every message carries an `id` that names its occurrence, a call that
 * was accepted without an answer is not delivered twice.
 */
export class RetryingPublisher {
  readonly #publisher: Publisher;
  readonly #log: Log;
  readonly #clock: Pick<Clock, "after">;
  readonly #random: Random;
  readonly #maxBytes: number;
  readonly #fill: Fill | undefined;
  /** Distinguishes the ids of what is published again from all before. */
  readonly #tag: string;
  #fills = 0;
  /** The hole that could not be filled: it is not asked for again. */
  #unfilled: string | undefined;
  #last: Promise<unknown> = Promise.resolve();

  /** Makes no call yet. */
  constructor(
    {
      publisher,
      log,
      clock = systemClock,
      random = systemRandom,
      fill,
      maxMessageBytes = DEFAULT_MAX_MESSAGE_BYTES,
    }: RetryingPublisherOptions,
  ) {
    this.#publisher = publisher;
    this.#log = log;
    this.#clock = clock;
    this.#random = random;
    this.#maxBytes = maxMessageBytes;
    this.#fill = fill;
    this.#tag = Math.floor(random() * 2 ** 40).toString(36);
  }

  /**
   * Publishes messages after all that were given before them.
   *
   * @param messages any number; each with an `id`.
   * @param signal ends the attempt, after a call in progress.
   * @returns when all are accepted, or were logged as never acceptable.
   * @throws the signal's reason when aborted.
   * @throws {Refusal} as `Source.run`: `PARENT_UNKNOWN` after
   * {@link MAX_FILLS}, or {@link MAX_PARENT_TRIES} where nothing is filled.
   */
  send(messages: readonly AnyMessage[], signal: AbortSignal): Promise<void> {
    const sent = this.#last.then(() => this.#sendAll(messages, signal));
    this.#last = sent.catch(() => {});
    return sent;
  }

  /**
   * Reads a page of a channel's history, trying until it succeeds.
   *
   * @param channel canonical name.
   * @param options how many events, and before which.
   * @param signal ends the attempt.
   * @throws as {@link send}.
   */
  page(
    channel: string,
    options: PageOptions,
    signal: AbortSignal,
  ): Promise<AnyEvent[]> {
    return this.#persist(
      "source_read_failed",
      { channel },
      () => this.#publisher.page(channel, options),
      signal,
    );
  }

  /**
   * Publishes messages, and what the service finds missing before one of them:
   * then that one and those after it again, since they were reverted.
   */
  async #sendAll(
    messages: readonly AnyMessage[],
    signal: AbortSignal,
  ): Promise<void> {
    let sent = messages;
    for (let fills = 0;; fills++) {
      const kept = await this.#sendOnce(sent, signal);
      const at = sent.findIndex((message) => kept.get(message)?.missing);
      if (at < 0) return;
      const message = sent[at]!;
      const { missing, refusal } = kept.get(message)!;
      if (!this.#fill) {
        if (!refusal) return;
        sent = sent.slice(at);
        await this.#waitForParent(refusal, fills, signal);
        continue;
      }
      const { from, to: least } = missing!;
      const { chain, height = 0 } = message.payload as {
        chain?: string;
        height?: number;
      };
      // The hole may be below other blocks, which go when it is filled.
      const to = Math.max(least, height - 1);
      const hole = JSON.stringify([chain, from, least]);
      if (hole === this.#unfilled && !refusal) return;
      if (fills === MAX_FILLS) {
        return this.#giveUp(hole, { chain, from, to }, refusal);
      }
      const wanted = { chain, from: Math.max(0, from - 2 ** fills + 1), to };
      const fill = this.#fill;
      const blocks = await this.#persist(
        "source_fill_failed",
        { ...wanted },
        () => fill(wanted),
        signal,
      );
      if (blocks.length === 0) return this.#giveUp(hole, wanted, refusal);
      const mark = `${this.#tag}${(this.#fills++).toString(36)}`;
      // The source may have switched to another branch in between.
      const rest = isParent(blocks, message) ? sent.slice(at) : [];
      sent = [...blocks, ...rest].map((each) => again(each, mark));
    }
  }

  /** Others may publish what is missing, or it cannot be had. */
  async #waitForParent(
    refusal: Refusal,
    tries: number,
    signal: AbortSignal,
  ): Promise<void> {
    const { missing } = refusal;
    if (tries + 1 >= MAX_PARENT_TRIES) throw lacking({ ...missing }, refusal);
    const waitMs = Math.ceil(backoffMs(tries, RETRY, this.#random));
    const about = { ...describe(refusal), attempt: tries, waitMs };
    this.#log("source_publish_failed", about);
    await pause(this.#clock, waitMs, signal);
  }

  #giveUp(hole: string, wanted: Wanted, refusal: Refusal | undefined): void {
    this.#log("source_blocks_missing", { ...wanted });
    // What was accepted with a hole before it is not filled any more.
    if (refusal) throw lacking(wanted, refusal);
    this.#unfilled = hole;
  }

  /**
   * What the service reports of each, as far as it was accepted; it ends at the
   * first that is refused because others are missing.
   */
  async #sendOnce(
    messages: readonly AnyMessage[],
    signal: AbortSignal,
  ): Promise<ReadonlyMap<AnyMessage, Outcome>> {
    const all = new Map<AnyMessage, Outcome>();
    const whole = new Map<AnyMessage, AnyMessage>();
    let isRefused = false;
    const publish = async () => {
      const kept = await this.#publish(batch, signal);
      for (const [i, message] of batch.entries()) {
        if (kept[i]) all.set(whole.get(message)!, kept[i]);
        isRefused ||= kept[i]?.refusal !== undefined;
      }
    };
    let batch: AnyMessage[] = [];
    let batchBytes = 0;
    for (const message of messages) {
      const fitting = this.#fit(message);
      if (!fitting) continue;
      if (
        batch.length === MAX_BATCH_MESSAGES ||
        (batch.length > 0 && batchBytes + fitting.bytes > MAX_BATCH_BYTES)
      ) {
        await publish();
        if (isRefused) return all;
        batch = [];
        batchBytes = 0;
      }
      batch.push(fitting.message);
      whole.set(fitting.message, message);
      batchBytes += fitting.bytes;
    }
    if (batch.length > 0) await publish();
    return all;
  }

  /** The message, or as much of it as the limit allows. */
  #fit(
    message: AnyMessage,
  ): { message: AnyMessage; bytes: number } | undefined {
    let shorter: AnyMessage | undefined = message;
    let bytes = sizeOf(message);
    const full = bytes;
    while (shorter && bytes > this.#maxBytes) {
      shorter = slimmer(shorter);
      if (shorter) bytes = sizeOf(shorter);
    }
    if (shorter === message) return { message, bytes };
    if (shorter) {
      this.#logShortened(message, full, bytes);
      return { message: shorter, bytes };
    }
    const { type, id } = message;
    this.#log("source_message_refused", {
      type,
      id,
      code: "MESSAGE_TOO_LARGE",
      bytes: full,
    });
    return undefined;
  }

  /** What the service reports of each; nothing of those it never accepts. */
  async #publish(
    batch: readonly AnyMessage[],
    signal: AbortSignal,
  ): Promise<readonly (Outcome | undefined)[]> {
    try {
      return await this.#persist(
        "source_publish_failed",
        { messages: batch.length },
        () => this.#publisher.publish(batch),
        signal,
      ) ?? [];
    } catch (error) {
      if (!(error instanceof Refusal) || !MESSAGE_AT_FAULT.has(error.code)) {
        throw error;
      }
      const [message] = batch;
      if (batch.length > 1 || !message) {
        // One refused message must not hold back the others.
        const kept: (Outcome | undefined)[] = [];
        for (const each of batch) {
          const [outcome] = await this.#publish([each], signal);
          kept.push(outcome);
          if (outcome?.refusal) break;
        }
        return kept;
      }
      if (isOrphan(error)) {
        return [{ missing: error.missing ?? before(message), refusal: error }];
      }
      const shorter = error.code === "MESSAGE_TOO_LARGE"
        ? slimmer(message)
        : undefined;
      if (!shorter) {
        const { type, id } = message;
        this.#log("source_message_refused", { type, id, ...describe(error) });
        return [];
      }
      this.#logShortened(message, sizeOf(message), sizeOf(shorter));
      return await this.#publish([shorter], signal);
    }
  }

  #logShortened({ type, id }: AnyMessage, from: number, to: number): void {
    this.#log("source_message_shortened", { type, id, from, to });
  }

  /** Tries until it succeeds, is aborted, or waiting cannot help. */
  async #persist<Result>(
    event: string,
    about: Readonly<Record<string, unknown>>,
    work: () => Promise<Result>,
    signal: AbortSignal,
  ): Promise<Result> {
    for (let attempt = 0;; attempt++) {
      signal.throwIfAborted();
      try {
        return await work();
      } catch (error) {
        const refusal = error instanceof Refusal ? error : undefined;
        if (refusal && MESSAGE_AT_FAULT.has(refusal.code)) throw refusal;
        if (isFinal(error)) throw error;
        const asked = Math.min(refusal?.retryAfterMs ?? 0, MAX_RETRY_AFTER_MS);
        const waitMs = Math.ceil(
          asked + backoffMs(attempt, RETRY, this.#random),
        );
        this.#log(event, { ...about, ...describe(error), attempt, waitMs });
        await pause(this.#clock, waitMs, signal);
      }
    }
  }
}

/** Whether the last block of some messages is the parent of another. */
function isParent(blocks: readonly AnyMessage[], child: AnyMessage): boolean {
  const last = blocks.findLast((each) => each.type === "NEW_BLOCK");
  if (child.type !== "NEW_BLOCK" || last?.type !== "NEW_BLOCK") return false;
  const { hash, blockId } = last.payload;
  return child.payload.previousHash === (hash ?? blockId);
}

/** The height before a block, where the service does not name what is missing. */
function before({ payload }: AnyMessage): Heights {
  const { height = 0 } = payload as { height?: number };
  const at = Math.max(0, height - 1);
  return { from: at, to: at };
}

/** The error that names the blocks that are missing. */
function lacking(
  { chain, from, to }: Partial<Wanted>,
  cause: Refusal,
): Refusal {
  const of = chain === undefined ? "" : ` of ${chain}`;
  const heights = from === undefined ? "" : ` ${from} to ${to}`;
  return new Refusal(
    "PARENT_UNKNOWN",
    `Blocks${heights}${of} are missing and cannot be had`,
    { cause, missing: cause.missing },
  );
}

/** The same message as another occurrence. */
function again(message: AnyMessage, mark: string): AnyMessage {
  const { id } = message;
  if (id === undefined) return message;
  return { ...message, id: `${id.slice(0, MAX_ID - mark.length - 1)}~${mark}` };
}
