/**
 * The same streams as Server-Sent Events.
 *
 * @module
 */
import { Hono } from "hono";
import type { Context } from "hono";
import { channelNamed } from "../protocol/channels.ts";
import type { Position, Subscription } from "../protocol/commands.ts";
import { MAX_HISTORY_LIMIT } from "../protocol/commands.ts";
import { placeIn, typeIn } from "../protocol/encode.ts";
import { Refusal } from "../protocol/refusals.ts";
import { SseSession } from "../realtime/sse_session.ts";
import type { SsePeer, SseSessionParts } from "../realtime/sse_session.ts";
import type { Sessions } from "../realtime/sessions.ts";
import { MAX_SUBSCRIPTIONS } from "../realtime/subscription.ts";
import type { Arrival, Gate } from "./gate.ts";
import type { Env } from "./http.ts";

/** A comment is sent so often, so that proxies do not think it dead. */
export const KEEP_ALIVE_MS = 15_000;
/** How long a browser waits before it comes back, in milliseconds. */
export const RETRY_MS = 3_000;

/** What the SSE route needs. */
export interface SseParts {
  /** Lets connections in. */
  gate: Gate;
  /** For every feed. */
  session: SseSessionParts;
  /** Those connected here. */
  sessions: Sessions;
}

/** Mounts `GET /sse?channels=blocks,transactions`. */
export function sseRoutes(parts: SseParts): Hono<Env> {
  return new Hono<Env>().get(
    "/sse",
    (c) =>
      parts.gate.connection(c, (arrival) => {
        parts.gate.requireIdentity(arrival);
        return stream(subscriptionsOf(c), parts, arrival);
      }),
  );
}

async function stream(
  subscriptions: readonly Subscription[],
  parts: SseParts,
  { visitor, principal }: Arrival,
): Promise<Response> {
  const peer = new EventStream(subscriptions, parts.session.clock);
  const feed = new SseSession(peer, parts.session, principal);
  peer.onCancel = () => feed.end();
  peer.onClose = parts.sessions.add(feed, visitor);
  try {
    await feed.follow(subscriptions);
  } catch (error) {
    feed.end();
    peer.close();
    throw error;
  }
  return new Response(peer.body, {
    headers: {
      "content-type": "text/event-stream; charset=utf-8",
      "cache-control": "no-store",
      // Asks nginx not to hold events back.
      "x-accel-buffering": "no",
    },
  });
}

/** A response body that takes frames, and knows how many wait to be read. */
class EventStream implements SsePeer {
  readonly body: ReadableStream<Uint8Array>;
  readonly #encoder = new TextEncoder();
  readonly #positions: Map<string, Position | undefined>;
  readonly #clock: SseSessionParts["clock"];
  #controller!: ReadableStreamDefaultController<Uint8Array>;
  #keepAlive: Disposable | undefined;
  #open = true;
  onCancel: () => void = () => {};
  onClose: () => void = () => {};

