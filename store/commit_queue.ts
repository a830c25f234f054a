/**
 * What waits for a commit, bounded.
 *
 * @module
 */
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

/** Most events waiting for a commit; beyond, publishers are asked to wait. */
export const MAX_WAITING_EVENTS = 20_000;
/** Most bytes waiting for a commit. */
export const MAX_WAITING_BYTES = 64 * 1024 * 1024;

/** What one call of `LogWriter.append` waits for. */
export interface Request {
  /** What to append, together. */
  readonly drafts: readonly Draft[];
  /** How much of a commit it takes. */
  readonly size: CommitSize;
  /** Answers it. */
  readonly resolve: (positions: readonly StreamPosition[]) => void;
  /** Refuses it. */
  readonly reject: (error: unknown) => void;
}

/** Requests in the order in which they came. */
export class CommitQueue {
  readonly #retryAfterMs: number;
  #waiting: Request[] = [];
  #events = 0;
  #bytes = 0;
  /** Requests at the front that are committed one by one. */
  #alone = 0;

  /**
   * Empty.
   *
   * @param retryAfterMs when a publisher that found it full may come back.
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
   * @returns resolves and rejects as the request is answered.
   * @throws {Refusal} `MESSAGE_TOO_LARGE` when no commit can hold it,
   * `STORE_UNAVAILABLE` while too much waits.
   */
  add(drafts: readonly Draft[]): Promise<readonly StreamPosition[]> {
    const size = sizeOf(drafts);
    if (!fits(size)) {
      throw new Refusal(
        "MESSAGE_TOO_LARGE",
        `What is published together may hold about ${COMMIT_BYTES} bytes and ${COMMIT_CHANNELS} channels; send less at once`,
      );
    }
    if (
      this.#events + drafts.length > MAX_WAITING_EVENTS ||
      this.#bytes + size.bytes > MAX_WAITING_BYTES
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

  /** Takes as many requests as one commit holds. */
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
      this.#events += sign * drafts.length;
      this.#bytes += sign * size.bytes;
    }
  }
}
