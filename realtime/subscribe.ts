/**
 * Starts subscriptions: validates the channels, and finds the starting position
 * of each.
 *
 * @module
 */
import type { Channel } from "../protocol/channels.ts";
import { channelNamed } from "../protocol/channels.ts";
import { clausesOf, sizeOf } from "../protocol/filters.ts";
import { Refusal } from "../protocol/refusals.ts";
import type { RefusalCode } from "../protocol/refusals.ts";
import type { GapReason, ReplyPayload } from "../protocol/replies.ts";
import type { Principal } from "../security/principal.ts";
import { UNKNOWN_BLOCK } from "./block_cursor.ts";
import type { Located as Requested } from "./block_cursor.ts";
import { epochFrom } from "./digest.ts";
import type { Hub } from "./hub.ts";
import { UNBORN_EPOCH } from "../store/event_log.ts";
import type { Outbox } from "./outbox.ts";
import type { Stream } from "./stream.ts";
import type { Selection, StreamPosition } from "./subscription.ts";

/** Most channels of one connection. */
export const MAX_SUBSCRIPTIONS = 256;

/** Epoch of positions that no log of a channel continues. */
const UNKNOWN_EPOCH = "";

/** The subscribing client, and its output. */
export interface Subscriber {
  /** Opens channels. */
  readonly hub: Hub;
  /** Holds the subscriptions. */
  readonly outbox: Outbox;
  /** Its current principal. */
  readonly principal: Principal;
  /** Whether the connection is still open, after reading the log. */
  isOpen(): boolean;
  /** Charges for subscribed channels. */
  subscribing(channels: number): void;
  /** Sends the result of each channel, before its first event. */
  answer(payload: ReplyPayload<"subscribed">): void;
  /** Reports events that can no longer be delivered, before the first event. */
  reportGap(payload: ReplyPayload<"gap">): void;
}

/** The start of one channel for one subscriber. */
interface Beginning {
  readonly start: StreamPosition;
  readonly recovered: boolean;
  readonly reason?: GapReason;
  /** Numbers that cannot be delivered any more: from, to. */
  readonly gap?: readonly [number, number];
}

/** A channel to subscribe to, and the client's request for it. */
interface Wanted {
  readonly channel: Channel;
  readonly requested: Requested;
  /** The requested selection; all events when absent. */
  readonly selection: Selection | undefined;
}

/** A wanted channel whose stream is open. */
interface Opened extends Wanted {
  readonly stream: Stream;
  /** The oldest number that can still be delivered. */
  readonly oldest: number;
}

/**
 * Subscribes to channels: the reply names the refused ones, the others succeed.
 * No event is lost between the reply and the first event, because both are
 * settled in one turn.
 *
 * @param requests channels and their starting positions.
 * @param subscriber the subscribing client.
 * @throws {Refusal} `STORE_UNAVAILABLE` when the log cannot be read; nothing
 * was subscribed then.
 */
