/**
 * Clients of a real service, whose sockets a test can cut.
 *
 * @module
 */
import assert from "node:assert/strict";
import { connect } from "../../client/client.ts";
import type { Client, Options } from "../../client/client.ts";
import type { AnyMessage } from "../../protocol/messages.ts";
import { listen, openTestService } from "../test_service.ts";
import type { TestService } from "../test_service.ts";
import { until } from "../until.ts";
import { txReceived } from "../transactions.ts";

/** When everything happened. */
export const timestamp = "2026-01-01T00:00:00.000Z";

/** A service behind a port. */
export interface Bench extends AsyncDisposable {
  /** The service. */
  readonly service: TestService;
  /** Publishes messages, together. */
  publish(...messages: AnyMessage[]): Promise<unknown>;
  /** A client that begins to connect. */
  start(options?: Options): Client;
  /** A client that is connected. */
  client(): Promise<Client>;
  /** Cuts the sockets of all clients. */
  cut(): void;
}

/** Opens one. */
export async function openBench(): Promise<Bench> {
  const stack = new AsyncDisposableStack();
  const service = stack.use(
    await openTestService({ env: { RATE_LIMIT_MAX: "1000000" } }),
  );
  const listener = stack.use(listen(service));
  const clients: Client[] = [];
  const sockets = new Set<WebSocket>();
  class Cut extends WebSocket {
    constructor(url: string) {
      super(url);
      sockets.add(this);
    }
  }
  const start = (options?: Options): Client => {
    const made = connect(`ws://127.0.0.1:${listener.addr.port}/ws`, {
      WebSocket: Cut,
      reconnectInterval: 20,
      ...options,
    });
    clients.push(made);
    return made;
  };
  return {
    service,
    publish: (...messages) => service.publisher.publish(messages),
    start,
    async client() {
      const made = start();
      await made.ready();
      return made;
    },
    cut() {
      for (const socket of sockets) socket.close();
      sockets.clear();
    },
    async [Symbol.asyncDispose]() {
      for (const each of clients) each.disconnect();
      await until(
        () => service.sessions.size === 0,
        "all clients to be gone",
      );
      await stack.disposeAsync();
      assert.deepEqual(service.bugs, []);
    },
  };
}

/** A block on another. */
export function block(
  name: string,
  height: number,
  previousHash: string,
  more: Record<string, unknown> = {},
): AnyMessage {
  return {
    type: "NEW_BLOCK",
    payload: { blockId: name, height, previousHash, timestamp, ...more },
  };
}

/** A status of transaction `x`. */
export function tx(
  status: "pending" | "confirmed" | "failed" | "dropped",
  more: Record<string, unknown> = {},
): AnyMessage {
  return txReceived({ txId: "x", status, timestamp, ...more });
}

/** That blocks up to one reached a level. */
export function finality(
  level: "safe" | "final",
  blockId: string,
  height: number,
): AnyMessage {
  return { type: "FINALITY", payload: { level, blockId, height, timestamp } };
}
