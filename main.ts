/**
 * The composition root: settings -> parts -> serve.
 *
 * @module
 */
import { idSource } from "./protocol/envelope.ts";
import { schemaHash } from "./protocol/schema.ts";
import { systemClock as clock } from "./realtime/clock.ts";
import { CLOSE_MS, Drain, GRACE_MS, SETTLE_MS } from "./realtime/drain.ts";
import { History } from "./realtime/history.ts";
import { Hub } from "./realtime/hub.ts";
import { Instances } from "./realtime/instances.ts";
import { BroadcastLink, DoorbellLink } from "./realtime/link.ts";
import { Lease } from "./realtime/lease.ts";
import { Log } from "./realtime/log.ts";
import { Metrics } from "./realtime/metrics.ts";
import { HubOutlet } from "./realtime/outlet.ts";
import { Roster } from "./realtime/roster.ts";
import { Sessions } from "./realtime/sessions.ts";
import { createApp } from "./routes/app.ts";
import { Gate, MESSAGES_PER_REQUEST } from "./routes/gate.ts";
import { identifier } from "./routes/identity.ts";
import { readAssets } from "./routes/pages.ts";
import { BlockList } from "./security/block_list.ts";
import { createClientIp } from "./security/client_ip.ts";
import { RateLimit } from "./security/rate_limit.ts";
import { Revocations } from "./security/revocations.ts";
import { SecurityLog } from "./security/security_log.ts";
import { createTokens, isWeak } from "./security/tokens.ts";
import type { Source } from "./sources/source.ts";
import { openJournal } from "./journal.ts";
import { readSettings, SettingsError } from "./settings.ts";
import type { Settings } from "./settings.ts";

const dev = Deno.args.includes("--dev");
const settings = settingsOrExit();
const journal = openJournal(settings.LOG_LEVEL, { readable: dev });
const report = (error: unknown) =>
  journal.error("bug", { error: error instanceof Error ? error.stack : error });

const nextId = idSource();
const isolate = nextId(clock.now());
const kv = await Deno.openKv(settings.KV_PATH);
const sessions = new Sessions();
const metrics: Metrics = new Metrics({
  clock,
  sessions,
  behind: () => hub.pace.size,
  memoryUsage: () => Deno.memoryUsage().rss,
});
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
const alone = settings.LINK === "doorbell";
const doorbell = new DoorbellLink(kv, {
  clock,
  minIntervalMs: alone ? 5 : 100,
});
const links = alone
  ? [doorbell]
  : [new BroadcastLink("kaldrix", isolate), doorbell];
const hub = new Hub({ log, links, clock, nextId, observer: metrics.hub });
const history = new History(hub);
const instances = new Instances({ kv, clock, id: isolate, sessions, hub });

const revocations = new Revocations({ kv, clock });
const blocks = new BlockList({
  kv,
  clock,
  allow: [...settings.TRUSTED_PROXIES, ...settings.ALLOWED_IPS],
});
const securityLog = new SecurityLog({ kv, clock });
const identify = identifier(
  createTokens({
    secrets: secretsOrMadeUp(),
    jwksUrl: settings.JWKS_URL,
    issuer: settings.JWT_ISSUER,
    audience: settings.JWT_AUDIENCE,
  }),
  revocations,
);
blocks.onBlocked(() =>
  sessions.disconnect("IP_BLOCKED", ({ ip }) => blocks.isBlocked(ip))
);
revocations.onRevoked(() =>
  sessions.disconnect("UNAUTHENTICATED", ({ session }) => session.isRevoked)
);
const measure = (type: string | undefined) => metrics.report(type);

