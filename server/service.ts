/**
 * One instance of the service, all parts put together.
 *
 * @module
 */
import type { Hono } from "hono";
import type { Logger } from "../platform/logger.ts";
import { idSource } from "../protocol/envelope.ts";
import { schemaHash } from "../protocol/schema.ts";
import type { Clock } from "../platform/clock.ts";
import { Drain } from "../realtime/drain.ts";
import { rules } from "../monitoring/alerts.ts";
import { Freshness } from "../monitoring/freshness.ts";
import { Monitor } from "../monitoring/monitor.ts";
import type { Tracing } from "../platform/tracing.ts";
import { Webhook, webhookKey } from "../monitoring/webhook.ts";
import { History } from "../realtime/history.ts";
import { Hub } from "../realtime/hub.ts";
import { Instances } from "../monitoring/instances.ts";
import { BroadcastLink } from "../realtime/broadcast_link.ts";
import { DoorbellLink } from "../realtime/doorbell_link.ts";
import type { Link } from "../realtime/link.ts";
import { LocalLink, mayRing } from "../realtime/local_link.ts";
import { NotifyLink } from "../realtime/notify_link.ts";
import { bellsOf } from "../store/open.ts";
import type { Continuity } from "../store/continuity.ts";
import { StoredEventLog } from "../store/stored_event_log.ts";
import { announcer, measurer } from "../monitoring/measurements.ts";
import { MemoryGuard } from "../monitoring/memory_guard.ts";
import { Metrics } from "../monitoring/metrics.ts";
import { HubPublisher } from "../realtime/publisher.ts";
import { ClusterSessions } from "../monitoring/cluster_sessions.ts";
import type { SessionParts } from "../realtime/session.ts";
import { MetricsHistory } from "../monitoring/metrics_history.ts";
import { Readiness } from "../monitoring/readiness.ts";
import { Vitals } from "../monitoring/vitals.ts";
import { Sessions } from "../realtime/sessions.ts";
import type { Listed, SessionsObserver } from "../realtime/sessions.ts";
import { createApp } from "../routes/app.ts";
import type { App } from "../routes/app.ts";
import { MESSAGES_PER_REQUEST } from "../routes/budgets.ts";
import { Gate } from "../routes/gate.ts";
import type { Env } from "../routes/http.ts";
import { identifier } from "../security/identity.ts";
import type { Asset } from "../routes/files.ts";
import { BlockList } from "../security/block_list.ts";
import { createClientIp } from "../security/client_ip.ts";
import { RateLimit } from "../security/rate_limit.ts";
import { Revocations } from "../security/revocations.ts";
import { SecurityLog } from "../security/security_log.ts";
import { createTokens } from "../security/tokens.ts";
import type { Settings } from "./settings.ts";
import type { Store } from "../store/store.ts";
import { WriteProbe } from "../store/write_probe.ts";

/** How the doorbell rings, in milliseconds, when it is the only link. */
const ALONE = { minIntervalMs: 5 };
/**
 * Beside a faster link: delayed, because each ring is itself a commit. It only
 * finds what that link lost.
 */
const BESIDE = { minIntervalMs: 100, waitMs: 100 };

/** Clients without a token are refused at this multiple of ALERT_MEMORY_MB. */
const FULL_SHARE = 2;
/** The doorbell is rung as a test after this time of silence. */
export const SELF_TEST_MS = 15_000;

/** Reasons to end that are ordinary: their lines are written at `debug`. */
const QUIET_ENDS: ReadonlySet<unknown> = new Set([
  undefined,
  1000,
  1001,
  1005,
  1006,
  "DRAINING",
]);

/** What a service is made of. */
export interface ServiceOptions {
  /** Checked. */
  settings: Settings;
  /** At least one, unless a key server is set. */
  secrets: readonly string[];
  /** Holds everything that outlives the instance; stays the caller's to close. */
  kv: Store;
  /** Time. */
  clock: Clock;
  /** Writes what operators read. */
  logger: Logger;
  /** The built files, by path. */
  assets: ReadonlyMap<string, Asset>;
  /** Marks how far the store came; absent in tests. */
  continuity?: Continuity | undefined;
  /** How many instances share the process; 1 when absent. */
  instances?: number | undefined;
  /** Resident memory of the process, in bytes; the machine's own when absent. */
  memoryUsage?: (() => number) | undefined;
  /** Traces events from publish to delivery; none when absent. */
  tracing?: Tracing | undefined;
  /** Exports measurements, besides the routes. */
  exportMetrics?: ((metrics: Metrics, isolate: string) => void) | undefined;
}

