import assert from "node:assert/strict";
import { createWebSocketBenchmark } from "../../bench/benchmark.ts";
import type { BenchMetrics } from "../../bench/metrics.ts";
import { HIGHEST_US, Times } from "../../bench/histogram.ts";
import { jsonLines } from "../../bench/job.ts";
import {
  DEFAULTS,
  MAX_CLIENTS,
  readOptions,
  UsageError,
} from "../../bench/options.ts";
import {
  CALIBRATION,
  comparison,
  fastest,
  figuresOf,
  SLOWER,
} from "../../bench/micro.ts";
import { Pacer } from "../../bench/pacer.ts";
import { main as comparePeers, tableOf } from "../../bench/peers.ts";
import { pageOf } from "../../bench/page.ts";
import { eventText, Receipts } from "../../bench/receipts.ts";
import { gradeOf, GRADES, POOR, reportOf, textOf } from "../../bench/report.ts";
import { decode } from "../../protocol/decode.ts";
import {
  encodeBatch,
  encodeEvent,
  encodeReply,
} from "../../protocol/encode.ts";
import { REPORT } from "../examples.ts";

const ROOT = new URL("../../", import.meta.url);

function refusal(args: string[]): UsageError {
  try {
    readOptions(args);
  } catch (error) {
    assert(error instanceof UsageError);
    return error;
  }
  throw new Error("was understood");
}

Deno.test("the command line of the reference document is understood", () => {
  const options = readOptions(
    ("--clients 500 --duration 60 --message-rate 1000 --broadcast-rate 100 " +
      "--stress-test true --security true --output json --log-level detailed")
      .split(" "),
  );
  assert.deepEqual(options, {
    ...DEFAULTS,
    clients: 500,
    duration: 60,
    messageRate: 1_000,
    broadcastRate: 100,
    stressTest: true,
    security: true,
    output: "json",
    logLevel: "detailed",
  });
  assert.deepEqual(readOptions([]), DEFAULTS);
});

Deno.test("a wrong argument is named, and ends with 2", () => {
  const wrong: [string[], RegExp][] = [
    [["--clients", "0"], /--clients.*whole number from 1 to 20000/s],
    [["--clients", `${MAX_CLIENTS + 1}`], /--clients/],
    [["--duration", "1.5"], /--duration/],
    [["--stress-test", "yes"], /--stress-test.*true or false/s],
    [["--output", "pdf"], /--output.*text, json, html/s],
    [["--url", "http://127.0.0.1"], /--url.*WebSocket URL/s],
    [["--clinets", "1"], /unknown option '--clinets'/],
    [["7"], /too many arguments/],
  ];
  for (const [args, message] of wrong) {
    const { message: text, exitCode } = refusal(args);
    assert.match(text, message);
    assert.equal(exitCode, 2, text);
  }
  assert.equal(readOptions(["--clients", `${MAX_CLIENTS}`]).clients, 20_000);
});

Deno.test("--help is an answer, not a fault", () => {
  const { message, exitCode } = refusal(["--help"]);
  assert.match(message, /--sampling-interval/);
  assert.equal(exitCode, 0);
});

Deno.test("a stall of the sender does not make what was due later due less", () => {
  const pacer = new Pacer({ rate: 100, startAt: 1_000, endAt: 2_000 });
  assert.deepEqual([...pacer.take(999)], []);
  assert.deepEqual([...pacer.take(1_000)], [1_000]);
  const afterStall = [...pacer.take(1_500)];
  assert.equal(afterStall.length, 50);
  assert.equal(afterStall[0], 1_010);
  assert.equal(afterStall.at(-1), 1_500);
  assert.deepEqual([...pacer.take(9_999)].at(-1), 1_990);
  assert.equal(pacer.count, 100);
  const none = new Pacer({ rate: 0, startAt: 0, endAt: 9 });
  assert.deepEqual([...none.take(5)], []);
});

