/**
 * Plays recorded messages again, in the rhythm in which they arrived.
 *
 * @module
 */
import type { Recorded } from "./recording.ts";

/** Longest pause kept between two messages, in milliseconds at speed 1. */
export const MAX_PAUSE_MS = 5000;
/** Messages played in one turn before the page may breathe. */
export const MAX_PER_TURN = 100;

/** How to play. */
export interface ReplayOptions {
  /** Times the original speed; `Infinity`: without pauses. */
  readonly speed: number;
  /** Given each message. */
  readonly play: (message: Recorded) => void;
  /** Called when all were played; not after `stop`. */
  readonly done: () => void;
}

/**
 * Plays incoming messages in order.
 *
 * @param messages oldest first; outgoing ones are passed over.
 * @param options how.
 * @returns stops it.
 */
export function replay(
  messages: readonly Recorded[],
  { speed, play, done }: ReplayOptions,
): () => void {
  const received = messages.filter(({ direction }) => direction === "in");
  let next = 0;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const turn = (): void => {
    for (let played = 0; played < MAX_PER_TURN; played++) {
      const message = received[next++];
      if (!message) return done();
      play(message);
      const following = received[next];
      if (!following) continue;
      const pause = Math.min(MAX_PAUSE_MS, following.at - message.at) / speed;
      if (pause >= 1) {
        timer = setTimeout(turn, pause);
        return;
      }
    }
    timer = setTimeout(turn);
  };
  timer = setTimeout(turn);
  return () => clearTimeout(timer);
}
