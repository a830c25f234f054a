import assert from "node:assert/strict";
import { SECRET, TestServer } from "../server.ts";
import { until } from "../until.ts";
import { kaldrix, spawn } from "./kaldrix.ts";

Deno.test("inspect shows what a service has, as tables and as JSON", async () => {
  await using server = await TestServer.start();
  await server.publish([{
    type: "NEW_BLOCK",
    payload: {
      blockId: "0xb1",
      hash: "0xb1",
      height: 7,
      timestamp: "2026-01-01T00:00:00.000Z",
      transactions: [],
      validator: "v1",
      gasUsed: 0,
      gasLimit: 1,
      previousHash: "0xb0",
    },
  }]);
  const admin = {
    KALDRIX_URL: server.url,
    KALDRIX_TOKEN: await server.token("admin"),
  };
  const follower = spawn(["tail", "room:lobby", "--json"], { env: admin });
  try {
    const look = async (...args: string[]) => {
      const { code, out, err } = await kaldrix(["inspect", ...args], {
        env: admin,
      });
      assert.equal(code, 0, err);
      return out;
    };
    await until(
      async () => /^room:lobby +1 +0 +0$/m.test(await look("rooms", "LOB")),
      "a subscriber of the room",
    );
    assert.equal(await look("rooms", "nothing-like-it"), "none\n");
    const visible = await kaldrix(["inspect", "rooms"], {
      env: {
        KALDRIX_URL: server.url,
        KALDRIX_TOKEN: await server.token("publisher"),
      },
    });
    assert.match(visible.out, /^room +subscribers$/m, visible.err);
    assert.match(await look("channels"), /^blocks +1 /m);
    const [names, instance] = (await look("instances")).split("\n");
    assert.match(names!, / +sent MB +as text MB$/);
    assert.match(
      instance!,
      /^[0-9A-Z]{26} +\d{4}-\d\d-\d\dT\S+ +1 .* +\d+\.\d +\d+\.\d$/,
    );
    assert.match(await look("sessions"), /a-admin +admin .*room:lobby$/m);
    assert.match(await look("sessions", "A-ADMIN", "lobby"), /room:lobby/);
    assert.equal(await look("sessions", "nobody-of-that-name"), "none\n");
    const answer = JSON.parse(await look("block", "7", "--json"));
    assert.equal(answer.status, "standing");
    assert.match(await look("block", "0xb1"), /^status +standing$/m);
    assert.match(await look("transaction", "t0"), /^state +unknown$/m);
    const refused = await kaldrix(["inspect", "sessions"], {
      env: { KALDRIX_URL: server.url },
    });
    assert.equal(refused.code, 1);
    assert.match(refused.err, /KALDRIX_TOKEN has to hold a token for this/);
  } finally {
    follower.kill("SIGTERM");
    await follower.output();
  }
});

