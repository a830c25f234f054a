/**
 * Several isolates of the service on one store, in one process: every part
 * real but the store, which a test can take away.
 *
 * @module
 */
import { createService } from "../service.ts";
import type { Service } from "../service.ts";
import { readSettings } from "../settings.ts";
import type { Clock } from "../realtime/clock.ts";
import { systemClock } from "../realtime/clock.ts";
import type { Connection, Listed } from "../realtime/sessions.ts";
import { SECRET } from "./house.ts";
import { flaky } from "./security_fakes.ts";
import type { FlakyKv } from "./security_fakes.ts";

/** Where callers of a test come from. */
export const IP = "192.0.2.1";

/** What a test may choose. */
export interface IsolatesOptions {
  /** How many; one when absent. */
  readonly count?: number;
  /** Settings as the environment would hold them. */
  readonly env?: Readonly<Record<string, string>>;
  /** Time; the machine's own when absent. */
  readonly clock?: Clock;
}

/** Isolates that a test owns. */
export interface Isolates extends AsyncDisposable {
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

/** Starts isolates; the caller disposes them. */
export async function openIsolates(
  { count = 1, env = {}, clock = systemClock }: IsolatesOptions = {},
): Promise<Isolates> {
  const all: Readonly<Record<string, string>> = {
    JWT_SECRET: SECRET,
    LINK: "doorbell",
    ...env,
  };
  const settings = readSettings((name) => all[name], { dev: false });
  const kv = await Deno.openKv(":memory:");
  const store = flaky(kv);
  const bugs: unknown[] = [];
  const silent = () => {};
  const services = Array.from({ length: count }, () =>
    createService({
      settings,
      secrets: settings.JWT_SECRET,
      kv: store.kv,
      clock,
      assets: new Map(),
      journal: {
        error: (_event, fields) => void bugs.push(fields),
        warn: silent,
        info: silent,
        debug: silent,
      },
    }));
  return {
    all: services,
    store,
    bugs,
    ask: async (path, { ip = IP, of = 0, ...init } = {}) =>
      await services[of]!.app.request(path, init, {
        remoteAddr: { transport: "tcp", hostname: ip, port: 50_000 },
        completed: Promise.resolve(),
      }),
    async [Symbol.asyncDispose]() {
      store.isAway = false;
      for (const service of services) await service[Symbol.asyncDispose]();
      kv.close();
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
  /** As it would say itself. */
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

  /** Names who hears of the end. */
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
