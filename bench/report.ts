/**
 * What was found, for people.
 *
 * @module
 */
import type { BenchMetrics, Grade } from "./metrics.ts";

/** Bounds of a grade, all of which a run must keep within. */
export interface GradeBounds {
  readonly name: string;
  /** Average delivery time is below this many milliseconds. */
  readonly belowMs: number;
  /** Messages and events a second are above that many. */
  readonly abovePerSecond: number;
}

/** From the best on; what keeps within none is {@link POOR}. */
export const GRADES = [
  { name: "Excellent", belowMs: 10, abovePerSecond: 1_000 },
  { name: "Good", belowMs: 50, abovePerSecond: 500 },
  { name: "Acceptable", belowMs: 100, abovePerSecond: 100 },
] as const satisfies readonly GradeBounds[];
/** The grade of what reaches no other. */
export const POOR = "Poor";

/**
 * Grades a run.
 *
 * @param averageMs average delivery time.
 * @param perSecond messages and events handled a second.
 */
export function gradeOf(averageMs: number, perSecond: number): Grade {
  const rank = (keeps: (bounds: GradeBounds) => boolean) => {
    const found = GRADES.findIndex(keeps);
    return found < 0 ? GRADES.length : found;
  };
  const name = (at: number) => GRADES[at]?.name ?? POOR;
  const delivery = rank(({ belowMs }) => averageMs < belowMs);
  const throughput = rank(({ abovePerSecond }) => perSecond > abovePerSecond);
  return {
    overall: name(Math.max(delivery, throughput)),
    eventDelivery: name(delivery),
    throughput: name(throughput),
  };
}

const two = (value: number) => value.toFixed(2);
const ms = (value: number) => `${two(value)}ms`;
const megabytes = (bytes: number) => `${two(bytes / 1e6)}MB`;

/** A heading with its lines. */
type Section = readonly [title: string, lines: readonly string[]];

/** The results as the command prints them. */
export function textOf(metrics: BenchMetrics): string {
  const title = metrics.stress
    ? "📊 Stress Test Results:"
    : "📊 Benchmark Results:";
  const { eventDeliveryTime: time, connectionStats: stats } = metrics;
  const sections: Section[] = [
    ["Event Delivery", [
      `Average: ${ms(time.avg)}`,
      `Min: ${ms(time.min)}`,
      `Max: ${ms(time.max)}`,
      `95th percentile: ${ms(time.p95)}`,
      `99th percentile: ${ms(time.p99)}`,
      `Total events: ${time.total}`,
    ]],
    throughputOf(metrics, "sec"),
    ["Connections", [
      `Active: ${stats.activeConnections}`,
      `Total: ${stats.totalConnections}`,
      `Failed: ${stats.failedConnections}`,
      `Avg connection time: ${ms(stats.avgConnectionTime)}`,
      ...because(stats.firstFailure),
    ]],
    ["Resource Usage", [
      `Memory: ${memoryOf(metrics)}`,
      `Connections: ${metrics.resourceUsage.networkConnections}`,
      ...cpuOf(metrics),
    ]],
    ...furtherOf(metrics),
  ];
  return join(title, sections);
}

/** The results as the reference document's performance report. */
export function reportOf(metrics: BenchMetrics): string {
  const { eventDeliveryTime: time, connectionStats: stats } = metrics;
  const sections: Section[] = [
    ["Event Delivery Performance", [
      `Average Delivery Time: ${ms(time.avg)}`,
      `Min Delivery Time: ${ms(time.min)}`,
      `Max Delivery Time: ${ms(time.max)}`,
      `95th Percentile: ${ms(time.p95)}`,
      `99th Percentile: ${ms(time.p99)}`,
      `Total Events Tracked: ${time.total}`,
    ]],
    throughputOf(metrics, "Second"),
    ["Connection Statistics", [
      `Active Connections: ${stats.activeConnections}`,
      `Total Connections: ${stats.totalConnections}`,
      `Failed Connections: ${stats.failedConnections}`,
      `Avg Connection Time: ${ms(stats.avgConnectionTime)}`,
      ...because(stats.firstFailure),
    ]],
    ["Resource Usage", [
      `Memory Usage: ${memoryOf(metrics)}`,
      `Network Connections: ${metrics.resourceUsage.networkConnections}`,
      ...cpuOf(metrics),
    ]],
    ...furtherOf(metrics),
  ];
  const minutes = (metrics.uptime / 60).toFixed(1);
  return join("WebSocket Performance Report", [
    [`Uptime: ${minutes} minutes`, []],
    ...sections,
  ]);
}

