import assert from "node:assert/strict";
import {
  FILE_SETTING_NAMES,
  readSettings,
  SECRET_NAMES,
  SETTING_NAMES,
  SettingsError,
} from "../../server/settings.ts";
import type { Settings } from "../../server/settings.ts";
import { MAX_SECRET_FILE_BYTES } from "../../security/secret_file.ts";

const SECRET = "s".repeat(32);

function read(env: Record<string, string>, dev = false): Settings {
  return readSettings((name) => env[name], { dev });
}

function fault(env: Record<string, string>, dev = false): string {
  try {
    read({ JWT_SECRET: SECRET, ...env }, dev);
  } catch (error) {
    assert(error instanceof SettingsError);
    return error.message;
  }
  assert.fail(`accepted ${JSON.stringify(env)}`);
}

Deno.test("production needs nothing but a secret", () => {
  assert.partialDeepStrictEqual(read({ JWT_SECRET: SECRET }), {
    PORT: 3000,
    HOST: "0.0.0.0",
    JWT_SECRET: [SECRET],
    REQUIRE_AUTH: false,
    RATE_LIMIT_WINDOW_MS: 60_000,
    RATE_LIMIT_MAX: 1_000,
    TRUSTED_PROXIES: [],
    ALLOWED_ORIGINS: [],
    MAX_CONNECTIONS: 20_000,
    MAX_CONNECTIONS_PER_IP: 1_000,
    MAX_MESSAGE_BYTES: 65_536,
    RETENTION_EVENTS: 10_000,
    RETENTION_MS: 86_400_000,
    MAX_LOG_BYTES: 2 ** 32,
    LINK: undefined,
    LOG_LEVEL: "info",
    LOG_FORMAT: "json",
    SOURCE: "none",
  });
});

Deno.test("production without a secret does not start", () => {
  for (const env of [{}, { JWT_SECRET: "" }, { JWT_SECRET: " , " }]) {
    assert.throws(() => read(env), {
      name: "SettingsError",
      message: /^Cannot start: JWT_SECRET must be set .* docs\/settings\.md/,
    });
  }
  const { JWKS_URL } = read({ JWKS_URL: "https://keys.example/jwks" });
  assert.equal(JWKS_URL, "https://keys.example/jwks");
});

Deno.test("the log is text in dev, JSON elsewhere, unless set", () => {
  assert.equal(read({}, true).LOG_FORMAT, "text");
  assert.equal(read({ LOG_FORMAT: "json" }, true).LOG_FORMAT, "json");
  const production = { JWT_SECRET: SECRET, LOG_FORMAT: "text" };
  assert.equal(read(production).LOG_FORMAT, "text");
  assert.match(fault({ LOG_FORMAT: "xml" }), /LOG_FORMAT must be json or text/);
});

Deno.test("dev needs nothing, and runs the simulator by default", () => {
  assert.equal(read({}, true).SOURCE, "simulator");
  assert.equal(read({ SOURCE: "none" }, true).SOURCE, "none");
  assert.deepEqual(read({}, true).JWT_SECRET, []);
});

Deno.test("several secrets are accepted, up to a bound", () => {
  const other = "t".repeat(32);
  assert.deepEqual(read({ JWT_SECRET: `${SECRET} , ${other}` }).JWT_SECRET, [
    SECRET,
    other,
  ]);
  const eight = Array.from({ length: 8 }, () => SECRET).join();
  assert.equal(read({ JWT_SECRET: eight }).JWT_SECRET.length, 8);
  assert.match(fault({ JWT_SECRET: `${eight},${SECRET}` }), /at most 8/);
});

Deno.test("a fault never repeats a secret", () => {
  assert(!fault({ JWT_SECRET: "hunter2", PORT: "x" }).includes("hunter2"));
});

