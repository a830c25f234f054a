/**
 * Several instances of the service on one store, in one process: every part
 * real but the store, which a test can take away.
 *
 * @module
 */
import type { Connection, Listed } from "../../realtime/sessions.ts";
import type { Service } from "../../server/service.ts";
import { askFrom, serviceOn } from "../test_service.ts";
import type { TestServiceOptions } from "../test_service.ts";
import { flaky } from "../fakes/security.ts";
import type { FlakyKv } from "../fakes/security.ts";
import { openStore } from "../../store/deno_kv.ts";
import { closeStore } from "../close_store.ts";

/** Where callers of a test come from. */
export const IP = "192.0.2.1";

/** What a test may choose. */
export interface InstancesOptions extends TestServiceOptions {
  /** How many; one when absent. */
  readonly count?: number;
}

/** Instances that a test owns. */
export interface Instances extends AsyncDisposable {
  /** They. */
  readonly all: readonly Service[];
  /** Their store, to be taken away. */
  readonly store: FlakyKv;
  /** Bugs that were reported: a test expects none. */
  readonly bugs: unknown[];
  /** Asks one of them something, from `ip`. */
  ask(
    path: string,
    init?: RequestInit & { readonly ip?: string; readonly of?: number },
  ): Promise<Response>;
}

/** Starts instances; the caller disposes them. */
export async function openInstances(
  { count = 1, ...options }: InstancesOptions = {},
): Promise<Instances> {
  const kv = await openStore(":memory:");
  const store = flaky(kv);
  const bugs: unknown[] = [];
  const services = Array.from(
    { length: count },
    () => serviceOn(store.kv, bugs, options),
  );
  return {
    all: services,
    store,
    bugs,
    ask: (path, { ip = IP, of = 0, ...init } = {}) =>
      askFrom(ip, services[of]!, path, init),
    async [Symbol.asyncDispose]() {
      store.isAway = false;
      for (const service of services) await service[Symbol.asyncDispose]();
      await closeStore(kv);
    },
  };
}

/** A client that is only listed. */
export class FakeConnection implements Connection {
  /** Unique name. */
  readonly id: string = crypto.randomUUID();
  /** When it began. */
  readonly since: number = Date.now();
  /** A user, by name. */
  readonly identity: Connection["identity"];
  /** As the instance itself reports it. */
  readonly client: string | undefined;
  /** What it follows. */
  positions: { channel: string; seq: number; lag: number }[] = [];
  /** Set by a test. */
  isRevoked = false;
  /** With what it was sent away. */
  ended: { code: string; why: string | undefined } | undefined;
  #onEnd = () => {};

  /** Not listed yet. */
  constructor(user: string | null = null, client?: string) {
    const isAuthenticated = user !== null;
    const role = isAuthenticated ? "user" : "anonymous";
    this.identity = { isAuthenticated, user, role };
    this.client = client;
  }

  /** Does nothing. */
  drain(): void {}

  /** Remembers why. */
  disconnect(code: string, why?: string): void {
    this.ended = { code, why };
    this.#onEnd();
  }

  /** Names the listener to the end. */
  onEnd(listener: () => void): void {
    this.#onEnd = listener;
  }
}

/** Lists a client, as its socket would. */
export function connect(
  { sessions }: Service,
  ip: Listed["ip"],
  connection: FakeConnection = new FakeConnection(),
): FakeConnection {
  sessions.add(connection, { ip, bucket: ip });
  return connection;
}
