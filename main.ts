/**
 * The composition root: settings -> parts -> serve.
 *
 * @module
 */
import { openLogger } from "./platform/logger.ts";
import type { Logger } from "./platform/logger.ts";
import { systemClock as clock } from "./platform/clock.ts";
import { CLOSE_MS, endAll, GRACE_MS, SETTLE_MS } from "./realtime/drain.ts";
import { StoredLease } from "./store/stored_lease.ts";
import { isExported } from "./platform/tracing.ts";
import { pause } from "./platform/pause.ts";
import { onEndAsked } from "./platform/signals.ts";
import { SERVICE_VERSION } from "./platform/version.ts";
import { idSource } from "./protocol/envelope.ts";
import { Continuity } from "./store/continuity.ts";
import { openStoreAt, witnessAt } from "./store/open.ts";
import { readAssets } from "./routes/pages.ts";
import { isWeak } from "./security/tokens.ts";
import { readCommandLine } from "./server/command_line.ts";
import { answerAndExit } from "./server/exits.ts";
import { connectionsFor, instanceCount } from "./server/machine.ts";
import { createService } from "./server/service.ts";
import type { Service } from "./server/service.ts";
import { storeOrExit } from "./server/exits.ts";
import { settingsOrExit } from "./server/settings.ts";
import type { Settings } from "./server/settings.ts";
import type { Source } from "./sources/source.ts";

/**
 * Longest wait for a good end, in milliseconds: five seconds after a signal
 * Deno Deploy ends what is left.
 */
const LATE_MS = 3_500;
/** For the isolates of a process to end within, in milliseconds. */
const UNLINK_MS = 100;

const commandLine = readCommandLine(Deno.args);
answerAndExit(commandLine);
const { dev, files } = commandLine;
const given = settingsOrExit({ dev });
const connections = files === undefined
  ? given.MAX_CONNECTIONS
  : Math.min(given.MAX_CONNECTIONS, connectionsFor(files, instanceCount()));

/** Settings, as the environment gives them and the machine allows. */
export const settings: Settings = { ...given, MAX_CONNECTIONS: connections };

/** Writes what operators read. */
export const logger: Logger = openLogger(settings.LOG_LEVEL, {
  readable: settings.LOG_FORMAT === "text",
  coloured: Deno.stdout.isTerminal() && !Deno.noColor,
});
if (connections < given.MAX_CONNECTIONS) {
  const about = { from: given.MAX_CONNECTIONS, to: connections, files };
  logger.warn("max_connections_lowered", about);
}
const kv = await storeOrExit(openStoreAt(settings.KV_PATH, { clock }));
const continuity = await Continuity.open({
  store: kv,
  witness: witnessAt(settings.KV_PATH),
  clock,
  nextId: idSource(),
  report: (error) => logger.warn("witness", { error: String(error) }),
});
if (continuity.wasRestored) {
  logger.warn("the store is not the one it was; all channels got new epochs");
}
// Loaded only where an exporter is set up.
const telemetry = isExported()
  ? await import("./monitoring/telemetry.ts")
  : undefined;
/** This process's instance, or this worker's. */
export const service: Service = createService({
  settings,
  secrets: secretsOrMadeUp(),
  kv,
  continuity,
  clock,
  logger,
  isListening: false,
  instances: instanceCount(),
  assets: await readAssets(new URL("client/dist/", import.meta.url)),
  tracing: telemetry && new telemetry.Spans(clock),
  exportMetrics: telemetry?.exportMetrics,
});
let source: StoredLease | undefined;
onEndAsked((name) => void end(name));

/** The server, as `deno serve` starts it, alone in its process. */
export default {
  fetch: service.app.fetch,
  onListen: (address) => {
    listening(address);
    service.readiness.listening();
  },
} satisfies Deno.ServeDefaultExport;

/**
 * The instance accepts connections: from now on it takes part in the cluster.
 * One that cannot listen leaves no trace in the store.
 */
export function listening(address: Deno.Addr): void {
  const { isolate: instance } = service;
  logger.info("listening", { instance, version: SERVICE_VERSION, address });
  service.register();
  if (settings.SOURCE === "none") return;
  source ??= new StoredLease({
    kv,
    clock,
    name: "source",
    work: async (signal) => (await loadSource()).run(signal),
    report: (error) => logger.error("source", { error: String(error) }),
  });
}

function secretsOrMadeUp(): readonly string[] {
  const { JWT_SECRET, JWKS_URL } = settings;
  if (JWT_SECRET.some(isWeak)) {
    logger.warn("JWT_SECRET is short, which only dev accepts; use 32 bytes");
  }
  if (
    JWKS_URL !== undefined && !(settings.JWT_ISSUER && settings.JWT_AUDIENCE)
  ) {
    logger.warn(
      "JWT_ISSUER or JWT_AUDIENCE is not set: every token of that key server is accepted, made for any service, with the role that it claims",
    );
  }
  if (JWT_SECRET.length > 0 || JWKS_URL !== undefined) return JWT_SECRET;
  logger.warn("made up a JWT_SECRET for this run; set one to make tokens");
  return [crypto.randomUUID() + crypto.randomUUID()];
}

/** Loads only the source that is asked for: served code stays light. */
async function loadSource(): Promise<Source> {
  const { publisher } = service;
  const log = logger.info;
  if (settings.SOURCE === "simulator") {
    const { simulator } = await import("./sources/simulator.ts");
    return simulator({ publisher, log });
  }
  const { evmSource } = await import("./sources/evm.ts");
  return evmSource({ publisher, log, rpcUrl: settings.EVM_RPC_URL! });
}

/**
 * Where instances share a process, an exit of the first ends them all, so each
 * waits for the slowest. The code is 0 also when a part failed to end: the end
 * was asked for, it is in time, and a line reports what failed.
 */
async function end(signal: string): Promise<void> {
  const { isolate: instance, sessions, drain } = service;
  logger.info("draining", { instance, signal, sessions: sessions.size });
  const othersMs = dev ? 0 : GRACE_MS + SETTLE_MS + CLOSE_MS;
  const late = pause(clock, LATE_MS);
  const ended = endAll({
    source: () => source?.[Symbol.asyncDispose](),
    instance: () => service.leave(),
    drain: () => drain.begin(),
    others: () => pause(clock, othersMs),
  }, (part, error) => {
    const text = error instanceof Error ? error.stack : String(error);
    logger.error("end_failed", { instance, part, error: text });
  });
  await Promise.race([ended, late]);
  if (!dev) await drain.finish();
  service.unlink();
  // The other isolates of the process do so too, before the first ends them.
  await pause(clock, UNLINK_MS);
  Deno.exit(0);
}