Deno.test("a wrong value is named, with what it must be", () => {
  const cases: [Record<string, string>, RegExp][] = [
    [{ PORT: "http" }, /PORT must be a whole number from 0 to 65535/],
    [{ PORT: "-1" }, /PORT/],
    [{ PORT: "3000.5" }, /PORT/],
    [{ PORT: "0x10" }, /PORT/],
    [{ PORT: "1e3" }, /PORT/],
    [{ REQUIRE_AUTH: "yes" }, /REQUIRE_AUTH must be true or false/],
    [{ LINK: "carrier-pigeon" }, /LINK must be broadcast, doorbell or notify/],
    [{ LOG_LEVEL: "loud" }, /LOG_LEVEL must be error, warn, info/],
    [{ SOURCE: "real" }, /SOURCE must be none, simulator or evm/],
    [{ JWKS_URL: "keys.example" }, /JWKS_URL must be a URL .* https:\/\//],
    [{ JWKS_URL: "ftp://keys.example" }, /JWKS_URL/],
    [{ EVM_RPC_URL: "ftp://127.0.0.1:8545" }, /EVM_RPC_URL .* ws:\/\//],
    [{ EVM_RPC_URL: "ws://a,nowhere://b" }, /EVM_RPC_URL .* commas/],
    [{ ALERT_WEBHOOK_URL: "nope" }, /ALERT_WEBHOOK_URL/],
    [
      { TRUSTED_PROXIES: "10.0.0.0/8,my-proxy" },
      /TRUSTED_PROXIES .*10\.0\.0\.0\/8/,
    ],
    [{ ALLOWED_IPS: "10.0.0.0/33" }, /ALLOWED_IPS must hold addresses/],
    [{ ALLOWED_ORIGINS: "app.example" }, /ALLOWED_ORIGINS must hold origins/],
    // What no browser would ever send.
    [{ ALLOWED_ORIGINS: "https://app.example/" }, /ALLOWED_ORIGINS/],
    [{ ALLOWED_ORIGINS: "https://App.example" }, /ALLOWED_ORIGINS/],
    [{ ALLOWED_ORIGINS: "https://app.example:443" }, /ALLOWED_ORIGINS/],
    [{ SOURCE: "evm" }, /EVM_RPC_URL must be set when SOURCE is evm/],
  ];
  for (const [env, message] of cases) assert.match(fault(env), message);
});

Deno.test("numbers are accepted up to their bounds", () => {
  const bounds: [keyof Settings, number, number][] = [
    ["PORT", 0, 65_535],
    ["RATE_LIMIT_WINDOW_MS", 1_000, 3_600_000],
    ["RATE_LIMIT_MAX", 1, 1_000_000_000],
    ["MAX_CONNECTIONS", 1, 1_000_000],
    ["MAX_CONNECTIONS_PER_IP", 1, 1_000_000],
    ["MAX_MESSAGE_BYTES", 1_024, 524_288],
    ["RETENTION_EVENTS", 1, 10_000_000],
    ["RETENTION_MS", 1_000, 365 * 86_400_000],
    ["MAX_LOG_BYTES", 2 ** 20, 2 ** 50],
  ];
  for (const [name, least, most] of bounds) {
    for (const value of [least, most]) {
      const settings = read({ JWT_SECRET: SECRET, [name]: String(value) });
      assert.equal(settings[name], value);
    }
    for (const value of [least - 1, most + 1]) {
      assert.match(fault({ [name]: String(value) }), new RegExp(name));
    }
  }
});

Deno.test("all faults are reported at once", () => {
  const message = fault({ PORT: "x", LINK: "y", LOG_LEVEL: "z" });
  for (const name of ["PORT", "LINK", "LOG_LEVEL"]) {
    assert(message.includes(name));
  }
});

Deno.test("an empty variable counts as not set", () => {
  const { KV_PATH, PORT } = read({ JWT_SECRET: SECRET, KV_PATH: "", PORT: "" });
  assert.deepEqual([KV_PATH, PORT], [undefined, 3000]);
});

Deno.test("lists are split at commas, blanks dropped", () => {
  const { ALLOWED_ORIGINS, TRUSTED_PROXIES } = read({
    JWT_SECRET: SECRET,
    ALLOWED_ORIGINS: "https://a.example, chrome-extension://abc,",
    TRUSTED_PROXIES: "10.0.0.0/8, 2001:db8::1",
  });
  assert.deepEqual(ALLOWED_ORIGINS, [
    "https://a.example",
    "chrome-extension://abc",
  ]);
  assert.deepEqual(TRUSTED_PROXIES, ["10.0.0.0/8", "2001:db8::1"]);
});

Deno.test("the program may read every setting of its environment", async () => {
  const { permissions } = JSON.parse(
    await Deno.readTextFile(new URL("../../deno.json", import.meta.url)),
  );
  const readable = new Set<string>(permissions.serve.env);
  const missing = [...SETTING_NAMES, ...FILE_SETTING_NAMES]
    .filter((name) => !readable.has(name));
  assert.deepEqual(missing, []);
});

Deno.test("docs/settings.md lists every setting with its default", async () => {
  const page = await Deno.readTextFile(
    new URL("../../docs/settings.md", import.meta.url),
  );
  const [, section] = /^## Settings\n(.*?)^## /ms.exec(page) ?? [];
  const rows = [...section!.matchAll(/^\| `(\w+)` *\| *(?:`([^`]*)`)?/gm)];
  const listed = rows.map(([, name]) => name).toSorted();
  assert.deepEqual(listed, SETTING_NAMES.toSorted());
  const defaults = read({ JWT_SECRET: SECRET });
  for (const [, name, shown] of rows) {
    const value = defaults[name as keyof Settings];
    if (Array.isArray(value) || value === undefined) continue;
    assert.equal(shown, String(value), `${name}`);
  }
});

Deno.test("a secret below 32 bytes starts nothing but dev", () => {
  const short = "s".repeat(31);
  for (const JWT_SECRET of ["a", short, `${SECRET},${short}`]) {
    assert.match(fault({ JWT_SECRET }), /JWT_SECRET must hold .* 32 bytes/);
    assert(!fault({ JWT_SECRET }).includes(short));
  }
  assert.deepEqual(read({ JWT_SECRET: short }, true).JWT_SECRET, [short]);
  // Bytes count, not characters.
  assert.equal(read({ JWT_SECRET: "é".repeat(16) }).JWT_SECRET.length, 1);
});

Deno.test("every secret can be read from a file, and from one place only", () => {
  const values: Record<(typeof SECRET_NAMES)[number], string> = {
    JWT_SECRET: SECRET,
    KV_PATH: "postgres://me:secret@db/kaldrix",
    EVM_RPC_URL: "wss://node.example/key",
    ALERT_WEBHOOK_URL: "https://hooks.example/key",
  };
  const files = Object.fromEntries(
    SECRET_NAMES.map((name) => [`/run/secrets/${name}`, `${values[name]}\n`]),
  );
  const readFile = (path: string) => {
    if (files[path] === undefined) throw new Deno.errors.NotFound(path);
    return files[path];
  };
  const env: Record<string, string> = Object.fromEntries(
    SECRET_NAMES.map((name) => [`${name}_FILE`, `/run/secrets/${name}`]),
  );
  const options = { dev: false, readFile };
  const settings = readSettings((name) => env[name], options);
  assert.partialDeepStrictEqual(settings, { ...values, JWT_SECRET: [SECRET] });

  const reported = (more: Record<string, string>) => {
    try {
      readSettings((name) => ({ ...env, ...more })[name], options);
    } catch (error) {
      return (error as Error).message;
    }
    assert.fail("accepted");
  };
  const twice = reported({ KV_PATH: "/data/log.db" });
  assert.match(twice, /KV_PATH and KV_PATH_FILE must not both be set/);
  assert.match(
    reported({ JWT_SECRET_FILE: "/nowhere" }),
    /^Cannot start: JWT_SECRET_FILE must name a readable file[^;]*$/,
  );
  files["/long"] = "x".repeat(MAX_SECRET_FILE_BYTES + 1);
  assert.match(reported({ JWT_SECRET_FILE: "/long" }), /JWT_SECRET_FILE/);
  files["/empty"] = "\n";
  assert.match(reported({ JWT_SECRET_FILE: "/empty" }), /JWT_SECRET_FILE/);
  files["/short"] = "short\n";
  assert.match(reported({ JWT_SECRET_FILE: "/short" }), /32 bytes/);
});