const drain = new Drain({ sessions, log, clock });
const roster = new Roster({
  kv,
  clock,
  id: isolate,
  nextId,
  sessions,
  instances,
});
const gate = new Gate({
  clientIp: createClientIp({ trustedProxies: settings.TRUSTED_PROXIES }),
  blocks,
  limits: {
    connections: limit("connections", 1),
    messages: limit("messages", MESSAGES_PER_REQUEST),
    http: limit("http", 1),
  },
  sessions,
  maxConnections: settings.MAX_CONNECTIONS,
  maxConnectionsPerIp: settings.MAX_CONNECTIONS_PER_IP,
  allowedOrigins: settings.ALLOWED_ORIGINS,
  identify,
  inService: () => drain.admit(),
  securityLog,
  now: () => clock.now(),
});

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
  maxMessageBytes: settings.MAX_MESSAGE_BYTES,
  assets: await readAssets(new URL("client/dist/", import.meta.url)),
  conditions: async () => ({
    store: await log.heads(["blocks"]).then(
      () => ({ ok: true, detail: "the log answers" }),
      () => ({ ok: false, detail: "the log cannot be read" }),
    ),
    link: { ok: true, detail: settings.LINK },
    service: drain.isDraining
      ? { ok: false, detail: "draining" }
      : { ok: true, detail: "serving" },
  }),
  session: {
    hub,
    history,
    clock,
    nextId,
    maxMessageBytes: settings.MAX_MESSAGE_BYTES,
    schema: schemaHash(),
    requireAuth: settings.REQUIRE_AUTH,
    measure,
    report,
    refused: (code) => metrics.refused(code),
    received: () => metrics.received(),
  },
});

const source = settings.SOURCE === "none" ? undefined : new Lease({
  kv,
  clock,
  name: "source",
  work: async (signal) => (await loadSource()).run(signal),
  report,
});

for (const name of ["SIGINT", "SIGTERM"] as const) {
  Deno.addSignalListener(name, () => void end(name));
}

export default {
  fetch: app.fetch,
  onListen: (address) => journal.info("listening", { isolate, address }),
} satisfies Deno.ServeDefaultExport;

/** A budget by address; one isolate may grant all of it before it asks. */
function limit(name: string, times: number): RateLimit {
  const most = settings.RATE_LIMIT_MAX * times;
  const windowMs = settings.RATE_LIMIT_WINDOW_MS;
  return new RateLimit({
    kv,
    clock,
    name,
    limit: most,
    windowMs,
    maxUnfolded: most,
  });
}

function settingsOrExit(): Settings {
  try {
    return readSettings((name) => Deno.env.get(name), { dev });
  } catch (error) {
    if (!(error instanceof SettingsError)) throw error;
    // deno-lint-ignore no-console -- there is no journal yet.
    console.error(error.message);
    Deno.exit(1);
  }
}

function secretsOrMadeUp(): readonly string[] {
  const { JWT_SECRET, JWKS_URL } = settings;
  if (JWT_SECRET.some(isWeak)) {
    journal.warn("JWT_SECRET is short; use 32 random characters or more");
  }
  if (JWT_SECRET.length > 0 || JWKS_URL !== undefined) return JWT_SECRET;
  journal.warn("made up a JWT_SECRET for this run; set one to make tokens");
  return [crypto.randomUUID() + crypto.randomUUID()];
}

/** Loads only the source that is asked for: served code stays light. */
async function loadSource(): Promise<Source> {
  const outlet = new HubOutlet({
    hub,
    history,
    maxMessageBytes: settings.MAX_MESSAGE_BYTES,
  });
  if (settings.SOURCE === "simulator") {
    const { simulator } = await import("./sources/simulator.ts");
    return simulator({ outlet, log: journal.info });
  }
  const { evmSource } = await import("./sources/evm.ts");
  return evmSource({
    outlet,
    rpcUrl: settings.EVM_RPC_URL!,
    log: journal.info,
  });
}

/** An exit of one isolate ends them all, so they all wait for the slowest. */
async function end(signal: string): Promise<void> {
  journal.info("draining", { isolate, signal, sessions: sessions.size });
  const others = new Promise<void>((resolve) => {
    clock.after(dev ? 0 : GRACE_MS + SETTLE_MS + CLOSE_MS, resolve);
  });
  await source?.[Symbol.asyncDispose]();
  await instances[Symbol.asyncDispose]();
  await Promise.all([drain.begin(), others]);
  Deno.exit(0);
}