Deno.test("times due survive being written and read", () => {
  const pacer = new Pacer({
    rate: 333.3,
    startAt: 1_795_403_981_234,
    endAt: Infinity,
  });
  const receipts = new Receipts();
  const place = { seq: 0, count: 0 };
  receipts.begin(1_795_403_981_234);
  for (const at of pacer.take(1_795_403_982_234)) {
    receipts.take(
      encodeEvent(
        "ROOM_MESSAGE",
        JSON.stringify(JSON.parse(eventText("room:x", at, 1)).payload),
        { channel: "room:x", seq: place.seq + 1, epoch: "E" },
        { id: "i", now: 0 },
      ),
      place,
      at,
    );
  }
  assert.equal(place.count, pacer.count);
});

function event(seq: number, at: number): string {
  const { payload } = JSON.parse(eventText("room:x", at, seq));
  return encodeEvent("ROOM_MESSAGE", JSON.stringify(payload), {
    channel: "room:x",
    seq,
    epoch: "E",
  }, { id: `i${seq}`, now: 0 });
}

Deno.test("events are counted one by one, in a batch or alone", () => {
  const receipts = new Receipts();
  const place = { seq: 0, count: 0 };
  receipts.begin(1_000);
  receipts.take(event(1, 999.999), place, 1_010);
  receipts.take(
    encodeBatch([event(2, 1_000), event(3, 1_005)], { id: "b", now: 0 }),
    place,
    1_010,
  );
  assert.deepEqual(place, { seq: 3, count: 2 });
  const { total, min, max } = receipts.events.summary();
  assert.equal(total, 2);
  assert(Math.abs(min - 5) < 0.02 && Math.abs(max - 10) < 0.02);
});

Deno.test("a hole and a repetition are both seen", () => {
  const receipts = new Receipts();
  const place = { seq: 4, count: 0 };
  receipts.begin(0);
  for (const seq of [5, 8, 8, 9]) receipts.take(event(seq, 1), place, 2);
  assert.equal(receipts.lost, 2);
  assert.equal(receipts.repeated, 1);
});

Deno.test("echoes are distinguished from events", () => {
  const receipts = new Receipts();
  receipts.begin(0);
  const echo = encodeReply({
    type: "TEST",
    payload: { echoAt: 7 },
    id: "i",
    now: 0,
    ref: "1",
  });
  receipts.take(echo, { seq: 0, count: 0 }, 9);
  receipts.take(
    encodeBatch([echo, echo], { id: "b", now: 0 }),
    { seq: 0, count: 0 },
    9,
  );
  assert.equal(receipts.echoes.total, 3);
  assert.equal(receipts.events.total, 0);
});

Deno.test("what is published passes the server's validation", () => {
  const frame = decode(eventText("room:bench", 12.5, 3), 65_536);
  assert.equal(frame.kind, "publish");
});

Deno.test("times are merged from processes without loss", () => {
  const one = new Times();
  const other = new Times();
  for (let ms = 1; ms <= 100; ms++) (ms % 2 ? one : other).add(ms);
  const all = new Times();
  all.merge(new Times(one.encode()));
  all.merge(new Times(other.encode()));
  all.merge(new Times(new Times().encode()));
  const { total, avg, p50, p99 } = all.summary();
  assert.equal(total, 100);
  assert(Math.abs(avg - 50.5) < 0.1, `${avg}`);
  assert(Math.abs(p50 - 50) < 0.1, `${p50}`);
  assert(Math.abs(p99 - 99) < 0.1, `${p99}`);
  all.add(HIGHEST_US);
  assert(all.at(100) >= HIGHEST_US / 1_000);
  assert.deepEqual(new Times().summary().total, 0);
  assert.equal(new Times().summary().min, 0);
});

Deno.test("grades have the bounds of the reference document", () => {
  for (const [i, { name, belowMs, abovePerSecond }] of GRADES.entries()) {
    const next = GRADES[i + 1]?.name ?? POOR;
    assert.equal(gradeOf(belowMs - 0.01, abovePerSecond + 1).overall, name);
    assert.equal(gradeOf(belowMs, abovePerSecond + 1).overall, next);
    assert.equal(gradeOf(belowMs - 0.01, abovePerSecond).overall, next);
  }
  const mixed = gradeOf(1, 10);
  assert.deepEqual(mixed, {
    overall: POOR,
    eventDelivery: "Excellent",
    throughput: POOR,
  });
});

