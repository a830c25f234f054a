/**
 * The service behind a real nginx with the configuration that is shipped.
 * Needs nginx on the path (`apt-get install nginx-light`); reports when missing.
 */
import assert from "node:assert/strict";
import { smoke } from "../../bench/smoke.ts";
import { pause, TestServer } from "../server.ts";
import { until } from "../until.ts";

/** Finds nginx, also where Debian puts it for root alone. */
async function nginxPath(): Promise<string | undefined> {
  for (const path of ["nginx", "/usr/sbin/nginx"]) {
    try {
      await new Deno.Command(path, { args: ["-v"], stderr: "null" }).output();
      return path;
    } catch {
      // Not there.
    }
  }
  return undefined;
}

const nginx = await nginxPath();
if (!nginx) {
  await Deno.stderr.write(
    new TextEncoder().encode(
      "nginx is not installed: the tests behind a proxy are skipped\n",
    ),
  );
}

/** The shipped configuration, on another port and before another server. */
class Proxy implements AsyncDisposable {
  readonly port: number;
  readonly #directory: string;
  readonly #process: Deno.ChildProcess;

  private constructor(
    port: number,
    directory: string,
    process: Deno.ChildProcess,
  ) {
    this.port = port;
    this.#directory = directory;
    this.#process = process;
  }