/** One instance of the service. */
export interface Service extends AsyncDisposable {
  /** Its unique name. */
  readonly isolate: string;
  /** All its routes. */
  readonly app: Hono<Env>;
  /** How documents describe them. */
  readonly endpoints: App["endpoints"];
  /** Publishes, and keeps the streams. */
  readonly hub: Hub;
  /** What its sessions are made of. */
  readonly session: SessionParts;
  /** Clients connected to it. */
  readonly sessions: Sessions;
  /** Lets them in. */
  readonly gate: Gate;
  /** Knows the other instances. */
  readonly instances: Instances;
  /** Blocked addresses. */
  readonly blocks: BlockList;
  /** Revoked tokens. */
  readonly revocations: Revocations;
  /** Where a source in this process publishes. */
  readonly publisher: HubPublisher;
  /** Takes it out of service. */
  readonly drain: Drain;
  /** Judges whether it is ready, once told that it listens. */
  readonly readiness: Readiness;
  /**
   * Makes it known to the other instances. To be called once it listens: one
   * that never could must not be reported as lost.
   */
  register(): void;
  /** Takes that back: an instance that ends without is reported as lost. */
  leave(): Promise<void>;
}

/**
 * Puts an instance together; it serves once its `app` is asked, and takes part
 * in the cluster once {@link Service.register} is called.
 *
 * @param options settings and what they cannot say.
 */
