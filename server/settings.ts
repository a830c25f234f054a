/**
 * Settings from the environment, read and validated in one place before the
 * service starts. `docs/settings.md` lists them with units and defaults.
 *
 * @module
 */
import { z } from "zod";
import { isDatabase } from "../store/open.ts";
import { parseNetwork } from "../security/address.ts";
import { MAX_SECRET_FILE_BYTES, secretIn } from "../security/secret_file.ts";
import {
  isWeak,
  MAX_SECRETS,
  STRONG_SECRET_BYTES,
} from "../security/tokens.ts";

/** Length of a day in milliseconds. */
const DAY_MS = 24 * 3_600_000;

const list = z.string().transform((text) =>
  text.split(",").map((item) => item.trim()).filter(Boolean)
);

const secrets = list.refine(
  (all) => all.length <= MAX_SECRETS,
  `must hold at most ${MAX_SECRETS} secrets, separated by commas`,
);

const networks = list.refine(
  (all) => all.every((text) => parseNetwork(text)),
  "must hold addresses or networks such as 10.0.0.0/8, separated by commas",
);

const origins = list.refine(
  (all) => all.every(isOrigin),
  "must hold origins such as https://app.example, separated by commas",
);

/** An origin in the browser's form: in lower case, without a path. */
function isOrigin(text: string): boolean {
  const origin = URL.parse(text)?.origin;
  // Origins of browser extensions are opaque in the URL standard.
  if (origin === "null") return /^[a-z-]+:\/\/[a-z0-9-]+$/.test(text);
  return origin === text;
}

function integer(least: number, most: number): z.ZodType<number> {
  const sentence = `must be a whole number from ${least} to ${most}`;
  return z.string().regex(/^\d+$/, sentence).transform(Number)
    .refine((value) => value >= least && value <= most, sentence);
}

const flag = z.enum(["true", "false"], "must be true or false")
  .transform((text) => text === "true");

