/**
 * The command that measures a server under load:
 *
 *     deno task bench --clients 500 --duration 60 --message-rate 1000 \
 *       --broadcast-rate 100 --stress-test true --output html > report.html
 *
 * Results go to standard output, everything else to standard error. It ends
 * with 0 when it could measure, with 1 when it could not, with 2 when it was
 * called wrongly.
 *
 * @module
 */
import { createWebSocketBenchmark } from "./benchmark.ts";
import type { Progress } from "./benchmark.ts";
import type { BenchMetrics } from "./metrics.ts";
import { readOptions, UsageError } from "./options.ts";
import type { BenchOptions } from "./options.ts";
import { pageOf } from "./page.ts";
import { textOf } from "./report.ts";

/** Characters of a full progress bar. */
const BAR = 30;

const encoder = new TextEncoder();

function print(text: string): void {
  const bytes = encoder.encode(text);
  for (let at = 0; at < bytes.length;) {
    at += Deno.stdout.writeSync(bytes.subarray(at));
  }
}

function note(text: string): void {
  Deno.stderr.writeSync(encoder.encode(text));
}

/** Draws how far it is: over and over on a terminal, else a line a phase. */
function progressBar(isTerminal: boolean): (progress: Progress) => void {
  let last = "";
  return ({ phase, done }) => {
    if (!isTerminal) {
      if (phase !== last) note(`${phase}\n`);
      last = phase;
      return;
    }
    const full = Math.round(done * BAR);
    const bar = "█".repeat(full) + "░".repeat(BAR - full);
    note(`\r\x1b[K${bar} ${Math.round(done * 100)}% ${phase}`);
  };
}

function write(metrics: BenchMetrics, options: BenchOptions): string {
  if (options.output === "json") return `${JSON.stringify(metrics, null, 2)}\n`;
  if (options.output === "html") return pageOf(metrics, options);
  return textOf(metrics);
}

function details(metrics: BenchMetrics): string {
  const lines = metrics.samples.map(({ at, eventsPerSecond, p50, p95, p99 }) =>
    `${at.toFixed(1)} s: ${Math.round(eventsPerSecond)} events/s, p50 ${
      p50.toFixed(2)
    } ms, p95 ${p95.toFixed(2)} ms, p99 ${p99.toFixed(2)} ms\n`
  );
  return lines.join("");
}

/**
 * Measures and prints.
 *
 * @param args without the program's name.
 * @returns what the process should end with.
 */
export async function main(args: readonly string[]): Promise<number> {
  let options: BenchOptions;
  try {
    options = readOptions(args);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    (error.exitCode === 0 ? print : note)(`${error.message}\n`);
    return error.exitCode;
  }
  const token = Deno.env.get("BENCH_TOKEN") || undefined;
  if (options.url !== undefined && token === undefined) {
    note(
      "error: --url needs a publisher's token in BENCH_TOKEN: deno task token --user bench --role publisher\n",
    );
    return 2;
  }
  const isTerminal = Deno.stderr.isTerminal();
  const benchmark = createWebSocketBenchmark(options, token);
  try {
    const metrics = await benchmark.run(progressBar(isTerminal));
    if (isTerminal) note("\r\x1b[K");
    if (options.logLevel === "detailed") note(details(metrics));
    print(write(metrics, options));
    return 0;
  } catch (error) {
    note(`\nerror: ${(error as Error).message}\n`);
    return 1;
  }
}

if (import.meta.main) Deno.exit(await main(Deno.args));
