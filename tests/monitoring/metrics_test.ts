import assert from "node:assert/strict";
import { Instances } from "../../monitoring/instances.ts";
import { RATE_SECONDS } from "../../monitoring/counters.ts";
import { INSTRUMENTS } from "../../monitoring/instruments.ts";
import type { Measured } from "../../monitoring/exposition.ts";
import type { InstrumentName, Reading } from "../../monitoring/instruments.ts";
import { Metrics } from "../../monitoring/metrics.ts";
import { getPerformanceReport } from "../../monitoring/report.ts";
import {
  MAX_SAMPLES,
  MetricsHistory,
  SAMPLING_INTERVAL_MS,
} from "../../monitoring/metrics_history.ts";
import { Sessions } from "../../realtime/sessions.ts";
import { STALE_HEAD_MS } from "../../monitoring/alerts.ts";
import { channelNamed } from "../../protocol/channels.ts";
import { REPORT } from "../examples.ts";
import { entryOf } from "../fakes/entry.ts";
import { ManualClock } from "../fakes/clock.ts";
import { openTestService, tokenOf } from "../test_service.ts";
import type { TestService } from "../test_service.ts";
import { until } from "../until.ts";

function metricsOn(clock = new ManualClock()): Metrics {
  return new Metrics({
    clock,
    sessions: new Sessions(),
    behind: () => 0,
    memoryUsage: () => 45.2 * 2 ** 20,
  });
}

function readingOf(
  metrics: Metrics,
  name: InstrumentName,
  labels: Record<string, string> = {},
): Reading | undefined {
  return metrics.readings().find((it) =>
    it.name === name &&
    Object.entries(labels).every(([key, value]) => it.labels[key] === value)
  );
}

Deno.test("no average or percentile is longer than the longest delivery", () => {
  const metrics = metricsOn();
  metrics.hub.delivered!(1, 1, 0.656);
  const { avg, p95, p99, max } = metrics.report().eventDeliveryTime;
  assert.deepEqual([avg, p95, p99], [max, max, max]);
});

Deno.test("delivery times are reported as spread, per interval and in all", () => {
  const metrics = metricsOn();
  for (let ms = 1; ms <= 100; ms++) metrics.hub.delivered!(2, 10, ms);
  const { eventDeliveryTime: time } = metrics.report();
  assert.equal(time.total, 200);
  const near = (value: number, wanted: number) =>
    assert(Math.abs(value - wanted) <= wanted * 0.02, `${value} ~ ${wanted}`);
  near(time.avg, 50.5);
  near(time.min, 1);
  near(time.max, 100);
  near(time.p95, 95);
  near(time.p99, 99);

  assert.equal(metrics.takeInterval().total, 200);
  assert.deepEqual(metrics.takeInterval(), {
    avg: 0,
    min: 0,
    max: 0,
    p95: 0,
    p99: 0,
    total: 0,
  });
  metrics.hub.delivered!(1, 1, 300);
  near(metrics.takeInterval().avg, 300);
  assert.equal(metrics.report().eventDeliveryTime.total, 201);

  const { buckets, count, value } = readingOf(
    metrics,
    "kaldrix_delivery_seconds",
  )!;
  assert.equal(count, 201);
  near(value, 2 * 5.05 + 0.3);
  const upTo = new Map(buckets);
  assert.equal(upTo.get(0.001), 2, "a bound belongs to its bucket");
  assert.equal(upTo.get(0.05), 100);
  assert.equal(upTo.get(0.1), 200);
  assert.equal(upTo.get(0.5), 201);
});

Deno.test("rates are averages of whole seconds, and fall to nothing", () => {
  const clock = new ManualClock();
  const metrics = metricsOn(clock);
  for (let i = 0; i < RATE_SECONDS * 10; i++) {
    metrics.received();
    clock.advance(100);
  }
  assert.equal(metrics.report().throughput.messagesPerSecond, 10);
  clock.advance(RATE_SECONDS * 1_000);
  assert.equal(metrics.report().throughput.messagesPerSecond, 0);
});

Deno.test("rooms count as one, whatever their names", () => {
  const metrics = metricsOn();
  metrics.hub.accepted!([
    { channel: "room:a" },
    { channel: "room:b" },
    { channel: "blocks" },
  ]);
  metrics.hub.repaired!("room:c", 3);
  const room = { channel: "room" };
  assert.equal(readingOf(metrics, "kaldrix_events_total", room)!.value, 2);
  assert.equal(
    readingOf(metrics, "kaldrix_repaired_events_total", room)!.value,
    3,
  );
  const text = JSON.stringify(metrics.readings());
  assert(!text.includes("room:"));
});

