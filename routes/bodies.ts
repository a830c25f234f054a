/**
 * Requests whose bodies are in memory while they wait for the store. Publishers
 * are not limited by number; this bounds what waits when they send more than
 * the store accepts.
 *
 * @module
 */
import { Shares } from "../platform/shares.ts";
import { Refusal } from "../protocol/refusals.ts";
import type { Visitor } from "./http.ts";

/** What a request takes besides its body, in bytes, about. */
export const REQUEST_BYTES = 16 * 1024;
/** Bytes of requests in progress of one address. */
export const MAX_BODIES_BYTES_PER_ADDRESS = 8 * 2 ** 20;
/**
 * Bytes of requests in progress of all callers together. Their parsed form
 * takes several times as much.
 */
export const MAX_BODIES_BYTES = 32 * 2 ** 20;
/** When to retry, in milliseconds. */
const RETRY_MS = 1_000;

/** Room for one request. */
export interface BodyRoom extends Disposable {
  /**
   * Reserves the bytes of a body before it is read.
   *
   * @throws {Refusal} `RATE_LIMITED` when there is not enough room.
   */
  take(bytes: number): void;
}

/** The bodies that one instance holds. */
export class Bodies {
  readonly #shares = new Shares({
    each: MAX_BODIES_BYTES_PER_ADDRESS,
    all: MAX_BODIES_BYTES,
  });

  /** Bytes of requests under way. */
  get bytes(): number {
    return this.#shares.held;
  }

  /**
   * Room for a request, released when disposed.
   *
   * @throws {Refusal} `RATE_LIMITED` when there is none.
   */
  open({ bucket }: Visitor): BodyRoom {
    let held = 0;
    const take = (bytes: number) => {
      this.#require(bucket, bytes);
      this.#shares.hold(bucket, bytes);
      held += bytes;
    };
    take(REQUEST_BYTES);
    return {
      take,
      [Symbol.dispose]: () => this.#shares.hold(bucket, -held),
    };
  }

  #require(bucket: string, bytes: number): void {
    const excess = this.#shares.excess(bucket, bytes);
    if (!excess) return;
    throw new Refusal(
      "RATE_LIMITED",
      excess === "each"
        ? `One address may have at most ${MAX_BODIES_BYTES_PER_ADDRESS} bytes of requests under way, each counted ${REQUEST_BYTES} bytes longer than its body`
        : "Too many requests are under way; try again",
      { retryAfterMs: RETRY_MS },
    );
  }
}
