import assert from "node:assert/strict";
import { readCommandLine, USAGE } from "../../server/command_line.ts";
import { connectionsFor } from "../../server/machine.ts";
import { SETTING_NAMES, similarSetting } from "../../server/settings.ts";
import { SERVICE_VERSION } from "../../platform/version.ts";

Deno.test("readCommandLine() answers help, version and what it does not know", () => {
  const answered = (...args: string[]) => readCommandLine(args).answer;
  assert.deepEqual(answered("--help"), { text: USAGE, isError: false });
  assert.deepEqual(answered("-h"), { text: USAGE, isError: false });
  assert.equal(answered("--version")!.text, SERVICE_VERSION);
  assert.match(USAGE, new RegExp(SERVICE_VERSION.replaceAll(".", "\\.")));
  for (const args of [["--prot", "80"], ["extra"], ["--help=1"]]) {
    const answer = answered(...args)!;
    assert.equal(answer.isError, true, args.join(" "));
    assert(answer.text.endsWith(USAGE), args.join(" "));
  }
  assert.equal(answered(), undefined);
  assert.equal(readCommandLine(["--dev"]).dev, true);
});

Deno.test("service and package have one version", async () => {
  const build = new URL("../../client/package.ts", import.meta.url);
  const [, version] = /PACKAGE_VERSION = "([^"]+)"/
    .exec(await Deno.readTextFile(build)) ?? [];
  assert.equal(version, SERVICE_VERSION);
});

Deno.test("readCommandLine() reads the limit of descriptors, if it is valid", () => {
  assert.equal(readCommandLine(["--files", "4096"]).files, 4_096);
  for (const text of ["0", "-1", "many", "1.5"]) {
    assert.equal(readCommandLine([`--files=${text}`]).files, undefined, text);
  }
});

Deno.test("connectionsFor() leaves descriptors for the process and for unfinished requests", () => {
  assert.equal(connectionsFor(4_096, 1), 3_225);
  assert.equal(connectionsFor(4_096, 2), 1_612);
  assert.equal(connectionsFor(64, 2), 1);
  for (const files of [100, 1_024, 262_144]) {
    assert(connectionsFor(files, 3) * 3 <= files * 0.8);
  }
});

Deno.test("similarSetting() finds misspelt settings, and leaves other variables alone", () => {
  const misspelt: Readonly<Record<string, string>> = {
    RATE_LIMIT_MX: "RATE_LIMIT_MAX",
    RATELIMIT_MAX: "RATE_LIMIT_MAX",
    JWT_SECRETS: "JWT_SECRET",
    KVPATH: "KV_PATH",
    ALLOWED_ORIGIN: "ALLOWED_ORIGINS",
    MAX_CONNECTIONS_PER_HOST: "MAX_CONNECTIONS_PER_IP",
  };
  for (const [name, setting] of Object.entries(misspelt)) {
    assert.equal(similarSetting(name), setting, name);
  }
  for (
    const name of [
      ...SETTING_NAMES,
      "JWT_SECRET_FILE",
      "HOME",
      "PATH",
      "HOSTNAME",
      "LANG",
      "LINES",
      "NODE_ENV",
      "DENO_JOBS",
      "DENO_DIR",
      "PGHOST",
      "MALLOC_TOP_PAD_",
      "OTEL_DENO",
      "PWD",
      "SHLVL",
      "TERM",
    ]
  ) assert.equal(similarSetting(name), undefined, name);
});