export function createService(options: ServiceOptions): Service {
  const { settings, kv, clock, logger } = options;
  const memoryUsage = options.memoryUsage ?? (() => Deno.memoryUsage().rss);
  const report = (
    error: unknown,
    about: Readonly<Record<string, unknown>> = {},
  ) => {
    const text = error instanceof Error ? error.stack : String(error);
    logger.error("bug", { ...about, error: text });
  };
  const nextId = idSource();
  const isolate = nextId(clock.now());
  const maxMessageBytes = settings.MAX_MESSAGE_BYTES;

  const sessions = new Sessions(visits(logger, clock));
  const securityLog = new SecurityLog({ kv, clock });
  const metrics: Metrics = new Metrics({
    clock,
    sessions,
    behind: () => hub.pace.size,
    memoryUsage,
    standings: () => hub.standings(),
    guards: () => securityLog,
    more: () => vitals.readings(),
  });
  options.exportMetrics?.(metrics, isolate);
  const samples = new MetricsHistory({ clock, metrics });
  const retention = {
    events: settings.RETENTION_EVENTS,
    ms: settings.RETENTION_MS,
  };
  const linkName = settings.LINK ??
    (kv.announcements ? "notify" : "broadcast");
  const notify = openNotify();
  const log = new StoredEventLog({
    store: kv,
    clock,
    nextId,
    retention: () => retention,
    maxBytes: settings.MAX_LOG_BYTES,
    observer: {
      ...metrics.log,
      unreadable: (channel, range) =>
        logger.error("unreadable", { channel, ...range }),
      evicted: (channel, bytes) => logger.warn("evicted", { channel, bytes }),
    },
    tracing: options.tracing,
    continuity: options.continuity,
    announcement: notify && ((heads, most) => notify.announcement(heads, most)),
  });
  const doorbell = openDoorbell();
  const links = openLinks();
  const hub = new Hub({
    log,
    links,
    clock,
    nextId,
    observer: metrics.hub,
    tracing: options.tracing,
  });
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
  const clusterSessions = new ClusterSessions({
    kv,
    clock,
    id: isolate,
    nextId,
    sessions,
    instances,
  });
  const drain = new Drain({ sessions, log, clock, report });
  const freshness = new Freshness({
    hub,
    clock,
    isExpected: settings.SOURCE !== "none",
  });
  const alertRules = rules({ memoryBytes: settings.ALERT_MEMORY_MB * 2 ** 20 });
  const webhook = openWebhook();
  const monitor = new Monitor({
    kv,
    clock,
    nextId,
    id: isolate,
    instances,
    freshness,
    hub,
    webhook,
    rules: alertRules,
    warn: logger.warn,
    info: logger.info,
  });
  const register = () => {
    instances.register();
    monitor.begin();
  };
  const leave = async () => {
    await monitor[Symbol.asyncDispose]();
    await instances[Symbol.asyncDispose]();
  };

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
    clock,
  });
  const memoryGuard = new MemoryGuard({
    clock,
    sessions,
    instances: options.instances ?? 1,
    memoryUsage,
    limitBytes: settings.ALERT_MEMORY_MB * 2 ** 20 * FULL_SHARE,
    logger,
  });
  const gate = new Gate({
    isMemoryFull: () => memoryGuard.isFull,
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
    inService: (what) => drain.admit(what),
    securityLog,
    clock,
  });

  const writeProbe = new WriteProbe(kv, clock);
  const readiness = new Readiness({
    probe: () => Promise.all([log.heads(["blocks"]), writeProbe.run()]),
    freshness,
    link: linkName,
    linkSilentMs: () => doorbell.silentMs,
    guards: { blocks, revocations, securityLog, ...limits },
    isKeyServerAway: () => tokens.keyServer === "away",
    isDraining: () => drain.isDraining,
  });
  const vitals: Vitals = new Vitals({
    clock,
    readiness,
    freshness,
    monitor,
    rules: alertRules,
  });
  const measure = measurer({ clock, metrics, instances, securityLog });
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
    failed: () => metrics.connectionFailed(),
    commanded: logger.verbose && ((session, type) => {
      logger.verbose?.("command", { session, type });
    }),
  };
  const announce = announcer(hub, instances);
  samples.onSample(() => {
    // What cannot be read now is reported at the next sample.
    announce().catch(() => {});
    void vitals.refresh();
    doorbell.test(SELF_TEST_MS);
  });
  const { app, endpoints } = createApp({
    hub,
    history,
    instances,
    clusterSessions,
    gate,
    blocks,
    revocations,
    securityLog,
    sessions,
    session,
    clock,
    metrics,
    samples,
    measure,
    report,
    readiness,
    vitals,
    monitor,
    rules: alertRules,
    logger,
    maxMessageBytes,
    assets: options.assets,
  });

  return {
    isolate,
    app,
    endpoints,
    hub,
    session,
    sessions,
    gate,
    instances,
    blocks,
    revocations,
    publisher: new HubPublisher({ hub, history, maxMessageBytes }),
    drain,
    readiness,
    register,
    leave,
    async [Symbol.asyncDispose]() {
      await log.settled();
      samples[Symbol.dispose]();
      memoryGuard[Symbol.dispose]();
      await leave();
      await webhook?.[Symbol.asyncDispose]();
      gate[Symbol.dispose]();
      hub[Symbol.dispose]();
      for (const link of links) link[Symbol.dispose]();
      doorbell[Symbol.dispose]();
      const parts = [clusterSessions, revocations, blocks, securityLog];
      for (const part of [...parts, ...Object.values(limits)]) {
        await part[Symbol.asyncDispose]();
      }
    },
  };

  function openDoorbell(): DoorbellLink {
    return new DoorbellLink(kv, {
      clock,
      ...(linkName === "doorbell" ? ALONE : BESIDE),
      observer: metrics.link,
    });
  }

  function openNotify(): NotifyLink | undefined {
    if (linkName !== "notify" || !kv.announcements) return undefined;
    return new NotifyLink(kv.announcements, isolate, metrics.link);
  }

  function openLinks(): Link[] {
    const broadcast = linkName === "doorbell"
      ? undefined
      : new BroadcastLink("kaldrix", isolate, metrics.link);
    // What notifies with each commit needs no ring that is a commit itself.
    if (broadcast && notify) return [broadcast, notify];
    const local = openLocal((from) => broadcast?.reaches(from) ?? false);
    return [broadcast, local, doorbell].filter((link) => link !== undefined);
  }

  /** Other processes on the same file learn of commits in milliseconds. */
  function openLocal(
    isReachable: (from: string) => boolean,
  ): LocalLink | undefined {
    const directory = bellsOf(settings.KV_PATH);
    if (directory === undefined || !mayRing(directory)) return undefined;
    const observer = metrics.link;
    return new LocalLink({
      directory,
      from: isolate,
      clock,
      isReachable,
      observer,
    });
  }

  /** A budget by address; one isolate may grant all of it before it asks. */
  function limit(name: string, times: number): RateLimit {
    const most = settings.RATE_LIMIT_MAX * times;
    const windowMs = settings.RATE_LIMIT_WINDOW_MS;
    const options = { limit: most, windowMs, maxUnshared: most };
    return new RateLimit({ kv, clock, name, ...options });
  }

  function openWebhook(): Webhook | undefined {
    const { ALERT_WEBHOOK_URL: url } = settings;
    if (url === undefined) return undefined;
    const [secret] = options.secrets;
    const key = secret === undefined ? undefined : webhookKey(secret);
    return new Webhook({ url, key, clock, log: logger.warn });
  }
}

/** Writes a line for each session; at `info` when the service ended it. */
function visits(logger: Logger, clock: Clock): SessionsObserver {
  /** When each began, on the monotonic clock. */
  const began = new WeakMap<Listed["session"], number>();
  const facts = ({ session, ip }: Listed) => ({
    session: session.id,
    ip,
    user: session.identity.user,
    role: session.identity.role,
  });
  return {
    opened: (listed) => {
      began.set(listed.session, clock.monotonic());
      logger.debug("session_opened", facts(listed));
    },
    closed: (listed, why) => {
      const level = QUIET_ENDS.has(why) ? "debug" : "info";
      const now = clock.monotonic();
      const ms = Math.round(now - (began.get(listed.session) ?? now));
      const code = why ?? null;
      logger[level]("session_closed", { ...facts(listed), code, ms });
    },
  };
}
