/**
 * Asking a server for what it then sends by itself, until it does.
 *
 * @module
 */
import { isLasting } from "./lasting.ts";
import type { Failure } from "./types.ts";

/** Wait before another try, where the server names none, in milliseconds. */
const RETRY_MS = 1_000;

/** Failures after which the next connection asks again, by its own. */
const ENDED = ["CONNECTION_LOST", "OFFLINE", "CLOSED"];

/** A question that is asked again for as long as its refusals may pass. */
export interface Asking {
  /** Asks at once, also while another try is waited for. */
  ask(): void;
  /** Takes a refusal that arrived on another way than the answer. */
  refuse(failure: Failure): void;
  /** Tries no more; with `true`, not even when it is asked to. */
  stop(forGood?: boolean): void;
}

/**
 * Makes one.
 *
 * @param send asks.
 * @param fail receives a refusal that another try would receive again.
 */
export function asking(
  send: () => Promise<unknown>,
  fail: (failure: Failure) => void,
): Asking {
  let retry: ReturnType<typeof setTimeout> | undefined;
  let isOver = false;

  function ask(): void {
    clearTimeout(retry);
    if (!isOver) send().catch(refuse);
  }

  function refuse(failure: Failure): void {
    if (isOver || ENDED.includes(failure.code)) return;
    if (isLasting(failure)) return fail(failure);
    clearTimeout(retry);
    retry = setTimeout(ask, failure.retryAfterMs ?? RETRY_MS);
  }

  return {
    ask,
    refuse,
    stop(forGood = false) {
      isOver ||= forGood;
      clearTimeout(retry);
    },
  };
}
