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
import type { RefusalCode } from "../protocol/refusals.ts";
import { sizeOf, slimmer } from "./message_size.ts";
import { describe, isFinal } from "./source.ts";
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
  "STATUS_CONFLICT",
]);

/** Most times that what is missing before a block is asked for. */
export const MAX_FILLS = 16;

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
 * Gives the blocks of some heights as they stand, and what goes with them, in
 * order; none when they cannot be had. It is called again when it throws.
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
   * Has the blocks of heights that the service does not know; when absent it is
   * left to the source to publish them.
   */
  readonly fill?: Fill | undefined;
  /** Longest message the service takes, in bytes of UTF-8. */
  readonly maxMessageBytes?: number | undefined;
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
  /** Tells the ids of what is published again from all before. */
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
   * @param signal gives up; a call under way is finished first.
   * @returns when all are accepted, or were logged as never acceptable.
   * @throws the signal's reason when aborted.
   * @throws {Refusal} as `Source.run`.
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
   * @param signal gives up.
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
      if (at < 0 || !this.#fill) return;
      const message = sent[at]!;
      const { from, to: least } = kept.get(message)!.missing!;
      const { chain, height = 0 } = message.payload as {
        chain?: string;
        height?: number;
      };
      // The hole may be below other blocks, which go when it is filled.
      const to = Math.max(least, height - 1);
      const hole = JSON.stringify([chain, from, least]);
      if (hole === this.#unfilled) return;
      if (fills === MAX_FILLS) return this.#giveUp(hole, { chain, from, to });
      const wanted = { chain, from: Math.max(0, from - 2 ** fills + 1), to };
      const fill = this.#fill;
      const blocks = await this.#persist(
        "source_fill_failed",
        { ...wanted },
        () => fill(wanted),
        signal,
      );
      if (blocks.length === 0) return this.#giveUp(hole, wanted);
      const mark = `${this.#tag}${(this.#fills++).toString(36)}`;
      // The source may have gone over to another branch meanwhile.
      const rest = isParent(blocks, message) ? sent.slice(at) : [];
      sent = [...blocks, ...rest].map((each) => again(each, mark));
    }
  }

  #giveUp(hole: string, wanted: Wanted): void {
    this.#unfilled = hole;
    this.#log("source_blocks_missing", { ...wanted });
  }

  /** What the service says of each, as far as it was accepted. */
  async #sendOnce(
    messages: readonly AnyMessage[],
    signal: AbortSignal,
  ): Promise<ReadonlyMap<AnyMessage, Kept>> {
    const all = new Map<AnyMessage, Kept>();
    const whole = new Map<AnyMessage, AnyMessage>();
    const publish = async () => {
      const kept = await this.#publish(batch, signal);
      for (const [i, message] of batch.entries()) {
        if (kept[i]) all.set(whole.get(message)!, kept[i]);
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

  /** What the service says of each; nothing of those it refused. */
  async #publish(
    batch: readonly AnyMessage[],
    signal: AbortSignal,
  ): Promise<readonly (Kept | undefined)[]> {
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
        const kept: (Kept | undefined)[] = [];
        for (const each of batch) {
          kept.push((await this.#publish([each], signal))[0]);
        }
        return kept;
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

/** The same message as another occurrence. */
function again(message: AnyMessage, mark: string): AnyMessage {
  const { id } = message;
  if (id === undefined) return message;
  return { ...message, id: `${id.slice(0, MAX_ID - mark.length - 1)}~${mark}` };
}