  constructor(
    subscriptions: readonly Subscription[],
    clock: SseSessionParts["clock"],
  ) {
    this.#clock = clock;
    this.#positions = new Map(
      subscriptions.map(({ channel, after }) => [channel, after]),
    );
    this.body = new ReadableStream<Uint8Array>({
      start: (controller) => {
        this.#controller = controller;
      },
      cancel: () => {
        this.#ended();
        this.onCancel();
      },
    }, { highWaterMark: 0, size: (chunk) => chunk.byteLength });
    this.#write(`retry: ${RETRY_MS}\n\n`);
    this.#beat();
  }

  get bufferedAmount(): number {
    return this.#open ? -(this.#controller.desiredSize ?? 0) : 0;
  }

  send(text: string): void {
    const place = placeIn(text);
    if (!place) {
      const type = typeIn(text);
      if (type === "subscribed") this.#begin(text);
      if (type === "draining") this.#comeBack(text);
      // An EventSource calls its own faults "error".
      const name = type === "error" ? "refused" : type;
      const id = type === "gap" || type === "subscribed" ? this.#id() : "";
      return this.#write(`event: ${name}\n${id}data: ${text}\n\n`);
    }
    const { channel, epoch, seq } = place;
    this.#positions.set(channel, { epoch, seq });
    this.#write(`${this.#id()}data: ${text}\n\n`);
  }

  close(): void {
    if (!this.#open) return;
    this.#controller.close();
    this.#ended();
  }

  /** What was asked for becomes where it begins, under canonical names. */
  #begin(text: string): void {
    const { channels } = JSON.parse(text).payload;
    this.#positions.clear();
    for (const { channel, epoch, seq } of channels) {
      this.#positions.set(channel, epoch === null ? undefined : { epoch, seq });
    }
  }

  #comeBack(text: string): void {
    this.#write(`retry: ${JSON.parse(text).payload.retryInMs}\n`);
  }

  #id(): string {
    const known = [...this.#positions].filter(([, position]) => position);
    const parts = known.map(([channel, position]) => {
      const text = `${position!.epoch}:${position!.seq}`;
      return this.#positions.size === 1 ? text : `${channel}=${text}`;
    });
    return parts.length > 0 ? `id: ${parts.join(",")}\n` : "";
  }

  #beat(): void {
    this.#keepAlive = this.#clock.after(KEEP_ALIVE_MS, () => {
      if (this.bufferedAmount === 0) this.#write(": keep-alive\n\n");
      this.#beat();
    });
  }

  #write(text: string): void {
    if (this.#open) this.#controller.enqueue(this.#encoder.encode(text));
  }

  #ended(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#keepAlive?.[Symbol.dispose]();
    this.onClose();
  }
}

function subscriptionsOf(c: Context<Env>): Subscription[] {
  const names = (c.req.query("channels") ?? "").split(",").filter(Boolean)
    .map(canonical);
  if (names.length === 0 || names.length > MAX_SUBSCRIPTIONS) {
    throw badQuery(
      "channels",
      `expected 1 to ${MAX_SUBSCRIPTIONS} names, separated by commas`,
    );
  }
  const lastSeen = c.req.header("last-event-id") ?? c.req.query("lastEventId");
  const positions = lastSeen ? positionsOf(lastSeen, names) : new Map();
  const last = lastOf(c.req.query("last"));
  return names.map((channel) => {
    const after = positions.get(channel);
    if (after) return { channel, after };
    return last === undefined ? { channel } : { channel, last };
  });
}

function canonical(name: string): string {
  return channelNamed(name)?.name ?? name;
}

/** Reads `epoch:seq` for one channel, `name=epoch:seq,...` for several. */
function positionsOf(
  text: string,
  names: readonly string[],
): Map<string, Position> {
  const positions = new Map<string, Position>();
  for (const part of text.split(",").slice(0, MAX_SUBSCRIPTIONS)) {
    const [, name, epoch, seq] =
      /^(?:([^=]{1,128})=)?(\w{1,64}):(\d{1,15})$/.exec(part.trim()) ?? [];
    if (epoch === undefined || (name === undefined && names.length > 1)) {
      throw badQuery(
        "lastEventId",
        "expected epoch:seq, or name=epoch:seq for each of several channels",
      );
    }
    positions.set(name === undefined ? names[0]! : canonical(name), {
      epoch,
      seq: Number(seq),
    });
  }
  return positions;
}

function lastOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const last = /^\d{1,6}$/.test(text) ? Number(text) : -1;
  if (last >= 0 && last <= MAX_HISTORY_LIMIT) return last;
  throw badQuery("last", `expected a whole number up to ${MAX_HISTORY_LIMIT}`);
}

function badQuery(path: string, message: string): Refusal {
  return new Refusal(
    "INVALID_SUBSCRIPTION",
    `Query argument ${path}: ${message}`,
    { issues: [{ path, message }] },
  );
}