export async function subscribe(
  requests: readonly Requested[],
  subscriber: Subscriber,
): Promise<void> {
  const { outbox } = subscriber;
  const rejected: ReplyPayload<"subscribed">["rejected"] = [];
  const reject = (
    { channel, as }: Requested,
    code: RefusalCode,
    retryAfterMs?: number,
  ) => {
    const named = as === undefined ? {} : { as };
    const later = retryAfterMs === undefined ? {} : { retryAfterMs };
    rejected.push({ channel: channel.slice(0, 128), ...named, code, ...later });
  };
  const wanted = new Map<string, Wanted>();
  for (const requested of requests) {
    const channel = channelNamed(requested.channel);
    const name = requested.as ?? channel?.name ?? "";
    const code = refusalOf(channel, name, wanted, subscriber);
    if (code) reject(requested, code);
    else {
      const selection = selectionOf(requested, channel!);
      wanted.set(name, { channel: channel!, requested, selection });
    }
  }
  const all = [...wanted.values()];
  subscriber.subscribing(all.length);
  const opened = openNow(all, subscriber) ??
    await openAll(all, subscriber, ({ requested }, refusal) => {
      reject(requested, refusal.code, refusal.retryAfterMs);
    });
  if (!subscriber.isOpen()) return;
  const admitted = opened.filter(({ requested, selection, stream }) => {
    if (!selection) return true;
    const { as = stream.channel, filter } = selection;
    if (outbox.reserve(as, sizeOf(filter))) return true;
    reject(requested, "TOO_MANY_SUBSCRIPTIONS");
    return false;
  });
  const beginnings = admitted.map((each) => ({
    ...each,
    beginning: beginningOf(each, outbox),
  }));
  subscriber.answer({
    channels: beginnings.map(({ requested, stream, selection, beginning }) => ({
      channel: stream.channel,
      ...(requested.channel === stream.channel
        ? {}
        : { requested: requested.channel }),
      ...(requested.as === undefined ? {} : { as: requested.as }),
      epoch: stream.logged ? beginning.start.epoch : null,
      seq: stream.logged ? beginning.start.seq : null,
      recovered: beginning.recovered,
      ...(beginning.reason ? { reason: beginning.reason } : {}),
      ...(selection ? { filtered: { values: sizeOf(selection.filter) } } : {}),
    })),
    rejected,
  });
  for (const { requested, stream, beginning: { gap, reason } } of beginnings) {
    if (!gap) continue;
    const [from, to] = gap;
    const { channel, epoch } = stream;
    const named = requested.as === undefined ? {} : { as: requested.as };
    const lost = { channel, ...named, from, to, epoch, reason: reason! };
    subscriber.reportGap(lost);
  }
  for (const { stream, beginning, selection } of beginnings) {
    outbox.attach(stream, beginning.start, selection);
  }
}

function selectionOf(
  { as, filter }: Requested,
  { kind }: Channel,
): Selection | undefined {
  return filter && { as, filter: clausesOf(filter, kind) };
}

function refusalOf(
  channel: Channel | undefined,
  name: string,
  wanted: ReadonlyMap<string, unknown>,
  { outbox, principal }: Subscriber,
): RefusalCode | undefined {
  if (!channel) return "UNKNOWN_CHANNEL";
  if (!principal.mayRead(channel)) return "FORBIDDEN";
  if (outbox.has(name) || wanted.has(name)) return undefined;
  let added = 0;
  for (const other of wanted.keys()) if (!outbox.has(other)) added++;
  if (outbox.size + added < MAX_SUBSCRIPTIONS) return undefined;
  return "TOO_MANY_SUBSCRIPTIONS";
}

/**
 * Opens every channel, and reopens those closed while others were read.
 *
 * @param refused called with those for which there is no capacity now.
 */
async function openAll(
  wanted: readonly Wanted[],
  { hub, outbox }: Subscriber,
  refused: (wanted: Wanted, refusal: Refusal) => void,
): Promise<Opened[]> {
  let left = wanted;
  for (;;) {
    const results = await Promise.all(left.map(async (each) => {
      try {
        return await open(each, hub, outbox.address);
      } catch (error) {
        const refusal = Refusal.of(error);
        if (refusal.code !== "TOO_MANY_SUBSCRIPTIONS") throw error;
        refused(each, refusal);
        return undefined;
      }
    }));
    const opened = results.filter((result) => result !== undefined);
    if (opened.every(({ stream }) => hub.holds(stream))) return opened;
    left = left.filter((_, i) => results[i] !== undefined);
  }
}

async function open(
  wanted: Wanted,
  hub: Hub,
  address: string,
): Promise<Opened> {
  const { channel, requested: given } = wanted;
  const stream = await hub.open(channel, address);
  let requested = inLogOf(stream, given);
  // The client may have events of another instance that have not arrived here.
  if (requested.after && isAhead(requested.after, stream)) {
    await hub.refresh(stream);
    requested = inLogOf(stream, given);
  }
  const { after } = requested;
  if (after && needsProof(after, stream)) {
    const proven = await hub.continues(stream.channel, after);
    const epoch = proven ? stream.epoch : UNKNOWN_EPOCH;
    requested = { ...requested, after: { epoch, seq: after.seq } };
  }
  const oldest = oldestInMemory(requested, stream) ??
    await hub.oldest(stream.channel);
  return { ...wanted, requested, stream, oldest };
}

