/**
 * Requests to the service over HTTP, with the token of a client.
 *
 * @module
 */
import { either } from "./either.ts";
import { CONNECT_TIMEOUT_MS } from "./limits.ts";
import type { Position } from "../protocol/commands.ts";
import type { ReplyPayload } from "../protocol/replies.ts";

/** What a service refuses with. */
export interface Refused {
  /** Its name. */
  readonly code: string;
  /** A sentence. */
  readonly message: string;
  /** What exactly was wrong: of a stream, which channel and its code. */
  readonly issues?: readonly {
    readonly path: string;
    readonly message: string;
  }[];
}

/** A request was refused. */
export class RefusedError extends Error {
  /** Why. */
  readonly refusal: Refused;

  /** Of what the service, or the client in its place, refused with. */
  constructor(refusal: Refused) {
    super(refusal.message);
    this.refusal = refusal;
  }
}

/** Which page of a channel, oldest first. */
interface PageQuery {
  readonly after?: Position;
  readonly before?: Position;
  readonly limit?: number;
}

/** Asks one service. */
export class HttpRequests {
  readonly #base: string;
  readonly #signal: AbortSignal;
  /** Goes with every request. */
  token: string | undefined;

  /**
   * Asks nothing yet.
   *
   * @param base beside which the service's paths are.
   * @param signal ends what is under way.
   */
  constructor(base: string, signal: AbortSignal) {
    this.#base = base;
    this.#signal = signal;
  }

  /**
   * A page of a channel's history.
   *
   * @throws {RefusedError} the service's refusal.
   */
  async page(
    channel: string,
    { after, before, limit }: PageQuery,
  ): Promise<ReplyPayload<"query_result">> {
    const text = (at?: Position) => at && `${at.epoch}:${at.seq}`;
    const path = `api/channels/${encodeURIComponent(channel)}/history`;
    const query = { after: text(after), before: text(before), limit };
    return await this.get(path, query) as ReplyPayload<"query_result">;
  }

  /**
   * Asks for something.
   *
   * @throws {RefusedError} the service's refusal.
   */
  get(path: string, query: object): Promise<unknown> {
    const given = Object.entries(query).filter(([, it]) => it !== undefined);
    const search = new URLSearchParams(given.map(([k, v]) => [k, String(v)]));
    return this.#json(search.size > 0 ? `${path}?${search}` : path, {});
  }

  /**
   * Gives something.
   *
   * @throws {RefusedError} the service's refusal.
   */
  post(path: string, body: string): Promise<unknown> {
    const headers = { "content-type": "application/json" };
    return this.#json(path, { method: "POST", body, headers });
  }

  async #json(path: string, init: RequestInit): Promise<unknown> {
    const timeout = AbortSignal.timeout(CONNECT_TIMEOUT_MS);
    const ending = either(this.#signal, timeout);
    try {
      const { signal } = ending;
      const response = await this.fetch(path, { ...init, signal });
      if (!response.ok) throw await refusalOf(response);
      return await response.json();
    } finally {
      ending.abort();
    }
  }

  /** Any request, with the token. */
  fetch(path: string, init: RequestInit): Promise<Response> {
    const headers = new Headers(init.headers);
    if (this.token) headers.set("authorization", `Bearer ${this.token}`);
    // Beside the socket's address, whatever is in front of it.
    return fetch(new URL(path, this.#base), {
      ...init,
      headers,
      cache: "no-store",
    });
  }
}

/** What a response refuses with. */
export async function refusalOf(response: Response): Promise<Error> {
  try {
    const refusal = await response.json();
    if (refusal?.code) return new RefusedError(refusal);
  } catch {
    // A proxy's answer.
  }
  return new Error(`HTTP ${response.status}`);
}
