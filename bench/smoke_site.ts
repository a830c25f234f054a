/**
 * The service that the smoke test looks at.
 *
 * @module
 */
import { answer, isType, Peer, STEP_MS } from "./smoke_peer.ts";
import type { Frame } from "./smoke_peer.ts";

/** What is looked at, and how. */
export interface SmokeOptions {
  /** Where the service is: `https://rt.example.com`. */
  readonly url: string;
  /** A token of the role `user` or more; without one nothing is published. */
  readonly token?: string | undefined;
  /** How long a connection is left idle, in milliseconds; 0 or none: not at all. */
  readonly idleMs?: number | undefined;
}

/** Thrown by a step that does not apply. */
export class Skipped extends Error {}

/** Thrown by a step that knows what to look at. */
export class Fault extends Error {
  /** What to look at. */
  readonly hint: string;
  /** Makes an error with its hint. */
  constructor(message: string, hint: string) {
    super(message);
    this.hint = hint;
  }
}

/** The service, with what earlier steps found. */
export class Site {
  /** Of its HTTP endpoints, without a slash at the end. */
  readonly base: string;
  /** A room of this run alone. */
  readonly room = `room:smoke-${crypto.randomUUID().slice(0, 8)}`;
  /** Makes the ids of this run unique. */
  readonly run = crypto.randomUUID().slice(0, 8);
  /** As in {@link SmokeOptions}. */
  readonly token: string | undefined;
  /** As in {@link SmokeOptions}. */
  readonly idleMs: number;
  /** Largest frame, as the service states it. */
  maxMessageBytes = 0;
  /** How often to ping, as the service states it. */
  heartbeatMs = 25_000;
  /** Position of the last event delivered. */
  last: { readonly epoch: string; readonly seq: number } | undefined;

  /** Prepares to look; nothing is sent yet. */
  constructor({ url, token, idleMs = 0 }: SmokeOptions) {
    this.base = url.replace(/\/+$/, "");
    this.token = token;
    this.idleMs = idleMs;
  }

  /** Requests a path, with the token. */
  async ask(path: string, init: RequestInit = {}): Promise<Response> {
    return await fetch(this.base + path, {
      redirect: "manual",
      ...init,
      signal: init.signal ?? AbortSignal.timeout(STEP_MS),
      headers: {
        ...(this.token ? { authorization: `Bearer ${this.token}` } : {}),
        ...init.headers,
      },
    });
  }

  /**
   * Requests a path.
   *
   * @returns its JSON.
   * @throws {Error} the service refuses.
   */
  // deno-lint-ignore no-explicit-any -- answers of any kind are looked into.
  async read(path: string): Promise<any> {
    const response = await this.ask(path);
    const body = await response.json();
    if (response.ok) return body;
    throw new Error(
      `${path} answered ${response.status} ${body.code ?? ""} ${
        body.message ?? ""
      }`,
    );
  }

  /**
   * Publishes an event to the room.
   *
   * @returns its position.
   * @throws {Skipped} without a token.
   */
  async publish(
    event: string,
    id: string,
  ): Promise<{ epoch: string; seq: number }> {
    if (!this.token) throw new Skipped("set SMOKE_TOKEN to try this");
    const response = await this.ask("/api/publish", {
      method: "POST",
      body: JSON.stringify({
        type: "ROOM_MESSAGE",
        channel: this.room,
        id,
        payload: { event },
      }),
    });
    const body = await response.json();
    if (response.ok) return body.accepted[0];
    throw new Error(`${response.status} ${body.code}: ${body.message}`);
  }

  /** Connects, with the token. */
  async enter(): Promise<{ peer: Peer; connected: Frame }> {
    const peer = new Peer(`${this.base.replace(/^http/, "ws")}/ws`);
    await peer.opened();
    let connected = await peer.next("connected", isType("connected"));
    if (this.token) {
      const auth = { token: this.token };
      peer.send({ type: "connect", id: "c", payload: { auth } });
      connected = await answer(peer, "c");
    }
    return { peer, connected };
  }
}