Deno.test("check finds a machine fit to serve, and names what is not", async () => {
  const directory = await Deno.makeTempDir();
  const store = `${directory}/kv`;
  // Port 0 is always free.
  const env = { JWT_SECRET: SECRET, KV_PATH: store, PORT: "0" };
  const states = async (given: Readonly<Record<string, string>>) => {
    const { code, out } = await kaldrix(["check", "--json"], {
      env: { ...env, ...given },
    });
    const findings = JSON.parse(out) as { name: string; state: string }[];
    return {
      code,
      of: Object.fromEntries(findings.map((it) => [it.name, it.state])),
    };
  };
  try {
    const fine = await states({ MAX_CONNECTIONS: "1" });
    assert.deepEqual(fine, {
      code: 0,
      of: {
        settings: "ok",
        secret: "ok",
        store: "ok",
        clock: "ok",
        descriptors: "ok",
        port: "ok",
      },
    });
    const poor = await states({ JWT_SECRET: "a".repeat(40) });
    assert.deepEqual([poor.code, poor.of["secret"]], [0, "warn"]);
    const settings = await states({ JWT_SECRET: "short" });
    assert.deepEqual(settings, { code: 1, of: { settings: "failed" } });
    const many = await states({ MAX_CONNECTIONS: "1000000" });
    assert.equal(many.of["descriptors"], "warn");
    const nowhere = await states({ KV_PATH: `${directory}/none/kv` });
    assert.deepEqual([nowhere.code, nowhere.of["store"]], [1, "failed"]);
    await Deno.utime(store, Date.now() / 1_000, Date.now() / 1_000 + 86_400);
    const behind = await kaldrix(["check"], { env });
    assert.equal(behind.code, 1);
    assert.match(behind.out, /^failed +clock .* is before /m);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});

Deno.test("check distinguishes a taken port from the service, and sees alerts and a dead server", async () => {
  const listener = Deno.serve(
    { port: 0, hostname: "127.0.0.1", onListen() {} },
    () => new Response("something else"),
  );
  const env = { JWT_SECRET: SECRET, HOST: "127.0.0.1", KV_PATH: ":memory:" };
  try {
    const taken = await kaldrix(["check"], {
      env: { ...env, PORT: `${listener.addr.port}` },
    });
    assert.equal(taken.code, 1, taken.out);
    assert.match(taken.out, /^failed +port .*taken by another program$/m);
  } finally {
    await listener.shutdown();
  }

  await using server = await TestServer.start();
  const ours = await kaldrix(["check"], {
    env: {
      ...env,
      KV_PATH: server.kvPath,
      PORT: `${server.port}`,
      KALDRIX_TOKEN: await server.token("admin"),
    },
  });
  assert.equal(ours.code, 0, ours.out + ours.err);
  assert.match(ours.out, /^ok +port +the service runs there$/m);
  assert.match(ours.out, /^ok +alerts +none fires$/m);
  await server.stop("SIGKILL");
  const dead = await kaldrix(["check", "--url", server.url]);
  assert.equal(dead.code, 1);
  assert.match(dead.out, /^failed +reachable .*nothing listens there$/m);
});

Deno.test("check distinguishes a proxy without a service from another program", async () => {
  let status = 502;
  await using proxy = Deno.serve(
    { port: 0, hostname: "127.0.0.1", onListen() {} },
    () => new Response("<html>Bad Gateway</html>", { status }),
  );
  const url = `http://127.0.0.1:${proxy.addr.port}`;
  const away = await kaldrix(["check", "--url", url]);
  assert.equal(away.code, 1);
  assert.match(away.out, /^failed +reachable .* answers 502: no instance/);
  status = 200;
  const other = await kaldrix(["check", "--url", url]);
  assert.equal(other.code, 1);
  assert.match(other.out, /^failed +reachable .*but is no KALDRIX service$/m);
});

Deno.test("check fails for a critical alert, and warns of others", async () => {
  const firing = (severity: string) =>
    `kaldrix_alerts_firing{type="head_stale",severity="${severity}"} 1\n`;
  let severity = "critical";
  await using service = Deno.serve(
    { port: 0, hostname: "127.0.0.1", onListen() {} },
    (request) => {
      const { pathname } = new URL(request.url);
      if (pathname === "/metrics") return new Response(firing(severity));
      if (pathname === "/health") {
        return Response.json({ status: "ok", version: "1.0.0" });
      }
      const ready = { ok: false, detail: "cannot be written" };
      const checks = severity === "critical" ? { store: ready } : {};
      return Response.json({ checks });
    },
  );
  const url = `http://127.0.0.1:${service.addr.port}`;
  const critical = await kaldrix(["check", "--url", url]);
  assert.equal(critical.code, 1);
  assert.match(critical.out, /^failed +alerts +head_stale \(critical\)$/m);
  assert.match(critical.out, /^failed +store +cannot be written$/m);
  severity = "warning";
  const warning = await kaldrix(["check", "--url", url]);
  assert.equal(warning.code, 0, warning.err);
  assert.match(warning.out, /^warn +alerts +head_stale \(warning\)$/m);
});

Deno.test("help, version and a wrong call end as documented", async () => {
  assert.match((await kaldrix(["--version"])).out, /^\d+\.\d+\.\d+\n$/);
  const help = await kaldrix(["help", "tail"]);
  assert.equal(help.code, 0);
  assert.match(help.out, /Examples:\n {2}kaldrix tail/);
  for (const args of [[], ["nope"], ["inspect"], ["store", "backup"]]) {
    const { code, out } = await kaldrix(args);
    assert.deepEqual([code, out], [2, ""], args.join(" "));
  }
  assert.equal((await kaldrix(["smoke"])).code, 2);
  assert.match((await kaldrix(["bench", "--help"])).out, /--clients/);

  const role = await kaldrix([
    "token",
    "make",
    "--user",
    "a",
    "--role",
    "king",
  ]);
  assert.equal(role.code, 2);
  assert.match(role.err, /Allowed choices are anonymous, user, publisher/);
  for (const command of ["tail", "publish", "inspect", "check", "store"]) {
    const { code, out } = await kaldrix(["help", command]);
    assert.equal(code, 0);
    assert.match(out, /^Examples.*:\n {2}kaldrix /m);
  }
});

for (const shell of ["bash", "zsh"] as const) {
  Deno.test(`${shell} completes commands and options`, async (t) => {
    const { code, out } = await kaldrix(["completion", shell]);
    assert.equal(code, 0);
    const body = shell === "bash"
      ? `complete() { :; }
${out}
COMP_WORDS=(kaldrix store re); COMP_CWORD=2; _kaldrix
echo "\${COMPREPLY[@]}"
COMP_WORDS=(kaldrix inspect rooms --u); COMP_CWORD=3; _kaldrix
echo "\${COMPREPLY[@]}"`
      : `compdef() { :; }
compadd() { shift; echo "$@" }
${out}
words=(kaldrix store re); CURRENT=3; _kaldrix
words=(kaldrix inspect rooms --u); CURRENT=4; _kaldrix`;
    let answer: Deno.CommandOutput;
    try {
      answer = await new Deno.Command(shell, { args: ["-c", body] }).output();
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
      // deno-lint-ignore no-console -- a skipped test reports it.
      console.warn(`skipped: ${shell} is not installed`);
      return;
    }
    const decoder = new TextDecoder();
    assert.equal(decoder.decode(answer.stderr), "", t.name);
    const [first, second] = decoder.decode(answer.stdout).split("\n");
    assert.match(first!, /\brestore\b.*\breset-log\b/);
    assert.match(second!, /--url/);
  });
}
