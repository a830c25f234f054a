/**
 * The order in which one connection's frames are executed.
 *
 * @module
 */
import type { ClientFrame } from "../protocol/decode.ts";
import { Refusal } from "../protocol/refusals.ts";

/** Most commands of one connection that wait for their turn or reply. */
export const MAX_COMMANDS_IN_FLIGHT = 256;
/**
 * Most publishes of one connection that wait to be stored: a fifth of the log's
 * queue.
 */
export const MAX_PUBLISHES_IN_FLIGHT = 4_096;

/** Executes frames. */
export interface FrameHandler {
  /**
   * Decodes one frame when its turn is reached: an earlier frame may have
   * changed its sender's token.
   *
   * @param data the data of the socket's event.
   * @throws {Refusal} or anything else; given to {@link refuse}.
   */
  read(data: unknown): ClientFrame;
  /** The `id` of a frame that is refused without decoding, if that is cheap. */
  glance(data: unknown): string | undefined;
  /**
   * Executes one frame.
   *
   * @returns nothing when it completes synchronously.
   * @throws {Refusal} or anything else; given to {@link refuse}.
   */
  handle(frame: ClientFrame): Promise<void> | void;
  /** Answers a failed frame; `ref` is absent for an unreadable one. Must not throw. */
  refuse(refusal: Refusal, ref: string | undefined): void;
}

/**
 * Executes frames one at a time and in order; most complete synchronously.
 * Publishes are started in order too, but do not delay later frames.
 */
export class CommandQueue {
  readonly #handler: FrameHandler;
  readonly #waiting: unknown[] = [];
  #busy = false;
  #publishing = 0;

  /** Empty. */
  constructor(handler: FrameHandler) {
    this.#handler = handler;
  }

  /**
   * Decodes and executes a frame when the ones before it are done.
   *
   * @param data the data of the socket's event.
   * @throws {Refusal} `RATE_LIMITED` when too many wait.
   */
  add(data: unknown): void {
    if (
      this.#waiting.length >= MAX_COMMANDS_IN_FLIGHT ||
      this.#publishing >= MAX_PUBLISHES_IN_FLIGHT
    ) {
      throw new Refusal(
        "RATE_LIMITED",
        "Too many commands wait for their answer; send more slowly",
        { ref: this.#handler.glance(data), retryAfterMs: 1_000 },
      );
    }
    if (this.#busy) this.#waiting.push(data);
    else this.#run(data);
  }

  /** Counts a publish until it is stored or refused. */
  publishing(stored: Promise<unknown>): void {
    this.#publishing++;
    stored.finally(() => this.#publishing--);
  }

  /** Drops the frames that wait. */
  clear(): void {
    this.#waiting.length = 0;
  }

  #run(data: unknown): void {
    let frame: ClientFrame | undefined;
    try {
      frame = this.#handler.read(data);
      const work = this.#handler.handle(frame);
      if (work) this.#wait(work, frame.id);
    } catch (error) {
      this.#handler.refuse(Refusal.of(error), frame?.id);
    }
  }

  async #wait(work: Promise<void>, ref: string | undefined): Promise<void> {
    this.#busy = true;
    try {
      await work;
    } catch (error) {
      this.#handler.refuse(Refusal.of(error), ref);
    }
    this.#busy = false;
    while (!this.#busy && this.#waiting.length > 0) {
      this.#run(this.#waiting.shift()!);
    }
  }
}
