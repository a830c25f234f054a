import assert from "node:assert/strict";

/** The command line for these settings, in words. */
async function argsFor(
  settings: Record<string, string>,
  ...flags: string[]
): Promise<string[]> {
  const { stdout } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-P=settings", "server/serve_args.ts", ...flags],
    env: settings,
    cwd: new URL("../../", import.meta.url),
  }).output();
  return new TextDecoder().decode(stdout).split(" ");
}

const PRODUCTION = { JWT_SECRET: "a secret that is long enough for a test" };

Deno.test("the service may write its store, the witness beside it and nothing else", async () => {
  const args = await argsFor({ ...PRODUCTION, KV_PATH: "/data/log.db" });
  assert.deepEqual(args.filter((arg) => arg.startsWith("--allow")), [
    "--allow-read=.,/data/log.db,/data/log.db.bells,/data/log.db.witness",
    "--allow-write=/data/log.db,/data/log.db.bells,/data/log.db.witness",
  ]);
  const own = await argsFor({ ...PRODUCTION, KV_PATH: "" });
  assert.deepEqual(own.filter((arg) => arg.startsWith("--allow")), []);
});

Deno.test("dev watches, on the port that is set, and passes flags on", async () => {
  const args = await argsFor(
    { HOST: "127.0.0.1", PORT: "3210", KV_PATH: "" },
    "--dev",
    "--cached-only",
  );
  assert.equal(
    args.join(" "),
    "serve --watch --lock=deno.lock --frozen -P=serve --cached-only --host 127.0.0.1 --port 3210 main.ts --dev",
  );
});

Deno.test("a wrong setting is left to the service to tell", async () => {
  const args = await argsFor({ ...PRODUCTION, PORT: "none", KV_PATH: "x" });
  assert.ok(args.includes("-P=serve"), args.join(" "));
  assert.ok(!args.some((arg) => arg.startsWith("--allow")), args.join(" "));
});

Deno.test("the service may read the files that hold its secrets", async () => {
  const file = await Deno.makeTempFile();
  try {
    await Deno.writeTextFile(file, PRODUCTION.JWT_SECRET);
    const args = await argsFor({
      JWT_SECRET: "",
      JWT_SECRET_FILE: file,
      KV_PATH: "/data/log.db",
    });
    assert.deepEqual(args.filter((arg) => arg.startsWith("--allow")), [
      `--allow-read=.,/data/log.db,/data/log.db.bells,/data/log.db.witness,${file}`,
      "--allow-write=/data/log.db,/data/log.db.bells,/data/log.db.witness",
    ]);
  } finally {
    await Deno.remove(file);
  }
});
