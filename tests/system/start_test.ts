import assert from "node:assert/strict";
import { SERVICE_VERSION } from "../../platform/version.ts";
import { openStore } from "../../store/deno_kv.ts";
import { failingStart, TestServer } from "../server.ts";
import { until } from "../until.ts";

const ROOT = new URL("../../", import.meta.url);

/** Asks over a connection of its own, which the system deals to any instance. */
async function ask<T>(url: string): Promise<{ status: number; body: T }> {
  using client = Deno.createHttpClient({ poolMaxIdlePerHost: 0 });
  const response = await fetch(url, { client });
  return { status: response.status, body: await response.json() };
}

Deno.test("a server that answers /ready once has all its instances listening and registered", async () => {
  await using server = await TestServer.start({ instances: 3 });
  await server.stop("SIGKILL");
  // From the first answer on, whichever instance gives it.
  const starting = server.begin();
  await until(async () => {
    try {
      return (await ask<{ ready: boolean }>(`${server.url}/ready`)).status ===
        200;
    } catch {
      return false;
    }
  }, "the first ready answer");
  const seen = new Set<string>();
  for (let i = 0; i < 30; i++) {
    const { status } = await ask(`${server.url}/ready`);
    assert.equal(status, 200);
    const { body } = await ask<{ instance: string }>(
      `${server.url}/api/metrics/history`,
    );
    seen.add(body.instance);
  }
  assert.equal(seen.size, 3, "connections reach all instances");
  await starting;
  await using store = await openStore(server.kvPath);
  const rows = store.list({ prefix: ["instance"] });
  const names = await Array.fromAsync(rows, ({ key }) => key[1]);
  for (const name of seen) assert(names.includes(name), `${name} is known`);
  const lines = server.log.split("\n").filter((line) =>
    line.includes('"listening"')
  );
  assert.equal(lines.length, 6);
  for (const line of lines) assert(line.includes(SERVICE_VERSION), line);
});

Deno.test("a server that ends in good order leaves nothing that others would notify", async () => {
  await using server = await TestServer.start({ instances: 1 });
  const bells = () =>
    Array.from(Deno.readDirSync(`${server.kvPath}.bells`), ({ name }) => name);
  await until(() => bells().length === 1, "a bell");
  assert.equal((await server.stop("SIGTERM")).code, 0);
  assert.deepEqual(bells(), []);
});