function url(...schemes: string[]): z.ZodType<string> {
  return z.string().refine(
    (text) =>
      URL.canParse(text) &&
      schemes.includes(new URL(text).protocol.slice(0, -1)),
    `must be a URL that begins with ${
      schemes.map((s) => `${s}://`).join(" or ")
    }`,
  );
}

/** URLs separated by commas, each of one of the schemes. */
function urls(...schemes: string[]): z.ZodType<string> {
  const one = url(...schemes);
  return z.string().refine(
    (text) => text.split(/,(?=\w+:)/).every((it) => one.safeParse(it).success),
    `must be URLs, separated by commas, that begin with ${
      schemes.map((s) => `${s}://`).join(" or ")
    }`,
  );
}

const Schema = z.object({
  PORT: integer(0, 65_535).default(3000),
  HOST: z.string().min(1).default("0.0.0.0"),
  JWT_SECRET: secrets.default([]),
  JWKS_URL: url("https", "http").optional(),
  JWT_ISSUER: z.string().optional(),
  JWT_AUDIENCE: z.string().optional(),
  REQUIRE_AUTH: flag.default(false),
  KV_PATH: z.string().optional(),
  RATE_LIMIT_WINDOW_MS: integer(1_000, 3_600_000).default(60_000),
  RATE_LIMIT_MAX: integer(1, 1_000_000_000).default(1_000),
  TRUSTED_PROXIES: networks.default([]),
  ALLOWED_IPS: networks.default([]),
  ALLOWED_ORIGINS: origins.default([]),
  MAX_CONNECTIONS: integer(1, 1_000_000).default(20_000),
  MAX_CONNECTIONS_PER_IP: integer(1, 1_000_000).default(1_000),
  MAX_MESSAGE_BYTES: integer(1_024, 524_288).default(65_536),
  RETENTION_EVENTS: integer(1, 10_000_000).default(10_000),
  RETENTION_MS: integer(1_000, 365 * DAY_MS).default(DAY_MS),
  MAX_LOG_BYTES: integer(2 ** 20, 2 ** 50).default(2 ** 32),
  LINK: z.enum(
    ["broadcast", "doorbell", "notify"],
    "must be broadcast, doorbell or notify",
  ).optional(),
  CHAIN_CHECK: z.enum(
    ["mark", "refuse", "off"],
    "must be mark, refuse or off",
  ).default("mark"),
  LOG_LEVEL: z.enum(
    ["error", "warn", "info", "debug", "verbose"],
    "must be error, warn, info, debug or verbose",
  ).default("info"),
  LOG_FORMAT: z.enum(["json", "text"], "must be json or text").default("json"),
  SOURCE: z.enum(
    ["none", "simulator", "evm"],
    "must be none, simulator or evm",
  ).default("none"),
  EVM_RPC_URL: urls("ws", "wss", "http", "https").optional(),
  ALERT_WEBHOOK_URL: url("https", "http").optional(),
  ALERT_MEMORY_MB: integer(64, 1_000_000).default(460),
});

/** All validated settings. */
export type Settings = z.output<typeof Schema>;

/** The names of all settings. */
export const SETTING_NAMES = Object.keys(Schema.shape) as (keyof Settings)[];

/**
 * Settings that contain a secret or a URL with one. Each can be read from the
 * file that `<name>_FILE` names.
 */
export const SECRET_NAMES = [
  "JWT_SECRET",
  "KV_PATH",
  "EVM_RPC_URL",
  "ALERT_WEBHOOK_URL",
] as const satisfies readonly (keyof Settings)[];

/** The settings that name a file with a secret. */
export const FILE_SETTING_NAMES: readonly string[] = SECRET_NAMES.map(
  (name) => `${name}_FILE`,
);

/** Names the invalid settings, one sentence each. */
export class SettingsError extends Error {
  /** Distinguishes invalid settings from bugs at startup. */
  override readonly name = "SettingsError";
}

/** How the service runs: `dev` has defaults for settings that production requires. */
export interface ReadOptions {
  /** Whether this is `deno task dev`. */
  dev: boolean;
  /** Reads a file; the machine's own when omitted. */
  readFile?: (path: string) => string;
}

/**
 * Reads the settings.
 *
 * @param env reads one variable; an empty one counts as not set.
 * @param options how the service runs.
 * @throws {SettingsError} naming every invalid or missing setting.
 */
export function readSettings(
  env: (name: string) => string | undefined,
  { dev, readFile = Deno.readTextFileSync }: ReadOptions,
): Settings {
  const given = Object.fromEntries(
    SETTING_NAMES.map((name) => [name, env(name) || undefined]),
  );
  const faults: string[] = [];
  for (const name of SECRET_NAMES) {
    const path = env(`${name}_FILE`);
    if (!path) continue;
    if (given[name] !== undefined) {
      faults.push(`${name} and ${name}_FILE must not both be set`);
      continue;
    }
    const secret = secretIn(path, readFile);
    if (secret === undefined) {
      faults.push(
        `${name}_FILE must name a readable file of 1 to ${MAX_SECRET_FILE_BYTES} bytes`,
      );
    }
    given[name] = secret;
  }
  // Hosting platforms name their database in their own variable; without it,
  // the client of the database reads the PG... variables.
  if (given["KV_PATH"] === "postgres:") {
    given["KV_PATH"] = env("DATABASE_URL") || "postgres:";
  }
  if (dev) {
    given["SOURCE"] ??= "simulator";
    given["LOG_FORMAT"] ??= "text";
  }
  const result = Schema.safeParse(given);
  for (const { path, message } of result.error?.issues ?? []) {
    faults.push(`${path.join(".")} ${message}`);
  }
  if (result.success) {
    const { JWT_SECRET, JWKS_URL, SOURCE, EVM_RPC_URL, LINK, KV_PATH } =
      result.data;
    const isMissing = JWT_SECRET.length === 0 && JWKS_URL === undefined &&
      !faults.some((fault) => fault.startsWith("JWT_SECRET"));
    if (!dev && isMissing) {
      faults.push(
        `JWT_SECRET must be set to a secret of at least ${STRONG_SECRET_BYTES} random characters (or JWKS_URL to a key server)`,
      );
    }
    if (!dev && JWT_SECRET.some(isWeak)) {
      faults.push(
        `JWT_SECRET must hold secrets of at least ${STRONG_SECRET_BYTES} bytes each, best random: openssl rand -base64 32`,
      );
    }
    if (LINK === "notify" && !isDatabase(KV_PATH)) {
      faults.push("LINK may be notify only where KV_PATH is postgres:");
    }
    if (SOURCE === "evm" && EVM_RPC_URL === undefined) {
      faults.push("EVM_RPC_URL must be set when SOURCE is evm");
    }
    if (faults.length === 0) return result.data;
  }
  throw new SettingsError(
    `Cannot start: ${faults.join("; ")}. docs/settings.md lists all settings.`,
  );
}

/**
 * Reads the settings of this process; invalid ones end it with a message for the
 * person who starts it.
 */
export function settingsOrExit(options: ReadOptions): Settings {
  try {
    return readSettings((name) => Deno.env.get(name), options);
  } catch (error) {
    if (!(error instanceof SettingsError)) throw error;
    // deno-lint-ignore no-console -- nothing else is open yet.
    console.error(error.message);
    Deno.exit(1);
  }
}

/** Prefixes that only this service's settings have. */
const OWN_PREFIX =
  /^(?:ALERT|ALLOWED|CHAIN|EVM|JWKS|JWT|KV|LOG|MAX_CONNECTIONS|MAX_LOG|MAX_MESSAGE|RATE_LIMIT|RETENTION|TRUSTED)_/;
/** Longest name for which two different letters are too many. */
const SHORT_NAME = 8;

/**
 * The setting that a variable's name probably misspells.
 *
 * @param name name of a variable in the environment.
 * @returns nothing when it is a setting, or similar to none.
 */
export function similarSetting(name: string): string | undefined {
  const known: readonly string[] = [...SETTING_NAMES, ...FILE_SETTING_NAMES];
  if (known.includes(name)) return undefined;
  const [closest, edits] = known
    .map((setting) => [setting, editsBetween(name, setting)] as const)
    .reduce((a, b) => b[1] < a[1] ? b : a);
  const most = closest.length <= SHORT_NAME ? 1 : 2;
  return edits <= most || OWN_PREFIX.test(name) ? closest : undefined;
}

/** The files with settings, by the variables that name them. */
export function secretFiles(): string[] {
  return FILE_SETTING_NAMES.flatMap((name) => Deno.env.get(name) || []);
}

/** Prints a warning for each variable that looks like a misspelt setting. */
export function warnOfUnknownSettings(): void {
  for (const name of Object.keys(Deno.env.toObject())) {
    const similar = similarSetting(name);
    if (similar === undefined) continue;
    // deno-lint-ignore no-console -- for the person who starts it.
    console.error(
      `Warning: ${name} is not a setting and has no effect. Did you mean ${similar}?`,
    );
  }
}

/** Number of letters to insert, delete or replace (Levenshtein distance). */
function editsBetween(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (const [i, letter] of [...a].entries()) {
    const next = [i + 1];
    for (let j = 0; j < b.length; j++) {
      const replaced = row[j]! + (letter === b[j] ? 0 : 1);
      next.push(Math.min(replaced, row[j + 1]! + 1, next[j]! + 1));
    }
    row = next;
  }
  return row[b.length]!;
}
