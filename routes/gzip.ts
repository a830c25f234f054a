/**
 * Answers that are compressed as they are made, for callers who accept that.
 *
 * @module
 */
import type { Context } from "hono";
import { createGzip } from "node:zlib";
import type { Clock } from "../platform/clock.ts";
import { encodingsIn } from "./files.ts";
import type { Env } from "./http.ts";

/** Shorter answers are sent as they are, in bytes. */
export const MIN_GZIP_BYTES = 1_024;
/**
 * Bytes compressed in one turn of the event loop, for all answers together:
 * at most 0.7 ms, measured with events and with random hexadecimal digits.
 */
export const SLICE_BYTES = 64 * 1024;
/** Measured with 3.9 MB of events: level 3 makes 0.35 of it, level 6 0.34 in twice the time. */
const LEVEL = 3;

/** Compresses answers, one slice a turn. */
export class Gzip {
  readonly #clock: Pick<Clock, "soon">;
  #turn: Promise<void> = Promise.resolve();

  /**
   * Idle.
   *
   * @param clock ends turns.
   */
  constructor(clock: Pick<Clock, "soon">) {
    this.#clock = clock;
  }

  /**
   * Compresses an answer if its caller accepts gzip and it is long enough.
   *
   * @param reserve takes room for the body while it is compressed.
   * @returns the answer, whose tag is weak when it is compressed.
   * @throws what `reserve` throws.
   * @see {@link https://www.rfc-editor.org/rfc/rfc9110#section-8.8.1}
   */
  async answer(
    c: Context<Env>,
    response: Response,
    reserve: (bytes: number) => Disposable | undefined,
  ): Promise<Response> {
    if (response.status !== 200) return response;
    response.headers.append("vary", "accept-encoding");
    const accepted = encodingsIn(c.req.header("accept-encoding"));
    if (!accepted.has("gzip")) return response;
    const body = await response.bytes();
    if (body.byteLength < MIN_GZIP_BYTES) return new Response(body, response);
    using _room = reserve(body.byteLength);
    const answer = new Response(await this.#compressed(body), response);
    answer.headers.set("content-encoding", "gzip");
    answer.headers.delete("content-length");
    const tag = answer.headers.get("etag");
    if (tag?.startsWith('"')) answer.headers.set("etag", `W/${tag}`);
    return answer;
  }

  async #compressed(
    body: Uint8Array<ArrayBuffer>,
  ): Promise<Uint8Array<ArrayBuffer>> {
    const gzip = createGzip({ level: LEVEL });
    const chunks: Uint8Array<ArrayBuffer>[] = [];
    gzip.on("data", (chunk: Uint8Array<ArrayBuffer>) => chunks.push(chunk));
    for (let at = 0; at < body.byteLength; at += SLICE_BYTES) {
      await this.#nextTurn();
      const slice = body.subarray(at, at + SLICE_BYTES);
      await new Promise<void>((resolve) => gzip.write(slice, () => resolve()));
    }
    await new Promise<void>((resolve) => gzip.on("end", resolve).end());
    return await new Blob(chunks).bytes();
  }

  /** Waits for a turn that no other slice has taken. */
  #nextTurn(): Promise<void> {
    return this.#turn = this.#turn.then(() =>
      new Promise((resolve) => this.#clock.soon(resolve))
    );
  }
}
