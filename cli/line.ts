/**
 * An event as one line for a person.
 *
 * @module
 */
import { paint, printable } from "./terminal.ts";

/** An event, as any client receives it. */
export interface Received {
  /** The message type. */
  readonly type: string;
  /** Name of its channel. */
  readonly channel: string;
  /** Its number in the channel; absent without retention. */
  readonly seq?: number;
  /** ISO 8601, UTC. */
  readonly timestamp: string;
  /** Whether it is from history. */
  readonly replay?: true;
  /** Its content, by type. */
  readonly payload: Readonly<Record<string, unknown>>;
}

/** Position of the time, to the millisecond, and `Z` in an ISO 8601 instant. */
const TIME = [11, 24] as const;
/** Most characters of a value; more of it is left out. */
const MAX_VALUE = 100;
/** Most items of a list; more of them are counted. */
const MAX_ITEMS = 3;
/** Text that needs no quotes. */
const PLAIN = /^[\w.:+/@-]+$/;

/**
 * Writes an event as a line.
 *
 * @param event as received.
 * @param columns longest line; `Infinity` does not cut.
 * @returns `time channel number type`, then the payload's fields; control
 * characters of a terminal are escaped.
 */
export function lineOf(event: Received, columns = Infinity): string {
  const { timestamp, channel, seq, type, replay, payload } = event;
  const head = [
    timestamp.slice(...TIME),
    seq === undefined ? channel : `${channel}#${seq}`,
    type,
    ...(replay ? ["(replay)"] : []),
  ].join(" ");
  const fields = fieldsOf(payload);
  const text = printable(`${head} ${fields}`).trimEnd();
  const cut = text.length > columns ? `${text.slice(0, columns - 1)}…` : text;
  return paint("bold", cut.slice(0, head.length)) + cut.slice(head.length);
}

/**
 * All fields but the payload's own time, which is nearly the same; its status
 * first, so that it is not cut off.
 */
function fieldsOf(payload: Received["payload"]): string {
  const { status, timestamp: _, ...others } = payload;
  return Object.entries(status === undefined ? others : { status, ...others })
    .flatMap(([name, value]) => field(name, value)).join(" ");
}

/** One field, or those of an object in it. */
function field(name: string, value: unknown): string[] {
  if (value === null || typeof value !== "object") {
    return [`${name}=${scalar(value)}`];
  }
  if (!Array.isArray(value)) {
    return Object.entries(value).map(([inner, it]) =>
      `${name}.${inner}=${
        typeof it === "object" ? cut(JSON.stringify(it)) : scalar(it)
      }`
    );
  }
  const isFlat = value.every((it) => typeof it !== "object");
  if (!isFlat) return [`${name}=[${value.length}]`];
  const more = value.length - MAX_ITEMS;
  const items = value.slice(0, MAX_ITEMS).map(scalar).join(",");
  return [`${name}=[${items}${more > 0 ? `,+${more}` : ""}]`];
}

function scalar(value: unknown): string {
  if (typeof value !== "string") return String(value);
  return PLAIN.test(value) ? cut(value) : cut(JSON.stringify(value));
}

function cut(text: string): string {
  return text.length > MAX_VALUE ? `${text.slice(0, MAX_VALUE)}…` : text;
}
