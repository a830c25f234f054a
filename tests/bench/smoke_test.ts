import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { line, smoke } from "../../bench/smoke.ts";
import { IDLE_S } from "../../bench/smoke_steps.ts";
import { TestServer } from "../server.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));

/** Runs `deno task smoke`. */
async function task(
  args: readonly string[],
  token = "",
): Promise<{ code: number; text: string }> {
  const { code, stdout } = await new Deno.Command(Deno.execPath(), {
    args: ["task", "-q", "smoke", ...args],
    cwd: ROOT,
    env: { SMOKE_TOKEN: token, NO_COLOR: "1" },
    stderr: "null",
  }).output();
  return { code, text: new TextDecoder().decode(stdout) };
}

Deno.test("smoke is green before a service that is well", async (t) => {
  await using server = await TestServer.start({
    settings: { RATE_LIMIT_MAX: "1000" },
  });
  const url = server.url;

  await t.step("with a token everything is tried", async () => {
    const { code, text } = await task(
      ["--url", `${url}/`, "--idle", "1"],
      await server.token("user"),
    );
    assert.equal(code, 0, text);
    assert.match(text, /\n13 ok, 0 failed, 0 skipped\n$/);
  });

  await t.step("without one nothing is published", async () => {
    const { code, text } = await task(["--url", url]);
    assert.equal(code, 0, text);
    assert.match(text, /publish +skipped .*SMOKE_TOKEN/);
    assert.match(text, /0 failed/);
  });

  await t.step("a bad token fails, and the hint names it", async () => {
    const findings = await smoke({ url, token: "nonsense" });
    const publish = findings.find(({ name }) => name === "publish")!;
    assert.equal(publish.state, "failed");
    assert.match(publish.detail, /UNAUTHENTICATED/);
    assert.match(line(publish), /SMOKE_TOKEN of the role user/);
  });
});

Deno.test("smoke fails when another service answers", async () => {
  await using other = Deno.serve(
    { port: 0, hostname: "127.0.0.1", onListen: () => {} },
    () => Response.json({ status: "ok", ready: true, checks: {} }),
  );
  const { port } = other.addr as Deno.NetAddr;
  const findings = await smoke({ url: `http://127.0.0.1:${port}` });
  const states = Object.fromEntries(
    findings.map(({ name, state }) => [name, state]),
  );
  assert.equal(states["health"], "ok");
  for (const name of ["connect", "subscribe", "refusals", "sse", "limits"]) {
    assert.equal(states[name], "failed", name);
  }
});

Deno.test("smoke looks no further where nothing answers, and ends with 1", async () => {
  const listener = Deno.listen({ port: 0, hostname: "127.0.0.1" });
  const { port } = listener.addr as Deno.NetAddr;
  listener.close();
  const { code, text } = await task(["--url", `http://127.0.0.1:${port}`]);
  assert.equal(code, 1);
  assert.match(text, /health +FAILED/);
  assert.match(text, /0 ok, 1 failed/);
});

Deno.test("an idle connection is tried for longer than the proxy's timeout, as the documents state", async () => {
  const nginx = await Deno.readTextFile(`${ROOT}deploy/nginx.conf`);
  const [, timeout] = /proxy_read_timeout (\d+)s/.exec(nginx)!;
  assert(IDLE_S > Number(timeout));
  const { text } = await task(["--help"]);
  const documents = await Promise.all(
    ["deployment", "troubleshooting"].map((name) =>
      Deno.readTextFile(`${ROOT}docs/${name}.md`)
    ),
  );
  for (const document of [text, ...documents]) {
    const stated = [...document.matchAll(/--idle (\d+)/g)];
    assert(stated.length > 0);
    for (const [, seconds] of stated) assert.equal(Number(seconds), IDLE_S);
  }
});

for (
  const [what, args] of Object.entries({
    "no address": [],
    "an address of another kind": ["--url", "ftp://example.com"],
    "an unknown option": ["--nonsense"],
    "no number": ["--url", "http://127.0.0.1:3000", "--idle", "long"],
  })
) {
  Deno.test(`smoke called with ${what} prints its usage, and ends with 2`, async () => {
    const { code, text } = await task(args);
    assert.equal(code, 2);
    assert.match(text, /Usage: deno task smoke/);
  });
}
