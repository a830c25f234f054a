/**
 * Messages and requests that wait: for the connection, for room among the
 * commands in flight, for their answers.
 *
 * @module
 */
import { MAX_PENDING, MAX_RESEND_MS, REQUEST_TIMEOUT_MS } from "./limits.ts";
import { failed, nextId, send, stirred } from "./parts.ts";
import type { Answer, Parts } from "./parts.ts";
import { after, stop, stopwatch } from "./timers.ts";
import type { Failure, SendOptions } from "./types.ts";

/** A message or request; gets an id unless it has one. */
interface Frame {
  readonly id?: string;
  readonly [field: string]: unknown;
}

/** A promise with its two ends, whose failure may be ignored. */
export function deferred(): Answer {
  const answer = Promise.withResolvers<unknown>();
  answer.promise.catch(() => {});
  return answer;
}

/** Adds a frame; one whose id waits already is answered with it. */
export function enqueue(
  parts: Parts,
  frame?: Frame,
  { offlineQueue = parts.options.offlineQueue ?? { max: 100 } }: SendOptions =
    {},
): Promise<unknown> {
  const { pending, welcome, core } = parts;
  const id = frame?.id ?? nextId();
  const twin = pending.get(id);
  if (twin) return twin.answer.promise;
  const answer = deferred();
  const { max = 0 } = offlineQueue as { readonly max?: number };
  const most = welcome ? MAX_PENDING : core.status === "closed" ? 0 : max;
  let reason: Failure["code"] | undefined;
  let message: string | undefined;
  try {
    const text = JSON.stringify({ ...frame, id });
    if (!frame) reason = "INVALID_MESSAGE";
    else if (!most) reason = "OFFLINE";
    else if (pending.size >= most) reason = "QUEUE_FULL";
    else pending.set(id, { text, answer, max });
  } catch (error) {
    reason = "INVALID_MESSAGE";
    message = `${error}`;
  }
  if (reason) answer.reject(failed(parts, reason, message));
  else flush(parts);
  stirred(parts);
  return answer.promise;
}

/** Sends what waits, as much as the server takes at once. */
export function flush(parts: Parts): void {
  for (const [id, each] of parts.pending) {
    const limits = parts.welcome?.limits;
    // The other half is for the client's own commands.
    if (!limits || parts.inFlight >= limits.maxCommandsInFlight / 2) return;
    if (each.sentIn === parts.turn) continue;
    const bytes = new Blob([each.text]).size;
    const most = limits.maxMessageBytes;
    if (bytes > most) {
      refuse(parts, id, "MESSAGE_TOO_LARGE", `${bytes} bytes`);
      continue;
    }
    each.sentIn = parts.turn;
    each.age ??= stopwatch();
    parts.inFlight++;
    after(parts, `@${id}`, REQUEST_TIMEOUT_MS, () => {
      refuse(parts, id, "TIMEOUT");
    });
    send(parts, each.text);
  }
}

/** Removes a request whose answer arrived. */
export function settle(parts: Parts, id: unknown): Answer | undefined {
  const each = parts.pending.get(id as string);
  if (!each) return;
  parts.pending.delete(id as string);
  stop(parts, `@${id}`);
  if (each.sentIn === parts.turn) parts.inFlight--;
  flush(parts);
  return each.answer;
}

function refuse(
  parts: Parts,
  id: string,
  code: Failure["code"],
  message?: string,
): void {
  settle(parts, id)?.reject(failed(parts, code, message));
}

/**
 * The connection is lost.
 *
 * @param isFinal whether all are refused.
 */
export function requestsLost(parts: Parts, isFinal: boolean): void {
  parts.inFlight = 0;
  for (const [id, each] of parts.pending) {
    if (isFinal) refuse(parts, id, "CLOSED");
    else if (!each.max || each.age?.()! > MAX_RESEND_MS) {
      refuse(parts, id, "CONNECTION_LOST");
    }
  }
}
