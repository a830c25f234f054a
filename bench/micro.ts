/**
 * Runs the micro-benchmarks and compares them with a baseline:
 *
 *     deno task bench:micro            # compare
 *     deno task bench:micro --save     # make these figures the baseline
 *
 * Machines differ, so figures are compared in units of a calibration that is
 * none of ours. It ends with 1 when a benchmark failed, with 2 when it was
 * called wrongly.
 *
 * @module
 */

/** What everything else is measured in. */
export const CALIBRATION = "calibration: parse 600 bytes";
/** So often all are run; the fastest counts, since machines are noisy. */
const ROUNDS = 4;
/** From this ratio on, a step counts as slower: what lies below may be noise. */
export const SLOWER = 1.5;
/** Down to this ratio, it counts as faster. */
export const FASTER = 1 / SLOWER;

const BENCHES = ["micro_bench.ts", "filter_bench.ts"]
  .map((name) => new URL(`../tests/bench/${name}`, import.meta.url).href);
const BASELINE = new URL("micro_baseline.json", import.meta.url);

/** The output of `deno bench --json`. */
export interface BenchOutput {
  readonly runtime: string;
  readonly cpu: string;
  readonly benches: readonly {
    readonly name: string;
    readonly results: readonly {
      readonly ok?: { readonly min: number; readonly p75: number };
    }[];
  }[];
}

/** Figures to compare with. */
export interface Baseline {
  readonly runtime: string;
  readonly cpu: string;
  /** Nanoseconds of one go, the fastest seen, by name. */
  readonly ns: Readonly<Record<string, number>>;
}

/**
 * Takes the figures from the output of `deno bench`.
 *
 * @throws {Error} naming a benchmark that failed.
 */
export function figuresOf({ runtime, cpu, benches }: BenchOutput): Baseline {
  const ns = benches.map(({ name, results }) => {
    const figures = results[0]?.ok;
    if (!figures) throw new Error(`Benchmark "${name}" failed`);
    return [name, figures.min] as const;
  });
  return { runtime, cpu, ns: Object.fromEntries(ns) };
}

/** The fastest of several rounds, step by step. */
export function fastest(rounds: readonly [Baseline, ...Baseline[]]): Baseline {
  const [{ runtime, cpu, ns }] = rounds;
  const least = Object.keys(ns).map((name) =>
    [name, Math.min(...rounds.map((round) => round.ns[name]!))] as const
  );
  return { runtime, cpu, ns: Object.fromEntries(least) };
}

/** Writes both side by side. */
export function comparison(now: Baseline, before: Baseline): string {
  const speed = now.ns[CALIBRATION]! / before.ns[CALIBRATION]!;
  const lines = Object.entries(now.ns).map(([name, ns]) => {
    const old = before.ns[name];
    const ratio = old === undefined ? undefined : ns / old / speed;
    return `| ${name} | ${time(ns)} | ${
      old === undefined ? "-" : time(old)
    } | ${
      ratio === undefined ? "new" : `${ratio.toFixed(2)}${verdict(ratio)}`
    } |`;
  });
  return [
    `now: ${now.cpu}, ${now.runtime}`,
    `baseline: ${before.cpu}, ${before.runtime}`,
    `this machine takes ${
      speed.toFixed(2)
    } times as long for the calibration; the ratio leaves that out`,
    "",
    "| step | now, fastest | baseline | ratio |",
    "|---|--:|--:|--:|",
    ...lines,
    "",
  ].join("\n");
}

function verdict(ratio: number): string {
  if (ratio >= SLOWER) return " SLOWER";
  return ratio <= FASTER ? " faster" : "";
}

function time(ns: number): string {
  if (ns < 1_000) return `${ns.toFixed(0)} ns`;
  if (ns < 1_000_000) return `${(ns / 1_000).toFixed(2)} µs`;
  return `${(ns / 1_000_000).toFixed(2)} ms`;
}

async function measure(): Promise<Baseline> {
  const { success, stdout } = await new Deno.Command(Deno.execPath(), {
    args: [
      "bench",
      "--no-check",
      "--json",
      "--allow-read",
      ...BENCHES,
    ],
    stdin: "null",
    stderr: "inherit",
  }).output();
  if (!success) throw new Error("deno bench failed");
  return figuresOf(JSON.parse(new TextDecoder().decode(stdout)));
}

async function main(args: readonly string[]): Promise<number> {
  const print = (text: string) =>
    Deno.stdout.writeSync(new TextEncoder().encode(`${text}\n`));
  if (args.some((arg) => arg !== "--save")) {
    print("usage: deno task bench:micro [--save]");
    return 2;
  }
  try {
    const rounds: [Baseline, ...Baseline[]] = [await measure()];
    while (rounds.length < ROUNDS) {
      Deno.stderr.writeSync(
        new TextEncoder().encode(`${rounds.length} of ${ROUNDS} rounds done\n`),
      );
      rounds.push(await measure());
    }
    const now = fastest(rounds);
    if (args.includes("--save")) {
      await Deno.writeTextFile(BASELINE, `${JSON.stringify(now, null, 2)}\n`);
      print(`saved ${Object.keys(now.ns).length} figures`);
      return 0;
    }
    print(comparison(now, JSON.parse(await Deno.readTextFile(BASELINE))));
    return 0;
  } catch (error) {
    print(`error: ${(error as Error).message}`);
    return 1;
  }
}

if (import.meta.main) Deno.exit(await main(Deno.args));