Deno.test("the age of an event counts from when it was accepted", () => {
  const clock = new ManualClock();
  const metrics = metricsOn(clock);
  const newest = entryOf("e", 3, "{}", { at: clock.now() });
  clock.advance(70);
  metrics.hub.flushed!("blocks", 6, newest);
  const age = readingOf(metrics, "kaldrix_event_age_seconds")!;
  assert.equal(age.value, 0.07);
  const blocks = { channel: "blocks" };
  assert.equal(
    readingOf(metrics, "kaldrix_deliveries_total", blocks)!.value,
    6,
  );
});

Deno.test("the last samples are kept, the oldest make room", () => {
  const clock = new ManualClock();
  const metrics = metricsOn(clock);
  using samples = new MetricsHistory({ clock, metrics });
  let arrived = 0;
  samples.onSample(() => arrived++);
  clock.advance(SAMPLING_INTERVAL_MS - 1);
  assert.equal(samples.last, undefined);
  metrics.hub.delivered!(1, 1, 8);
  clock.advance(1);
  assert.equal(samples.last!.eventDeliveryTime.total, 1);
  clock.advance(SAMPLING_INTERVAL_MS);
  assert.equal(samples.last!.eventDeliveryTime.total, 0, "only what is new");
  clock.advance(SAMPLING_INTERVAL_MS * (MAX_SAMPLES - 1));
  assert.equal(samples.list().length, MAX_SAMPLES);
  assert.equal(arrived, MAX_SAMPLES + 1);
  assert.equal(samples.list()[0]!.eventDeliveryTime.total, 0);
  assert.equal(samples.last!.at, clock.now());
});

Deno.test("samplingInterval and maxSamples can be chosen", () => {
  const clock = new ManualClock();
  using samples = new MetricsHistory({
    clock,
    metrics: metricsOn(clock),
    samplingInterval: 10,
    maxSamples: 2,
  });
  clock.advance(30);
  assert.deepEqual(samples.list().map(({ at }) => clock.now() - at), [10, 0]);
});

Deno.test("the report has the layout of the reference document, to the letter", () => {
  assert.equal(
    getPerformanceReport({
      uptime: 312,
      eventDeliveryTime: {
        avg: 12.45,
        min: 2.1,
        max: 45.2,
        p95: 18.3,
        p99: 32.1,
        total: 45210,
      },
      throughput: {
        messagesPerSecond: 1250.5,
        eventsPerSecond: 850.25,
        broadcastsPerSecond: 45.1,
      },
      connectionStats: {
        activeConnections: 498,
        totalConnections: 500,
        failedConnections: 2,
        slowConnections: 0,
        avgConnectionTime: 125.5,
      },
      resourceUsage: {
        memoryUsage: 45.2 * 2 ** 20,
        networkConnections: 498,
      },
    }),
    `WebSocket Performance Report
=============================
${REPORT}
Resource Usage:
- Memory Usage: 45.20MB
- Network Connections: 498
`,
  );
});

async function publish(service: TestService, channel: string): Promise<void> {
  const message = { type: "ROOM_MESSAGE", channel, payload: { event: "hi" } };
  const response = await service.request("/api/publish", {
    method: "POST",
    headers: { authorization: `Bearer ${await tokenOf("publisher")}` },
    body: JSON.stringify(message),
  });
  assert.equal(response.status, 200, await response.text());
}

/** What stands in an exposition, once it was understood to the last letter. */
interface Exposed {
  readonly type: string;
  readonly samples: readonly {
    readonly name: string;
    readonly labels: ReadonlyMap<string, string>;
    readonly value: number;
  }[];
}

/**
 * Reads Prometheus' text format strictly.
 *
 * @see {@link https://prometheus.io/docs/instrumenting/exposition_formats/}
 */
