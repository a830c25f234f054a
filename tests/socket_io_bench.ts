/**
 * The service on a port, with the real clients of Socket.IO.
 *
 * @module
 */
import { io } from "socket.io-client";
import type { ManagerOptions, Socket, SocketOptions } from "socket.io-client";
import { askFrom, openTestService, serviceOn } from "./test_service.ts";
import type { TestService, TestServiceOptions } from "./test_service.ts";
import type { Service } from "../server/service.ts";
import { MAX_BATCH_MESSAGES } from "../protocol/decode.ts";
import { systemClock } from "../platform/clock.ts";
import { pause } from "../platform/pause.ts";
import { openStore } from "../store/deno_kv.ts";
import { until } from "./until.ts";
import { closeStore } from "./close_store.ts";

/** Whatever arrives: tests look wherever they like. */
// deno-lint-ignore no-explicit-any -- tests look into anything.
export type Any = any;

/** Every way a client can take. */
export const TRANSPORTS = {
  "polling alone": ["polling"],
  "a WebSocket alone": ["websocket"],
  "polling and then a WebSocket": ["polling", "websocket"],
} as const;

/** A service on a port. */
export class SocketIoBench implements AsyncDisposable {
  /** Every service that was served, the present one last. */
  readonly services: Service[];
  /** Bugs that were reported: a test expects none. */
  readonly bugs: unknown[];
  readonly #server: Deno.HttpServer<Deno.NetAddr>;
  readonly #sockets: Socket[] = [];
  readonly #close: () => Promise<void>;
  #turn = 0;
  /** The services asked, in turn; without any, connections are refused. */
  serving: Service[];

  private constructor(
    services: Service[],
    bugs: unknown[],
    close: () => Promise<void>,
  ) {
    this.services = services;
    this.serving = services;
    this.bugs = bugs;
    this.#close = close;
    this.#server = Deno.serve(
      { hostname: "127.0.0.1", port: 0, onListen: () => {} },
      (request, info) => {
        const next = this.serving[this.#turn++ % this.serving.length];
        return next
          ? next.app.fetch(request, info)
          : new Response(null, { status: 502 });
      },
    );
  }

  /** One instance. */
  static async open(options: TestServiceOptions = {}): Promise<SocketIoBench> {
    const service: TestService = await openTestService(options);
    return new SocketIoBench(
      [service],
      service.bugs,
      () => service[Symbol.asyncDispose]() as Promise<void>,
    );
  }

  /** Several instances on one store; requests go to each in turn. */
  static async cluster(
    count: number,
    options: TestServiceOptions = {},
  ): Promise<SocketIoBench> {
    const kv = await openStore(":memory:");
    const bugs: unknown[] = [];
    const services = Array.from(
      { length: count },
      () => serviceOn(kv, bugs, { ...options, instances: count }),
    );
    return new SocketIoBench(services, bugs, async () => {
      for (const each of services) await each[Symbol.asyncDispose]();
      await closeStore(kv);
    });
  }

  /** The instance that was opened first. */
  get service(): Service {
    return this.services[0]!;
  }

  /** Where it listens. */
  get url(): string {
    return `http://127.0.0.1:${this.#server.addr.port}`;
  }

  /** A real client, disconnected when the bench is disposed. */
  client(
    options: Partial<ManagerOptions & SocketOptions> = {},
    namespace = "",
  ): Socket {
    const socket = io(this.url + namespace, {
      forceNew: true,
      reconnectionDelay: 10,
      reconnectionDelayMax: 50,
      ...options,
    });
    this.#sockets.push(socket);
    return socket;
  }

  /** Publishes blocks of these heights. */
  async publish(...heights: readonly number[]): Promise<void> {
    if (heights.length > MAX_BATCH_MESSAGES) {
      await this.publish(...heights.slice(0, MAX_BATCH_MESSAGES));
      return await this.publish(...heights.slice(MAX_BATCH_MESSAGES));
    }
    await this.services.at(-1)!.publisher.publish(
      heights.map((height) => ({
        type: "NEW_BLOCK" as const,
        payload: {
          blockId: `b${height}`,
          height,
          previousHash: `b${height - 1}`,
          timestamp: "2025-08-07T10:00:00.000Z",
        } as Any,
      })),
    );
  }

  /** Asks the service over HTTP, from the clients' own address. */
  ask(path: string, init?: RequestInit): Promise<Response> {
    return askFrom("127.0.0.1", this.service, path, init);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.disconnect();
    await until(
      () =>
        this.#sockets.every(({ io }) =>
          !io.engine || io.engine.readyState === "closed"
        ),
      "all clients have left",
    );
    // The last request of a client that polls ends after its client.
    await pause(systemClock, 5);
    await this.#server.shutdown();
    await this.#close();
  }
}

/** Waits for one event, and returns what it carries. */
export function once(socket: Socket, event: string): Promise<Any[]> {
  return new Promise((resolve) =>
    socket.once(event, (...args: Any[]) => resolve(args))
  );
}

/** Collects the heights of the blocks that arrive. */
export function heightsOf(socket: Socket): number[] {
  const heights: number[] = [];
  socket.on("NEW_BLOCK", (frame: Any) => heights.push(frame.payload.height));
  return heights;
}

/** Numbers from `first` to `last`. */
export function range(first: number, last: number): number[] {
  return Array.from({ length: last - first + 1 }, (_, i) => first + i);
}
