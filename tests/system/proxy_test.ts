/**
 * The service behind a real nginx with the configuration that is shipped.
 * Needs nginx on the path (`apt-get install nginx-light`); says so otherwise.
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

  static async start(server: TestServer): Promise<Proxy> {
    const directory = await Deno.makeTempDir({ prefix: "kaldrix-nginx-" });
    const port = server.port + 1;
    const shipped = await Deno.readTextFile(
      new URL("../../deploy/nginx.conf", import.meta.url),
    );
    const site = shipped
      .replace("listen 80;", `listen 127.0.0.1:${port};`)
      .replace("127.0.0.1:3000", `127.0.0.1:${server.port}`);
    assert.notEqual(site, shipped);
    const scratch = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
      .map((name) => `${name}_temp_path ${directory}/${name};`).join(" ");
    await Deno.writeTextFile(
      `${directory}/nginx.conf`,
      `daemon off; worker_processes 1; pid ${directory}/pid;
error_log ${directory}/error.log warn;
events { worker_connections 512; }
http { access_log off; ${scratch}
${site}
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

    await t.step(
      "a client's address is told, and cannot be chosen",
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
      "clients are told of a drain, and come back after",
      async () => {
        const socket = new WebSocket(`${proxy.url.replace("http", "ws")}/ws`);
        const heard: string[] = [];
        socket.onmessage = ({ data }) => void heard.push(JSON.parse(data).type);
        await new Promise((resolve) => socket.onopen = resolve);
        const closed = new Promise<CloseEvent>((resolve) =>
          socket.onclose = resolve
        );
        await server.stop("SIGTERM");
        const { code } = await closed;
        assert.equal(code, 1012);
        assert(heard.includes("draining"), heard.join());
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
