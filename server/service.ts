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
import { openChains } from "./chains.ts";
import { Drain } from "../realtime/drain.ts";
import { EngineSessions } from "../realtime/engine_sessions.ts";
import { rules } from "../monitoring/alerts.ts";
import { Database } from "../monitoring/database.ts";
import { Freshness } from "../monitoring/freshness.ts";
import { Monitor } from "../monitoring/monitor.ts";
import type { Tracing } from "../platform/tracing.ts";
import { openWebhook } from "../monitoring/webhook.ts";
import { Snapshots } from "../realtime/snapshots.ts";
import { Explorer } from "../realtime/explorer.ts";
import { History } from "../realtime/history.ts";
import { Hub } from "../realtime/hub.ts";
import { Instances } from "../monitoring/instances.ts";
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
import { alertUnreadable } from "../monitoring/unreadable_alert.ts";
import { Vitals } from "../monitoring/vitals.ts";
import { Tracks } from "../realtime/tracks.ts";
import { Sessions } from "../realtime/sessions.ts";
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
import { lazyCompressions } from "./compressions.ts";
import { openLinks } from "./links.ts";
import type { Settings } from "./settings.ts";
import { visits } from "./visits.ts";
import type { Store } from "../store/store.ts";
import { WriteProbe } from "../store/write_probe.ts";

/** Clients without a token are refused at this multiple of ALERT_MEMORY_MB. */
const FULL_SHARE = 2;
/** The doorbell is rung as a test after this time of silence. */
export const SELF_TEST_MS = 15_000;

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
  /**
   * Whether it listens, or is about to, when it is built. With `false` it takes
   * part in the cluster from {@link Service.register} on, and is ready once
   * `readiness.listening()` is called. `true` when absent.
   */
  isListening?: boolean | undefined;
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
  /** Judges whether it is ready. */
  readonly readiness: Readiness;
  /**
   * Makes it known to the other instances; again is harmless. An instance that
   * never could listen must not be reported as lost.
   */
  register(): void;
  /** Takes that back: an instance that ends without is reported as lost. */
  leave(): Promise<void>;
}

/**
 * Puts an instance together; it serves once its `app` is asked.
 *
 * @param options settings, and the parts that they do not describe.
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
  const links = openLinks({
    link: settings.LINK,
    bells: bellsOf(settings.KV_PATH),
    store: kv,
    clock,
    id: isolate,
    observer: metrics.link,
  });
  const { notify, doorbell } = links;
  const { chains, ingest } = openChains(settings.CHAIN_CHECK, {
    clock,
    warn: logger.warn,
    publish: (message) => publisher.publish([message]),
  });
  const log = new StoredEventLog({
    store: kv,
    clock,
    nextId,
    retention: () => retention,
    maxBytes: settings.MAX_LOG_BYTES,
    observer: {
      ...metrics.log,
      unreadable: (channel, range) => {
        logger.error("unreadable", { channel, ...range });
        alertUnreadable(hub, channel, range).catch((error) =>
          logger.warn("alert_failed", { error: String(error) })
        );
      },
      evicted: (channel, bytes) => logger.warn("evicted", { channel, bytes }),
    },
    tracing: options.tracing,
    continuity: options.continuity,
    ingest,
    announcement: notify && ((heads, most) => notify.announcement(heads, most)),
  });
  const hub = new Hub({
    log,
    links: links.all,
    clock,
    nextId,
    observer: {
      ...metrics.hub,
      roomsFull: (channels, address) =>
        logger.warn("rooms_full", { channels, address }),
    },
    tracing: options.tracing,
  });
  const history = new History(hub);
  const explorer = new Explorer({ hub, chains });
  const snapshots = new Snapshots({ hub, chains });
  const tracks = new Tracks({ hub, chains, clock });
  const publisher = new HubPublisher({ hub, history, maxMessageBytes });
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
    hub,
  });
  const drain = new Drain({ sessions, log, clock, report });
  const freshness = new Freshness({
    hub,
    clock,
    isExpected: settings.SOURCE !== "none",
  });
  const alertRules = rules({ memoryBytes: settings.ALERT_MEMORY_MB * 2 ** 20 });
  const webhook = openWebhook(settings.ALERT_WEBHOOK_URL, options.secrets, {
    clock,
    log: logger.warn,
  });
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

  const database = new Database({ store: kv, logger });
  const writeProbe = new WriteProbe(kv, clock);
  const readiness = new Readiness({
    probe: () => Promise.all([log.heads(["blocks"]), writeProbe.run()]),
    database,
    freshness,
    link: links.name,
    linkSilentMs: () => doorbell.silentMs,
    guards: { blocks, revocations, securityLog, ...limits },
    isKeyServerAway: () => tokens.keyServer === "away",
    isDraining: () => drain.isDraining,
  });
  const vitals: Vitals = new Vitals({
    clock,
    readiness,
    database,
    freshness,
    monitor,
    rules: alertRules,
  });
  const measure = measurer({ clock, metrics, instances, securityLog });
  const { dictionary, compressions } = lazyCompressions(clock);
  const session: SessionParts = {
    hub,
    history,
    explorer,
    snapshots,
    tracks,
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
    compression: async (name) => (await compressions())[name],
    commanded: logger.verbose && ((session, type) => {
      logger.verbose?.("command", { session, type });
    }),
  };
  const engines = new EngineSessions({
    instance: isolate,
    clock,
    instances: options.instances ?? 1,
  });
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
    explorer,
    tracks,
    instances,
    clusterSessions,
    gate,
    blocks,
    revocations,
    securityLog,
    sessions,
    session,
    engines,
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
    dictionary,
    assets: options.assets,
  });

  if (options.isListening ?? true) {
    register();
    readiness.listening();
  }
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
    publisher,
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
      engines[Symbol.dispose]();
      hub[Symbol.dispose]();
      links[Symbol.dispose]();
      const parts = [clusterSessions, revocations, blocks, securityLog];
      for (const part of [...parts, ...Object.values(limits)]) {
        await part[Symbol.asyncDispose]();
      }
    },
  };

  /** A budget by address; one instance may grant all of it before it asks. */
  function limit(name: string, times: number): RateLimit {
    const most = settings.RATE_LIMIT_MAX * times;
    const windowMs = settings.RATE_LIMIT_WINDOW_MS;
    const options = { limit: most, windowMs, maxUnshared: most };
    return new RateLimit({ kv, clock, name, ...options });
  }
}