function parsed(text: string): Map<string, Exposed> {
  assert(text.endsWith("\n"));
  const found = new Map<
    string,
    { help: string; type: string; samples: Exposed["samples"][number][] }
  >();
  let name = "";
  const seen = new Set<string>();
  for (const line of text.split("\n")) {
    if (line === "") continue;
    const help = /^# HELP ([a-z_]+) (\S.*)$/.exec(line);
    if (help) {
      name = help[1]!;
      assert(!found.has(name), `${name} stands together`);
      found.set(name, { help: help[2]!, type: "", samples: [] });
      continue;
    }
    const type = /^# TYPE ([a-z_]+) (counter|gauge|histogram)$/.exec(line);
    if (type) {
      assert.equal(type[1], name);
      found.get(name)!.type = type[2]!;
      continue;
    }
    const sample =
      /^([a-z_]+)\{((?:[a-z]+="(?:[^"\\\n]|\\["\\n])*",?)*)\} (\S+)$/.exec(
        line,
      );
    assert(sample, `not understood: ${line}`);
    const labels = new Map(
      [...sample[2]!.matchAll(/([a-z]+)="([^"]*)"/g)]
        .map(([, key, value]) => [key!, value!] as const),
    );
    const key = `${sample[1]} ${[...labels].sort().join()}`;
    assert(!seen.has(key), `said twice: ${key}`);
    seen.add(key);
    const value = Number(sample[3]);
    assert(Number.isFinite(value) && value >= 0, line);
    const metric = found.get(name)!;
    const suffixes = metric.type === "histogram"
      ? ["_bucket", "_sum", "_count"]
      : [""];
    assert(suffixes.some((it) => name + it === sample[1]), line);
    metric.samples.push({ name: sample[1]!, labels, value });
  }
  for (const [name, { type, samples }] of found) {
    assert.equal(name.endsWith("_total"), type === "counter", name);
    assert(samples.length > 0, name);
    if (type === "histogram") checkHistogram(name, samples);
  }
  return found;
}

function checkHistogram(name: string, samples: Exposed["samples"]): void {
  const isolates = new Set(samples.map(({ labels }) => labels.get("isolate")));
  for (const isolate of isolates) {
    const own = samples.filter((it) => it.labels.get("isolate") === isolate);
    const buckets = own.filter((it) => it.name === `${name}_bucket`);
    const bounds = buckets.map(({ labels }) =>
      Number(labels.get("le")!.replace("+Inf", "Infinity"))
    );
    assert.deepEqual(bounds, bounds.toSorted((a, b) => a - b));
    assert.equal(bounds.at(-1), Infinity);
    const counts = buckets.map(({ value }) => value);
    assert.deepEqual(counts, counts.toSorted((a, b) => a - b));
    const count = own.find((it) => it.name === `${name}_count`)!;
    assert.equal(counts.at(-1), count.value);
    assert(own.some((it) => it.name === `${name}_sum`));
  }
}

