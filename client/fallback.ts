/**
 * What happens when sockets do not open or fall silent: the reason is found,
 * and if the service is there, its doors over HTTP take their place until
 * sockets pass again. Loaded with the first failure.
 *
 * @module
 */
import { diagnose } from "./diagnosis.ts";
import { isLasting } from "./lasting.ts";
import { add } from "./listeners.ts";
import { HttpSocket } from "./http_socket.ts";
import { changed } from "./parts.ts";
import type { Failing, Parts } from "./parts.ts";
import { monotonic } from "./timers.ts";
import type { Failure } from "./types.ts";
import type { ReplyPayload } from "../protocol/replies.ts";

/** First wait before a socket is tried again, in milliseconds; it doubles. */
export const BACK_MS = 30_000;
/** Last wait. */
export const MAX_BACK_MS = 300_000;
/** Longest wait for a first frame of a socket that is tried. */
export const TRIAL_TIMEOUT_MS = 5_000;

/** Least time between two looks at one failure, in milliseconds. */
export const PROBE_EVERY_MS = 10_000;

/** What is remembered of one client. */
interface Memory {
  /** When its failure was looked into, on the monotonic clock. */
  askedAt: number;
  /** Wait before the next trial of a socket, in milliseconds. */
  backMs: number;
  /** When it last fell back, on the monotonic clock. */
  fellAt: number;
  /** What dialled before. */
  before?: Parts["dial"];
  /** Whether streams are held back, too. */
  isPolling: boolean;
}

const memories = new WeakMap<Parts, Memory>();

/**
 * A connection failed without a reason: finds it, or falls back.
 *
 * @param parts of the client, between two tries.
 * @param link its connection.
 */
export async function failing(parts: Parts, link: Failing): Promise<void> {
  const memory = memories.get(parts) ??
    {
      askedAt: -Infinity,
      backMs: BACK_MS,
      fellAt: -Infinity,
      isPolling: false,
    };
  memories.set(parts, memory);
  const { core, options } = parts;
  // What takes the place of sockets does not work, either.
  if (core.transport !== "websocket") return goBack(parts, memory);
  const isOver = () => parts.welcome || !core.connectionError;
  const now = monotonic();
  if (isOver() || now - memory.askedAt < PROBE_EVERY_MS) return;
  memory.askedAt = now;
  const over = new AbortController();
  const { signal } = over;
  // It connected, or was disconnected: the answer is not needed any more.
  const undo = add(parts.onState, () => isOver() && over.abort());
  try {
    const wasThere = !!core.sessionId;
    const failure = await diagnose(parts.address, wasThere, signal);
    if (signal.aborted) return;
    if (failure) return explain(parts, link, failure);
    if (options.fallback === false || core.status === "closed") return;
    // A service that stood still for a moment is there again.
    const passes = await doesPass(parts, signal);
    if (signal.aborted) return;
    if (!passes) fallBack(parts, link, memory);
    link.redial();
  } finally {
    undo();
  }
}

/** Takes the doors over HTTP in place of sockets. */
function fallBack(parts: Parts, link: Failing, memory: Memory): void {
  const now = monotonic();
  if (now - memory.fellAt > 2 * MAX_BACK_MS) memory.backMs = BACK_MS;
  memory.fellAt = now;
  parts.core.transport = memory.isPolling ? "polling" : "sse";
  memory.before = parts.dial;
  parts.dial = () => dial(parts, link, memory);
}

/** Shows the reason; ends the connection if it lasts. */
function explain(parts: Parts, link: Failing, failure: Failure): void {
  const { core } = parts;
  parts.reason = failure;
  if (core.status !== "closed") {
    // Its time to wait counts.
    link.replies.error!(failure as ReplyPayload<"error">, undefined);
    return link.lose(failure, isLasting(failure));
  }
  core.connectionError = failure;
  changed(parts);
}

/** Takes sockets again. */
function goBack(parts: Parts, { before }: Memory): void {
  parts.dial = before;
  parts.core.transport = "websocket";
  changed(parts);
}

/** In place of a socket; tries one now and then. */
function dial(parts: Parts, link: Failing, memory: Memory): WebSocket {
  const ended = new AbortController();
  const made = new HttpSocket(parts.address, {
    isPolling: memory.isPolling,
    polling() {
      memory.isPolling = true;
      parts.core.transport = "polling";
      changed(parts);
    },
    ended: () => ended.abort(),
  });
  let timer: ReturnType<typeof setTimeout>;
  const tryLater = () => {
    timer = setTimeout(tryNow, memory.backMs);
  };
  const tryNow = async () => {
    clearTimeout(timer);
    memory.backMs = Math.min(memory.backMs * 2, MAX_BACK_MS);
    const passes = await doesPass(parts, ended.signal);
    if (ended.signal.aborted) return;
    if (!passes) return tryLater();
    goBack(parts, memory);
    link.redial();
  };
  ended.signal.addEventListener("abort", () => clearTimeout(timer));
  // Another network may let sockets pass.
  globalThis.addEventListener?.("online", tryNow, ended);
  tryLater();
  return made as unknown as WebSocket;
}

/** Whether a socket opens, and frames pass. */
function doesPass(parts: Parts, signal: AbortSignal): Promise<boolean> {
  const { address, options } = parts;
  return new Promise((resolve) => {
    const socket = new (options.WebSocket ?? WebSocket)(address);
    const end = (passes: boolean) => {
      clearTimeout(timer);
      signal.removeEventListener("abort", fail);
      socket.onopen =
        socket.onmessage =
        socket.onerror =
        socket.onclose =
          null;
      socket.close();
      resolve(passes);
    };
    const fail = () => end(false);
    const timer = setTimeout(fail, TRIAL_TIMEOUT_MS);
    signal.addEventListener("abort", fail);
    socket.onopen = () => {
      socket.send(JSON.stringify({ type: "ping", id: "trial", payload: {} }));
    };
    socket.onmessage = () => end(true);
    socket.onerror = socket.onclose = fail;
  });
}