/** Opens all without reading the log; nothing when that is impossible. */
function openNow(
  wanted: readonly Wanted[],
  { hub }: Subscriber,
): Opened[] | undefined {
  const opened: Opened[] = [];
  for (const each of wanted) {
    const { channel, requested: given } = each;
    const stream = hub.opened(channel.name);
    if (!stream) return;
    const requested = inLogOf(stream, given);
    const { after } = requested;
    if (after && isAhead(after, stream)) return;
    if (after && needsProof(after, stream)) return;
    const oldest = oldestInMemory(requested, stream);
    if (oldest === undefined) return;
    opened.push({ ...each, requested, stream, oldest });
  }
  return opened;
}

/** Replaces the digest of a position's epoch by the full epoch. */
function inLogOf(stream: Stream, requested: Requested): Requested {
  const { after } = requested;
  if (!after) return requested;
  const epoch = epochFrom(after.epoch, [stream.epoch, UNBORN_EPOCH]);
  return { ...requested, after: { epoch, seq: after.seq } };
}

/** The oldest available number, if it is known without reading the log. */
function oldestInMemory(
  { after, last }: Requested,
  stream: Stream,
): number | undefined {
  if (!stream.logged) return stream.seq + 1;
  const inMemory = after
    ? after.epoch === stream.epoch && after.seq + 1 >= stream.first
    : last === undefined || stream.seq - last + 1 >= stream.first;
  return inMemory ? stream.first : undefined;
}

/**
 * Whether only the log can confirm a position: it may be of an earlier log, or
 * from before the first event of an empty one.
 */
function needsProof(after: StreamPosition, stream: Stream): boolean {
  return stream.logged && after.epoch !== UNKNOWN_BLOCK &&
    (after.epoch !== stream.epoch || after.epoch === UNBORN_EPOCH);
}

function isAhead(after: StreamPosition, stream: Stream): boolean {
  return stream.logged &&
    (after.epoch !== stream.epoch || after.seq > stream.seq);
}

function beginningOf(
  { requested: { after, last, as }, stream, oldest }: Opened,
  outbox: Outbox,
): Beginning {
  const { channel, epoch, seq } = stream;
  if (!stream.logged) {
    return {
      start: { epoch, seq },
      recovered: false,
      reason: "no_retention",
    };
  }
  if (after) return resumed(after, stream, oldest);
  if (last !== undefined) {
    const from = Math.max(seq - last, Math.min(oldest - 1, seq), 0);
    return { start: { epoch, seq: from }, recovered: true };
  }
  const present = outbox.positionOf(as ?? channel);
  return { start: present ?? { epoch, seq }, recovered: true };
}

function resumed(
  after: StreamPosition,
  stream: Stream,
  oldest: number,
): Beginning {
  const { epoch, seq } = stream;
  const floor = Math.min(oldest - 1, seq);
  // An empty channel may have received its first event meanwhile.
  const isBorn = after.epoch === UNBORN_EPOCH && after.seq === 0;
  if (after.epoch !== epoch && !isBorn) {
    return {
      start: { epoch, seq: floor },
      recovered: false,
      reason: after.epoch === UNKNOWN_BLOCK ? "block_unknown" : "epoch_changed",
      gap: [1, floor],
    };
  }
  if (after.seq > seq) {
    return {
      start: { epoch, seq },
      recovered: false,
      reason: "position_unknown",
      gap: [seq + 1, after.seq],
    };
  }
  if (after.seq >= floor) {
    return { start: { epoch, seq: after.seq }, recovered: true };
  }
  return {
    start: { epoch, seq: floor },
    recovered: false,
    reason: "retention",
    gap: [after.seq + 1, floor],
  };
}