Deno.test("a start on a taken port reports it in a sentence, and registers nothing", async () => {
  const directory = await Deno.makeTempDir();
  try {
    using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const { port } = listener.addr as Deno.NetAddr;
    const KV_PATH = `${directory}/kv.sqlite`;
    const { code, text } = await failingStart({
      PORT: String(port),
      KV_PATH,
      JWT_SECRET: "a secret that is long enough for a test",
    });
    assert.equal(code, 1);
    assert.match(
      text,
      new RegExp(
        `^Cannot start: cannot listen on HOST 127.0.0.1, PORT ${port}: .+$`,
        "m",
      ),
    );
    assert(!text.includes("    at "), text);
    await using store = await openStore(KV_PATH);
    const rows = store.list({ prefix: [] });
    assert.deepEqual(await Array.fromAsync(rows, ({ key }) => key), []);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});

Deno.test("fewer descriptors than MAX_CONNECTIONS needs lower it, aloud", async () => {
  await using server = await TestServer.start({ maxFiles: 128 });
  assert.match(
    server.log,
    /"max_connections_lowered".*"from":20000,"to":51,"files":128/,
  );
  const sockets: WebSocket[] = [];
  const codes: number[] = [];
  try {
    for (let i = 0; i < 52; i++) {
      const socket = new WebSocket(server.socketUrl);
      sockets.push(socket);
      await new Promise((resolve) => {
        socket.onopen = () => resolve(undefined);
        socket.onerror = () => {
          codes.push(i);
          resolve(undefined);
        };
      });
    }
    assert.deepEqual(codes, [51]);
  } finally {
    await Promise.all(
      sockets.filter(({ readyState }) => readyState === WebSocket.OPEN)
        .map((socket) =>
          new Promise((resolve) => {
            socket.onclose = resolve;
            socket.close();
          })
        ),
    );
  }
});

for (
  const [flag, output] of [
    ["--help", /^Usage: /m],
    ["--version", new RegExp(`^${SERVICE_VERSION}$`, "m")],
  ] as const
) {
  Deno.test(`start.ts and dev.ts answer ${flag} and do not start`, async () => {
    for (const program of ["start.ts", "server/dev.ts"]) {
      const { code, stdout } = await new Deno.Command(Deno.execPath(), {
        args: [
          "run",
          "-q",
          "--no-prompt",
          "--allow-env=NODE_ENV",
          program,
          flag,
        ],
        cwd: ROOT,
      }).output();
      assert.equal(code, 0, program);
      assert.match(new TextDecoder().decode(stdout), output);
    }
  });
}

/** `deno task dev`, without its first line. */
function dev(port: number, directory: string): Deno.ChildProcess {
  return new Deno.Command(Deno.execPath(), {
    args: ["run", "-q", "-P=dev", "server/dev.ts"],
    cwd: ROOT,
    env: {
      PORT: String(port),
      HOST: "127.0.0.1",
      KV_PATH: `${directory}/kv.sqlite`,
      JWT_SECRET: "",
    },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
}

Deno.test("deno task dev prints where to look, tokens that are accepted and a command that publishes, and ends on SIGTERM", async () => {
  const directory = await Deno.makeTempDir();
  let port: number;
  {
    using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    ({ port } = listener.addr as Deno.NetAddr);
  }
  const child = dev(port, directory);
  let text = "";
  const keep = async (stream: ReadableStream<Uint8Array<ArrayBuffer>>) => {
    for await (const part of stream.pipeThrough(new TextDecoderStream())) {
      text += part;
    }
  };
  const output = Promise.all([keep(child.stdout), keep(child.stderr)]);
  let isOver = false;
  child.status.then(() => isOver = true);
  try {
    await until(
      () => isOver || /^curl [^\n]*\n/m.test(text),
      "the banner",
    );
    const base = `http://127.0.0.1:${port}`;
    for (const path of ["/", "/docs"]) {
      assert(text.includes(`${base}${path}\n`));
    }
    assert(!text.includes("Warning"), text);
    assert(
      text.startsWith("Starting the service ...\n") ||
        text.startsWith("Building: 0 of "),
      text,
    );
    const [, admin] = /\/admin#token=(\S+)/.exec(text)!;
    const [, publisher] = /Token of a publisher[^\n]*\n(\S+)\n/.exec(text)!;
    const seen = await fetch(`${base}/api/admin/blocks`, {
      headers: { authorization: `Bearer ${admin}` },
    });
    assert.equal(seen.status, 200, await seen.text());
    // As a shell would read it.
    const [, url, token, body] =
      /^curl (\S+) -H "Authorization: Bearer (\S+)" -d '([^']+)'$/m.exec(text)!;
    assert.equal(token, publisher);
    const published = await fetch(url!, {
      method: "POST",
      headers: { authorization: `Bearer ${token}` },
      body: body!,
    });
    assert.equal(published.status, 200, await published.text());

    const second = await dev(port, directory).output();
    assert.equal(second.code, 1);
    const said = new TextDecoder().decode(second.stderr);
    assert.match(said, /^Cannot start: cannot listen on [^\n]+\n$/);

    child.kill("SIGTERM");
    const { code } = await child.status;
    assert.equal(code, 0);
    await assert.rejects(fetch(`${base}/health`));
  } finally {
    if (!isOver) child.kill("SIGTERM");
    await output;
    await Deno.remove(directory, { recursive: true });
  }
});
