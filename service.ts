/**
 * One isolate of the service, all parts put together.
 *
 * @module
 */
import type { Hono } from "hono";
import type { Journal } from "./journal.ts";
import { idSource } from "./protocol/envelope.ts";
import { schemaHash } from "./protocol/schema.ts";
import type { Clock } from "./realtime/clock.ts";
import { Drain } from "./realtime/drain.ts";
import { History } from "./realtime/history.ts";
import { Hub } from "./realtime/hub.ts";
import { Instances } from "./realtime/instances.ts";
import { BroadcastLink, DoorbellLink } from "./realtime/link.ts";
import type { Link } from "./realtime/link.ts";
import { Log } from "./realtime/log.ts";
import { Metrics } from "./realtime/metrics.ts";
import { HubOutlet } from "./realtime/outlet.ts";
import { Roster } from "./realtime/roster.ts";
import type { SessionParts } from "./realtime/session.ts";
import { Samples } from "./realtime/samples.ts";
import { Sessions } from "./realtime/sessions.ts";
import { createApp } from "./routes/app.ts";
import { Gate, MESSAGES_PER_REQUEST } from "./routes/gate.ts";
import type { Condition } from "./routes/health.ts";
import type { Env } from "./routes/http.ts";
import { identifier } from "./routes/identity.ts";
import { announcer, measurer } from "./routes/metrics.ts";
import type { Asset } from "./routes/pages.ts";
import { BlockList } from "./security/block_list.ts";
import { createClientIp } from "./security/client_ip.ts";
import { RateLimit } from "./security/rate_limit.ts";
import { Revocations } from "./security/revocations.ts";
import { SecurityLog } from "./security/security_log.ts";
import { createTokens } from "./security/tokens.ts";
import type { Settings } from "./settings.ts";

/** Least time between rings of the doorbell when it is the only link. */
const ALONE_MS = 5;
/** Least time between rings of the doorbell beside a faster link. */
const BESIDE_MS = 100;

/** The doorbell is rung for a test when it was silent for so long. */
export const SELF_TEST_MS = 15_000;

/** What a service is made of. */
export interface ServiceOptions {
  /** Checked. */
  settings: Settings;
  /** At least one, unless a key server is set. */
  secrets: readonly string[];
  /** Holds everything that outlives the isolate; stays the caller's to close. */
  kv: Deno.Kv;
  /** Time. */
  clock: Clock;
  /** Hears of bugs. */
  journal: Journal;
  /** The built files, by path. */
  assets: ReadonlyMap<string, Asset>;
}

/** One isolate of the service. */
export interface Service extends AsyncDisposable {
  /** Its unique name. */
  readonly isolate: string;
  /** All its doors. */
  readonly app: Hono<Env>;
  /** Publishes, and keeps the streams. */
  readonly hub: Hub;
  /** What its sessions are made of. */
  readonly session: SessionParts;
  /** Those connected to it. */
  readonly sessions: Sessions;
  /** Lets them in. */
  readonly gate: Gate;
  /** Blocked addresses. */
  readonly blocks: BlockList;
  /** Revoked tokens. */
  readonly revocations: Revocations;
  /** Where a source in this process publishes. */
  readonly outlet: HubOutlet;
  /** Takes it out of service. */
  readonly drain: Drain;
}

/**
 * Puts an isolate together; it serves once its `app` is asked.
 *
 * @param options settings and what they cannot say.
 */
