/**
 * Answers that callers have not read yet. The platform accepts a whole body at
 * once and buffers it until its reader has read it. Longer bodies are passed on
 * in pieces, as they are read, so that the unread part is bounded.
 *
 * @module
 */
import type { MiddlewareHandler } from "hono";
import type { Clock } from "../platform/clock.ts";
import { Shares } from "../platform/shares.ts";
import { Refusal } from "../protocol/refusals.ts";
import type { Env, Visitor } from "./http.ts";

/** Longest body passed on at once, and longest piece, in bytes. */
export const PIECE_BYTES = 64 * 1024;
/** Bytes of longer answers that one address may leave unread. */
export const MAX_UNREAD_BYTES_PER_ADDRESS = 16 * 2 ** 20;
/**
 * Bytes of longer answers that all together may leave unread. Beyond it only
 * addresses that have read theirs get more, up to twice as much.
 */
export const MAX_UNREAD_BYTES = 128 * 2 ** 20;
/** How long a reader may take for one piece, in milliseconds. */
export const READ_DEADLINE_MS = 30_000;
/** When to retry, in milliseconds. */
const RETRY_MS = 1_000;

/** The answers of one instance that are made, or not read to their end. */
export class Unread {
  readonly #clock: Pick<Clock, "after">;
  readonly #shares = new Shares({
    each: MAX_UNREAD_BYTES_PER_ADDRESS,
    all: 2 * MAX_UNREAD_BYTES,
  });

  /** Nothing is unread yet. @param clock paces readers. */
  constructor(clock: Pick<Clock, "after">) {
    this.#clock = clock;
  }

  /** Bytes that wait to be read. */
  get bytes(): number {
    return this.#shares.held;
  }

  /**
   * Passes on the answers of the handlers after it. Event streams are left
   * out: they are bounded where they are written.
   */
  watch(): MiddlewareHandler<Env> {
    return async (c, next) => {
      await next();
      const { res } = c;
      if (!res.body || c.req.raw.method !== "GET") return;
      if (res.headers.get("content-type")?.startsWith("text/event-stream")) {
        return;
      }
      const body = new Uint8Array(await res.arrayBuffer());
      const { bucket } = c.get("visitor") ?? { bucket: "" };
      const isLong = body.byteLength > PIECE_BYTES;
      const handed = isLong ? this.#inPieces(body, bucket) : body;
      const answer = new Response(handed, res);
      answer.headers.set("content-length", String(body.byteLength));
      // Without this, Hono would copy the headers a second time.
      c.res = undefined;
      c.res = answer;
    };
  }

  /**
   * Reserves room for an answer while it is made.
   *
   * @param bytes of the longest answer that it may be.
   * @returns gives the room back when disposed.
   * @throws {Refusal} `RATE_LIMITED`.
   */
  reserve({ bucket }: Visitor, bytes: number): Disposable {
    this.#requireRoom(bucket, bytes);
    this.#shares.hold(bucket, bytes);
    return { [Symbol.dispose]: () => this.#shares.hold(bucket, -bytes) };
  }

  #inPieces(
    body: Uint8Array<ArrayBuffer>,
    bucket: string,
  ): ReadableStream<Uint8Array<ArrayBuffer>> {
    const bytes = body.byteLength;
    this.#requireRoom(bucket, bytes);
    this.#shares.hold(bucket, bytes);
    let rest: Uint8Array<ArrayBuffer> | undefined = body;
    let deadline: Disposable | undefined;
    const end = () => {
      deadline?.[Symbol.dispose]();
      if (!rest) return;
      rest = undefined;
      this.#shares.hold(bucket, -bytes);
    };
    return new ReadableStream<Uint8Array<ArrayBuffer>>({
      start: (controller) => {
        deadline = this.#deadline(controller, end);
      },
      pull: (controller) => {
        deadline?.[Symbol.dispose]();
        if (!rest) return;
        controller.enqueue(rest.subarray(0, PIECE_BYTES));
        rest = rest.subarray(PIECE_BYTES);
        if (rest.byteLength > 0) {
          deadline = this.#deadline(controller, end);
          return;
        }
        end();
        controller.close();
      },
      cancel: end,
    }, { highWaterMark: 0 });
  }

  /** An answer shorter than its announced length is recognised as cut. */
  #deadline(
    controller: ReadableStreamDefaultController,
    end: () => void,
  ): Disposable {
    return this.#clock.after(READ_DEADLINE_MS, () => {
      end();
      controller.close();
    });
  }

  #requireRoom(bucket: string, bytes: number): void {
    const excess = this.#shares.excess(bucket, bytes);
    if (!excess) return;
    throw new Refusal(
      "RATE_LIMITED",
      excess === "each"
        ? `At most ${MAX_UNREAD_BYTES_PER_ADDRESS} bytes of answers may be made for one address or wait to be read`
        : "Too many answers wait to be read; try again",
      { retryAfterMs: RETRY_MS },
    );
  }
}
