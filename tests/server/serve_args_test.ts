import assert from "node:assert/strict";

/** What the program prints for these settings, in words, and its warnings. */
async function argsFor(
  settings: Record<string, string>,
  ...flags: string[]
): Promise<{ args: string[]; warnings: string }> {
  const { stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-q", "-P=settings", "server/serve_args.ts", ...flags],
    env: settings,
    cwd: new URL("../../", import.meta.url),
  }).output();
  const decoder = new TextDecoder();
  return {
    args: decoder.decode(stdout).split(" "),
    warnings: decoder.decode(stderr),
  };
}

const PRODUCTION = { JWT_SECRET: "a secret that is long enough for a test" };

const READ = `--allow-read=${
  JSON.parse(await Deno.readTextFile("deno.json")).permissions.serve.read
}`;

/** Settings, and the rights that they need. */
const RIGHTS: readonly [Record<string, string>, readonly string[]][] = [
  [{ KV_PATH: "" }, [
    "--allow-net=0.0.0.0:3000",
    READ,
  ]],
  [{ KV_PATH: "/data/log.db", HOST: "::1", PORT: "80" }, [
    "--allow-net=[::1]:80",
    `${READ},/data/log.db,/data/log.db.bells,/data/log.db.witness,/data/log.db-wal`,
    "--allow-write=/data/log.db,/data/log.db.bells,/data/log.db.witness",
  ]],
  [{
    KV_PATH: "postgres://me:s%40crt@one,two:6000/kaldrix?sslmode=require",
    ALERT_WEBHOOK_URL: "https://hooks.example/a/b",
    JWKS_URL: "http://keys.example:8080/jwks",
    EVM_RPC_URL: "wss://node.example,http://other.example:8545",
    SOURCE: "evm",
  }, [
    "--allow-net=0.0.0.0:3000,keys.example:8080,hooks.example:443,node.example:443,other.example:8545,one:5432,two:6000",
    READ,
  ]],
  [{ KV_PATH: "https://kv.example/db", EVM_RPC_URL: "wss://unused.example" }, [
    "--allow-net",
    READ,
  ]],
];

for (const [settings, rights] of RIGHTS) {
  Deno.test(`the service has no more rights than ${JSON.stringify(settings)} need`, async () => {
    const { args, warnings } = await argsFor({ ...PRODUCTION, ...settings });
    assert.deepEqual(args.filter((arg) => arg.startsWith("--allow")), rights);
    assert(args.includes("--no-prompt"), args.join(" "));
    for (const secret of [".git", "tests", "docs", "."]) {
      assert(!READ.slice("--allow-read=".length).split(",").includes(secret));
    }
    assert.equal(warnings, "");
  });
}

Deno.test("the limit of descriptors is passed to the program, other flags to Deno", async () => {
  const { args } = await argsFor(
    { ...PRODUCTION, KV_PATH: "" },
    "--cached-only",
  );
  const program = args.indexOf("start.ts");
  assert(args.indexOf("--cached-only") < program);
  assert.equal(args[program + 1], "--files");
  assert(Number(args[program + 2]) > 0, args.join(" "));
});

Deno.test("a variable that looks like a setting and is none is warned of", async () => {
  const { warnings } = await argsFor({ ...PRODUCTION, RATE_LIMIT_MX: "5" });
  assert.equal(
    warnings,
    "Warning: RATE_LIMIT_MX is not a setting and has no effect. Did you mean RATE_LIMIT_MAX?\n",
  );
});

Deno.test("a wrong setting is left to the service to report", async () => {
  const { args } = await argsFor({ ...PRODUCTION, PORT: "none", KV_PATH: "x" });
  assert.ok(args.includes("-P=serve"), args.join(" "));
  assert.ok(!args.some((arg) => arg.startsWith("--allow")), args.join(" "));
});

Deno.test("the service may read the files that hold its secrets", async () => {
  const file = await Deno.makeTempFile();
  try {
    await Deno.writeTextFile(file, PRODUCTION.JWT_SECRET);
    const { args } = await argsFor({
      JWT_SECRET: "",
      JWT_SECRET_FILE: file,
      KV_PATH: "/data/log.db",
    });
    assert.deepEqual(args.filter((arg) => arg.startsWith("--allow")), [
      "--allow-net=0.0.0.0:3000",
      `${READ},/data/log.db,/data/log.db.bells,/data/log.db.witness,/data/log.db-wal,${file}`,
      "--allow-write=/data/log.db,/data/log.db.bells,/data/log.db.witness",
    ]);
  } finally {
    await Deno.remove(file);
  }
});