export function createService(options: ServiceOptions): Service {
  const { settings, kv, clock, journal } = options;
  const report = (error: unknown) => {
    const text = error instanceof Error ? error.stack : String(error);
    journal.error("bug", { error: text });
  };
  const nextId = idSource();
  const isolate = nextId(clock.now());
  const maxMessageBytes = settings.MAX_MESSAGE_BYTES;

  const sessions = new Sessions();
  const securityLog = new SecurityLog({ kv, clock });
  const metrics: Metrics = new Metrics({
    clock,
    sessions,
    behind: () => hub.pace.size,
    memoryUsage: () => Deno.memoryUsage().rss,
    standings: () => hub.standings(),
    guards: () => securityLog,
  });
  const samples = new Samples({ clock, metrics });
  const retention = {
    events: settings.RETENTION_EVENTS,
    ms: settings.RETENTION_MS,
  };
  const log = new Log({
    kv,
    clock,
    nextId,
    retention: () => retention,
    observer: metrics.log,
  });
  const doorbell = openDoorbell();
  const links = openLinks();
  const hub = new Hub({ log, links, clock, nextId, observer: metrics.hub });
  const history = new History(hub);
  const instances = new Instances({
    kv,
    clock,
    id: isolate,
    sessions,
    hub,
    metrics,
    samples,
    linkSilentMs: () => doorbell.silentMs,
  });
  const roster = new Roster({
    kv,
    clock,
    id: isolate,
    nextId,
    sessions,
    instances,
  });
  const drain = new Drain({ sessions, log, clock });

  const revocations = new Revocations({ kv, clock });
  const blocks = new BlockList({
    kv,
    clock,
    allow: [...settings.TRUSTED_PROXIES, ...settings.ALLOWED_IPS],
  });
  const limits = {
    connections: limit("connections", 1),
    messages: limit("messages", MESSAGES_PER_REQUEST),
    http: limit("http", 1),
  };
  const tokens = createTokens({
    secrets: options.secrets,
    jwksUrl: settings.JWKS_URL,
    issuer: settings.JWT_ISSUER,
    audience: settings.JWT_AUDIENCE,
    now: () => clock.now(),
  });
  const gate = new Gate({
    clientIp: createClientIp({ trustedProxies: settings.TRUSTED_PROXIES }),
    blocks,
    revocations,
    limits,
    windowMs: settings.RATE_LIMIT_WINDOW_MS,
    sessions,
    maxConnections: settings.MAX_CONNECTIONS,
    maxConnectionsPerIp: settings.MAX_CONNECTIONS_PER_IP,
    allowedOrigins: settings.ALLOWED_ORIGINS,
    requireAuth: settings.REQUIRE_AUTH,
    identify: identifier(tokens, revocations),
    inService: () => drain.admit(),
    securityLog,
    now: () => clock.now(),
  });

  const measure = measurer(metrics, instances, securityLog);
  const session: SessionParts = {
    hub,
    history,
    clock,
    nextId,
    maxMessageBytes,
    schema: schemaHash(),
    requireAuth: settings.REQUIRE_AUTH,
    measure,
    report,
    refused: (code) => metrics.refused(code),
    received: () => metrics.received(),
    opened: (ms) => metrics.connected(ms),
  };
  const announce = announcer(hub, instances);
  samples.onSample(() => {
    // What cannot be read now is told at the next sample.
    announce().catch(() => {});
    doorbell.test(SELF_TEST_MS);
  });
  const app = createApp({
    hub,
    history,
    instances,
    roster,
    gate,
    blocks,
    revocations,
    securityLog,
    sessions,
    session,
    metrics,
    samples,
    measure,
    report,
    conditions,
    maxMessageBytes,
    assets: options.assets,
  });

  return {
    isolate,
    app,
    hub,
    session,
    sessions,
    gate,
    blocks,
    revocations,
    outlet: new HubOutlet({ hub, history, maxMessageBytes }),
    drain,
    async [Symbol.asyncDispose]() {
      await log.settled();
      samples[Symbol.dispose]();
      gate[Symbol.dispose]();
      hub[Symbol.dispose]();
      for (const link of links) link[Symbol.dispose]();
      const parts = [roster, instances, revocations, blocks, securityLog];
      for (const part of [...parts, ...Object.values(limits)]) {
        await part[Symbol.asyncDispose]();
      }
    },
  };

  function openDoorbell(): DoorbellLink {
    return new DoorbellLink(kv, {
      clock,
      minIntervalMs: settings.LINK === "doorbell" ? ALONE_MS : BESIDE_MS,
      observer: metrics.link,
    });
  }

  function openLinks(): Link[] {
    if (settings.LINK === "doorbell") return [doorbell];
    return [new BroadcastLink("kaldrix", isolate, metrics.link), doorbell];
  }

  /** A budget by address; one isolate may grant all of it before it asks. */
  function limit(name: string, times: number): RateLimit {
    const most = settings.RATE_LIMIT_MAX * times;
    const windowMs = settings.RATE_LIMIT_WINDOW_MS;
    const options = { limit: most, windowMs, maxUnfolded: most };
    return new RateLimit({ kv, clock, name, ...options });
  }

  /** Without the store they hold on with what they know. */
  function guards(): Condition {
    const parts = { blocks, revocations, securityLog, ...limits };
    const poorly = Object.entries(parts)
      .filter(([, { state }]) => state === "degraded").map(([name]) => name);
    if (tokens.keyServer === "away") poorly.push("key server");
    const degraded = poorly.length > 0;
    const detail = degraded ? `degraded: ${poorly.join(", ")}` : "all well";
    return { ok: true, degraded, detail };
  }

  async function conditions(): Promise<Record<string, Condition>> {
    return {
      store: await log.heads(["blocks"]).then(
        () => ({ ok: true, detail: "the log answers" }),
        () => ({ ok: false, detail: "the log cannot be read" }),
      ),
      link: { ok: true, detail: settings.LINK },
      service: drain.isDraining
        ? { ok: false, detail: "draining" }
        : { ok: true, detail: "serving" },
      guards: guards(),
    };
  }
}
