import assert from "node:assert/strict";
import {
  rules,
  SILENT_LINK_MS,
  STALE_HEAD_MS,
} from "../../monitoring/alerts.ts";
import type { Alert } from "../../monitoring/alerts.ts";
import type { Head } from "../../monitoring/freshness.ts";
import { CLUSTER_MS } from "../../monitoring/measurements.ts";
import { isReady, Readiness } from "../../monitoring/readiness.ts";
import type { ReadinessParts } from "../../monitoring/readiness.ts";
import { Vitals } from "../../monitoring/vitals.ts";
import { SERVICE_VERSION } from "../../platform/version.ts";
import { ManualClock } from "../fakes/clock.ts";
import { openInstances } from "../system/instances.ts";
import { askFrom, openTestService, serviceOn } from "../test_service.ts";
import { openStore } from "../../store/deno_kv.ts";
import { until } from "../until.ts";

const WELL: ReadinessParts = {
  probe: () => Promise.resolve(),
  database: { look: () => Promise.resolve(undefined) },
  freshness: { look: () => Promise.resolve(undefined) },
  link: "broadcast",
  linkSilentMs: () => 0,
  guards: { blocks: { state: "ok" } },
  isKeyServerAway: () => false,
  isDraining: () => false,
  logger: { warn() {}, info() {} },
};

function headOf(head: Head | undefined): Pick<ReadinessParts, "freshness"> {
  return { freshness: { look: () => Promise.resolve(head) } };
}

/** Each case: the fault, the part that reports it, and its report. */
const CASES: Readonly<
  Record<
    string,
    [Partial<ReadinessParts>, string, RegExp, "ok" | "poor" | "no"]
  >
> = {
  "a log that fails": [
    { probe: () => Promise.reject(new Error()) },
    "store",
    /cannot be used/,
    "no",
  ],
  "an instance that drains": [
    { isDraining: () => true },
    "service",
    /draining/,
    "no",
  ],
  "a silent link": [
    { linkSilentMs: () => SILENT_LINK_MS },
    "link",
    /60 s ago/,
    "poor",
  ],
  "a chain that stands still": [
    headOf({
      ageMs: STALE_HEAD_MS + 1,
      unchangedMs: 0,
      atMostMs: Infinity,
    }),
    "source",
    /newest block 60 s ago/,
    "poor",
  ],
  "a chain that moves, told by a clock that is behind": [
    headOf({ ageMs: 3_600_000, unchangedMs: 0, atMostMs: 1_000 }),
    "source",
    /newest block 3600 s ago by its own timestamp: clocks differ/,
    "ok",
  ],
  "a chain that stands still, by a clock that is ahead": [
    headOf({
      ageMs: -3_600_000,
      unchangedMs: STALE_HEAD_MS + 1,
      atMostMs: Infinity,
    }),
    "source",
    /newest block -3600 s ago.*unchanged for 60 s/,
    "poor",
  ],
  "a chain whose age the store does not tell": [
    { freshness: { look: () => Promise.reject(new Error()) } },
    "source",
    /unknown/,
    "ok",
  ],
  "a guard without the store": [
    { guards: { blocks: { state: "degraded" } } },
    "guards",
    /degraded: blocks/,
    "poor",
  ],
  "a key server that is away": [
    { isKeyServerAway: () => true },
    "guards",
    /degraded: key server/,
    "poor",
  ],
};

for (const [what, [parts, name, detail, how]] of Object.entries(CASES)) {
  Deno.test(`Readiness of ${what}`, async () => {
    const readiness = new Readiness({ ...WELL, ...parts });
    readiness.listening();
    const conditions = await readiness.check();
    const { [name]: condition, ...others } = conditions;
    assert.match(condition!.detail, detail);
    assert.equal(condition!.ok, how !== "no");
    assert.equal(condition!.degraded ?? false, how === "poor");
    assert.equal(isReady(conditions), how !== "no");
    assert.equal(readiness.wasReady, how !== "no");
    assert(isReady(others), "nothing else is concerned");
  });
}

Deno.test("the log notes once that the store stopped working, and once that it works", async () => {
  const noted: unknown[] = [];
  let isAway = false;
  const readiness = new Readiness({
    ...WELL,
    probe: () => isAway ? Promise.reject(new Error()) : Promise.resolve(),
    logger: {
      warn: (event, fields) => noted.push([event, fields]),
      info: (event) => noted.push([event]),
    },
  });
  for (const away of [false, true, true, false, false]) {
    isAway = away;
    await readiness.check();
  }
  assert.deepEqual(noted, [
    ["store_unusable", { detail: "the log cannot be used" }],
    ["store_usable"],
  ]);
});

