/**
 * What the service tells its operators: JSON lines in production, readable
 * lines in `dev`.
 *
 * @module
 */
import {
  ansiColorFormatter,
  configureSync,
  getConsoleSink,
  getLogger,
  jsonLinesFormatter,
} from "@logtape/logtape";
import type { LogLevel } from "@logtape/logtape";
import type { Settings } from "./settings.ts";

const LEVELS: Readonly<Record<Settings["LOG_LEVEL"], LogLevel>> = {
  error: "error",
  warn: "warning",
  info: "info",
  debug: "debug",
  verbose: "trace",
};

/** Writes one line: what happened, and the facts. Never tokens, never frames. */
export type Write = (
  event: string,
  fields?: Readonly<Record<string, unknown>>,
) => void;

/** Where lines go, by how much they matter. */
export interface Journal {
  /** Something broke. */
  readonly error: Write;
  /** Something may break. */
  readonly warn: Write;
  /** Something an operator wants to know. */
  readonly info: Write;
  /** Something for whoever looks for a fault. */
  readonly debug: Write;
}

/**
 * Sets logging up, for the whole isolate.
 *
 * @param level least level written.
 * @param options `readable`: for people rather than programs.
 */
export function openJournal(
  level: Settings["LOG_LEVEL"],
  { readable }: { readable: boolean },
): Journal {
  configureSync({
    reset: true,
    sinks: {
      console: getConsoleSink({
        formatter: readable ? ansiColorFormatter : jsonLinesFormatter,
      }),
    },
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
  return {
    error: (event, fields = {}) => logger.error(text(event, fields), fields),
    warn: (event, fields = {}) => logger.warn(text(event, fields), fields),
    info: (event, fields = {}) => logger.info(text(event, fields), fields),
    debug: (event, fields = {}) => logger.debug(text(event, fields), fields),
  };
}
