/**
 * Checks whether this machine can run the service, and the state of a running
 * service.
 *
 * @module
 */
import { type Command, Option } from "commander";
import { systemClock as clock } from "../platform/clock.ts";
import { within } from "../platform/deadline.ts";
import { connectionsFor, fileLimit, instanceCount } from "../server/machine.ts";
import {
  readSettings,
  type Settings,
  SettingsError,
} from "../server/settings.ts";
import { openStoreAt } from "../store/open.ts";
import { WriteProbe } from "../store/write_probe.ts";
import { Remote, TOKEN_HELP } from "./remote.ts";
import { Failed, Misused, paint, print, printable } from "./terminal.ts";

/** Longest wait for the store, in milliseconds. */
const STORE_MS = 10_000;
/** Most that two clocks may differ, in milliseconds. */
const SKEW_MS = 2_000;
/** Statuses of proxies while no instance answers. */
const AWAY = [502, 503, 504];
/** Fewest different characters of a random secret. */
const MIN_VARIETY = 12;

/** The result of a check. */
interface Finding {
  readonly name: string;
  readonly state: "ok" | "warn" | "failed" | "skipped";
  readonly detail: string;
}

/** Options of the command line. */
interface Flags {
  readonly url?: string;
  readonly dev?: true;
  readonly json?: true;
}

/** Adds `check`. */
export function checkCommand(program: Command): void {
  program.command("check")
    .description(
      "check settings, secret, store, descriptors and port of this machine, or a running service",
    )
    .addOption(
      new Option(
        "--url <url>",
        "check only the service that runs there, readiness and alerts",
      ),
    )
    .option("--dev", "judge the settings as `deno task dev` does")
    .option("--json", "write the findings as JSON")
    .action(check)
    .addHelpText(
      "after",
      `${TOKEN_HELP}
Exits with 1 when a check failed; warnings do not count.

Examples:
  kaldrix check
  kaldrix check --url https://rt.example.com`,
    );
}

async function check({ url, dev, json }: Flags): Promise<void> {
  if (url && dev) throw new Misused("--dev is not for a running service");
  const findings = url
    ? await serviceFindings(new Remote(url))
    : await machineFindings(dev ?? false);
  if (json) print(printable(JSON.stringify(findings, null, 2)));
  else for (const finding of findings) print(lineOf(finding));
  const failed = findings.filter(({ state }) => state === "failed");
  if (failed.length === 0) return;
  throw new Failed(
    `${failed.map(({ name }) => name).join(", ")}: not as it has to be`,
  );
}

const STYLES = {
  ok: "green",
  warn: "yellow",
  failed: "red",
  skipped: "gray",
} as const;

function lineOf({ name, state, detail }: Finding): string {
  return `${paint(STYLES[state], state.padEnd(7))}  ${name.padEnd(11)}  ${
    printable(detail)
  }`;
}

async function machineFindings(dev: boolean): Promise<Finding[]> {
  let settings: Settings;
  try {
    settings = readSettings((name) => Deno.env.get(name), { dev });
  } catch (error) {
    if (!(error instanceof SettingsError)) throw error;
    const detail = error.message.replace(/^Cannot start: /, "");
    return [{ name: "settings", state: "failed", detail }];
  }
  return [
    { name: "settings", state: "ok", detail: "all can be used" },
    secretFinding(settings),
    // Before the store is written.
    await clockFinding(settings),
    await storeFinding(settings),
    await descriptorFinding(settings),
    ...await portFindings(settings),
  ];
}

function secretFinding({ JWT_SECRET, JWKS_URL }: Settings): Finding {
  const name = "secret";
  if (JWT_SECRET.length === 0) {
    const detail = JWKS_URL
      ? "none; tokens are verified with the keys at JWKS_URL"
      : "none; a new one is made at every start";
    return { name, state: "skipped", detail };
  }
  const isPoor = JWT_SECRET.some((it) => new Set(it).size < MIN_VARIETY);
  return isPoor
    ? {
      name,
      state: "warn",
      detail:
        `fewer than ${MIN_VARIETY} different characters: make one with openssl rand -base64 32`,
    }
    : { name, state: "ok", detail: `${JWT_SECRET.length} in use` };
}

async function storeFinding({ KV_PATH }: Settings): Promise<Finding> {
  const name = "store";
  const since = clock.monotonic();
  try {
    const store = await within(
      clock,
      STORE_MS,
      "The store",
      openStoreAt(KV_PATH, { clock }),
    );
    try {
      const probe = new WriteProbe(store, clock).run();
      await within(clock, STORE_MS, "The store", probe);
    } finally {
      await store.close();
    }
    const ms = (clock.monotonic() - since).toFixed(0);
    return { name, state: "ok", detail: `opened and written in ${ms} ms` };
  } catch (error) {
    return { name, state: "failed", detail: messageOf(error) };
  }
}

