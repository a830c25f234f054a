/**
 * The seam between where events come from and where they go: a {@link Source}
 * watches a chain and hands messages to a {@link RetryingPublisher}, which brings them to an
 * {@link Publisher} in order, as often as it takes.
 *
 * @module
 */
import { MAX_BATCH_MESSAGES } from "../protocol/decode.ts";
import type { AnyEvent, AnyMessage, Message } from "../protocol/messages.ts";
import { Refusal } from "../protocol/refusals.ts";
import type { RefusalCode } from "../protocol/refusals.ts";

/** Where messages go, and where what was published can be read again. */
export interface Publisher {
  /**
   * Publishes messages, in order; resolves when every one of them is kept.
   *
   * @param messages 1 to 100.
   * @throws {Refusal} when the server says no; other errors when it cannot be
   * reached.
   */
  publish(messages: readonly AnyMessage[]): Promise<void>;
  /**
   * The newest events of a channel, oldest first.
   *
   * @param channel canonical name.
   * @param limit 1 to 1,000.
   * @throws as {@link Publisher.publish}.
   */
  latest(channel: string, limit: number): Promise<AnyEvent[]>;
}

/** Something that watches a chain and publishes what it sees. */
export interface Source {
  /**
   * Runs until aborted. Faults that may pass (the node or the server is away,
   * the rate limit is reached) are logged and waited out.
   *
   * @param signal ends the run; what is being published then is finished.
   * @throws {Refusal} `UNAUTHENTICATED`, `TOKEN_EXPIRED` or `FORBIDDEN` when
   * the server does not let this publisher publish: waiting cannot help.
   */
  run(signal: AbortSignal): Promise<void>;
}

/**
 * Hears what an operator may want to know.
 *
 * @param event snake_case name, one of a few.
 * @param fields what it is about; never a secret, never a whole URL.
 */
export type Log = (
  event: string,
  fields: Readonly<Record<string, unknown>>,
) => void;

/** Reads the time and schedules work. */
export interface Time {
  /** Milliseconds since the Unix epoch. */
  now(): number;
  /** Runs `work` once, `ms` from now, unless disposed before. */
  after(ms: number, work: () => void): Disposable;
}

/** The machine's own time. */
export const systemTime: Time = {
  now: () => Date.now(),
  after(ms, work) {
    const timer = setTimeout(work, ms);
    return { [Symbol.dispose]: () => clearTimeout(timer) };
  },
};

/**
 * Waits.
 *
 * @param time measures the wait.
 * @param ms how long, in milliseconds.
 * @param signal ends the wait at once; the promise still resolves.
 */
export function pause(
  time: Time,
  ms: number,
  signal: AbortSignal,
): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const end = () => {
      timer[Symbol.dispose]();
      signal.removeEventListener("abort", end);
      resolve();
    };
    const timer = time.after(ms, end);
    signal.addEventListener("abort", end);
  });
}

/** First ceiling of the wait before a retry, in milliseconds. */
export const BACKOFF_BASE_MS = 250;
/** Last ceiling of the wait before a retry, in milliseconds. */
export const BACKOFF_CAP_MS = 10_000;
/** Longest wait that a server may ask for and get, in milliseconds. */
export const MAX_RETRY_AFTER_MS = 60_000;

/**
 * Full-jitter exponential backoff.
 *
 * @param attempt 0 for the first retry.
 * @param random uniform in [0, 1).
 * @returns milliseconds in [0, min(10 000, 250 * 2^attempt)).
 * @see {@link https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/}
 */
export function backoffMs(
  attempt: number,
  random: () => number = Math.random,
): number {
  return random() * Math.min(BACKOFF_CAP_MS, BACKOFF_BASE_MS * 2 ** attempt);
}

/** Longest message published, in bytes of UTF-8, unless told otherwise. */
export const DEFAULT_MAX_MESSAGE_BYTES = 65_536;
/** Most bytes of messages in one call, unless a single message is longer. */
export const MAX_BATCH_BYTES = 512 * 1024;

/** Refusals that the messages themselves earned. */
const MESSAGE_AT_FAULT: ReadonlySet<RefusalCode> = new Set([
  "INVALID_JSON",
  "INVALID_MESSAGE",
  "INVALID_PAYLOAD",
  "UNKNOWN_TYPE",
  "UNKNOWN_CHANNEL",
  "UNSUPPORTED_VERSION",
  "MESSAGE_TOO_LARGE",
]);

/** Refusals that the publisher earned, and waiting does not change. */
const PUBLISHER_AT_FAULT: ReadonlySet<RefusalCode> = new Set([
  "UNAUTHENTICATED",
  "TOKEN_EXPIRED",
  "FORBIDDEN",
]);

/**
 * Whether an error says that this publisher may not publish at all.
 *
 * @param error whatever was thrown.
 */
export function isFinal(error: unknown): error is Refusal {
  return error instanceof Refusal && PUBLISHER_AT_FAULT.has(error.code);
}

/**
 * What may be logged of an error: a refusal's code and issues, else its class
 * and first line.
 *
 * @param error whatever was thrown.
 */