/** Whether Prometheus' own tool is here; the parser above always is. */
async function promtool(text: string): Promise<string | undefined> {
  try {
    const child = new Deno.Command("promtool", {
      args: ["check", "metrics"],
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    const writer = child.stdin.getWriter();
    await writer.write(new TextEncoder().encode(text));
    await writer.close();
    const { stdout, stderr } = await child.output();
    const decoder = new TextDecoder();
    return decoder.decode(stdout) + decoder.decode(stderr);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

Deno.test("GET /metrics is what Prometheus reads, without a token, a room's name or an address", async () => {
  await using service = await openTestService();
  await publish(service, "room:secret-plans");
  const refused = await service.request("/api/publish", { method: "POST" });
  assert.equal(refused.status, 401);
  await refused.body?.cancel();
  const response = await service.request("/metrics?scope=isolate");
  assert.equal(response.status, 200);
  assert.match(
    response.headers.get("content-type")!,
    /^text\/plain; version=0\.0\.4/,
  );
  const text = await response.text();
  const metrics = parsed(text);
  for (const name of metrics.keys()) {
    assert(name in INSTRUMENTS, name);
    for (const { labels } of metrics.get(name)!.samples) {
      assert.equal(labels.get("isolate"), service.isolate);
    }
  }
  const valueOf = (name: string, key: string, value: string) =>
    metrics.get(name)?.samples
      .find(({ labels }) => labels.get(key) === value)?.value;
  assert.equal(valueOf("kaldrix_events_total", "channel", "room"), 1);
  assert.equal(valueOf("kaldrix_refusals_total", "code", "UNAUTHENTICATED"), 1);
  assert.equal(metrics.get("kaldrix_commits_total")!.samples[0]!.value, 1);
  assert(!text.includes("secret-plans"));
  assert(!text.includes("192.0.2"));
  assert.equal(await promtool(text) ?? "", "");

  const everyone = await (await service.request("/metrics")).text();
  parsed(everyone);
  assert.equal(await promtool(everyone) ?? "", "");
});

Deno.test("readings are current, those of others have their reported age; no counter falls", async () => {
  await using service = await openTestService();
  const { kv, hub, isolate } = service;
  const clock = new ManualClock(Date.now());
  await using other = new Instances({
    kv,
    clock,
    id: "other",
    sessions: new Sessions(),
    hub,
    metrics: metricsOn(),
    samples: { last: undefined } as MetricsHistory,
  });
  other.register();
  for (const id of [isolate, "other"]) {
    await until(
      async () => (await kv.get(["measured", id])).value !== null,
      `the heartbeat of ${id}`,
    );
  }
  const events = async (from: () => Promise<Measured[]> | Measured[]) => {
    const own = (await from()).find(({ id }) => id === isolate)!;
    return own.readings.find((it) => it.name === "kaldrix_events_total")
      ?.value ?? 0;
  };
  await publish(service, "room:a");
  assert.equal(await events(() => [service.instances.measured()]), 1);
  assert.equal(await events(() => other.measuredByOthers()), 0);
  const text = await (await service.request("/metrics")).text();
  const ages = parsed(text).get("kaldrix_readings_age_seconds")!.samples;
  assert.deepEqual(
    ages.map(({ labels, value }) => [labels.get("isolate"), value === 0]),
    [[isolate, true], ["other", false]],
  );
  assert.equal(
    await events(() => other.measuredByOthers()),
    1,
    "what was answered once is known to the others",
  );
});

Deno.test("/api/metrics answers as JSON and as text, with its history", async () => {
  await using service = await openTestService();
  const all = await (await service.request("/api/metrics")).json();
  assert.equal(all.instance, service.isolate);
  assert.equal(all.cluster.instances, 1);
  assert.equal(all.cluster.connectionStats.activeConnections, 0);
  for (const section of ["eventDeliveryTime", "throughput", "resourceUsage"]) {
    assert.equal(typeof all[section], "object", section);
    assert.equal(typeof all.cluster[section], "object", section);
  }
  for (const path of ["/api/metrics/report", "/api/metrics?format=text"]) {
    const response = await service.request(path);
    assert.match(response.headers.get("content-type")!, /^text\/plain/);
    assert.match(
      await response.text(),
      /^WebSocket Performance Report\n=+\nUptime: 0\.0 minutes\n/,
    );
  }
  const history = await (await service.request("/api/metrics/history")).json();
  assert.deepEqual(history, {
    instance: service.isolate,
    samplingInterval: SAMPLING_INTERVAL_MS,
    samples: [],
  });
});

Deno.test("subscribers of metrics receive the cluster's at every sample, once", async () => {
  const clock = new ManualClock();
  await using service = await openTestService({ clock });
  const sent: string[] = [];
  const stream = await service.hub.open(channelNamed("metrics")!);
  const cursor = {
    seq: 0,
    epoch: "",
    replayUntil: 0,
    behind: false,
    advance() {
      while (cursor.seq < stream.seq) {
        sent.push(stream.entryAt(++cursor.seq).json);
      }
    },
  };
  clock.advance(SAMPLING_INTERVAL_MS);
  stream.cursors.add(cursor);
  for (let i = 1; i <= 2; i++) {
    clock.advance(SAMPLING_INTERVAL_MS);
    await until(() => {
      clock.turn();
      return sent.length >= i;
    }, `frame ${i}`);
  }
  assert.equal(sent.length, 2, "none without a listener");
  const frame = JSON.parse(sent[0]!);
  assert.equal(frame.type, "METRICS_UPDATE");
  assert.equal(frame.channel, "metrics");
  assert.equal(frame.payload.instances, 1);
  assert.equal(typeof frame.payload.throughput.eventsPerSecond, "number");
  assert.equal(frame.payload.subscribers.metrics, 1);
});

Deno.test("/ready reports the state of each part, and stays ready when a chain stalls", async () => {
  const clock = new ManualClock();
  await using service = await openTestService({
    clock,
    env: { SOURCE: "simulator" },
  });
  const answer = async () => {
    const response = await service.request("/ready");
    return { status: response.status, ...await response.json() };
  };
  const { status, ready, degraded, checks } = await answer();
  assert.deepEqual({ status, ready, degraded }, {
    status: 200,
    ready: true,
    degraded: false,
  });
  assert.deepEqual(Object.keys(checks).toSorted(), [
    "guards",
    "link",
    "service",
    "source",
    "store",
  ]);
  assert.match(checks.link.detail, /doorbell; doorbell last heard \d+ s ago/);
  assert.match(checks.source.detail, /newest block \d+ s ago/);

  clock.advance(STALE_HEAD_MS + 1);
  const stale = await answer();
  assert.equal(stale.status, 200);
  assert.equal(stale.degraded, true);
  assert.deepEqual(stale.checks.source, {
    ok: true,
    degraded: true,
    detail: "newest block 60 s ago",
  });

  const begun = service.drain.begin();
  const draining = await answer();
  assert.equal(draining.status, 503);
  assert.equal(draining.checks.service.detail, "draining");
  await begun;
});
