/**
 * How a subscription begins: which channels, and from where.
 *
 * @module
 */
import type { Channel } from "../protocol/channels.ts";
import { channelNamed } from "../protocol/channels.ts";
import type { Subscription } from "../protocol/commands.ts";
import type { RefusalCode } from "../protocol/refusals.ts";
import type { GapReason, ReplyPayload } from "../protocol/replies.ts";
import type { Principal } from "../security/principal.ts";
import type { Hub } from "./hub.ts";
import { UNBORN_EPOCH } from "../store/event_log.ts";
import type { Outbox, Start } from "./outbox.ts";
import type { Stream } from "./stream.ts";

/** Most channels one connection follows. */
export const MAX_SUBSCRIPTIONS = 256;

/** Who subscribes, and where answers go. */
export interface Follower {
  /** Opens channels. */
  hub: Hub;
  /** Holds the cursors. */
  outbox: Outbox;
  /** Whose rights count. */
  principal: Principal;
  /** Whether the subscriber is still there, after waiting for the log. */
  isOpen: () => boolean;
  /** Says what became of the subscription, before the first event. */
  answer: (payload: ReplyPayload<"subscribed">) => void;
  /** Says what cannot be had any more, before the first event. */
  tellGap: (payload: ReplyPayload<"gap">) => void;
}

/** Where one channel begins for one subscriber. */
interface Beginning {
  readonly start: Start;
  readonly recovered: boolean;
  readonly reason?: GapReason;
  /** Numbers that were missed for good: from, to. */
  readonly gap?: readonly [number, number];
}

/** A channel to be followed, and as the client asked for it. */
interface Wanted {
  readonly channel: Channel;
  readonly entry: Subscription;
}

interface Opened {
  readonly subscription: Subscription;
  readonly stream: Stream;
  readonly oldest: number;
}

/**
 * Subscribes to channels: those that may not be are named, the others
 * succeed. Nothing is lost between the answer and the first event, since both
 * are settled in one turn.
 *
 * @param subscriptions channels with where to begin.
 * @param follower who subscribes.
 * @throws {Refusal} `STORE_UNAVAILABLE` when the log cannot be read; nothing
 * was subscribed then.
 */
export async function follow(
  subscriptions: readonly Subscription[],
  follower: Follower,
): Promise<void> {
  const { outbox } = follower;
  const rejected: { channel: string; code: RefusalCode }[] = [];
  const wanted = new Map<string, Wanted>();
  for (const entry of subscriptions) {
    const channel = channelNamed(entry.channel);
    const code = refusalOf(channel, wanted, follower);
    if (code) rejected.push({ channel: entry.channel.slice(0, 128), code });
    else wanted.set(channel!.name, { channel: channel!, entry });
  }
  const all = [...wanted.values()];
  const opened = openNow(all, follower) ?? await openAll(all, follower);
  if (!follower.isOpen()) return;
  const beginnings = opened.map(({ subscription, stream, oldest }) => ({
    subscription,
    stream,
    beginning: beginningOf(subscription, stream, oldest, outbox),
  }));
  follower.answer({
    channels: beginnings.map(({ subscription, stream, beginning }) => ({
      channel: stream.channel,
      ...(subscription.channel === stream.channel
        ? {}
        : { requested: subscription.channel }),
      epoch: stream.logged ? beginning.start.epoch : null,
      seq: stream.logged ? beginning.start.seq : null,
      recovered: beginning.recovered,
      ...(beginning.reason ? { reason: beginning.reason } : {}),
    })),
    rejected,
  });
  for (const { stream, beginning: { gap, reason } } of beginnings) {
    if (!gap) continue;
    const [from, to] = gap;
    const { channel, epoch } = stream;
    follower.tellGap({ channel, from, to, epoch, reason: reason! });
  }
  for (const { stream, beginning } of beginnings) {
    outbox.attach(stream, beginning.start);
  }
}

function refusalOf(
  channel: Channel | undefined,
  wanted: ReadonlyMap<string, unknown>,
  { outbox, principal }: Follower,
): RefusalCode | undefined {
  if (!channel) return "UNKNOWN_CHANNEL";
  if (!principal.mayRead(channel)) return "FORBIDDEN";
  if (outbox.has(channel.name) || wanted.has(channel.name)) return undefined;
  let added = 0;
  for (const name of wanted.keys()) if (!outbox.has(name)) added++;
  if (outbox.size + added < MAX_SUBSCRIPTIONS) return undefined;
  return "TOO_MANY_SUBSCRIPTIONS";
}

/** Opens every channel, and again those forgotten while others were read. */
async function openAll(
  wanted: readonly Wanted[],
  { hub }: Follower,
): Promise<Opened[]> {
  for (;;) {
    const opened = await Promise.all(wanted.map((each) => open(each, hub)));
    if (opened.every(({ stream }) => hub.holds(stream))) return opened;
  }
}

async function open({ channel, entry }: Wanted, hub: Hub): Promise<Opened> {
  const stream = await hub.open(channel);
  // What the client has seen elsewhere may not have come here yet.
  if (entry.after && isAhead(entry.after, stream)) await hub.refresh(stream);
  const oldest = oldestInMemory(entry, stream) ??
    await hub.oldest(stream.channel);
  return { subscription: entry, stream, oldest };
}

/** Those that need nothing from the log; nothing when one of them does. */
function openNow(
  wanted: readonly Wanted[],
  { hub }: Follower,
): Opened[] | undefined {
  const opened: Opened[] = [];
  for (const { channel, entry } of wanted) {
    const stream = hub.opened(channel.name);
    if (!stream || (entry.after && isAhead(entry.after, stream))) return;
    const oldest = oldestInMemory(entry, stream);
    if (oldest === undefined) return;
    opened.push({ subscription: entry, stream, oldest });
  }
  return opened;
}

/** The oldest number that can be had, unless only the log can tell. */
function oldestInMemory(
  { after, last }: Subscription,
  stream: Stream,
): number | undefined {
  if (!stream.logged) return stream.seq + 1;
  const inMemory = after
    ? after.epoch === stream.epoch && after.seq + 1 >= stream.first
    : last === undefined || stream.seq - last + 1 >= stream.first;
  return inMemory ? stream.first : undefined;
}

function isAhead(after: Start, stream: Stream): boolean {
  return stream.logged &&
    (after.epoch !== stream.epoch || after.seq > stream.seq);
}

function beginningOf(
  { after, last }: Subscription,
  stream: Stream,
  oldest: number,
  outbox: Outbox,
): Beginning {
  const { epoch, seq } = stream;
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
  const standing = outbox.standing(stream);
  return { start: standing ?? { epoch, seq }, recovered: true };
}

function resumed(after: Start, stream: Stream, oldest: number): Beginning {
  const { epoch, seq } = stream;
  const floor = Math.min(oldest - 1, seq);
  // Nothing comes before the first event of a log, whatever its name.
  const unborn = after.epoch === UNBORN_EPOCH && after.seq === 0;
  if (after.epoch !== epoch && !unborn) {
    return {
      start: { epoch, seq: floor },
      recovered: false,
      reason: "epoch_changed",
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
