/**
 * Why a socket does not open: the browser shows a page nothing but 1006, so the
 * same address is asked over HTTP.
 *
 * @module
 */
import { either } from "./either.ts";
import { RequestError } from "./failure.ts";
import type { Failure } from "./types.ts";

/** Longest wait for an answer to one probe, in milliseconds. */
export const PROBE_TIMEOUT_MS = 5_000;

/**
 * Asks over HTTP what is at the address of a socket.
 *
 * @param address `ws:` or `wss:`.
 * @param wasThere whether a socket opened there before: then its scheme is right.
 * @param over ends the probes: the answer is not needed any more.
 * @returns why no socket opens there; nothing when the service answers, so that
 * something between must hold sockets back.
 */
export async function diagnose(
  address: string,
  wasThere = false,
  over: AbortSignal = new AbortController().signal,
): Promise<Failure | undefined> {
  const url = address.replace(/^ws/, "http");
  // Pages of other origins may read this one, and browsers do not report it.
  const beside = await probe(new URL("api/channels", url).href, over);
  const { channels, code: refused } = jsonIn(beside?.text ?? "");
  const isService = channels || refused === "UNAUTHENTICATED";
  if (isService && /\/(ws)?\/?$/.test(new URL(url).pathname)) return;
  const { status, text, retryAfterMs } = await probe(url, over) ?? {};
  if (status === undefined) {
    return await unreachable(address, url, wasThere, over);
  }
  const answer = jsonIn(text!);
  const fail = (code: Failure["code"], message: string) =>
    new RequestError(code, { message: `${address}: ${message}`, retryAfterMs });
  if (status === 400 && answer.code === "INVALID_MESSAGE") return;
  if (status === 404 || answer.code === "NOT_FOUND") {
    const hint = url.endsWith("/") ? "; try it without the / at its end" : "";
    return fail("NOT_FOUND", `nothing is there (HTTP 404)${hint}`);
  }
  if (answer.code) {
    const { code, message } = answer;
    return new RequestError(code, {
      retryAfterMs,
      ...answer,
      message: `${address}: ${message}`,
    });
  }
  if (status >= 500) {
    return fail("SERVER_ERROR", `the server is not ready (HTTP ${status})`);
  }
  return fail(
    "NOT_A_SERVICE",
    `what answers is no KALDRIX service (HTTP ${status}); is the path right?`,
  );
}

/** Nothing answered that a page may read: is something there at all? */
async function unreachable(
  address: string,
  url: string,
  wasThere: boolean,
  over: AbortSignal,
): Promise<Failure> {
  const other = url.startsWith("https:")
    ? url.replace("https:", "http:")
    : url.replace("http:", "https:");
  if (await isThere(url, over)) {
    return new RequestError("NO_ANSWER", {
      message:
        `${address}: what is there does not answer pages of ${globalThis.location?.origin}; does the service allow that origin?`,
    });
  }
  if (!wasThere && await isThere(other, over)) {
    const [wrong, right] = url.startsWith("https:")
      ? ["wss", "ws"]
      : ["ws", "wss"];
    return new RequestError("WRONG_SCHEME", {
      message:
        `${address}: the server does not speak ${wrong}:// here, but ${right}://`,
    });
  }
  return new RequestError("NO_ANSWER", {
    message: `${address}: nothing answers at ${
      new URL(url).host
    }; is the server running, and the port right?`,
  });
}

interface Answer {
  readonly status: number;
  readonly text: string;
  readonly retryAfterMs?: number | undefined;
}

function probe(url: string, over: AbortSignal): Promise<Answer | undefined> {
  return fetched(url, {}, over, async (response) => {
    const seconds = Number(response.headers.get("retry-after") ?? NaN);
    return {
      status: response.status,
      text: await response.text(),
      retryAfterMs: seconds >= 0 ? seconds * 1_000 : undefined,
    };
  });
}

/** Whether anything answers, also what a page of another origin may not read. */
async function isThere(url: string, over: AbortSignal): Promise<boolean> {
  const found = await fetched(url, { mode: "no-cors" }, over, async (it) => {
    await it.body?.cancel();
    return true;
  });
  return found ?? false;
}

/** Reads an answer; nothing when there is none. */
async function fetched<Read>(
  url: string,
  init: RequestInit,
  over: AbortSignal,
  read: (response: Response) => Promise<Read>,
): Promise<Read | undefined> {
  const ended = either(over);
  const timer = setTimeout(() => ended.abort(), PROBE_TIMEOUT_MS);
  try {
    return await read(
      await fetch(url, {
        ...init,
        cache: "no-store",
        headers: { accept: "application/json" },
        signal: ended.signal,
      }),
    );
  } catch {
    return undefined;
  } finally {
    clearTimeout(timer);
    ended.abort();
  }
}

/** What the answers that are looked for have in common. */
interface Known {
  readonly code?: Failure["code"];
  readonly message?: string;
  readonly channels?: unknown;
}

function jsonIn(text: string): Known {
  try {
    return Object(JSON.parse(text));
  } catch {
    return {};
  }
}