  static async start(...servers: TestServer[]): Promise<Proxy> {
    const directory = await Deno.makeTempDir({ prefix: "kaldrix-nginx-" });
    const port = servers[0]!.port + 1;
    const shipped = await Deno.readTextFile(
      new URL("../../deploy/nginx.conf", import.meta.url),
    );
    const site = shipped
      .replace("listen 80;", `listen 127.0.0.1:${port};`)
      .replace(
        /server 127\.0\.0\.1:3000(.*)/,
        (_, rest) =>
          servers.map(({ port }) => `server 127.0.0.1:${port}${rest}`)
            .join("\n"),
      );
    assert.notEqual(site, shipped);
    const impatient = site.replace(
      "client_header_timeout 5s;",
      "client_header_timeout 1s;",
    );
    assert.notEqual(impatient, site, "no deadline for unfinished requests");
    const scratch = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
      .map((name) => `${name}_temp_path ${directory}/${name};`).join(" ");
    await Deno.writeTextFile(
      `${directory}/nginx.conf`,
      `daemon off; worker_processes 1; pid ${directory}/pid;
error_log ${directory}/error.log warn;
events { worker_connections 512; }
http { access_log off; ${scratch}
${impatient}
}`,
    );
    const process = new Deno.Command(nginx!, {
      args: ["-p", directory, "-c", `${directory}/nginx.conf`],
      stdin: "null",
      stdout: "null",
      stderr: "null",
    }).spawn();
    const proxy = new Proxy(port, directory, process);
    await until(async () => {
      try {
        const response = await fetch(`${proxy.url}/health`);
        await response.body?.cancel();
        return response.ok;
      } catch {
        return false;
      }
    }, "nginx");
    return proxy;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#process.kill("SIGTERM");
    await this.#process.status;
    await Deno.remove(this.#directory, { recursive: true });
  }
}

Deno.test({
  name: "behind nginx, with the configuration that is shipped",
  ignore: nginx === undefined,
  async fn(t) {
    await using server = await TestServer.start({
      settings: { TRUSTED_PROXIES: "127.0.0.1,::1", RATE_LIMIT_MAX: "1000" },
    });
    await using proxy = await Proxy.start(server);
    const admin = {
      authorization: `Bearer ${await server.token("admin")}`,
    };

    await t.step("everything that smoke looks at is well", async () => {
      const token = await server.token("user");
      const findings = await smoke({ url: proxy.url, token });
      const bad = findings.filter(({ name, state }) =>
        state !== "ok" && name !== "idle"
      );
      assert.deepEqual(bad, []);
      assert(findings.length > 10);
    });

    await t.step("requests that never end do not stay", async () => {
      const half = new TextEncoder().encode("GET /ws HTTP/1.1\r\nHost: x\r\n");
      const open = await Promise.all(
        Array.from({ length: 100 }, async () => {
          const connection = await Deno.connect({ port: proxy.port });
          await connection.write(half);
          return connection;
        }),
      );
      let ended = 0;
      const reads = open.map(async (connection) => {
        const buffer = new Uint8Array(1_024);
        while (await connection.read(buffer).catch(() => null) !== null);
        ended++;
        connection.close();
      });
      await until(() => ended === open.length, "nginx ends them all");
      await Promise.all(reads);
    });

    await t.step(
      "a client's address is passed on, and cannot be chosen",
      async () => {
        const socket = new WebSocket(`${proxy.url.replace("http", "ws")}/ws`);
        await new Promise((resolve) => socket.onopen = resolve);
        const closed = new Promise((resolve) => socket.onclose = resolve);
        const { sessions } = await server.json("/api/admin/sessions", {
          headers: admin,
        });
        assert.deepEqual(sessions.map(({ ip }: { ip: string }) => ip), [
          "127.0.0.1",
        ]);
        socket.close();
        await closed;

        const block = (method: string, path = "", body?: unknown) =>
          server.json(`/api/admin/blocks${path}`, {
            method,
            headers: admin,
            ...(body === undefined ? {} : { body: JSON.stringify(body) }),
          });
        await block("POST", "", { ip: "203.0.113.9" });
        const forged = await fetch(`${proxy.url}/api/channels`, {
          headers: { "x-forwarded-for": "203.0.113.9" },
        });
        await forged.body?.cancel();
        assert.equal(
          forged.status,
          200,
          "nginx passed on what the client claimed",
        );
        const direct = await fetch(`${server.url}/api/channels`, {
          headers: { "x-forwarded-for": "203.0.113.9" },
        });
        assert.equal(direct.status, 403, "the trusted proxy was not believed");
        assert.equal((await direct.json()).code, "IP_BLOCKED");
        await block("DELETE", "/203.0.113.9");
      },
    );

    await t.step(
      "clients learn of a drain, and reconnect after",
      async () => {
        const socket = new WebSocket(`${proxy.url.replace("http", "ws")}/ws`);
        const received: string[] = [];
        socket.onmessage = ({ data }) =>
          void received.push(JSON.parse(data).type);
        await new Promise((resolve) => socket.onopen = resolve);
        const closed = new Promise<CloseEvent>((resolve) =>
          socket.onclose = resolve
        );
        await server.stop("SIGTERM");
        const { code } = await closed;
        assert.equal(code, 1012);
        assert(received.includes("draining"), received.join());
        const away = await fetch(`${proxy.url}/health`);
        await away.body?.cancel();
        assert.equal(away.status, 502);
        await server.begin();
        // Until then nginx takes the server for failed.
        await pause(100);
        await until(async () => {
          const [health] = await smoke({ url: proxy.url });
          return health?.state === "ok";
        }, "nginx to try again");
      },
    );
  },
});

Deno.test({
  name: "behind nginx, a restart of each of two instances refuses no publish",
  ignore: nginx === undefined,
  async fn() {
    await using one = await TestServer.start();
    await using two = await TestServer.start({
      settings: { KV_PATH: one.kvPath },
    });
    await using proxy = await Proxy.start(one, two);
    const authorization = `Bearer ${await one.token("publisher")}`;
    const answers: string[] = [];
    let next = 0;
    let isOver = false;
    const publisher = async () => {
      while (!isOver) {
        const id = `b-${++next}`;
        const response = await fetch(`${proxy.url}/api/publish`, {
          method: "POST",
          headers: { authorization },
          body: JSON.stringify({
            type: "NEW_BLOCK",
            id,
            payload: {
              blockId: id,
              height: next,
              timestamp: "2025-08-07T10:00:00Z",
            },
          }),
        });
        const text = await response.text();
        if (!response.ok) answers.push(`${response.status} ${text}`);
        await pause(2);
      }
    };
    const publishers = Array.from({ length: 4 }, publisher);
    for (const server of [one, two]) {
      await until(() => next > 20, "some publishes before the restart");
      await server.stop("SIGTERM");
      await server.begin();
      const own = await answering(server.url);
      await until(
        async () => await answering(proxy.url) === own,
        "the proxy to send requests to the restarted instance",
      );
    }
    isOver = true;
    await Promise.all(publishers);
    assert.deepEqual(answers, []);
    const seen = new Set<string>();
    let after = "";
    for (;;) {
      const { events, more, epoch } = await one.json(
        `/api/channels/blocks/history?limit=1000${after}`,
      );
      for (const { id } of events) {
        assert(!seen.has(id), `${id} stands twice`);
        seen.add(id);
      }
      const oldest = events[0];
      if (!more || !oldest) break;
      after = `&before=${epoch}:${oldest.seq}`;
    }
    assert.equal(seen.size, next);
  },
});

/** The instance that answers at `url`. */
async function answering(url: string): Promise<string> {
  const { instances } = await (await fetch(`${url}/api/channels`)).json();
  return instances[0].id;
}

/** Reads an event stream until `count` events have arrived. */
async function readStream(
  url: string,
  count: number,
  { lastEventId, onLine = () => {} }: {
    lastEventId?: string;
    onLine?: (line: string) => void;
  } = {},
): Promise<{ events: string[]; id: string }> {
  const abort = new AbortController();
  const response = await fetch(url, {
    headers: {
      accept: "text/event-stream",
      "accept-encoding": "gzip",
      ...(lastEventId ? { "last-event-id": lastEventId } : {}),
    },
    signal: abort.signal,
  });
  assert.equal(response.status, 200, await statusText(response));
  const events: string[] = [];
  let id = "";
  let text = "";
  for await (
    const chunk of response.body!.pipeThrough(new TextDecoderStream())
  ) {
    text += chunk;
    const lines = text.split("\n");
    text = lines.pop()!;
    for (const line of lines) {
      onLine(line);
      if (line.startsWith("id: ")) id = line.slice(4);
      if (!line.startsWith("data: ")) continue;
      const frame = JSON.parse(line.slice(6));
      if (frame.type === "ROOM_MESSAGE") events.push(frame.payload.event);
      assert.notEqual(frame.type, "gap");
    }
    if (id !== "" && events.length >= count) break;
  }
  abort.abort();
  return { events, id };
}

async function statusText(response: Response): Promise<string> {
  return response.ok ? "" : await response.text();
}

const rooms = Array.from({ length: 256 }, (_, i) => `room:number-${i}`);

async function say(server: TestServer, channel: string, event: string) {
  const message = { type: "ROOM_MESSAGE", channel, payload: { event } };
  const response = await server.post(message, await server.token("user"));
  assert.equal(response.status, 200, await response.text());
}

Deno.test({
  name: "behind nginx, an EventSource of 256 rooms resumes by its id",
  ignore: nginx === undefined,
  async fn() {
    await using server = await TestServer.start();
    await using proxy = await Proxy.start(server);
    const url = `${proxy.url}/sse?channels=${rooms.join(",")}`;
    for (const room of rooms.slice(0, 20)) await say(server, room, "early");
    const { id } = await readStream(url, 0);
    assert(id.length < 2_048, `${id.length}`);
    await say(server, rooms[7]!, "one");
    await say(server, rooms[255]!, "two");
    const { events } = await readStream(url, 2, { lastEventId: id });
    assert.deepEqual(events.toSorted(), ["one", "two"]);
  },
});

Deno.test("behind a proxy that compresses, events are not held back", async () => {
  const [{ default: express }, { default: compression }, proxying] =
    await Promise.all([
      import("express"),
      import("compression"),
      import("http-proxy-middleware"),
    ]);
  await using server = await TestServer.start();
  const app = express();
  app.use(compression());
  const own = (_: unknown, response: { send: (text: string) => unknown }) => {
    response.send("a word, ".repeat(500));
  };
  app.get("/own", own);
  app.use(proxying.createProxyMiddleware({ target: server.url }));
  const listening = app.listen(0, "127.0.0.1");
  await new Promise((resolve) => listening.once("listening", resolve));
  try {
    const { port } = listening.address() as { port: number };
    const origin = `http://127.0.0.1:${port}`;
    const compressed = await fetch(`${origin}/own`, {
      headers: { "accept-encoding": "gzip" },
    });
    await compressed.body?.cancel();
    assert.equal(compressed.headers.get("vary"), "Accept-Encoding");
    const { promise: begun, resolve: begin } = Promise.withResolvers<void>();
    let keptAlive = 0;
    const reading = readStream(`${origin}/sse?channels=${rooms[0]}`, 1, {
      onLine(line) {
        if (line.startsWith(":")) keptAlive++;
        begin();
      },
    });
    await begun;
    const before = keptAlive;
    await say(server, rooms[0]!, "seen");
    const { events } = await reading;
    assert.deepEqual(events, ["seen"]);
    assert.equal(keptAlive, before, "no later line had to push it");
  } finally {
    listening.closeAllConnections();
    await new Promise((resolve) => listening.close(resolve));
  }
});
