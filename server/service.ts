/**
 * One instance of the service, assembled from its parts.
 *
 * @module
 */
import type { Hono } from "hono";
import type { Logger } from "../platform/logger.ts";
import { idSource } from "../protocol/envelope.ts";
import { schemaHash } from "../protocol/schema.ts";
import type { Clock } from "../platform/clock.ts";
import { Drain } from "../realtime/drain.ts";
import { EngineSessions } from "../realtime/engine_sessions.ts";
import { rules } from "../monitoring/alerts.ts";
import { Database } from "../monitoring/database.ts";
import { Freshness } from "../monitoring/freshness.ts";
import { Monitor } from "../monitoring/monitor.ts";
import type { Tracing } from "../platform/tracing.ts";
import { openWebhook } from "../monitoring/webhook.ts";
import type { Hub } from "../realtime/hub.ts";
import { Instances } from "../monitoring/instances.ts";
import type { Continuity } from "../store/continuity.ts";
import { announcer, measurer } from "../monitoring/measurements.ts";
import { Metrics } from "../monitoring/metrics.ts";
import type { HubPublisher } from "../realtime/publisher.ts";
import { ClusterSessions } from "../monitoring/cluster_sessions.ts";
import type { SessionParts } from "../realtime/session.ts";
import { MetricsHistory } from "../monitoring/metrics_history.ts";
import { Readiness } from "../monitoring/readiness.ts";
import { Vitals } from "../monitoring/vitals.ts";
import { Sessions } from "../realtime/sessions.ts";
import { createApp } from "../routes/app.ts";
import type { App } from "../routes/app.ts";
import type { Gate } from "../routes/gate.ts";
import type { Env } from "../routes/http.ts";
import type { Asset } from "../routes/files.ts";
import type { BlockList } from "../security/block_list.ts";
import type { Revocations } from "../security/revocations.ts";
import { lazyCompressions } from "./compressions.ts";
import { openEvents } from "./events.ts";
import type { Events } from "./events.ts";
import { openGuards } from "./guards.ts";
import type { Guards } from "./guards.ts";
import type { Settings } from "./settings.ts";
import { visits } from "./visits.ts";
import type { Store } from "../store/store.ts";
import { WriteProbe } from "../store/write_probe.ts";

/** Idle time after which the doorbell is rung as a test, in milliseconds. */
export const SELF_TEST_MS = 15_000;

/** Options of a service. */
export interface ServiceOptions {
  /** Validated settings. */
  settings: Settings;
  /** At least one, unless a key server is set. */
  secrets: readonly string[];
  /** Holds all data that outlives the instance; closed by the caller. */
  kv: Store;
  /** Time. */
  clock: Clock;
  /** The operators' log. */
  logger: Logger;
  /** The built files, by path. */
  assets: ReadonlyMap<string, Asset>;
  /** Marks the progress of the store; absent in tests. */
  continuity?: Continuity | undefined;
  /**
   * Whether it listens, or is about to, when it is created. With `false` it joins
   * the cluster with {@link Service.register}, and is ready once
   * `readiness.listening()` is called. Default `true`.
   */
  isListening?: boolean | undefined;
  /** Number of instances in the process; 1 when absent. */
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
  /** Descriptions of the routes, for documents. */
  readonly endpoints: App["endpoints"];
  /** Publishes events, and holds the streams. */
  readonly hub: Hub;
  /** Parts of its sessions. */
  readonly session: SessionParts;
  /** Its connected clients. */
  readonly sessions: Sessions;
  /** Admits clients. */
  readonly gate: Gate;
  /** Lists the other instances. */
  readonly instances: Instances;
  /** Blocked addresses. */
  readonly blocks: BlockList;
  /** Revoked tokens. */
  readonly revocations: Revocations;
  /** Publishes for a source in this process. */
  readonly publisher: HubPublisher;
  /** Takes it out of service. */
  readonly drain: Drain;
  /** Decides whether it is ready. */
  readonly readiness: Readiness;
  /**
   * Registers it with the other instances; may be called again. An instance that
   * never listened must not be reported as lost.
   */
  register(): void;
  /** Unregisters it: an instance that ends without this is reported as lost. */
  leave(): Promise<void>;
  /** Stops notifying other instances: the last step of a shutdown. */
  unlink(): void;
}

/**
 * Assembles an instance; its `app` serves requests.
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
  const metrics: Metrics = new Metrics({
    clock,
    sessions,
    behind: () => events.hub.pace.size,
    memoryUsage,
    standings: () => events.hub.standings(),
    guards: () => guards.securityLog,
    more: () => vitals.readings(),
  });
  options.exportMetrics?.(metrics, isolate);
  const samples = new MetricsHistory({ clock, metrics });
  const events: Events = openEvents({
    settings,
    kv,
    clock,
    logger,
    nextId,
    id: isolate,
    metrics,
    tracing: options.tracing,
    continuity: options.continuity,
  });
  const { links, log, hub, publisher } = events;
  const { history, explorer, snapshots, tracks } = events;
  const { doorbell } = links;
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

  const guards: Guards = openGuards({
    settings,
    secrets: options.secrets,
    kv,
    clock,
    logger,
    sessions,
    instances: options.instances ?? 1,
    memoryUsage,
    inService: (what) => drain.admit(what),
  });
  const { gate, blocks, revocations, securityLog, tokens, limits } = guards;
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
    logger,
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
    // Data that cannot be read now is reported with the next sample.
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
    unlink: () => links[Symbol.dispose](),
    async [Symbol.asyncDispose]() {
      await log.settled();
      samples[Symbol.dispose]();
      await leave();
      await webhook?.[Symbol.asyncDispose]();
      engines[Symbol.dispose]();
      events[Symbol.dispose]();
      await clusterSessions[Symbol.asyncDispose]();
      await guards[Symbol.asyncDispose]();
    },
  };
}
