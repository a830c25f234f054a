/**
 * The order in which one connection's frames are carried out.
 *
 * @module
 */
import type { ClientFrame } from "../protocol/decode.ts";
import { Refusal } from "../protocol/refusals.ts";

/** Most commands of one connection waiting for their turn or answer. */
export const MAX_COMMANDS_IN_FLIGHT = 256;
/**
 * Most publishes of one connection waiting to be stored: a fifth of what the
 * log lets wait in all.
 */
export const MAX_PUBLISHES_IN_FLIGHT = 4_096;

/** Carries frames out. */
export interface FrameHandler {
  /**
   * Understands one frame, in its turn: its sender may have shown another
   * token before it.
   *
   * @param data what the socket delivered.
   * @throws {Refusal} or anything else; given to {@link refuse}.
   */
  read(data: unknown): ClientFrame;
  /** The `id` of a frame that is refused unread, if that is cheap. */
  glance(data: unknown): string | undefined;
  /**
   * Carries one frame out.
   *
   * @returns nothing when it is done at once.
   * @throws {Refusal} or anything else; given to {@link refuse}.
   */
  handle(frame: ClientFrame): Promise<void> | void;
  /** Answers a frame that failed; `ref` is unknown of one that cannot be read. Must not throw. */
  refuse(refusal: Refusal, ref: string | undefined): void;
}

/**
 * Carries out frames one at a time and in order; most are done at once.
 * Publishes are handed over in order too, but do not delay what follows.
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
   * Reads a frame and carries it out when those before it are done.
   *
   * @param data what the socket delivered.
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

  /** Forgets the frames that wait. */
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
