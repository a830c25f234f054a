/**
 * What the command line asks of a run.
 *
 * @module
 */
import { Command, CommanderError, InvalidArgumentError } from "commander";

/** Most clients of one run. */
export const MAX_CLIENTS = 20_000;
/** Longest run, in seconds. */
export const MAX_DURATION_S = 3_600;
/** Most messages or broadcasts a second. */
export const MAX_RATE = 100_000;
/** Most processes that make load. */
export const MAX_PROCESSES = 16;
/** Shortest time between samples, in milliseconds. */
export const MIN_SAMPLING_MS = 100;
/** Longest time between samples, in milliseconds. */
export const MAX_SAMPLING_MS = 60_000;
/** Most samples kept. */
export const MAX_SAMPLES = 10_000;

/** How results are written. */
export const OUTPUTS = ["text", "json", "html"] as const;
/** How much is printed during the run. */
export const LOG_LEVELS = ["basic", "detailed"] as const;

/** One run. */
export interface BenchOptions {
  /** Connections that subscribe, from 1. */
  readonly clients: number;
  /** Seconds measured. */
  readonly duration: number;
  /** Messages from clients to the server, a second, all together. */
  readonly messageRate: number;
  /** Events published to all clients, a second. */
  readonly broadcastRate: number;
  /** Whether to look, after the run, for the highest rate that holds. */
  readonly stressTest: boolean;
  /** Whether every client has a token of its own, and anonymous clients are refused. */
  readonly security: boolean;
  /** Whether clients take several events in one frame, as the bundled one does. */
  readonly batch: boolean;
  /** How results are written. */
  readonly output: (typeof OUTPUTS)[number];
  /** How much is printed during the run. */
  readonly logLevel: (typeof LOG_LEVELS)[number];
  /** A server that runs already; one of its own when absent. */
  readonly url?: string;
  /** Isolates of its own server. */
  readonly isolates: number;
  /** Processes that make load; as many as the machine can spare when absent. */
  readonly processes?: number;
  /** Time between samples, in milliseconds. */
  readonly samplingInterval: number;
  /** Most samples kept; a longer run takes them less often. */
  readonly maxSamples: number;
}

/** What a run does by default. */
export const DEFAULTS: BenchOptions = {
  clients: 100,
  duration: 10,
  messageRate: 100,
  broadcastRate: 20,
  stressTest: false,
  security: true,
  batch: true,
  output: "text",
  logLevel: "basic",
  isolates: 1,
  samplingInterval: 1_000,
  maxSamples: 1_000,
};

/** A command line that cannot be followed, or that only asked for help. */
export class UsageError extends Error {
  /** Lets the command distinguish it from a bug. */
  override readonly name = "UsageError";
  /** What the process should end with: 2, or 0 after `--help`. */
  readonly exitCode: number;

  /** What is wrong. */
  constructor(message: string, exitCode: number) {
    super(message);
    this.exitCode = exitCode;
  }
}

/**
 * Understands the command line.
 *
 * @param args without the program's name.
 * @throws {UsageError} with a sentence for the person who typed it.
 */
export function readOptions(args: readonly string[]): BenchOptions {
  let output = "";
  const write = (text: string) => void (output += text);
  const program = command().configureOutput({
    writeOut: write,
    writeErr: write,
    // Asking about colours would take rights that nothing else here needs.
    getOutHasColors: () => false,
    getErrHasColors: () => false,
  });
  try {
    program.parse([...args], { from: "user" });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    throw new UsageError(output.trimEnd(), error.exitCode === 0 ? 0 : 2);
  }
  return program.opts<BenchOptions>();
}

function command(): Command {
  const d = DEFAULTS;
  return new Command("bench")
    .description(
      "Measures a KALDRIX Realtime server under load: one of its own, or --url",
    )
    .allowExcessArguments(false)
    .exitOverride()
    .option("--clients <n>", "connections", whole(1, MAX_CLIENTS), d.clients)
    .option(
      "--duration <s>",
      "seconds measured",
      whole(1, MAX_DURATION_S),
      d.duration,
    )
    .option(
      "--message-rate <n>",
      "messages a second from clients, each echoed",
      whole(0, MAX_RATE),
      d.messageRate,
    )
    .option(
      "--broadcast-rate <n>",
      "events a second to every client",
      whole(0, MAX_RATE),
      d.broadcastRate,
    )
    .option(
      "--stress-test <bool>",
      "then raise the rate until it no longer holds",
      flag,
      d.stressTest,
    )
    .option(
      "--security <bool>",
      "a token for every client; anonymous clients refused",
      flag,
      d.security,
    )
    .option("--batch <bool>", "several events in a frame", flag, d.batch)
    .option("--output <form>", OUTPUTS.join(", "), among(OUTPUTS), d.output)
    .option(
      "--log-level <level>",
      LOG_LEVELS.join(", "),
      among(LOG_LEVELS),
      d.logLevel,
    )
    .option(
      "--url <url>",
      "server that runs already, ws://.../ws; BENCH_TOKEN holds a publisher's token",
      socketUrl,
    )
    .option("--isolates <n>", "isolates of its own server", whole(1, 64), 1)
    .option(
      "--processes <n>",
      "processes that make load",
      whole(1, MAX_PROCESSES),
    )
    .option(
      "--sampling-interval <ms>",
      "time between samples",
      whole(MIN_SAMPLING_MS, MAX_SAMPLING_MS),
      d.samplingInterval,
    )
    .option(
      "--max-samples <n>",
      "most samples kept",
      whole(1, MAX_SAMPLES),
      d.maxSamples,
    );
}

function whole(least: number, most: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (/^\d+$/.test(text) && value >= least && value <= most) return value;
    throw new InvalidArgumentError(
      `It must be a whole number from ${least} to ${most}.`,
    );
  };
}

function flag(text: string): boolean {
  if (text === "true" || text === "false") return text === "true";
  throw new InvalidArgumentError("It must be true or false.");
}

function among<Word extends string>(
  words: readonly Word[],
): (text: string) => Word {
  return (text) => {
    const word = words.find((each) => each === text);
    if (word) return word;
    throw new InvalidArgumentError(`It must be one of ${words.join(", ")}.`);
  };
}

function socketUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url?.protocol === "ws:" || url?.protocol === "wss:") return text;
  throw new InvalidArgumentError(
    "It must be a WebSocket URL such as ws://127.0.0.1:3000/ws.",
  );
}
