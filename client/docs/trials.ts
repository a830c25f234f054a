/**
 * What the API page can try, and with which text each begins.
 *
 * @module
 */
import type { Entry, Reference } from "./model.ts";

/** How something is tried: each has a form of its own. */
export type Way = "subscribe" | "watch" | "publish" | "request";

/** A message or a request that can be sent unchanged. */
export interface Trial {
  /** Type of the message, or the verb. */
  readonly name: string;
  /** JSON: a message with its type, or the payload of a verb. */
  readonly text: string;
}

/** Everything that can be tried. */
export interface Trials {
  /** Messages, one a type. */
  readonly publish: readonly Trial[];
  /** Verbs that are answered. */
  readonly request: readonly Trial[];
  /** Channels that can be followed. */
  readonly channels: readonly string[];
}

/** Verbs that the form of requests sends; others have a form of their own. */
const REQUESTS: ReadonlySet<string> = new Set([
  "request_data",
  "query",
  "block",
  "track",
  "request_metrics",
  "ping",
]);

/** The room used as the example. */
const ROOM = "room:lobby";

/** A frame of the document's examples. */
interface Example {
  readonly type: string;
  readonly payload: unknown;
  readonly channel?: string;
}

/** Reads what can be tried out of the reference. */
export function trialsOf({ sections, channels }: Reference): Trials {
  const publish = new Map<string, Trial>();
  const request: Trial[] = [];
  for (const entry of sections.flatMap(({ entries }) => entries)) {
    const way = wayOf(entry);
    for (const { type, payload, channel } of way ? examplesOf(entry) : []) {
      const message = { type, ...(channel && { channel }), payload };
      if (way === "publish") {
        publish.set(type, { name: type, text: pretty(message) });
      }
      if (way === "request") {
        request.push({ name: type, text: pretty(payload) });
      }
    }
  }
  return {
    publish: [...publish.values()],
    request,
    channels: Object.keys(channels).map((name) =>
      name.startsWith("room:") ? ROOM : name
    ),
  };
}

/** How an entry of the reference is tried; absent when it cannot be. */
export function wayOf({ id, badge }: Entry): Way | undefined {
  if (badge !== "send") return undefined;
  if (id === "subscribe" || id === "unsubscribe") return "subscribe";
  if (id === "watch") return "watch";
  if (REQUESTS.has(id)) return "request";
  return /^(publish|echo)\./.test(id) ? "publish" : undefined;
}

/** The first message or verb of an entry. */
export function nameOf(entry: Entry): string | undefined {
  return examplesOf(entry)[0]?.type;
}

/**
 * What was written, as JSON.
 *
 * @param what names it in the error.
 * @throws {Error} it is no JSON object; in words for the person who wrote it.
 */
export function objectIn(text: string, what: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new Error(`${what} is not JSON: ${(error as Error).message}`);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new Error(`${what} is not an object: write {…}`);
  }
  return value as Record<string, unknown>;
}

function examplesOf({ parts }: Entry): readonly Example[] {
  return parts.filter(({ title }) => title.startsWith("Send "))
    .flatMap(({ examples }) => examples.slice(0, 1))
    .map(({ text }) => JSON.parse(text));
}

function pretty(value: unknown): string {
  return JSON.stringify(value, null, 2);
}