export function describe(error: unknown): Record<string, unknown> {
  if (error instanceof Refusal) return { ...error.toJSON() };
  if (!(error instanceof Error)) return { message: "unknown" };
  const [line = ""] = error.message.split("\n");
  return { code: error.name, message: line.slice(0, 200) };
}

/**
 * The same message with less in it, for a server that finds it too large. A
 * transaction loses its call data, a block first the call data of all its
 * transactions, then the transactions; what was left out is said in
 * `dataOmitted` (bytes) and `transactionsOmitted` (how many). Everything else
 * stays, so the message still counts as the block or transaction it is.
 *
 * @param message to be shortened.
 * @returns the shorter message, or nothing when there is nothing to leave out.
 */
export function slimmer(message: AnyMessage): AnyMessage | undefined {
  if (message.type === "TX_RECEIVED") {
    const payload = withoutData(message.payload);
    return payload && { ...message, payload };
  }
  if (message.type !== "NEW_BLOCK") return undefined;
  const { transactions, ...rest } = message.payload;
  if (!transactions) return undefined;
  const payload = transactions.some(({ data }) => data !== undefined)
    ? {
      ...message.payload,
      transactions: transactions.map((tx) => withoutData(tx) ?? tx),
    }
    : { ...rest, transactionsOmitted: transactions.length };
  return { ...message, payload };
}

type Transaction = Message<"TX_RECEIVED">["payload"];

function withoutData({ data, ...rest }: Transaction): Transaction | undefined {
  if (data === undefined) return undefined;
  const bytes = Math.max(0, Math.floor((data.length - 2) / 2));
  return { ...rest, dataOmitted: bytes };
}

/** What a {@link RetryingPublisher} needs. */
export interface FeedOptions {
  /** Where messages go. */
  readonly publisher: Publisher;
  /** Hears of retries, and of messages shortened or refused. */
  readonly log: Log;
  /** Measures waits. */
  readonly time?: Time;
  /** Jitter: uniform in [0, 1). */
  readonly random?: () => number;
  /** Longest message the server takes, in bytes of UTF-8. */
  readonly maxMessageBytes?: number;
}

const encoder = new TextEncoder();

function sizeOf(message: AnyMessage): number {
  const text = JSON.stringify(message);
  // UTF-8 takes one to three bytes for each unit of UTF-16.
  return encoder.encode(text).byteLength;
}

/**
 * Brings messages to an outlet in the order in which they were given, each
 * call after the one before it. A call that fails is made again, unchanged,
 * until it is accepted; as every message carries an `id` that says what it is
 * about, one that was in fact accepted is not delivered twice.
 */
export class RetryingPublisher {
  readonly #publisher: Publisher;
  readonly #log: Log;
  readonly #time: Time;
  readonly #random: () => number;
  readonly #maxBytes: number;
  #last: Promise<unknown> = Promise.resolve();

  /** Opens a feed to an outlet. */
  constructor(
    {
      publisher,
      log,
      time = systemTime,
      random = Math.random,
      maxMessageBytes,
    }: FeedOptions,
  ) {
    this.#publisher = publisher;
    this.#log = log;
    this.#time = time;
    this.#random = random;
    this.#maxBytes = maxMessageBytes ?? DEFAULT_MAX_MESSAGE_BYTES;
  }

  /**
   * Publishes messages after all that were given before them.
   *
   * @param messages any number; each with an `id`.
   * @param signal gives up; a call under way is finished first.
   * @returns when all are accepted, or were reported as never acceptable.
   * @throws the signal's reason when aborted.
   * @throws {Refusal} as {@link Source.run}.
   */
  send(messages: readonly AnyMessage[], signal: AbortSignal): Promise<void> {
    const sent = this.#last.then(() => this.#sendAll(messages, signal));
    this.#last = sent.catch(() => {});
    return sent;
  }

  /**
   * Reads a channel's newest events, trying until it succeeds.
   *
   * @param channel canonical name.
   * @param limit 1 to 1,000.
   * @param signal gives up.
   * @throws as {@link send}.
   */
  latest(
    channel: string,
    limit: number,
    signal: AbortSignal,
  ): Promise<AnyEvent[]> {
    return this.#persist(
      "source_read_failed",
      { channel },
      () => this.#publisher.latest(channel, limit),
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
    const { type, id } = message;
    if (shorter) {
      this.#log("source_message_shortened", {
        type,
        id,
        from: full,
        to: bytes,
      });
      return { message: shorter, bytes };
    }
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
        // One bad message must not cost the others.
        for (const each of batch) await this.#publish([each], signal);
        return;
      }
      const shorter = error.code === "MESSAGE_TOO_LARGE"
        ? slimmer(message)
        : undefined;
      const { type, id } = message;
      if (!shorter) {
        this.#log("source_message_refused", { type, id, ...describe(error) });
        return;
      }
      this.#log("source_message_shortened", {
        type,
        id,
        from: sizeOf(message),
        to: sizeOf(shorter),
      });
      await this.#publish([shorter], signal);
    }
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
        const waitMs = Math.ceil(asked + backoffMs(attempt, this.#random));
        this.#log(event, { ...about, ...describe(error), attempt, waitMs });
        await pause(this.#time, waitMs, signal);
      }
    }
  }
}
