/**
 * Servers' ends of sockets for tests of the hooks and stores, which are about
 * how many connections there are and what is asked on them.
 *
 * @module
 */
import type { Options } from "../../client/types.ts";

/** The server's end of a socket, as far as these tests need one. */
export class Peer {
  onopen: (() => void) | null = null;
  onmessage: ((event: { data: string }) => void) | null = null;
  onclose: ((event: { code: number; reason: string }) => void) | null = null;
  // deno-lint-ignore no-explicit-any -- as varied as the protocol
  readonly sent: any[] = [];
  isClosed = false;
  constructor() {
    peers.push(this);
  }
  send(text: string): void {
    const frame = JSON.parse(text);
    this.sent.push(frame);
    if (frame.type !== "subscribe") return;
    const channels = frame.payload.channels.map(
      (each: string | { channel: string; after?: { seq: number } }) =>
        typeof each === "string"
          ? { channel: each, epoch: "e", seq: 0, recovered: true }
          : {
            channel: each.channel,
            epoch: "e",
            seq: each.after?.seq ?? 0,
            recovered: true,
          },
    );
    queueMicrotask(() =>
      this.say("subscribed", { channels, rejected: [] }, frame.id)
    );
  }
  close(): void {
    this.isClosed = true;
  }
  of(type: string): { payload: { channels: unknown[] } }[] {
    return this.sent.filter((frame) => frame.type === type);
  }
  say(type: string, payload: object, ref?: string, more?: object): void {
    this.onmessage?.({ data: JSON.stringify({ type, payload, ref, ...more }) });
  }
  welcome(): void {
    this.onopen?.();
    this.say("connected", {
      sessionId: "s",
      serverTime: new Date().toISOString(),
      identity: { isAuthenticated: false, user: null, role: "anonymous" },
      heartbeatMs: 25_000,
      limits: { maxCommandsInFlight: 256 },
    }, this.sent[0].id);
  }
  block(seq: number): void {
    this.say("NEW_BLOCK", { height: seq }, undefined, {
      channel: "blocks",
      epoch: "e",
      seq,
      timestamp: new Date().toISOString(),
    });
  }
}

/** All of them, the newest last. */
export const peers: Peer[] = [];
/** Options of a client whose sockets are peers. */
export const options: Options = {
  url: "ws://server/ws",
  WebSocket: Peer as unknown as new (url: string) => WebSocket,
};
