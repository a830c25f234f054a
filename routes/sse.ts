/**
 * The same streams as Server-Sent Events.
 *
 * @module
 */
import type { Context } from "hono";
import { z } from "zod";
import { channelNamed } from "../protocol/channels.ts";
import type { Located as Requested } from "../realtime/block_cursor.ts";
import { MAX_HISTORY_LIMIT } from "../protocol/commands.ts";
import { Filter, filterIssues } from "../protocol/filters.ts";
import { Refusal } from "../protocol/refusals.ts";
import { Shape } from "../protocol/shape.ts";
import { accountOf } from "../realtime/prices.ts";
import type { Frame } from "../realtime/codec.ts";
import { retryLine, SseCodec } from "../realtime/sse_codec.ts";
import { positionsIn, SseCursor } from "../realtime/sse_cursor.ts";
import { SseSession } from "../realtime/sse_session.ts";
import type { SsePeer, SseSessionParts } from "../realtime/sse_session.ts";
import type { Sessions } from "../realtime/sessions.ts";
import { MAX_SUBSCRIPTIONS } from "../realtime/subscribe.ts";
import type { Arrival, Gate } from "./gate.ts";
import type { Env } from "./http.ts";
import { wholeNumber } from "./input.ts";
import { connection } from "./route.ts";
import type { Route } from "./route.ts";

/** Time between comments, so that proxies keep the connection, in milliseconds. */
export const KEEP_ALIVE_MS = 15_000;
/** How long a browser waits before it connects again, in milliseconds. */
export const RETRY_MS = 3_000;

/** What every event stream is sent with. */
const STREAM_HEADERS = {
  "content-type": "text/event-stream; charset=utf-8",
  // A proxy that compresses would hold events back until its buffer is full.
  "cache-control": "no-store, no-transform",
  // Asks nginx not to hold events back.
  "x-accel-buffering": "no",
} as const;

/** What the SSE route needs. */
export interface SseParts {
  /** Admits connections. */
  gate: Gate;
  /** For every session. */
  session: SseSessionParts;
  /** Those connected here. */
  sessions: Sessions;
}

const NAMES = `expected 1 to ${MAX_SUBSCRIPTIONS} names, separated by commas`;

/** Arguments of the query; `lastEventId` wins over `last`. */
const Query = z.object({
  channels: z.string(NAMES).meta({
    description: "Names, separated by commas",
    example: "transactions,logs",
  }),
  last: wholeNumber(0, MAX_HISTORY_LIMIT).optional().meta({
    description: "How many of the last events of each to begin with",
    example: 5,
  }),
  filter: z.string().optional().meta({
    description:
      "JSON, URL-encoded: deliver only events that match, on each of the channels",
    example: '{"address":["0xa11ce0000000000000000000000000000000000a"]}',
  }),
  lastEventId: z.string().optional().meta({
    description: "As Last-Event-ID, for clients that cannot send the header",
  }),
});
type Query = z.output<typeof Query>;

/** Declares `GET /sse?channels=blocks,transactions`. */
export function sseRoutes(parts: SseParts): Route[] {
  return [connection({
    path: "/sse",
    right: "follow",
    query: Query,
    queryCode: "INVALID_SUBSCRIPTION",
    streams: STREAM_HEADERS["content-type"],
    describe: () => ({
      tag: "events",
      summary: "The same streams as Server-Sent Events",
      description:
        "Every event is one message with its position as id; a browser's EventSource resumes by itself.",
      headers: z.object({
        "Last-Event-ID": z.string().optional().meta({
          description:
            "Resume after: epoch:seq, or name=epoch:seq,... for several channels",
        }),
      }),
      answers: [{
        status: 200,
        description: "A stream that does not end",
        type: "text/event-stream",
      }],
      refuses: [
        "INVALID_SUBSCRIPTION",
        "UNKNOWN_CHANNEL",
        "FORBIDDEN",
        "TOO_MANY_CONNECTIONS",
      ],
    }),
    open: (c, query) =>
      parts.gate.connection(c, (arrival) => {
        parts.gate.requireRight("follow", arrival);
        const header = c.req.header("last-event-id");
        return stream(requestsOf(query(), header), parts, arrival);
      }),
  })];
}

/**
 * Sends a temporary refusal in a form after which an `EventSource` reconnects:
 * it treats every status but 200 as final, and retries only a stream that
 * ends.
 *
 * @returns nothing for other clients and other refusals.
 * @see {@link https://html.spec.whatwg.org/multipage/server-sent-events.html#reestablish-the-connection}
 */
