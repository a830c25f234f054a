/**
 * The whole service in one isolate, without a port: every part real, the log
 * in memory.
 *
 * @module
 */
import type { Hono } from "hono";
import { idSource } from "../protocol/envelope.ts";
import type { Role } from "../protocol/channels.ts";
import { schemaHash } from "../protocol/schema.ts";
import { systemClock as clock } from "../realtime/clock.ts";
import { Drain } from "../realtime/drain.ts";
import { History } from "../realtime/history.ts";
import { Hub } from "../realtime/hub.ts";
import { Instances } from "../realtime/instances.ts";
import { Log } from "../realtime/log.ts";
import { Metrics } from "../realtime/metrics.ts";
import { Roster } from "../realtime/roster.ts";
import type { SessionParts } from "../realtime/session.ts";
import { Sessions } from "../realtime/sessions.ts";
import { createApp } from "../routes/app.ts";
import { Gate } from "../routes/gate.ts";
import type { Condition } from "../routes/health.ts";
import type { Env } from "../routes/http.ts";
import { identifier } from "../routes/identity.ts";
import { measurer } from "../routes/metrics.ts";
import type { Asset } from "../routes/pages.ts";
import { BlockList } from "../security/block_list.ts";
import { createClientIp } from "../security/client_ip.ts";
import { RateLimit } from "../security/rate_limit.ts";
import { Revocations } from "../security/revocations.ts";
import { SecurityLog } from "../security/security_log.ts";
import { createTokens, generateWebSocketToken } from "../security/tokens.ts";
import { ManualClock } from "./fakes.ts";

/** Signs the tokens of tests. */
export const SECRET = "a secret of the tests, long enough";

/** What a test may choose. */
export interface HouseOptions {
  /** Longest message accepted, in bytes; 64 KiB when omitted. */
  readonly maxMessageBytes?: number;
  /** Requests of an address in a minute; plenty when omitted. */
  readonly rateLimit?: number;
  /** Most connections; plenty when omitted. */
  readonly maxConnections?: number;
  /** Origins whose pages may connect; all when omitted. */
  readonly allowedOrigins?: readonly string[];
  /** Whether strangers may do nothing but `connect`. */
  readonly requireAuth?: boolean;
  /** The built files; none when omitted. */
  readonly assets?: ReadonlyMap<string, Asset>;
  /** How the parts are; the real conditions when omitted. */
  readonly conditions?: () => Promise<Readonly<Record<string, Condition>>>;
}

/** A service that a test owns. */
export interface House extends AsyncDisposable {
  /** All its routes. */
  readonly app: Hono<Env>;
  /** Its log's store. */
  readonly kv: Deno.Kv;
  /** Its streams. */
  readonly hub: Hub;
  /** What its sessions are made of. */
  readonly session: SessionParts;
  /** Its connections. */
  readonly sessions: Sessions;
  /** Its door. */
  readonly gate: Gate;
  /** Its end. */
  readonly drain: Drain;
  /** Blocked addresses. */
  readonly blocks: BlockList;
  /** Revoked tokens. */
  readonly revocations: Revocations;
  /** Bugs that were reported: a test expects none. */
  readonly bugs: unknown[];
  /** Asks it something, from `ip`. */
  request(path: string, init?: RequestInit, ip?: string): Promise<Response>;
}

/** Makes a token of the tests' issuer. */
export function tokenOf(
  role: Role,
  expiresIn: string | number = "1h",
  now: () => number = Date.now,
): Promise<string> {
  return generateWebSocketToken({ userId: role, role }, SECRET, expiresIn, {
    now,
  });
}

/** Builds the service; the caller disposes it. */
export async function openHouse(options: HouseOptions = {}): Promise<House> {
  const { maxMessageBytes = 65_536, rateLimit = 1_000_000 } = options;
  const bugs: unknown[] = [];
  const report = (error: unknown) => void bugs.push(error);
  const nextId = idSource();
  const id = nextId(clock.now());
  const kv = await Deno.openKv(":memory:");
  const sessions = new Sessions();
  const metrics: Metrics = new Metrics({
    clock,
    sessions,
    behind: () => hub.pace.size,
    memoryUsage: () => Deno.memoryUsage().rss,
  });
  const retention = { events: 10_000, ms: 86_400_000 };
  const log = new Log({ kv, clock, nextId, retention: () => retention });
  const hub: Hub = new Hub({ log, links: [], clock, nextId });
  const history = new History(hub);
  const instances = new Instances({ kv, clock, id, sessions, hub, metrics });
  const revocations = new Revocations({ kv, clock });
  const blocks = new BlockList({ kv, clock, allow: [] });
  const securityLog = new SecurityLog({ kv, clock });
  // Its waits end with the test.
  const drain = new Drain({ sessions, log, clock: new ManualClock() });
  const roster = new Roster({ kv, clock, id, nextId, sessions, instances });
  const limits = {
    connections: limit("connections"),
    messages: limit("messages"),
    http: limit("http"),
  };
  const gate = new Gate({
    clientIp: createClientIp({ trustedProxies: [] }),
    blocks,
    limits,
    sessions,
    maxConnections: options.maxConnections ?? 1_000,
    maxConnectionsPerIp: 1_000,
    allowedOrigins: options.allowedOrigins ?? [],
    identify: identifier(createTokens({ secrets: [SECRET] }), revocations),
    inService: () => drain.admit(),
    securityLog,
    now: () => clock.now(),
  });
  const measure = measurer(metrics, instances);
  const session: SessionParts = {
    hub,
    history,
    clock,
    nextId,
    maxMessageBytes,
    schema: schemaHash(),
    requireAuth: options.requireAuth ?? false,
    measure,
    report,
  };
  const app = createApp({
    hub,
    roster,
    gate,
    blocks,
    revocations,
    securityLog,
    history,
    instances,
    sessions,
    measure,
    report,
    maxMessageBytes,
    assets: options.assets ?? new Map(),
    conditions: options.conditions ??
      (() => Promise.resolve({ store: { ok: true, detail: "in memory" } })),
    session,
  });

  function limit(name: string): RateLimit {
    return new RateLimit({
      kv,
      clock,
      name,
      limit: rateLimit,
      windowMs: 60_000,
      maxUnfolded: rateLimit,
    });
  }

  return {
    app,
    kv,
    hub,
    session,
    sessions,
    gate,
    drain,
    blocks,
    revocations,
    bugs,
    request: async (path, init, ip = "192.0.2.1") =>
      await app.request(path, init, {
        remoteAddr: { transport: "tcp", hostname: ip, port: 50_000 },
        completed: Promise.resolve(),
      }),
    async [Symbol.asyncDispose]() {
      await log.settled();
      hub[Symbol.dispose]();
      await roster[Symbol.asyncDispose]();
      await instances[Symbol.asyncDispose]();
      await revocations[Symbol.asyncDispose]();
      await blocks[Symbol.asyncDispose]();
      await securityLog[Symbol.asyncDispose]();
      for (const one of Object.values(limits)) await one[Symbol.asyncDispose]();
      kv.close();
    },
  };
}