const METRICS: BenchMetrics = {
  uptime: 312,
  eventDeliveryTime: {
    avg: 12.45,
    min: 2.1,
    max: 45.2,
    p50: 12,
    p95: 18.3,
    p99: 32.1,
    p999: 44,
    total: 45_210,
  },
  roundTripTime: new Times().summary(),
  throughput: {
    messagesPerSecond: 1_250.5,
    eventsPerSecond: 850.25,
    broadcastsPerSecond: 45.1,
  },
  connectionStats: {
    activeConnections: 498,
    totalConnections: 500,
    failedConnections: 2,
    avgConnectionTime: 125.5,
    p99ConnectionTime: 200,
    firstFailure: "closed with 4503 <script>",
  },
  resourceUsage: {
    memoryUsage: 45_200_000,
    cpuPercent: null,
    networkConnections: 498,
  },
  integrity: {
    expected: 45_210,
    missing: 0,
    duplicates: 0,
    refused: 0,
    firstRefusal: null,
  },
  generator: {
    processes: 2,
    cpuPercent: 99,
    lateMs: 30,
    isSaturated: true,
  },
  percentiles: [{ percentile: 50, ms: 12 }, { percentile: 99, ms: 32.1 }],
  samples: [
    { at: 1, eventsPerSecond: 800, p50: 1, p95: 2, p99: 3 },
    { at: 2, eventsPerSecond: 900, p50: 1, p95: 2, p99: 3 },
  ],
  stress: {
    steps: [],
    sustained: null,
    stopped: "limit found",
  },
  grade: gradeOf(12.45, 2_000),
};

Deno.test("the report reads as the reference document's", () => {
  const report = reportOf(METRICS);
  assert(report.startsWith("WebSocket Performance Report\n===="), report);
  assert(report.includes(REPORT), report);
  assert(report.includes("- Memory Usage: 45.20MB\n"));
  assert(report.includes("SATURATED"));
  assert(report.includes("- Overall: Good\n"));
  const text = textOf(METRICS);
  assert(text.startsWith("📊 Stress Test Results:\n"), text);
  assert(text.includes("- Average: 12.45ms\n- Min: 2.10ms\n"), text);
});

