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
import { MAX_BATCH_MESSAGES } from "../protocol/decode.ts";
import type { AnyEvent, AnyMessage } from "../protocol/messages.ts";
import { Refusal } from "../protocol/refusals.ts";
import type { RefusalCode } from "../protocol/refusals.ts";
import { sizeOf, slimmer } from "./message_size.ts";
import { describe, isFinal } from "./source.ts";
import type { Log, PageOptions, Publisher } from "./source.ts";

/** Ceilings of the wait before a retry of a source. */
export const RETRY: Growth = { baseMs: 250, capMs: 10_000 };
/** Longest wait that a service may ask for and get, in milliseconds. */
export const MAX_RETRY_AFTER_MS = 60_000;
/** Longest message published, in bytes of UTF-8, unless configured. */
export const DEFAULT_MAX_MESSAGE_BYTES = 65_536;
/** Most bytes of messages in one call, unless a single message is longer. */
export const MAX_BATCH_BYTES = 512 * 1024;

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
]);

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
  #last: Promise<unknown> = Promise.resolve();

  /** Makes no call yet. */
  constructor(
    {
      publisher,
      log,
      clock = systemClock,
      random = systemRandom,
      maxMessageBytes = DEFAULT_MAX_MESSAGE_BYTES,
    }: RetryingPublisherOptions,
  ) {
    this.#publisher = publisher;
    this.#log = log;
    this.#clock = clock;
    this.#random = random;
    this.#maxBytes = maxMessageBytes;
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

  async #sendAll(
    messages: readonly AnyMessage[],
    signal: AbortSignal,
  ): Promise<void> {
    let batch: AnyMessage[] = [];
    let batchBytes = 0;
    for (const message of messages) {
      const fitting = this.#fit(message);
      if (!fitting) continue;
      if (
        batch.length === MAX_BATCH_MESSAGES ||
        (batch.length > 0 && batchBytes + fitting.bytes > MAX_BATCH_BYTES)
      ) {
        await this.#publish(batch, signal);
        batch = [];
        batchBytes = 0;
      }
      batch.push(fitting.message);
      batchBytes += fitting.bytes;
    }
    if (batch.length > 0) await this.#publish(batch, signal);
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

  async #publish(
    batch: readonly AnyMessage[],
    signal: AbortSignal,
  ): Promise<void> {
    try {
      await this.#persist(
        "source_publish_failed",
        { messages: batch.length },
        () => this.#publisher.publish(batch),
        signal,
      );
    } catch (error) {
      if (!(error instanceof Refusal) || !MESSAGE_AT_FAULT.has(error.code)) {
        throw error;
      }
      const [message] = batch;
      if (batch.length > 1 || !message) {
        // One refused message must not hold back the others.
        for (const each of batch) await this.#publish([each], signal);
        return;
      }
      const shorter = error.code === "MESSAGE_TOO_LARGE"
        ? slimmer(message)
        : undefined;
      if (!shorter) {
        const { type, id } = message;
        this.#log("source_message_refused", { type, id, ...describe(error) });
        return;
      }
      this.#logShortened(message, sizeOf(message), sizeOf(shorter));
      await this.#publish([shorter], signal);
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
