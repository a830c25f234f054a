/**
 * OpenTelemetry: the same measurements, and the path of an event as spans.
 * Loaded only where Deno exports them (`OTEL_DENO=true`).
 *
 * @module
 */
import {
  context,
  metrics as meters,
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  trace as tracers,
} from "@opentelemetry/api";
import type { Context, Histogram, Span, Tracer } from "@opentelemetry/api";
import type { Clock } from "../platform/clock.ts";
import { INSTRUMENTS } from "./instruments.ts";
import type { InstrumentName } from "./instruments.ts";
import type { Metrics } from "./metrics.ts";
import type { FannedOut, Tracing } from "../platform/tracing.ts";

/** Name of the instrumentation scope. */
export const SCOPE = "kaldrix-realtime";
/** Most other publishes of a commit that its span links to. */
export const MAX_SPAN_LINKS = 64;

/**
 * Spans of publishes, commits and fan-outs. A `traceparent` header of the
 * request continues its trace: Deno's server reads it.
 */
export class Spans implements Tracing {
  readonly #clock: Pick<Clock, "now">;
  readonly #tracer: Tracer = tracers.getTracer(SCOPE);

  /** Spans of the service. @param clock gives the instants of spans. */
  constructor(clock: Pick<Clock, "now">) {
    this.#clock = clock;
  }

  /** Does the work of one publish in a span of its own. */
  publish<T>(
    kinds: readonly string[],
    work: (trace: string) => Promise<T>,
  ): Promise<T> {
    const attributes = {
      "messaging.operation.type": "send",
      "messaging.batch.message_count": kinds.length,
      "kaldrix.channels": [...new Set(kinds)],
    };
    const span = this.#tracer.startSpan("publish", {
      kind: SpanKind.PRODUCER,
      attributes,
    });
    return ended(span, () => work(traceparentOf(span)));
  }

  /** Does the work of one commit: part of its first publish, linked to all. */
  commit<T>(
    traces: readonly string[],
    events: number,
    work: () => Promise<T>,
  ): Promise<T> {
    const [first, ...others] = traces;
    const links = others.slice(0, MAX_SPAN_LINKS).flatMap((other) => {
      const found = tracers.getSpanContext(contextOf(other));
      return found ? [{ context: found }] : [];
    });
    const span = this.#tracer.startSpan(
      "commit",
      { attributes: { "kaldrix.events": events }, links },
      contextOf(first),
    );
    return ended(span, work);
  }

  /** Records that events were delivered just now. */
  fannedOut(trace: string, { events, deliveries, ms }: FannedOut): void {
    const now = this.#clock.now();
    this.#tracer.startSpan(
      "fan-out",
      {
        startTime: now - ms,
        attributes: {
          "kaldrix.events": events,
          "kaldrix.deliveries": deliveries,
        },
      },
      contextOf(trace),
    ).end(now);
  }
}

/**
 * Exports everything that `metrics` measures to OpenTelemetry, under the same
 * names, from now on.
 */
export function exportMetrics(metrics: Metrics, isolate: string): void {
  const meter = meters.getMeter(SCOPE);
  const histograms = new Map<InstrumentName, Histogram>();
  const readings = new Shared(() => metrics.readings());
  for (const name of Object.keys(INSTRUMENTS) as InstrumentName[]) {
    const { type, help: description } = INSTRUMENTS[name];
    const options = { description, ...unitOf(name) };
    if (type === "histogram") {
      histograms.set(name, meter.createHistogram(name, options));
      continue;
    }
    const observable = type === "counter"
      ? meter.createObservableCounter(name, options)
      : meter.createObservableGauge(name, options);
    observable.addCallback((result) => {
      for (const reading of readings.get()) {
        if (reading.name !== name) continue;
        result.observe(reading.value, { ...reading.labels, isolate });
      }
    });
  }
  metrics.listen((name, value, count) => {
    const histogram = histograms.get(name);
    for (let i = 0; i < Math.min(count, MAX_RECORDS); i++) {
      histogram?.record(value, { isolate });
    }
  });
}

/** Most records of one measurement: OpenTelemetry takes them one by one. */
export const MAX_RECORDS = 256;

/** One reading serves all callbacks of a turn. */
class Shared<T> {
  readonly #read: () => T;
  #value: T | undefined;

  constructor(read: () => T) {
    this.#read = read;
  }

  get(): T {
    if (this.#value === undefined) {
      this.#value = this.#read();
      queueMicrotask(() => this.#value = undefined);
    }
    return this.#value;
  }
}

function unitOf(name: string): { unit?: string } {
  if (name.endsWith("_seconds")) return { unit: "s" };
  return name.endsWith("_bytes") ? { unit: "By" } : {};
}

function contextOf(trace: string | undefined): Context {
  if (trace === undefined) return ROOT_CONTEXT;
  const [, traceId, spanId, flags] =
    /^[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/.exec(trace) ??
      [];
  if (traceId === undefined) return ROOT_CONTEXT;
  return tracers.setSpanContext(ROOT_CONTEXT, {
    traceId,
    spanId: spanId!,
    traceFlags: parseInt(flags!, 16),
    isRemote: true,
  });
}

function traceparentOf(span: Span): string {
  const { traceId, spanId, traceFlags } = span.spanContext();
  return `00-${traceId}-${spanId}-${traceFlags.toString(16).padStart(2, "0")}`;
}

async function ended<T>(span: Span, work: () => Promise<T>): Promise<T> {
  try {
    return await context.with(tracers.setSpan(context.active(), span), work);
  } catch (error) {
    span.setStatus({ code: SpanStatusCode.ERROR });
    throw error;
  } finally {
    span.end();
  }
}