Deno.test("the page draws its charts and loads nothing", () => {
  const page = pageOf(METRICS, DEFAULTS);
  assert.equal(page.match(/<svg /g)!.length, 3);
  assert.equal(page.match(/<polyline /g)!.length, 5);
  assert.doesNotMatch(page, /NaN|undefined|Infinity/);
  assert.doesNotMatch(page, /\b(src|href)=|url\(|@import|<script/);
});

Deno.test("lines are put together from pieces", async () => {
  const pieces = ['{"a":', "1}\n{", '"a":2}\n'].map((text) =>
    new TextEncoder().encode(text)
  );
  const lines: unknown[] = [];
  for await (const line of jsonLines(ReadableStream.from(pieces))) {
    lines.push(line);
  }
  assert.deepEqual(lines, [{ a: 1 }, { a: 2 }]);
});

Deno.test("metrics are not to be had before a run", () => {
  const benchmark = createWebSocketBenchmark({ clients: 1 });
  assert.throws(() => benchmark.getMetrics(), /not run yet/);
  assert.throws(() => benchmark.getPerformanceReport(), /not run yet/);
});

Deno.test("micro-benchmarks are compared in units of the calibration", () => {
  const figures = (ns: Record<string, number>) => ({
    runtime: "r",
    cpu: "c",
    ns,
  });
  const before = figures({ [CALIBRATION]: 100, same: 10, slow: 10 });
  const now = figures({
    [CALIBRATION]: 200,
    same: 20,
    slow: 20 * SLOWER,
    fresh: 1,
  });
  const text = comparison(now, before);
  assert.match(text, /\| same \| 20 ns \| 10 ns \| 1.00 \|/);
  assert.match(text, /\| slow \| .* 1.50 SLOWER \|/);
  assert.match(text, /\| fresh \| 1 ns \| - \| new \|/);
});

Deno.test("of several rounds of micro-benchmarks the fastest counts, step by step", () => {
  const round = (a: number, b: number) => ({
    runtime: "r",
    cpu: "c",
    ns: { a, b },
  });
  assert.deepEqual(fastest([round(3, 1), round(2, 5)]), round(2, 1));
});

Deno.test("a micro-benchmark that failed is named", () => {
  const output = (results: { ok?: { min: number; p75: number } }[]) => ({
    runtime: "r",
    cpu: "c",
    benches: [{ name: "decode", results }],
  });
  const good = figuresOf(output([{ ok: { min: 5, p75: 9 } }]));
  assert.deepEqual(good.ns, { decode: 5 });
  assert.throws(() => figuresOf(output([{}])), /"decode" failed/);
});

Deno.test("peers stand in one table, with ratios to socket.io", () => {
  const calm = { ...new Times().summary(), avg: 5.44, p99: 12.2 };
  const of = (name: string, deliveries: number, acks: number) => ({
    name,
    calm,
    deliveries,
    isSaturated: name === "ours",
    usPerDelivery: name === "ours" ? 0.5 : null,
    acks,
  });
  const table = tableOf([of("ours", 180_000, 30), of("socket.io", 9_000, 20)]);
  assert.deepEqual(table.split("\n").slice(2), [
    "| ours | 5.4 / 12.2 | ≥ 180000 (20.00x) | 0.50 | 30 (1.50x) |",
    "| socket.io | 5.4 / 12.2 | 9000 (1.00x) | - | 20 (1.00x) |",
  ]);
});

Deno.test("unknown peers are refused with 2", async () => {
  assert.equal(await comparePeers(["--only", "carrier-pigeon"]), 2);
  assert.equal(await comparePeers(["--clients", "0"]), 2);
});

async function bench(
  ...args: string[]
): Promise<{ code: number; out: string; err: string }> {
  const { tasks } = JSON.parse(
    await Deno.readTextFile(new URL("deno.json", ROOT)),
  );
  const flags = (tasks.bench.command as string).split(" ").slice(1);
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [...flags, ...args],
    cwd: ROOT,
    stdin: "null",
  }).output();
  const decoder = new TextDecoder();
  return {
    code,
    out: decoder.decode(stdout),
    err: decoder.decode(stderr),
  };
}

Deno.test("the command measures a fresh server, with the rights of its task", async () => {
  const { code, out, err } = await bench(
    ..."--clients 5 --duration 1 --broadcast-rate 20 --message-rate 10"
      .split(" "),
    "--output",
    "json",
  );
  assert.equal(code, 0, err);
  const metrics = JSON.parse(out) as BenchMetrics;
  assert.equal(metrics.connectionStats.activeConnections, 5);
  assert.equal(metrics.integrity.expected, 100);
  assert.equal(metrics.integrity.missing, 0);
  assert.equal(metrics.integrity.duplicates, 0);
  assert.equal(metrics.integrity.refused, 0);
  assert.equal(metrics.eventDeliveryTime.total, 100);
  assert.equal(metrics.roundTripTime.total, 10);
  assert(metrics.eventDeliveryTime.min > 0);
  assert(metrics.resourceUsage.memoryUsage! > 1e6);
  assert.equal(metrics.samples.length, 1);
  assert.match(err, /measuring/);
});

Deno.test("the command refuses wrong arguments with a sentence and 2", async () => {
  const { code, out, err } = await bench("--clients", "none");
  assert.equal(code, 2);
  assert.equal(out, "");
  assert.match(err, /--clients.*whole number/);
});

Deno.test("a server that ran already is not measured without a token", async () => {
  const { code, err } = await bench("--url", "ws://127.0.0.1:1/ws");
  assert.equal(code, 2);
  assert.match(err, /BENCH_TOKEN/);
});