export function refusalStream(
  c: Context<Env>,
  refusal: Refusal,
): Response | undefined {
  const { http } = refusal.kind;
  const isTemporary = http === 429 || http >= 500;
  const accepts = c.req.header("accept")?.includes("text/event-stream");
  if (c.req.path !== "/sse" || !isTemporary || !accepts) return undefined;
  const retry = retryLine(Math.max(refusal.retryAfterMs ?? 0, RETRY_MS));
  const data = JSON.stringify(refusal);
  return new Response(`${retry}event: error\ndata: ${data}\n\n`, {
    headers: STREAM_HEADERS,
  });
}

async function stream(
  requests: readonly Requested[],
  parts: SseParts,
  { visitor, principal }: Arrival,
): Promise<Response> {
  const peer = new EventStream(parts.session.clock);
  const names = requests.map(({ channel }) => channel);
  const codec = new SseCodec(new SseCursor(names));
  const guard = parts.gate.guard(visitor);
  const session = new SseSession(peer, codec, parts.session, {
    principal,
    account: accountOf(guard, () => principal),
  });
  peer.onCancel = () => session.end();
  peer.onClose = parts.sessions.add(session, visitor);
  try {
    await session.subscribe(requests);
  } catch (error) {
    session.end();
    peer.close();
    throw error;
  }
  return new Response(peer.body, { headers: STREAM_HEADERS });
}

/** A response body that takes frames, and knows how many wait to be read. */
class EventStream implements SsePeer {
  readonly body: ReadableStream<Uint8Array>;
  readonly #encoder = new TextEncoder();
  readonly #clock: SseSessionParts["clock"];
  #controller!: ReadableStreamDefaultController<Uint8Array>;
  #keepAlive: Disposable | undefined;
  #open = true;
  onCancel: () => void = () => {};
  onClose: () => void = () => {};

  constructor(clock: SseSessionParts["clock"]) {
    this.#clock = clock;
    this.body = new ReadableStream<Uint8Array>({
      start: (controller) => {
        this.#controller = controller;
      },
      cancel: () => {
        this.#ended();
        this.onCancel();
      },
    }, { highWaterMark: 0, size: (chunk) => chunk.byteLength });
    this.send(`${retryLine(RETRY_MS)}\n`);
    this.#beat();
  }

  get bufferedAmount(): number {
    return this.#open ? -(this.#controller.desiredSize ?? 0) : 0;
  }

  send(frame: Frame): void {
    if (!this.#open) return;
    this.#controller.enqueue(
      typeof frame === "string" ? this.#encoder.encode(frame) : frame,
    );
  }

  close(): void {
    if (!this.#open) return;
    this.#controller.close();
    this.#ended();
  }

  #beat(): void {
    this.#keepAlive = this.#clock.after(KEEP_ALIVE_MS, () => {
      if (this.bufferedAmount === 0) this.send(": keep-alive\n\n");
      this.#beat();
    });
  }

  #ended(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#keepAlive?.[Symbol.dispose]();
    this.onClose();
  }
}

function requestsOf(
  { channels, last, filter: text, lastEventId }: Query,
  header: string | undefined,
): Requested[] {
  const names = channels.split(",").filter(Boolean).map(canonical);
  if (names.length === 0 || names.length > MAX_SUBSCRIPTIONS) {
    throw badQuery("channels", NAMES);
  }
  // An EventSource that has no position yet may send an empty header.
  const id = header || lastEventId;
  const positions = id ? positionsIn(id, names, canonical) : new Map();
  if (!positions) {
    throw badQuery(
      "lastEventId",
      "expected the id of an event of the same channels: epoch:seq, or name=epoch:seq for each of several",
    );
  }
  const selection = text === undefined ? {} : { filter: filterIn(text, names) };
  return names.map((channel) => {
    const after = positions.get(channel);
    if (after) return { channel, after, ...selection };
    const begin = last === undefined ? {} : { last };
    return { channel, ...begin, ...selection };
  });
}

const filterShape = new Shape(Filter);

/** @throws {Refusal} `INVALID_SUBSCRIPTION` when a channel does not know it. */
function filterIn(text: string, names: readonly string[]): Filter {
  const filter = filterShape.check(jsonIn(text), () => {
    throw badQuery(
      "filter",
      'expected JSON such as {"field":["value"]} or {"any":[{"field":"value"}]}',
    );
  });
  for (const name of names) {
    const kind = channelNamed(name)?.kind;
    const [issue] = kind ? filterIssues(filter, kind) : [];
    if (!issue) continue;
    const { path, message } = issue;
    throw badQuery(path === "" ? "filter" : `filter.${path}`, message);
  }
  return filter;
}

function jsonIn(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function canonical(name: string): string {
  return channelNamed(name)?.name ?? name;
}

function badQuery(path: string, message: string): Refusal {
  return new Refusal(
    "INVALID_SUBSCRIPTION",
    `Query argument ${path}: ${message}`,
    { issues: [{ path, message }] },
  );
}
