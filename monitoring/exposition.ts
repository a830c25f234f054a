/**
 * Readings of instances in the text format of Prometheus.
 *
 * @module
 */
import { INSTRUMENTS } from "./instruments.ts";
import type { Instrument, InstrumentName, Reading } from "./instruments.ts";

/** Media type of {@link exposition}. */
export const EXPOSITION_TYPE = "text/plain; version=0.0.4; charset=utf-8";

/** What one instance measured. */
export interface Measured {
  /** Name of the instance, the value of the label `isolate`. */
  readonly id: string;
  /** All its instruments. */
  readonly readings: readonly Reading[];
}

/**
 * Writes readings in the text format of Prometheus. Instruments without a
 * reading are left out; those of one name are adjacent.
 *
 * @param all instances with different names.
 * @see {@link https://prometheus.io/docs/instrumenting/exposition_formats/}
 */
export function exposition(all: readonly Measured[]): string {
  const lines = new Map<InstrumentName, string[]>();
  for (const { id, readings } of all) {
    for (const reading of readings) {
      // An instance of another version may have instruments unknown here.
      if (!Object.hasOwn(INSTRUMENTS, reading.name)) continue;
      const own = lines.get(reading.name) ?? [];
      lines.set(reading.name, own);
      own.push(...linesOf(reading, id));
    }
  }
  let text = "";
  for (
    const [name, { type, help }] of Object.entries<Instrument>(INSTRUMENTS)
  ) {
    const own = lines.get(name as InstrumentName);
    if (!own) continue;
    const about = help.replace(/[\\\n]/g, escaped);
    text += `# HELP ${name} ${about}\n# TYPE ${name} ${type}\n`;
    text += own.join("");
  }
  return text;
}

function linesOf(
  { name, labels, value, count, buckets }: Reading,
  isolate: string,
): string[] {
  const line = (suffix: string, value: number, more = {}) =>
    `${name}${suffix}{${
      Object.entries<string>({ ...labels, isolate, ...more })
        .map(([label, it]) => `${label}="${it.replace(/[\\\n"]/g, escaped)}"`)
        .join(",")
    }} ${value}\n`;
  if (!buckets || count === undefined) return [line("", value)];
  return [
    ...buckets.map(([bound, below]) =>
      line("_bucket", below, { le: String(bound) })
    ),
    line("_bucket", count, { le: "+Inf" }),
    line("_sum", value),
    line("_count", count),
  ];
}

function escaped(character: string): string {
  return character === "\n" ? "\\n" : `\\${character}`;
}