function join(title: string, sections: readonly Section[]): string {
  const parts = sections.map(([name, lines]) =>
    lines.length === 0
      ? `${name}\n`
      : `${name}:\n${lines.map((line) => `- ${line}\n`).join("")}`
  );
  return `${title}\n${"=".repeat(title.length)}\n${parts.join("\n")}`;
}

function throughputOf(metrics: BenchMetrics, per: string): Section {
  const { throughput } = metrics;
  return ["Throughput", [
    `Messages/${per}: ${two(throughput.messagesPerSecond)}`,
    `Events/${per}: ${two(throughput.eventsPerSecond)}`,
    `Broadcasts/${per}: ${two(throughput.broadcastsPerSecond)}`,
  ]];
}

function memoryOf({ resourceUsage: { memoryUsage } }: BenchMetrics): string {
  return memoryUsage === null ? "unknown" : megabytes(memoryUsage);
}

function cpuOf({ resourceUsage: { cpuPercent } }: BenchMetrics): string[] {
  return cpuPercent === null ? [] : [`CPU: ${two(cpuPercent)}% of one core`];
}

function because(why: string | null): string[] {
  return why === null ? [] : [`First failure: ${why}`];
}

/** What the reference leaves out and a reader has to know. */
function furtherOf(metrics: BenchMetrics): Section[] {
  const { roundTripTime: trip, integrity, generator, stress, grade } = metrics;
  return [
    ["Round Trip", [
      `Average: ${ms(trip.avg)}`,
      `99th percentile: ${ms(trip.p99)}`,
      `Total messages: ${trip.total}`,
    ]],
    ["Integrity", [
      `Deliveries expected: ${integrity.expected}`,
      `Missing: ${integrity.missing}`,
      `Duplicates: ${integrity.duplicates}`,
      `Refused: ${integrity.refused}`,
      ...because(integrity.firstRefusal),
    ]],
    ["Load Generator", [
      `Processes: ${generator.processes}`,
      `Busiest: ${two(generator.cpuPercent)}% of one core`,
      `Timers late by (99th percentile): ${ms(generator.lateMs)}`,
      generator.isSaturated
        ? "SATURATED: the load processes were the bottleneck; these figures describe them, or other work on this machine, more than the server"
        : "Not saturated",
    ]],
    ...(stress ? [stressOf(stress)] : []),
    ["Grade", [
      `Overall: ${grade.overall}`,
      `Event delivery: ${grade.eventDelivery}`,
      `Throughput: ${grade.throughput}`,
    ]],
  ];
}

function stressOf(stress: NonNullable<BenchMetrics["stress"]>): Section {
  const { sustained, steps, stopped } = stress;
  const rate = (value: number) => Math.round(value).toString();
  return ["Stress", [
    ...steps.map((step) =>
      `${rate(step.broadcastsPerSecond)} broadcasts/s: ${
        rate(step.eventsPerSecond)
      } events/s, 99th percentile ${ms(step.p99)}, missing ${step.missing}${
        step.isSaturated ? ", load saturated" : ""
      }${step.holds ? "" : " - does not hold"}`
    ),
    sustained
      ? `Sustained: ${rate(sustained.broadcastsPerSecond)} broadcasts/s, ${
        rate(sustained.eventsPerSecond)
      } events/s (${stopped})`
      : "Sustained: none of these",
  ]];
}
