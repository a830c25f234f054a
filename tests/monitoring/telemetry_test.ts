import assert from "node:assert/strict";
import { isExported } from "../../platform/tracing.ts";
import { TestServer } from "../server.ts";
import { until } from "../until.ts";

/** A span in the JSON of OTLP over HTTP. */
interface Span {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
  readonly attributes?: readonly {
    readonly key: string;
    readonly value: Readonly<Record<string, unknown>>;
  }[];
}

interface Point {
  readonly asInt?: string | number;
  readonly asDouble?: number;
  readonly count?: string | number;
  readonly attributes?: Span["attributes"];
}

interface Metric {
  readonly name: string;
  readonly unit?: string;
  readonly sum?: { readonly dataPoints: readonly Point[] };
  readonly gauge?: { readonly dataPoints: readonly Point[] };
  readonly histogram?: { readonly dataPoints: readonly Point[] };
}

/** A collector that keeps what it is sent. */
class Collector implements AsyncDisposable {
  readonly spans: Span[] = [];
  readonly metrics = new Map<string, Metric>();
  readonly #server = Deno.serve(
    { port: 0, hostname: "127.0.0.1", onListen: () => {} },
    async (request) => {
      this.#take(await request.json());
      return Response.json({});
    },
  );

  get url(): string {
    return `http://127.0.0.1:${this.#server.addr.port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.shutdown();
  }

  // deno-lint-ignore no-explicit-any -- as it comes from outside.
  #take({ resourceSpans = [], resourceMetrics = [] }: any): void {
    for (const { scopeSpans } of resourceSpans) {
      for (const { spans } of scopeSpans) this.spans.push(...spans);
    }
    for (const { scopeMetrics } of resourceMetrics) {
      for (const { metrics } of scopeMetrics) {
        for (const metric of metrics) this.metrics.set(metric.name, metric);
      }
    }
  }
}

Deno.test("without an exporter nothing of OpenTelemetry is loaded", async () => {
  assert.equal(isExported(), false);
  const { stdout } = await new Deno.Command(Deno.execPath(), {
    args: ["info", "--json", "server/service.ts"],
    cwd: new URL("../../", import.meta.url),
  }).output();
  const { modules } = JSON.parse(new TextDecoder().decode(stdout));
  const names = modules.map((it: { specifier: string }) => it.specifier);
  assert(names.some((it: string) => it.endsWith("/platform/tracing.ts")));
  assert(!names.some((it: string) => it.endsWith("/monitoring/telemetry.ts")));
});

Deno.test("a publish is traced through its commit to its deliveries, with the trace of the request", async () => {
  await using collector = new Collector();
  await using server = await TestServer.start({
    settings: {
      OTEL_DENO: "true",
      OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
      OTEL_EXPORTER_OTLP_PROTOCOL: "http/json",
      OTEL_BSP_SCHEDULE_DELAY: "100",
      OTEL_METRIC_EXPORT_INTERVAL: "500",
      OTEL_SERVICE_NAME: "kaldrix",
    },
  });
  const socket = new WebSocket(server.socketUrl);
  const types: string[] = [];
  socket.onopen = () => {
    const payload = { channels: ["room:traced"] };
    socket.send(JSON.stringify({ type: "subscribe", payload }));
  };
  socket.onmessage = ({ data }) => types.push(JSON.parse(data).type);
  await until(() => types.includes("subscribed"), "a subscription");

  const traceId = "4bf92f3577b34da6a3ce929d0e0e4736";
  const response = await fetch(`${server.url}/api/publish`, {
    method: "POST",
    headers: {
      authorization: `Bearer ${await server.token("publisher")}`,
      traceparent: `00-${traceId}-00f067aa0ba902b7-01`,
    },
    body: JSON.stringify({
      type: "ROOM_MESSAGE",
      channel: "room:traced",
      payload: { event: "hidden-words" },
    }),
  });
  assert.equal(response.status, 200);
  await response.body?.cancel();
  await until(() => types.includes("ROOM_MESSAGE"), "the event");

  const named = (name: string) =>
    collector.spans.find((it) => it.name === name && it.traceId === traceId);
  const all = ["publish", "commit", "fan-out"];
  await until(() => all.every((name) => named(name)), "all spans");
  const publish = named("publish")!;
  const commit = named("commit")!;
  const fanOut = named("fan-out")!;
  assert.equal(commit.parentSpanId, publish.spanId);
  assert.equal(fanOut.parentSpanId, publish.spanId);
  assert.notEqual(publish.parentSpanId ?? "", "", "part of the request");
  assert(BigInt(commit.startTimeUnixNano) >= BigInt(publish.startTimeUnixNano));
  assert(BigInt(commit.endTimeUnixNano) <= BigInt(publish.endTimeUnixNano));
  const attributes = new Map(
    fanOut.attributes!.map(({ key, value }) => [key, Object.values(value)[0]]),
  );
  assert.equal(Number(attributes.get("kaldrix.deliveries")), 1);

  const points = (name: string) => {
    const { sum, gauge, histogram } = collector.metrics.get(name) ?? {};
    return (sum ?? gauge ?? histogram)?.dataPoints ?? [];
  };
  const value = (name: string) => {
    const [point] = points(name);
    return Number(point?.asInt ?? point?.asDouble ?? point?.count ?? 0);
  };
  await until(() =>
    value("kaldrix_commits_total") === 1 &&
    value("kaldrix_connections") === 1 &&
    value("kaldrix_delivery_seconds") === 1, "measurements");
  assert.equal(collector.metrics.get("kaldrix_delivery_seconds")!.unit, "s");
  const reported = JSON.stringify([collector.spans, [...collector.metrics]]);
  for (const secret of ["room:traced", "hidden-words", "eyJ"]) {
    assert(!reported.includes(secret), secret);
  }
  socket.close();
  await server.stop("SIGTERM");
});
