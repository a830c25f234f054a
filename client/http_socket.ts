/**
 * The service's doors over HTTP in the shape of a socket: events arrive as
 * Server-Sent Events, or in pages where a proxy holds those back, and commands
 * go as requests. The client above keeps its positions and does not notice.
 *
 * @module
 */
import { isLasting } from "./lasting.ts";
import { HttpRequests, RefusedError } from "./http_requests.ts";
import type { Refused } from "./http_requests.ts";
import { HttpStreams } from "./http_streams.ts";
import type { Holding } from "./http_streams.ts";
import { HttpTracks } from "./http_tracks.ts";
import { DEFAULT_MESSAGE_BYTES } from "./limits.ts";
import { claimsOf } from "./user.ts";

/** How often the client above asks for a sign of life. */
const HEARTBEAT_MS = 25_000;
/** One command at a time, and one of the client's own: requests may overtake. */
const MAX_COMMANDS_IN_FLIGHT = 2;

/** Most channels of one stream; the service names no other limit over HTTP. */
const MAX_SUBSCRIPTIONS = 256;

/** A frame of the client. */
interface Command {
  readonly type: string;
  readonly id: string;
  // deno-lint-ignore no-explicit-any -- by type, as the client sends it
  readonly payload: any;
}

/** What one socket reports to its owner. */
export interface HttpSocketParts extends Holding {
  /** Called once it is closed, or lost. */
  ended(): void;
}

/** As much of a `WebSocket` as the client uses. */
export class HttpSocket {
  /** As of a `WebSocket`. */
  onopen: (() => void) | null = null;
  /** As of a `WebSocket`. */
  onmessage: ((event: { data: string }) => void) | null = null;
  /** As of a `WebSocket`. */
  onclose: ((event: { code: number; reason: string }) => void) | null = null;
  readonly #parts: HttpSocketParts;
  readonly #ended = new AbortController();
  readonly #requests: HttpRequests;
  readonly #streams: HttpStreams;
  readonly #tracks: HttpTracks;
  #unsent = 0;

  /**
   * Opens at once: the first request shows whether the service is there.
   *
   * @param address of the socket that does not pass.
   */
  constructor(address: string, parts: HttpSocketParts) {
    const { signal } = this.#ended;
    this.#parts = parts;
    this.#requests = new HttpRequests(address.replace(/^ws/, "http"), signal);
    const reader = {
      requests: this.#requests,
      deliver: (frame: object) => this.#deliver(frame),
      reply: (type: string, payload: object, ref?: string) =>
        this.#reply(type, payload, ref),
      lost: () => this.#end(1006, ""),
      refuse: (refusal: Refused) => {
        this.#reply("error", refusal);
        this.#end(isLasting(refusal as never) ? 4500 : 1012, refusal.code);
      },
    };
    this.#streams = new HttpStreams(reader, parts, signal);
    this.#tracks = new HttpTracks(reader, signal);
    queueMicrotask(() => this.onopen?.());
  }

  /** Commands on their way, as bytes are of a `WebSocket`. */
  get bufferedAmount(): number {
    return this.#unsent;
  }

  /** Takes a frame of the client. */
  send(text: string): void {
    const command: Command = JSON.parse(text);
    this.#unsent++;
    this.#answer(command, text).catch((error) => {
      if (!(error instanceof RefusedError)) return this.#end(1006, "");
      this.#reply("error", error.refusal, command.id);
    }).finally(() => this.#unsent--);
  }

  /** Ends all that is under way. */
  close(): void {
    this.#ended.abort();
    this.#parts.ended();
  }

  #answer(command: Command, text: string): Promise<void> {
    const { type, id, payload } = command;
    const reply = (type: string) => (answer: unknown) => {
      this.#reply(type, answer as object, id);
    };
    switch (type) {
      case "connect":
        return this.#connect(command);
      case "refresh":
        return this.#refresh(command);
      case "ping":
        return this.#ping(id);
      case "subscribe":
        return this.#streams.subscribe(payload.channels, id);
      case "unsubscribe":
        return this.#streams.unsubscribe(payload.channels, id);
      case "watch":
        return this.#streams.edit(payload, id);
      case "track":
        return this.#tracks.track(payload, id);
      case "query":
      case "block":
      case "request_data":
      case "request_metrics":
      case "TEST":
        return this.#requests.post("api/request", text).then((frame) => {
          this.#deliver(frame as object);
        });
      case "BATCH_UPDATE": {
        const body = JSON.stringify({ messages: payload.updates });
        return this.#requests.post("api/publish", body).then(
          reply("published"),
        );
      }
      default:
        if (type !== type.toUpperCase()) {
          return Promise.reject(
            new RefusedError({
              code: "UNKNOWN_TYPE",
              message: `${type} needs a WebSocket, which does not pass here`,
            }),
          );
        }
        return this.#requests.post("api/publish", text).then(
          reply("published"),
        );
    }
  }

  /** A first request tests the token, the address and the way. */
  async #connect({ id, payload }: Command): Promise<void> {
    // Another one that asks for compression names no token.
    this.#requests.token ??= payload.auth?.token;
    const { token } = this.#requests;
    await this.#requests.get("api/channels", {});
    const claims = claimsOf(token);
    this.#reply("connected", {
      sessionId: `http-${id}`,
      serverTime: this.#now(),
      identity: {
        isAuthenticated: token !== undefined,
        user: claims.sub ?? null,
        role: claims.role ?? (token ? "user" : "anonymous"),
      },
      heartbeatMs: HEARTBEAT_MS,
      limits: {
        maxMessageBytes: DEFAULT_MESSAGE_BYTES,
        maxSubscriptions: MAX_SUBSCRIPTIONS,
        maxCommandsInFlight: MAX_COMMANDS_IN_FLIGHT,
      },
      schema: "http",
    }, id);
  }

  /** The streams go on with the new token from where they are. */
  async #refresh({ id, payload }: Command): Promise<void> {
    const claims = claimsOf(payload.token);
    if (claims.sub !== claimsOf(this.#requests.token).sub) {
      const message = "This is the token of another user";
      throw new RefusedError({ code: "FORBIDDEN", message });
    }
    this.#requests.token = payload.token;
    await this.#requests.get("api/channels", {});
    this.#reply("refreshed", {}, id);
    this.#streams.renew();
  }

  async #ping(id: string): Promise<void> {
    if (this.#streams.isSilent) return this.#end(1006, "");
    await this.#requests.get("api/channels", {});
    this.#reply("pong", { serverTime: this.#now() }, id);
  }

  #now(): string {
    return new Date(Date.now() + this.#streams.offsetMs).toISOString();
  }

  // Back to the client

  #reply(type: string, payload: object, ref?: string): void {
    this.#deliver({ type, payload, ...(ref !== undefined && { ref }) });
  }

  #deliver(frame: object): void {
    if (this.#ended.signal.aborted) return;
    this.onmessage?.({ data: JSON.stringify(frame) });
  }

  #end(code: number, reason: string): void {
    if (this.#ended.signal.aborted) return;
    this.close();
    this.onclose?.({ code, reason });
  }
}
