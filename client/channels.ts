/**
 * The joined channels: subscribed after every connect from the position of each,
 * and again when events are missing.
 *
 * @module
 */
import { backoffMs } from "./backoff.ts";
import { answered, skip } from "./cursor.ts";
import type { Cursor, Holder } from "./cursor.ts";
import { RequestError } from "./failure.ts";
import { isLasting } from "./lasting.ts";
import { MAX_CHANNEL_BYTES, REQUEST_TIMEOUT_MS } from "./limits.ts";
import { changed, transmit } from "./parts.ts";
import type { Parts } from "./parts.ts";
import { after, stop } from "./timers.ts";
import type { Failure, Gap, JoinOptions } from "./types.ts";
import type { ReplyPayload } from "../protocol/replies.ts";

/** The client itself as a holder; its handlers are for all channels. */
const ITSELF: Holder = {};

/**
 * Joins, now and after every connect.
 *
 * @param holder the owner of the join; the client itself when absent.
 */
export function join(
  parts: Parts,
  name: string,
  joining: JoinOptions = {},
  holder: Holder = ITSELF,
): void {
  const { after, last } = joining;
  const known = cursorOf(parts, name);
  const cursor: Cursor = known ?? {
    name,
    holders: new Set(),
    at: 0,
    tries: 0,
    view: { status: "joining", recovered: null, caughtUp: 0 },
  };
  cursor.holders.add(holder);
  if (known && !after && !last) return;
  const { position } = cursor;
  if (position) {
    const from = { ...position };
    cursor.held ??= [];
    parts.load()
      .then(() => parts.sending!.lookBack(cursor, from, joining))
      .catch(() => release(parts, cursor));
    return;
  }
  // New, without a reply yet, or without retention.
  cursor.position = after && { ...after };
  cursor.last = Math.max(cursor.last ?? 0, last ?? 0);
  parts.channels.set(cursor.name, cursor);
  ask(parts, [cursor]);
  changed(parts);
}

/** Delivers the events that waited for history. */
export function release(parts: Parts, cursor: Cursor): void {
  const { held = [] } = cursor;
  cursor.held = undefined;
  for (const event of held) parts.hand(cursor, event);
}

/** Leaves, and drops the position. */
export function leave(parts: Parts, alias: string): void {
  const name = cursorOf(parts, alias)?.name;
  if (name === undefined) return;
  for (const { ends } of parts.channels.get(name)!.holders) {
    parts.call(ends, undefined);
  }
  parts.channels.delete(name);
  stop(parts, `#${name}`);
  if (parts.welcome) transmit(parts, "unsubscribe", { channels: [name] });
  changed(parts);
}

/** The joined channel of a name or alias. */
export function cursorOf(
  { channels }: Parts,
  name: string,
): Cursor | undefined {
  return channels.get(name) ??
    [...channels.values()].find(({ alias }) => alias === name);
}

/** Subscribes to channels from the position of each. */
export function ask(parts: Parts, wanted: readonly Cursor[]): void {
  const { welcome } = parts;
  if (!welcome || !wanted[0]) return;
  const most = welcome.limits.maxMessageBytes / MAX_CHANNEL_BYTES | 0 || 1;
  const now = wanted.slice(0, most);
  const ref = transmit(parts, "subscribe", {
    channels: now.map(({ name: channel, position: after, last }) =>
      after ? { channel, after } : last ? { channel, last } : channel
    ),
  });
  for (const cursor of now) cursor.ref = ref;
  after(parts, ref, REQUEST_TIMEOUT_MS, () => {
    subscribeRefused(parts, ref, new RequestError("TIMEOUT"));
  });
  ask(parts, wanted.slice(most));
}

/** Subscribes again, with a growing pause after each failure. */
export function askAgain(parts: Parts, cursor: Cursor, leastMs = 0): void {
  const key = `#${cursor.name}`;
  if (cursor.ref || parts.timers.has(key)) return;
  const { reconnectInterval } = parts.options;
  const ms = cursor.tries++ && backoffMs(cursor.tries, reconnectInterval);
  after(parts, key, leastMs + ms, () => ask(parts, [cursor]));
}

/** A `subscribe` was refused as a whole. */
export function subscribeRefused(
  parts: Parts,
  ref: string,
  failure: Failure,
): void {
  const hit = [...parts.channels.values()]
    .filter((cursor) => cursor.ref === ref);
  for (const cursor of hit) {
    // The refusal may concern only one of them.
    if (hit.length > 1) ask(parts, [cursor]);
    else refuse(parts, cursor, failure);
  }
}

/** A channel is refused. */
export function refuse(
  parts: Parts,
  cursor: Cursor | undefined,
  failure: Failure,
): void {
  if (!cursor) return;
  cursor.ref = undefined;
  parts.core.lastError = failure;
  if (isLasting(failure)) {
    cursor.view.status = "rejected";
    cursor.view.code = failure.code;
  } else {
    cursor.tries++;
    askAgain(parts, cursor, failure.retryAfterMs);
  }
}

/** A `subscribe` was answered. */
export function subscribed(
  parts: Parts,
  { channels, rejected }: ReplyPayload<"subscribed">,
  ref: string | undefined,
): void {
  const cursors = parts.channels;
  for (const answer of channels) {
    const { channel, requested = channel } = answer;
    const cursor = cursors.get(requested);
    if (!cursor || cursor.ref !== ref) continue;
    if (requested !== channel) {
      cursors.delete(requested);
      const known = cursors.get(channel);
      (known ?? cursor).alias = requested;
      for (const each of cursor.holders) known?.holders.add(each);
      if (known) continue;
      cursors.set(cursor.name = channel, cursor);
    }
    answered(cursor, answer);
  }
  for (const { channel, code, ...later } of rejected) {
    const cursor = cursors.get(channel);
    if (cursor?.ref !== ref) continue;
    refuse(parts, cursor, new RequestError(code, later));
  }
}

/** Reports permanently lost events, unless earlier ones are still missing. */
export function gap(parts: Parts, lost: Gap): void {
  const cursor = parts.channels.get(lost.as ?? lost.channel);
  if (!cursor) return;
  if (!skip(cursor, lost)) return askAgain(parts, cursor);
  parts.core.gaps++;
  for (const { gaps } of [parts, ...cursor.holders]) parts.call(gaps, lost);
}