/** A store written in the future shows a clock that is behind. */
async function clockFinding({ KV_PATH }: Settings): Promise<Finding> {
  const name = "clock";
  const now = new Date(clock.now());
  const file = KV_PATH && !/^[a-z]+:/.test(KV_PATH) ? KV_PATH : undefined;
  const written = file === undefined
    ? null
    : (await Deno.stat(file).catch(() => null))?.mtime;
  const behindMs = written ? written.getTime() - now.getTime() : 0;
  return behindMs > SKEW_MS
    ? {
      name,
      state: "failed",
      detail: `${now.toISOString()} is before ${
        written!.toISOString()
      }, when the store was written`,
    }
    : { name, state: "ok", detail: now.toISOString() };
}

async function descriptorFinding(
  { MAX_CONNECTIONS }: Settings,
): Promise<Finding> {
  const name = "descriptors";
  const limit = await fileLimit();
  if (limit === undefined) {
    return { name, state: "skipped", detail: "no limit is known here" };
  }
  const instances = instanceCount();
  const most = connectionsFor(limit, instances);
  const detail =
    `${limit}, for ${most} connections of each of ${instances} instances`;
  return most >= MAX_CONNECTIONS ? { name, state: "ok", detail } : {
    name,
    state: "warn",
    detail: `${detail}; MAX_CONNECTIONS ${MAX_CONNECTIONS} is lowered to that`,
  };
}

async function portFindings({ HOST, PORT }: Settings): Promise<Finding[]> {
  const name = "port";
  try {
    Deno.listen({ hostname: HOST, port: PORT }).close();
    return [{ name, state: "ok", detail: `${HOST}:${PORT} is free` }];
  } catch (error) {
    const isTaken = error instanceof Deno.errors.AddrInUse;
    const detail = isTaken ? "taken by another program" : messageOf(error);
    if (!isTaken) return [{ name, state: "failed", detail }];
    const host = HOST === "0.0.0.0" || HOST === "::" ? "localhost" : HOST;
    const remote = new Remote(
      `http://${host.includes(":") ? `[${host}]` : host}:${PORT}`,
    );
    const found = await serviceFindings(remote);
    const isOurs = found[0]!.state === "ok";
    return isOurs
      ? [{ name, state: "ok", detail: "the service runs there" }, ...found]
      : [{ name, state: "failed", detail: `${HOST}:${PORT} is ${detail}` }];
  }
}

/** Checks a running service. */
async function serviceFindings(remote: Remote): Promise<Finding[]> {
  const name = "reachable";
  const noService = `${remote.base} answers, but is no KALDRIX service`;
  try {
    const response = await remote.ask("/health");
    if (AWAY.includes(response.status)) {
      await response.body?.cancel();
      const detail =
        `${remote.base} answers ${response.status}: no instance behind it takes requests`;
      return [{ name, state: "failed", detail }];
    }
    const { status, version } = await response.json();
    if (status !== "ok" || typeof version !== "string") {
      return [{ name, state: "failed", detail: noService }];
    }
    const skewMs = Date.parse(response.headers.get("date") ?? "") - clock.now();
    return [
      { name, state: "ok", detail: `version ${version} at ${remote.base}` },
      serviceClock(skewMs),
      ...await readiness(remote),
      await alerts(remote),
    ];
  } catch (error) {
    const isJson = !(error instanceof SyntaxError);
    const detail = isJson ? messageOf(error) : noService;
    return [{ name, state: "failed", detail }];
  }
}

/** Compares clocks; `Date` has whole seconds, rounded down. */
function serviceClock(skewMs: number): Finding {
  const name = "its clock";
  if (Number.isNaN(skewMs)) {
    return { name, state: "skipped", detail: "its answers have no Date" };
  }
  const seconds = Math.round(skewMs / 1_000);
  return skewMs > SKEW_MS || skewMs < -SKEW_MS - 1_000
    ? { name, state: "warn", detail: `${seconds} s from this machine's` }
    : { name, state: "ok", detail: "as this machine's" };
}

async function readiness(remote: Remote): Promise<Finding[]> {
  const body = await (await remote.ask("/ready")).json() as {
    checks?: Record<
      string,
      { ok: boolean; degraded?: boolean; detail: string }
    >;
  };
  return Object.entries(body.checks ?? {}).map((
    [name, { ok, degraded, detail }],
  ) => ({
    name,
    state: ok ? degraded ? "warn" : "ok" : "failed",
    detail,
  }));
}

/** Alerts that fire, as `/metrics` counts them. */
async function alerts(remote: Remote): Promise<Finding> {
  const name = "alerts";
  const response = await remote.ask("/metrics");
  if (!response.ok) {
    await response.body?.cancel();
    const detail = "not allowed to see: set KALDRIX_TOKEN";
    return { name, state: "skipped", detail };
  }
  const text = await response.text();
  const lines = text.matchAll(
    /^kaldrix_alerts_firing\{([^}]*)\} ([1-9]\d*)$/gm,
  );
  const firing = [...lines].map(([, labels = ""]) => ({
    type: /type="([^"]*)"/.exec(labels)?.[1] ?? "alert",
    severity: /severity="([^"]*)"/.exec(labels)?.[1] ?? "",
  }));
  if (firing.length === 0) return { name, state: "ok", detail: "none fires" };
  const isCritical = firing.some(({ severity }) => severity === "critical");
  return {
    name,
    state: isCritical ? "failed" : "warn",
    detail: firing.map(({ type, severity }) => `${type} (${severity})`)
      .join(", "),
  };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
