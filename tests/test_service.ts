/**
 * The whole service in one instance, without a port: every part real, the log
 * in memory.
 *
 * @module
 */
import type { Role } from "../protocol/channels.ts";
import type { Clock } from "../platform/clock.ts";
import { systemClock } from "../platform/clock.ts";
import type { Asset } from "../routes/files.ts";
import { generateWebSocketToken } from "../security/tokens.ts";
import { createService } from "../server/service.ts";
import type { Service } from "../server/service.ts";
import { readSettings } from "../server/settings.ts";
import { openStore } from "../store/deno_kv.ts";
import type { Store } from "../store/store.ts";
import { closeStore } from "./close_store.ts";

/** Signs the tokens of tests. */
export const SECRET = "a secret of the tests that is long enough";

/** What a test may choose. */
export interface TestServiceOptions {
  /** Settings as the environment would hold them. */
  readonly env?: Readonly<Record<string, string>>;
  /** The built files; none when omitted. */
  readonly assets?: ReadonlyMap<string, Asset>;
  /** Time; the machine's own when omitted. */
  readonly clock?: Clock;
  /** Whether it listens from the beginning; it does when omitted. */
  readonly isListening?: boolean;
  /** Instances that share the process; 1 when omitted. */
  readonly instances?: number;
  /** Resident memory, in bytes; the machine's own when omitted. */
  readonly memoryUsage?: () => number;
}

/** A service that a test owns. */
export interface TestService extends Service {
  /** Holds its log, in memory. */
  readonly kv: Store;
  /** Bugs that were reported: a test expects none. */
  readonly bugs: unknown[];
  /** Asks it something, from `ip`. */
  request(path: string, init?: RequestInit, ip?: string): Promise<Response>;
}

/** Makes a token of the tests' issuer, its subject named as its role. */
export function tokenOf(
  role: Role,
  expiresIn: string | number = "1h",
  now: () => number = Date.now,
): Promise<string> {
  return generateWebSocketToken({ userId: role, role }, SECRET, expiresIn, {
    now,
  });
}

/**
 * Builds the service on a store, in one instance.
 *
 * @param kv stays the caller's to close.
 * @param bugs receives bugs; other reports are dropped.
 */
export function serviceOn(
  kv: Store,
  bugs: unknown[],
  { env, assets = new Map(), clock = systemClock, ...rest }: TestServiceOptions,
): Service {
  const all: Readonly<Record<string, string>> = {
    JWT_SECRET: SECRET,
    // Tests share a process, in which a broadcast would reach them all.
    LINK: "doorbell",
    ...env,
  };
  const settings = readSettings((name) => all[name], { dev: false });
  const silent = () => {};
  return createService({
    settings,
    secrets: settings.JWT_SECRET,
    kv,
    clock,
    assets,
    ...rest,
    logger: {
      error: (_event, fields) => void bugs.push(fields),
      warn: silent,
      info: silent,
      debug: silent,
    },
  });
}

/** Asks a service something as if from `ip`. */
export async function askFrom(
  ip: string,
  { app }: Service,
  path: string,
  init?: RequestInit,
): Promise<Response> {
  return await app.request(path, init, {
    remoteAddr: { transport: "tcp", hostname: ip, port: 50_000 },
    completed: Promise.resolve(),
  });
}

/** Builds the service; the caller disposes it. */
export async function openTestService(
  options: TestServiceOptions = {},
): Promise<TestService> {
  const kv = await openStore(":memory:");
  const bugs: unknown[] = [];
  const service = serviceOn(kv, bugs, options);
  return {
    ...service,
    kv,
    bugs,
    request: (path, init, ip = "192.0.2.1") => askFrom(ip, service, path, init),
    async [Symbol.asyncDispose]() {
      await service[Symbol.asyncDispose]();
      await closeStore(kv);
    },
  };
}

/** Serves on a port of its own; the caller closes it. */
export function listen({ app }: Service): Deno.HttpServer<Deno.NetAddr> {
  return Deno.serve(
    { port: 0, hostname: "127.0.0.1", onListen: () => {} },
    (request, info) => app.fetch(request, info),
  );
}
