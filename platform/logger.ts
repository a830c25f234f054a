/**
 * The log that operators read: a line of JSON an event for programs, or text
 * for people.
 *
 * @module
 */
import {
  ansiColorFormatter,
  configureSync,
  defaultTextFormatter,
  getConsoleSink,
  getLogger,
  jsonLinesFormatter,
} from "@logtape/logtape";
import type { LogLevel, LogRecord } from "@logtape/logtape";
import { systemClock } from "./clock.ts";
import type { Clock } from "./clock.ts";
import { UNSEEN } from "./unseen.ts";

/** How much is written: everything up to this level. */
export type Level = "error" | "warn" | "info" | "debug" | "verbose";

const LEVELS: Readonly<Record<Level, LogLevel>> = {
  error: "error",
  warn: "warning",
  info: "info",
  debug: "debug",
  verbose: "trace",
};

/** Lines of one event written in a second; the rest are only counted. */
export const MAX_LINES_PER_SECOND = 50;
/** Most events whose lines are counted apart; the rest count together. */
export const MAX_COUNTED_EVENTS = 200;
/** How long omitted lines are counted before a line reports them, in milliseconds. */
const COUNT_MS = 1_000;
/** Longest text of a field, in characters; more is cut off. */
export const MAX_FIELD_LENGTH = 4_096;
/** Matches tokens anywhere in a text: JSON in base64url, signed. */
const TOKEN = /eyJ[\w-]+\.[\w-]+(?:\.[\w-]*)?/g;
/** Depth to which fields are written; deeper values are left out. */
const MAX_DEPTH = 6;
/** Replaces a token. */
const HIDDEN = "[token]";

/** Writes one line: what happened, and the facts. Never tokens, never frames. */
export type Write = (
  event: string,
  fields?: Readonly<Record<string, unknown>>,
) => void;

/** Where lines go, by how much they matter. */
export interface Logger {
  /** Something failed. */
  readonly error: Write;
  /** Something may fail. */
  readonly warn: Write;
  /** Something an operator wants to know. */
  readonly info: Write;
  /** Something that helps to find a fault. */
  readonly debug: Write;
  /**
   * Every request and command; absent at other levels, so that no text is made
   * for it.
   */
  readonly verbose?: Write | undefined;
}

/** How the log is written. */
export interface LoggerOptions {
  /** For people instead of programs. */
  readable: boolean;
  /** Whether readable lines have colours; not when omitted. */
  coloured?: boolean;
  /** Time, for bounding lines; the machine's own when omitted. */
  clock?: Clock;
  /** Takes each line; the console when omitted. */
  write?: (line: string) => void;
}

/**
 * Sets logging up, for the whole instance. Of each event at most
 * {@link MAX_LINES_PER_SECOND} lines are written; `leftOut` counts the
 * others.
 *
 * @param level least level written.
 * @param options how it is written.
 */
export function openLogger(
  level: Level,
  { readable, coloured = false, clock = systemClock, write }: LoggerOptions,
): Logger {
  const plain = coloured ? ansiColorFormatter : defaultTextFormatter;
  const formatter = readable ? plain : jsonLinesFormatter;
  const sink = write
    ? (record: LogRecord) => write(formatter(record))
    : getConsoleSink({ formatter });
  configureSync({
    reset: true,
    sinks: { console: sink },
    loggers: [
      { category: "kaldrix", lowestLevel: LEVELS[level], sinks: ["console"] },
      {
        category: ["logtape", "meta"],
        lowestLevel: "error",
        sinks: ["console"],
      },
    ],
  });
  const logger = getLogger("kaldrix");
  const text = readable
    ? (event: string, fields: Readonly<Record<string, unknown>>) =>
      [event, ...Object.keys(fields).map((key) => `${key}={${key}}`)].join(" ")
    : (event: string) => event;
  const bounds = new Bounds(clock);
  const writer = (
    name: LogLevel,
    put: (message: string, fields: Record<string, unknown>) => void,
  ): Write =>
  (event, fields = {}) => {
    if (!logger.isEnabledFor(name)) return;
    bounds.pass(event, (leftOut) => {
      const facts = leftOut > 0 ? { ...fields, leftOut } : fields;
      put(text(event, facts), cleaned(facts));
    });
  };
  return {
    error: writer("error", (message, facts) => logger.error(message, facts)),
    warn: writer("warning", (message, facts) => logger.warn(message, facts)),
    info: writer("info", (message, facts) => logger.info(message, facts)),
    debug: writer("debug", (message, facts) => logger.debug(message, facts)),
    verbose: logger.isEnabledFor("trace")
      ? writer("trace", (message, facts) => logger.trace(message, facts))
      : undefined,
  };
}

/** The lines of one event in the present second. */
interface Count {
  second: number;
  lines: number;
  leftOut: number;
  /** Reports how many lines were left out, unless a further line does. */
  timer: Disposable | undefined;
}

/** Bounds the lines of a frequent event. */
class Bounds {
  readonly #clock: Clock;
  readonly #counts = new Map<string, Count>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** @param write is handed how many lines before this one were left out. */
  pass(event: string, write: (leftOut: number) => void): void {
    const count = this.#count(event);
    const second = Math.floor(this.#clock.monotonic() / 1_000);
    if (second !== count.second) {
      count.second = second;
      count.lines = 0;
    }
    if (count.lines < MAX_LINES_PER_SECOND) {
      count.lines++;
      this.#write(count, write);
      return;
    }
    count.leftOut++;
    count.timer ??= this.#clock.after(COUNT_MS, () => {
      this.#write(count, write);
    });
  }

  #write(count: Count, write: (leftOut: number) => void): void {
    const { leftOut } = count;
    count.leftOut = 0;
    count.timer?.[Symbol.dispose]();
    count.timer = undefined;
    write(leftOut);
  }

  #count(event: string): Count {
    const isFull = this.#counts.size >= MAX_COUNTED_EVENTS;
    const name = isFull && !this.#counts.has(event) ? "" : event;
    let count = this.#counts.get(name);
    if (!count) {
      count = { second: 0, lines: 0, leftOut: 0, timer: undefined };
      this.#counts.set(name, count);
    }
    return count;
  }
}

/** Removes what must not be in a log. */
function cleaned(
  fields: Readonly<Record<string, unknown>>,
  depth = 0,
): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(fields).map(([name, value]) => [name, clean(value, depth)]),
  );
}

/** As it would be written in a program. */
function escaped(character: string): string {
  return `\\u{${character.charCodeAt(0).toString(16)}}`;
}

function clean(value: unknown, depth: number): unknown {
  if (typeof value === "string") {
    const short = value.length > MAX_FIELD_LENGTH
      ? `${value.slice(0, MAX_FIELD_LENGTH)}...`
      : value;
    return short.replace(TOKEN, HIDDEN).replace(UNSEEN, escaped);
  }
  if (value instanceof Error) return clean(value.stack ?? value.message, depth);
  if (typeof value !== "object" || value === null) return value;
  if (depth >= MAX_DEPTH) return undefined;
  if (Array.isArray(value)) return value.map((it) => clean(it, depth + 1));
  return cleaned(value as Record<string, unknown>, depth + 1);
}
