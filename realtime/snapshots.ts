/**
 * Subscriptions that begin with what is: the newest event about each thing,
 * then live from the position at which that was read.
 *
 * @module
 */
import { channelNamed } from "../protocol/channels.ts";
import type { Subscription } from "../protocol/commands.ts";
import type { ReplyPayload } from "../protocol/replies.ts";
import type { Principal } from "../security/principal.ts";
import type { History, Snapshot } from "./history.ts";
import type { Reader } from "./prices.ts";

/** Most events of one `snapshot` frame. */
export const SNAPSHOT_FRAME_EVENTS = 100;
/** A frame ends after so many UTF-16 units of events, never before one. */
export const SNAPSHOT_FRAME_LENGTH = 128 * 1024;

/** Whose snapshots are read. */
export interface SnapshotReader {
  /** Reads them. */
  readonly history: Pick<History, "snapshot">;
  /** Whose right to read counts. */
  readonly principal: Principal;
  /** Who pays for them. */
  readonly reader: Reader;
}

/**
 * Reads what channels begin with.
 *
 * @param requests as clients send them.
 * @returns requests that go on where their snapshot was read, and snapshots by
 * canonical name; channels that may not be read are left to be refused.
 * @throws {Refusal} `RATE_LIMITED`, `STORE_UNAVAILABLE`.
 */
export async function readSnapshots(
  requests: readonly Subscription[],
  { history, principal, reader }: SnapshotReader,
): Promise<{
  readonly requests: Subscription[];
  readonly snapshots: ReadonlyMap<string, Snapshot>;
}> {
  const snapshots = new Map<string, Snapshot>();
  const all: Subscription[] = [];
  for (const each of requests) {
    const channel = channelNamed(each.channel);
    if (!each.snapshot || !channel || !principal.mayRead(channel)) {
      all.push(each);
      continue;
    }
    const snapshot = snapshots.get(channel.name) ??
      await history.snapshot(channel, reader);
    snapshots.set(channel.name, snapshot);
    all.push({ ...each, after: snapshot.position });
  }
  return { requests: all, snapshots };
}

/** The frames of a snapshot; one at least. */
export function* framesOf(
  channel: string,
  { frames, isWhole }: Snapshot,
): Generator<ReplyPayload<"snapshot">> {
  let events: Record<string, unknown>[] = [];
  let length = 0;
  for (const frame of frames) {
    const isFull = events.length === SNAPSHOT_FRAME_EVENTS ||
      (events.length > 0 && length + frame.length > SNAPSHOT_FRAME_LENGTH);
    if (isFull) {
      yield { channel, events, end: false };
      events = [];
      length = 0;
    }
    events.push(JSON.parse(frame));
    length += frame.length;
  }
  yield {
    channel,
    events,
    end: true,
    ...(isWhole ? {} : { truncated: true as const }),
  };
}
