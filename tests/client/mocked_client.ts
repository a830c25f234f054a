/**
 * A client on mocked time, and the server's end of its sockets.
 */
import assert from "node:assert/strict";
import { mock } from "node:test";
import { setImmediate } from "node:timers";
import { connect } from "../../client/client.ts";
import type { Gap, Options } from "../../client/client.ts";

export const NOON = Date.UTC(2025, 7, 7, 12);
export const HEARTBEAT_MS = 25_000;

export interface Sent {
  readonly type: string;
  readonly id: string;
  readonly channel?: string;
  // deno-lint-ignore no-explicit-any -- as varied as the protocol
  readonly payload: any;
}

/** A message of an own type that carries a number. */
export const rate = (n: number) => ({ type: "TEST", payload: { n } }) as const;

/** The server's end of a socket that the client opened. */
export class Peer {
  onopen: (() => void) | null = null;
  onmessage: ((event: { data: unknown }) => void) | null = null;
  onclose: ((event: { code: number; reason: string }) => void) | null = null;
  readonly sent: Sent[] = [];
  isClosed = false;

  constructor(readonly url: string) {
    peers.push(this);
  }

  send(text: string): void {
    this.sent.push(JSON.parse(text));
  }

  close(): void {
    this.isClosed = true;
  }

  of(type: string): Sent[] {
    return this.sent.filter((frame) => frame.type === type);
  }

  say(frame: Record<string, unknown>): void {
    const timestamp = new Date().toISOString();
    this.onmessage?.({
      data: JSON.stringify({ id: "s", timestamp, version: "1.0.0", ...frame }),
    });
  }

  reply(type: string, payload: object, ref?: string): void {
    this.say({ type, payload, ...(ref === undefined ? {} : { ref }) });
  }

  welcome(maxCommandsInFlight = 256): void {
    this.onopen?.();
    const { id } = this.of("connect").at(-1)!;
    this.reply("connected", {
      sessionId: `session-${peers.length}`,
      serverTime: new Date().toISOString(),
      identity: { isAuthenticated: false, user: null, role: "anonymous" },
      heartbeatMs: HEARTBEAT_MS,
      limits: {
        maxMessageBytes: 65_536,
        maxSubscriptions: 256,
        maxCommandsInFlight,
      },
      schema: "x",
    }, id);
  }

  /** Answers the newest `subscribe`. */
  subscribed(...channels: object[]): void {
    const { id } = this.of("subscribe").at(-1)!;
    this.reply("subscribed", { channels, rejected: [] }, id);
  }

  event(seq: number, more: object = {}): void {
    this.say(block(seq, more));
  }

  drop(code = 1006, reason = ""): void {
    this.onclose?.({ code, reason });
  }
}

export const peers: Peer[] = [];

export function block(seq: number, more: object = {}): Record<string, unknown> {
  return {
    type: "NEW_BLOCK",
    channel: "blocks",
    epoch: "e1",
    seq,
    timestamp: new Date().toISOString(),
    payload: { blockId: `b${seq}`, height: seq },
    ...more,
  };
}

/** A client on mocked time, with what it delivered. */
export async function setup(options: Options = {}) {
  mock.timers.enable({ apis: ["Date", "setTimeout"], now: NOON });
  ahead.wall = ahead.monotonic = 0;
  const now = Date.now;
  Date.now = () => now() + ahead.wall;
  // No server answers why a socket does not open.
  globalThis.fetch = () => new Promise(() => {});
  performance.now = () => now() + ahead.monotonic;
  peers.length = 0;
  const client = connect("ws://server/ws", {
    WebSocket: Peer as unknown as new (url: string) => WebSocket,
    ...options,
  });
  const heights: number[] = [];
  const gaps: Gap[] = [];
  client.subscribe("NEW_BLOCK", ({ payload }) => heights.push(payload.height));
  client.onGap((gap) => gaps.push(gap));
  const signal = AbortSignal.abort();
  await assert.rejects(client.request("ping", {}, { signal }));
  await settled();
  return {
    client,
    heights,
    gaps,
    peer: () => peers.at(-1)!,
    [Symbol.dispose]() {
      client.disconnect();
      mock.timers.reset();
      performance.now = monotonic;
      globalThis.fetch = fetch;
    },
  };
}

const { fetch } = globalThis;
const monotonic = performance.now.bind(performance);
/** How far the clocks are ahead of the timers, in milliseconds. */
export const ahead = {
  /** The wall clock. */
  wall: 0,
  /** The monotonic clock. */
  monotonic: 0,
};

export const settled = () => new Promise((resolve) => setImmediate(resolve));

export async function tick(ms: number): Promise<void> {
  mock.timers.tick(ms);
  await settled();
}

export const outcome = (promise: Promise<unknown>) =>
  promise.then(() => "fulfilled", (error) => error.code);

/** Connected and live in `blocks`, after event 10. */
export async function live(options: Options = {}) {
  const parts = await setup(options);
  parts.peer().welcome();
  parts.client.joinChannel("blocks");
  parts.peer().subscribed(joined("e1", 10));
  return parts;
}

export const joined = (epoch: string, seq: number, recovered = true) => ({
  channel: "blocks",
  epoch,
  seq,
  recovered,
});
