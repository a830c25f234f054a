/**
 * Messages and requests that wait: for the connection, for room among the
 * commands in flight, for their answers.
 *
 * @module
 */
import { failure } from "./failure.ts";
import { MAX_PENDING, MAX_RESEND_MS, REQUEST_TIMEOUT_MS } from "./limits.ts";
import type { Answer, Parts, Requests } from "./parts.ts";
import type { Failure } from "./types.ts";

/** A message or request that waits for its answer. */
interface Pending {
  readonly text: string;
  readonly answer: Answer;
  /** When it was first sent, in epoch milliseconds; `Infinity` until then. */
  at: number;
  isSent: boolean;
}

/** A promise whose failure may be ignored. */
export function deferred(): Answer {
  const answer = Promise.withResolvers<unknown>();
  answer.promise.catch(() => {});
  return answer;
}

/** Makes an empty set of requests. */
export function requestsOf(
  parts: Pick<
    Parts,
    "options" | "timers" | "core" | "welcome" | "send" | "stirred"
  >,
): Requests {
  const { options: { offlineQueue = { max: 100 } }, timers, core } = parts;
  const { max: maxOffline = 0 } = offlineQueue as { readonly max?: number };
  const pending = new Map<string, Pending>();
  let inFlight = 0;

  function flush(): void {
    for (const [id, each] of pending) {
      // The other half is for the client's own commands.
      if (!(inFlight < parts.welcome?.limits.maxCommandsInFlight! / 2)) return;
      if (each.isSent) continue;
      each.isSent = true;
      each.at = Math.min(each.at, Date.now());
      inFlight++;
      timers.after(`@${id}`, REQUEST_TIMEOUT_MS, () => refuse(id, "TIMEOUT"));
      parts.send(each.text);
    }
  }

  function settle(id: unknown): Answer | undefined {
    const each = pending.get(id as string);
    if (!each) return;
    pending.delete(id as string);
    timers.stop(`@${id}`);
    if (each.isSent) inFlight--;
    flush();
    return each.answer;
  }

  function refuse(id: string, code: Failure["code"]): void {
    settle(id)?.reject(core.lastError = failure(code));
    parts.stirred();
  }

  return {
    count: () => pending.size,
    flush,
    enqueue(id, frame) {
      const twin = pending.get(id);
      if (twin) return twin.answer.promise;
      const answer = deferred();
      const text = JSON.stringify(frame);
      const isClosed = core.status === "closed";
      const max = parts.welcome ? MAX_PENDING : isClosed ? 0 : maxOffline;
      if (pending.size < max) {
        pending.set(id, { text, answer, at: Infinity, isSent: false });
        flush();
        parts.stirred();
      } else answer.reject(failure(max ? "QUEUE_FULL" : "OFFLINE"));
      return answer.promise;
    },
    settle,
    lost(isFinal) {
      inFlight = 0;
      for (const [id, each] of pending) {
        each.isSent = false;
        if (isFinal) refuse(id, "CLOSED");
        else if (!maxOffline || Date.now() - each.at > MAX_RESEND_MS) {
          refuse(id, "CONNECTION_LOST");
        }
      }
    },
  };
}
