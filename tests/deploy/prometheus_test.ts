import assert from "node:assert/strict";
import { INSTRUMENTS } from "../../monitoring/instruments.ts";
import { TestServer } from "../server.ts";
import { until } from "../until.ts";

const FOLDER = new URL("../../deploy/", import.meta.url);
/** What Grafana puts in the place of its variables. */
const VARIABLES: Readonly<Record<string, string>> = {
  $job: ".+",
  $__rate_interval: "10s",
};

/** Runs a program of Prometheus; nothing, aloud, where it is not installed. */
async function promtool(...args: string[]): Promise<string | undefined> {
  try {
    const { success, stdout, stderr } = await new Deno.Command("promtool", {
      args,
      cwd: FOLDER,
    }).output();
    const text = [stdout, stderr].map((it) => new TextDecoder().decode(it));
    assert(success, text.join(""));
    return text.join("");
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    // deno-lint-ignore no-console -- a skipped test reports it.
    console.warn("promtool is not installed: its tests are skipped");
  }
}

/** All queries of the dashboard, as Prometheus would receive them. */
async function queries(): Promise<string[]> {
  const { panels } = JSON.parse(
    await Deno.readTextFile(new URL("grafana-dashboard.json", FOLDER)),
  ) as { panels: { title: string; targets: { expr: string }[] }[] };
  return panels.flatMap(({ targets }) =>
    targets.map(({ expr }) =>
      expr.replace(/\$\w+/g, (name) => VARIABLES[name] ?? assert.fail(name))
    )
  );
}

Deno.test("the alert rules are sound, and fire when they have to", async () => {
  const found = await promtool("check", "rules", "prometheus-rules.yaml");
  if (found === undefined) return;
  assert.match(found, /SUCCESS: \d+ rules found/);
  assert.match(
    (await promtool("test", "rules", "prometheus-rules.test.yaml"))!,
    /SUCCESS/,
  );
});

Deno.test("dashboard and alert rules name only metrics that the service has", async () => {
  const rules = await Deno.readTextFile(
    new URL("prometheus-rules.yaml", FOLDER),
  );
  const expressions = [...rules.matchAll(/^ +expr: (.*)$/gm)]
    .map(([, expr]) => expr!);
  const all = [...expressions, ...await queries()];
  assert(all.length > 20);
  for (const expr of all) {
    for (const [name] of expr.matchAll(/kaldrix_\w+/g)) {
      const known = name.replace(/_(?:bucket|sum|count)$/, "");
      assert(name in INSTRUMENTS || known in INSTRUMENTS, name);
    }
  }
});

Deno.test("every query of the dashboard is answered for a running service", async () => {
  if (await promtool("--version") === undefined) return;
  await using server = await TestServer.start({
    settings: { SOURCE: "simulator" },
  });
  const directory = await Deno.makeTempDir();
  const port = server.port + 1;
  await Deno.writeTextFile(
    `${directory}/prometheus.yaml`,
    `global: { scrape_interval: 1s }
scrape_configs:
  - job_name: kaldrix
    authorization: { credentials: "${await server.token("admin")}" }
    static_configs: [{ targets: ["127.0.0.1:${server.port}"] }]
`,
  );
  const prometheus = new Deno.Command("prometheus", {
    args: [
      `--config.file=${directory}/prometheus.yaml`,
      `--storage.tsdb.path=${directory}/data`,
      `--web.listen-address=127.0.0.1:${port}`,
    ],
    stdout: "null",
    stderr: "null",
  }).spawn();
  const socket = new WebSocket(server.socketUrl);
  try {
    socket.onopen = () =>
      socket.send(
        '{"type":"subscribe","payload":{"channels":["blocks","transactions"]}}',
      );
    const answers = async (query: string): Promise<boolean> => {
      const url = `http://127.0.0.1:${port}/api/v1/query?query=${
        encodeURIComponent(query)
      }`;
      try {
        const response = await fetch(url);
        // It reads what it stored first.
        if (response.status === 503) {
          await response.body?.cancel();
          return false;
        }
        const { status, data, error } = await response.json();
        assert.equal(status, "success", `${query}: ${error}`);
        return data.result.length > 0;
      } catch (error) {
        if (error instanceof TypeError) return false;
        throw error;
      }
    };
    for (const query of await queries()) {
      await until(() => answers(query), query);
    }
  } finally {
    socket.close();
    prometheus.kill("SIGKILL");
    await prometheus.status;
    await Deno.remove(directory, { recursive: true });
  }
});
