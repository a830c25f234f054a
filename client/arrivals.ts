/**
 * What arrives, taken one by one by an async iteration.
 *
 * @module
 */
import { RequestError } from "./failure.ts";

/** Most things that wait to be taken. */
export const MAX_WAITING = 10_000;

/** Things on their way from a listener to an iteration. */
export interface Arrivals<Thing> {
  /** One more; the last when `isLast`. */
  put(thing: Thing, isLast?: boolean): void;
  /** No more: what waits is taken first. */
  fail(error: unknown): void;
  /** Takes all until the last, the failure, or the signal. */
  take(signal: AbortSignal | undefined): AsyncGenerator<Thing, void>;
}

/** Nothing has arrived. */
export function arrivals<Thing>(): Arrivals<Thing> {
  const waiting: Thing[] = [];
  let isOver = false;
  let failure: { readonly error: unknown } | undefined;
  let wake = () => {};
  const end = () => {
    isOver = true;
    wake();
  };
  const fail = (error: unknown) => {
    failure ??= { error };
    end();
  };
  return {
    put(thing, isLast = false) {
      if (isOver) return;
      if (waiting.length >= MAX_WAITING) {
        return fail(new RequestError("QUEUE_FULL"));
      }
      waiting.push(thing);
      if (isLast) end();
      wake();
    },
    fail,
    async *take(signal) {
      signal?.addEventListener("abort", end);
      try {
        while (!signal?.aborted) {
          if (waiting.length > 0) yield waiting.shift()!;
          else if (failure) throw failure.error;
          else if (isOver) return;
          else await new Promise<void>((resolve) => wake = resolve);
        }
      } finally {
        end();
        signal?.removeEventListener("abort", end);
      }
    },
  };
}