Deno.test("an instance is not ready before all of its process listen", async () => {
  const readiness = new Readiness(WELL);
  assert(!isReady(await readiness.check()));
  assert(!readiness.wasReady);
  readiness.listening();
  assert(isReady(await readiness.check()));
});

Deno.test("Vitals read what is of now, and keep the last alerts without the store", async () => {
  const clock = new ManualClock();
  const all = rules({ memoryBytes: 1 });
  const freshness: { head: Head | undefined } = { head: undefined };
  const monitor: ConstructorParameters<typeof Vitals>[0]["monitor"] & {
    unreachable: Alert | undefined;
  } = {
    alerts: () => alerts(),
    unreachable: undefined,
  };
  let alerts = () => Promise.resolve([{ type: "memory" } as Alert]);
  const readiness = new Readiness(WELL);
  const vitals = new Vitals({
    clock,
    readiness,
    database: { readings: () => [] },
    freshness,
    monitor,
    rules: all,
  });
  const read = (name: string) =>
    vitals.readings().filter((it) => it.name === name)
      .map(({ labels, value }) => [labels["type"] ?? labels["version"], value]);
  const firing = () =>
    read("kaldrix_alerts_firing").filter(([, value]) => value === 1)
      .map(([type]) => type);
  assert.deepEqual(read("kaldrix_build_info"), [[SERVICE_VERSION, 1]]);
  assert.deepEqual(read("kaldrix_ready"), [[undefined, 0]]);
  assert.deepEqual(read("kaldrix_head_age_seconds"), []);
  assert.equal(read("kaldrix_alerts_firing").length, all.length + 1);

  readiness.listening();
  freshness.head = { ageMs: -2_500, unchangedMs: 0, atMostMs: Infinity };
  await vitals.refresh();
  assert.deepEqual(read("kaldrix_ready"), [[undefined, 1]]);
  assert.deepEqual(read("kaldrix_head_age_seconds"), [[undefined, -2.5]]);
  assert.deepEqual(firing(), ["memory"]);

  alerts = () => Promise.reject(new Error("away"));
  monitor.unreachable = { type: "store_unreachable" } as Alert;
  clock.advance(CLUSTER_MS);
  await vitals.refresh();
  assert.deepEqual(firing(), ["memory", "store_unreachable"]);
});

Deno.test("GET /metrics and /health report the version, readiness and firing alerts", async () => {
  await using service = await openTestService({ env: { SOURCE: "simulator" } });
  const text = await (await service.request("/metrics")).text();
  const own = `isolate="${service.isolate}"`;
  for (
    const line of [
      `kaldrix_build_info{version="${SERVICE_VERSION}",${own}} 1`,
      `kaldrix_ready{${own}} 1`,
      `kaldrix_alerts_firing{type="stale_head",severity="critical",${own}} 0`,
      `kaldrix_alerts_firing{type="store_unreachable",severity="critical",${own}} 0`,
    ]
  ) assert(text.split("\n").includes(line), line);
  assert.match(text, /^kaldrix_head_age_seconds\{[^}]*\} \d/m);
  const { version, status } = await (await service.request("/health")).json();
  assert.deepEqual([version, status], [SERVICE_VERSION, "ok"]);
});

Deno.test("a service that does not listen yet is not ready, and unknown to others", async () => {
  await using kv = await openStore(":memory:");
  const settings = { env: { JWT_SECRET: "a secret that is long enough here" } };
  await using service = serviceOn(kv, [], { ...settings, isListening: false });
  const ask = async () => {
    const response = await askFrom("192.0.2.1", service, "/ready");
    return (await response.json()).checks.service.detail;
  };
  assert.equal(await ask(), "starting");
  assert.equal((await kv.get(["instance", service.isolate])).value, null);
  service.register();
  assert.equal(await ask(), "starting");
  service.readiness.listening();
  assert.equal(await ask(), "serving");
  await until(
    async () => (await kv.get(["instance", service.isolate])).value !== null,
    "its heartbeat",
  );
});

Deno.test("GET /metrics answers while the store is down, and reports that", async () => {
  await using instances = await openInstances();
  const read = async () => {
    const response = await instances.ask("/metrics");
    assert.equal(response.status, 200);
    const text = await response.text();
    return /^kaldrix_ready\{[^}]*\} (\d)$/m.exec(text)?.[1];
  };
  instances.store.isAway = true;
  assert.equal(await read(), "0");
});

Deno.test("answers bear the time of now, also after the wall clock was set back", async () => {
  const clock = new ManualClock();
  await using service = await openTestService({ clock });
  const dateOf = async () => {
    const response = await service.request("/health");
    await response.body?.cancel();
    return Date.parse(response.headers.get("date")!);
  };
  const before = await dateOf();
  assert.equal(before, clock.now());
  clock.stepWall(-3_600_000);
  assert.equal(await dateOf(), before - 3_600_000);
});
