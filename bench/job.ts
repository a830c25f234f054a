/**
 * Messages between the command and its load processes: a line of JSON
 * each.
 *
 * @module
 */

/** Connect, and follow the channel. */
export interface OpenJob {
  readonly kind: "open";
  readonly url: string;
  /** Canonical name of the channel. */
  readonly room: string;
  readonly batch: boolean;
  /** Whether to follow the channel, rather than publish to it. */
  readonly follows: boolean;
  /** A client for each: its token, or `null`: anonymous. */
  readonly tokens: readonly (string | null)[];
}

/** Make load, until `endAt`; count what was due from `startAt` on. */
export interface RunJob {
  readonly kind: "run";
  /** Epoch milliseconds; what is due before warms up. */
  readonly warmAt: number;
  /** Epoch milliseconds. */
  readonly startAt: number;
  /** Epoch milliseconds. */
  readonly endAt: number;
  /** Time between samples, in milliseconds. */
  readonly sampleMs: number;
  /** Echoed messages a second, from all clients of the process. */
  readonly messageRate: number;
  /** Events a second, from the process. */
  readonly broadcastRate: number;
}

/** Wait for what is still owed, and report the result. */
export interface FinishJob {
  readonly kind: "finish";
  /** Events each client should have been given. */
  readonly expected: number;
  /** How long to wait, in milliseconds. */
  readonly drainMs: number;
}

/** What the command sends. */
export type Job = OpenJob | RunJob | FinishJob;

/** How connecting went. */
export interface Opened {
  readonly kind: "opened";
  readonly connected: number;
  readonly failed: number;
  /** Times until followed, encoded. */
  readonly times: string;
  /** Why the first failed, when one did. */
  readonly why?: string;
}

/** What happened between two instants. */
export interface LoadSample {
  readonly kind: "sample";
  /** From 0; the last one includes what came late. */
  readonly index: number;
  /** Delivery times, encoded. */
  readonly events: string;
  /** Round trips, encoded. */
  readonly echoes: string;
}

/** The load was made. */
export interface Sent {
  readonly kind: "sent";
  /** Events published that count. */
  readonly broadcasts: number;
  /** Messages sent that count. */
  readonly messages: number;
}

/** How it went. */
export interface Finished {
  readonly kind: "finished";
  /** Events published that the server neither acknowledged nor refused. */
  readonly unanswered: number;
  /** Frames of kind `error`. */
  readonly refused: number;
  /** The message of the first of them. */
  readonly why?: string;
  /** Events that never came, over all clients. */
  readonly missing: number;
  /** Events skipped between two that came. */
  readonly lost: number;
  /** Events that came twice. */
  readonly repeated: number;
  /** Clients still connected. */
  readonly active: number;
  /** Share of one core that this process used while it ran, in percent. */
  readonly cpuPercent: number;
  /** How late this process's own timers were, encoded. */
  readonly late: string;
}

/** What a load process sends. */
export type LoaderMessage = Opened | LoadSample | Sent | Finished;

/** Reads lines of JSON as they arrive. */
export async function* jsonLines<Line>(
  stream: ReadableStream<Uint8Array<ArrayBuffer>>,
): AsyncGenerator<Line> {
  let rest = "";
  for await (const text of stream.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + text).split("\n");
    rest = lines.pop()!;
    for (const line of lines) if (line) yield JSON.parse(line) as Line;
  }
}
