/**
 * A publisher over HTTP, for sources that run beside the service rather than
 * in it.
 *
 * @module
 */
import type { AnyEvent, AnyMessage } from "../protocol/messages.ts";
import { Refusal, REFUSALS } from "../protocol/refusals.ts";
import type { Heights, Issue, RefusalCode } from "../protocol/refusals.ts";
import { systemClock } from "../platform/clock.ts";
import type { Clock } from "../platform/clock.ts";
import type { Kept, PageOptions, Publisher } from "./source.ts";

/** How long one request may take, in milliseconds. */
export const REQUEST_TIMEOUT_MS = 10_000;

/** What an {@link HttpPublisher} needs. */
export interface HttpPublisherOptions {
  /** Where the service is: `http:` or `https:`, with a path when behind one. */
  readonly base: string | URL;
  /** A publisher's token. */
  readonly token: string;
  /** Makes the requests. */
  readonly fetch?: typeof fetch;
  /** Measures the timeout. */
  readonly clock?: Pick<Clock, "after">;
}

/**
 * Publishes with `POST /api/publish`, reads with `GET /api/channels/...`. What
 * the service refuses is thrown as the same {@link Refusal}.
 */
export class HttpPublisher implements Publisher, Disposable {
  readonly #base: string;
  readonly #token: string;
  readonly #fetch: typeof fetch;
  readonly #clock: Pick<Clock, "after">;
  readonly #end = new AbortController();

  /**
   * Makes no request yet.
   *
   * @throws {TypeError} when `base` is not an `http:` or `https:` URL.
   */
  constructor(
    { base, token, fetch = globalThis.fetch, clock = systemClock }:
      HttpPublisherOptions,
  ) {
    const url = new URL(base);
    if (url.protocol !== "http:" && url.protocol !== "https:") {
      throw new TypeError(`Expected an http: or https: URL`);
    }
    this.#base = url.origin + url.pathname.replace(/\/+$/, "");
    this.#token = token;
    this.#fetch = fetch;
    this.#clock = clock;
  }

  /** Publishes messages in one request. */
  async publish(messages: readonly AnyMessage[]): Promise<readonly Kept[]> {
    const answer = await this.#request("/api/publish", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ messages }),
    });
    const accepted = (answer as { accepted?: unknown } | null)?.accepted;
    return Array.isArray(accepted) ? accepted : [];
  }

  /** Reads a page of a channel's history in one request. */
  async page(
    channel: string,
    { limit, before }: PageOptions,
  ): Promise<AnyEvent[]> {
    const name = encodeURIComponent(channel);
    const query = new URLSearchParams({ limit: String(limit) });
    if (before) query.set("before", `${before.epoch}:${before.seq}`);
    const page = await this.#request(
      `/api/channels/${name}/history?${query}`,
      {},
    );
    const events = (page as { events?: unknown } | null)?.events;
    if (!Array.isArray(events)) throw new Error("History holds no events");
    return events;
  }

  /** Ends requests under way; they throw. */
  [Symbol.dispose](): void {
    this.#end.abort(new Error("Publisher was closed"));
  }

  async #request(path: string, init: RequestInit): Promise<unknown> {
    const late = new AbortController();
    const timer = this.#clock.after(
      REQUEST_TIMEOUT_MS,
      () => late.abort(new Error(`No answer in ${REQUEST_TIMEOUT_MS} ms`)),
    );
    // Not `using`, which Node has only from 24 on: applications run this.
    try {
      const response = await this.#fetch(this.#base + path, {
        ...init,
        headers: { ...init.headers, authorization: `Bearer ${this.#token}` },
        // A redirect would turn the POST into a GET.
        redirect: "manual",
        signal: AbortSignal.any([late.signal, this.#end.signal]),
      });
      const text = await response.text();
      const body = parse(text);
      if (response.ok && body !== undefined) return body;
      throw refusalIn(body) ??
        new Error(`HTTP ${response.status} from ${new URL(this.#base).host}`);
    } finally {
      timer[Symbol.dispose]();
    }
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function refusalIn(body: unknown): Refusal | undefined {
  if (typeof body !== "object" || body === null) return undefined;
  const { code, message, retryAfterMs, issues, missing } = body as Record<
    string,
    unknown
  >;
  if (typeof code !== "string" || !Object.hasOwn(REFUSALS, code)) {
    return undefined;
  }
  return new Refusal(
    code as RefusalCode,
    typeof message === "string" ? message : undefined,
    {
      ...(typeof retryAfterMs === "number" ? { retryAfterMs } : {}),
      ...(Array.isArray(issues) ? { issues: issues as Issue[] } : {}),
      ...(areHeights(missing) ? { missing } : {}),
    },
  );
}

function areHeights(value: unknown): value is Heights {
  const { from, to } = (value ?? {}) as Partial<Heights>;
  return Number.isSafeInteger(from) && Number.isSafeInteger(to);
}
