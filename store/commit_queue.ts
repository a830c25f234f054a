/**
 * The bounded queue of requests that wait for a commit.
 *
 * @module
 */
import { Shares } from "../platform/shares.ts";
import { Refusal } from "../protocol/refusals.ts";
import {
  COMMIT_BYTES,
  COMMIT_CHANNELS,
  CommitLoad,
  fits,
  sizeOf,
} from "./commit_size.ts";
import type { CommitSize } from "./commit_size.ts";
import type { Draft, StreamPosition } from "./event_log.ts";

/**
 * Most events waiting for a commit; beyond it publishers must retry. One
 * publisher has at most half of it.
 */
export const MAX_WAITING_EVENTS = 20_000;
/** Most bytes waiting for a commit; one publisher has at most half of it. */
export const MAX_WAITING_BYTES = 64 * 1024 * 1024;
/** The name of the service's own events among publishers. */
const OWN = "";

/** One waiting call of `LogWriter.append`. */
export interface Request {
  /** The events to append together. */
  readonly drafts: readonly Draft[];
  /** Its size in a commit. */
  readonly size: CommitSize;
  /** Resolves it. */
  readonly resolve: (positions: readonly StreamPosition[]) => void;
  /** Rejects it. */
  readonly reject: (error: unknown) => void;
}

/** Requests in the order of arrival. */
export class CommitQueue {
  readonly #retryAfterMs: number;
  #waiting: Request[] = [];
  readonly #events = new Shares({
    each: MAX_WAITING_EVENTS / 2,
    all: MAX_WAITING_EVENTS,
  });
  readonly #bytes = new Shares({
    each: MAX_WAITING_BYTES / 2,
    all: MAX_WAITING_BYTES,
  });
  /** Requests at the front that are committed one by one. */
  #alone = 0;

  /**
   * Empty.
   *
   * @param retryAfterMs when a publisher that found it full may retry.
   */
  constructor(retryAfterMs: number) {
    this.#retryAfterMs = retryAfterMs;
  }

  /** Whether nothing waits. */
  get isEmpty(): boolean {
    return this.#waiting.length === 0;
  }

  /**
   * Adds a request.
   *
   * @returns settles as the request does.
   * @throws {Refusal} `MESSAGE_TOO_LARGE` when no commit can hold it,
   * `STORE_UNAVAILABLE` while the queue is full.
   */
  add(drafts: readonly Draft[]): Promise<readonly StreamPosition[]> {
    const size = sizeOf(drafts);
    if (!fits(size)) {
      throw new Refusal(
        "MESSAGE_TOO_LARGE",
        `What is published together may hold about ${COMMIT_BYTES} bytes and ${COMMIT_CHANNELS} channels; send less at once`,
      );
    }
    const name = publisherOf(drafts);
    if (
      this.#events.excess(name, drafts.length) ||
      this.#bytes.excess(name, size.bytes)
    ) {
      throw new Refusal(
        "STORE_UNAVAILABLE",
        "Too much is waiting to be stored; try again",
        { retryAfterMs: this.#retryAfterMs },
      );
    }
    const { promise, resolve, reject } = Promise.withResolvers<
      readonly StreamPosition[]
    >();
    const request = { drafts, size, resolve, reject };
    this.#waiting.push(request);
    this.#count([request], 1);
    return promise;
  }

  /** Removes as many requests as one commit can hold. */
  next(): Request[] {
    const load = new CommitLoad();
    for (const { size } of this.#waiting) {
      if (!load.take(size) || this.#alone > 0) break;
    }
    this.#alone = Math.max(0, this.#alone - 1);
    const group = this.#waiting.splice(0, load.size);
    this.#count(group, -1);
    return group;
  }

  /** Puts requests back in front, to be committed one by one. */
  putBack(group: readonly Request[]): void {
    this.#waiting.unshift(...group);
    this.#count(group, 1);
    this.#alone = group.length;
  }

  #count(group: readonly Request[], sign: 1 | -1): void {
    for (const { drafts, size } of group) {
      const name = publisherOf(drafts);
      this.#events.hold(name, sign * drafts.length);
      this.#bytes.hold(name, sign * size.bytes);
    }
  }
}

/** The publisher of a request: all its events are of one. */
function publisherOf([first]: readonly Draft[]): string {
  return first?.publisher?.subject ?? OWN;
}
