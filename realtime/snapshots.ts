/**
 * Subscriptions that begin with the current state: the newest event about each
 * subject, then live events from the position of that state.
 *
 * @module
 */
import type { Chains } from "../chain/ingest.ts";
import { channelNamed } from "../protocol/channels.ts";
import type { Channel } from "../protocol/channels.ts";
import type {
  Position,
  SnapshotChannel,
  Subscription,
} from "../protocol/commands.ts";
import type { ReplyPayload } from "../protocol/replies.ts";
import type { Principal } from "../security/principal.ts";
import { MAX_ANSWER_BYTES } from "./history.ts";
import type { Hub } from "./hub.ts";
import type { Reader } from "./prices.ts";
import { Turns } from "./turns.ts";

/** Most events of a snapshot. */
export const MAX_SNAPSHOT_EVENTS = 1_000;
/** Snapshots read at once. */
export const MAX_SNAPSHOTS_AT_ONCE = 4;
/** Most snapshots that wait to be read. */
export const MAX_SNAPSHOTS_WAITING = 1_000;
/** Most snapshots that wait to be read for one address. */
export const MAX_SNAPSHOTS_WAITING_PER_ADDRESS = 64;
/** Most events of one `snapshot` frame. */
export const SNAPSHOT_FRAME_EVENTS = 100;
/** UTF-16 units of events after which a frame ends, at least one event. */
export const SNAPSHOT_FRAME_LENGTH = 128 * 1024;
/** Events looked up at once. */
const READS_AT_ONCE = 50;

/** The newest event about each subject. */
export interface Snapshot {
  /** The position at which the channel continues. */
  readonly position: Position;
  /** Events as JSON text. */
  readonly frames: readonly string[];
  /** Whether the snapshot is complete. */
  readonly isWhole: boolean;
}

/** Events of a snapshot. */
type Frames = Omit<Snapshot, "position">;

/** Reads snapshots. */
export class Snapshots {
  readonly #hub: Hub;
  readonly #chains: Chains;
  readonly #turns = new Turns({
    atOnce: MAX_SNAPSHOTS_AT_ONCE,
    waiting: MAX_SNAPSHOTS_WAITING,
    waitingEach: MAX_SNAPSHOTS_WAITING_PER_ADDRESS,
  });

  /** Reads through `hub`, follows `chains`. */
  constructor({ hub, chains }: { hub: Hub; chains: Chains }) {
    this.#hub = hub;
    this.#chains = chains;
  }

  /**
   * The newest event about each subject of a channel, and the position after
   * which all changes are delivered.
   *
   * @param channel one of `SNAPSHOTS`, which the caller may read.
   * @param reader is charged for the read.
   * @throws {Refusal} `RATE_LIMITED`, `STORE_UNAVAILABLE`.
   */
  async read({ name, kind }: Channel, reader: Reader): Promise<Snapshot> {
    return await this.#turns.run(reader.address, async () => {
      reader.admit();
      // Events read after this position are at least as new.
      const [head] = await this.#hub.heads([name]);
      const { epoch, seq } = head!;
      const found = await this.#readers[kind as SnapshotChannel](head!);
      const { frames } = found;
      reader.read(frames.reduce((sum, frame) => sum + frame.length, 0));
      return { position: { epoch, seq }, ...found };
    });
  }

  /** Reader of each snapshot, at least up to a head of its channel. */
  readonly #readers: Readonly<
    Record<SnapshotChannel, (head: Position) => Promise<Frames>>
  > = {
    validators: () => this.#states("validator"),
    nodes: () => this.#states("node"),
    transactions: (head) => this.#pool(head),
    dag: (head) => this.#tips(head),
  };

  async #states(kind: string): Promise<Frames> {
    return await this.#hub.states(kind, {
      limit: MAX_SNAPSHOT_EVENTS,
      maxLength: MAX_ANSWER_BYTES,
    });
  }

  /** The newest event about each transaction that is pending. */
  async #pool(head: Position): Promise<Frames> {
    const hub = this.#hub;
    await this.#chains.follow("transactions", head, hub);
    return await readEach(this.#chains.pending(), async (txId) => {
      const frame = await hub.latest(`transaction:${txId}`);
      // Its status may have changed meanwhile.
      const isPending = frame !== undefined &&
        JSON.parse(frame).payload.status === "pending";
      return isPending ? frame : null;
    });
  }

  /** The events that added the nodes which have no children. */
  async #tips(head: Position): Promise<Frames> {
    const hub = this.#hub;
    await this.#chains.follow("dag", head, hub);
    return await readEach(this.#chains.tips(), async (seq) => {
      const { entries } = await hub.read("dag", {
        after: seq - 1,
        upTo: seq,
        limit: 1,
        maxBytes: MAX_ANSWER_BYTES,
      });
      return entries[0]?.json;
    });
  }
}

/**
 * Reads the events about subjects, the newest first, up to the bounds.
 *
 * @param read returns the frame; `null`: the subject has no state any more,
 * `undefined`: it is not stored.
 * @returns frames, the oldest first.
 */
async function readEach<Name>(
  { names, isWhole }: {
    readonly names: readonly Name[];
    readonly isWhole: boolean;
  },
  read: (name: Name) => Promise<string | null | undefined>,
): Promise<Frames> {
  const frames: string[] = [];
  const some = names.slice(0, MAX_SNAPSHOT_EVENTS);
  let isAll = isWhole && some.length === names.length;
  let length = 0;
  for (let i = 0; i < some.length; i += READS_AT_ONCE) {
    const found = await Promise.all(some.slice(i, i + READS_AT_ONCE).map(read));
    for (const frame of found) {
      if (frame === null) continue;
      length += frame?.length ?? 0;
      if (frame === undefined || length > MAX_ANSWER_BYTES) isAll = false;
      else frames.push(frame);
    }
    if (length > MAX_ANSWER_BYTES) break;
  }
  return { frames: frames.reverse(), isWhole: isAll };
}

/** The caller of snapshots, and their source. */
export interface SnapshotReader {
  /** Reads them. */
  readonly snapshots: Pick<Snapshots, "read">;
  /** The caller, which needs the right to read. */
  readonly principal: Principal;
  /** The account charged for the reads. */
  readonly reader: Reader;
}

/**
 * Reads the requested snapshots.
 *
 * @param requests as clients send them.
 * @returns requests that continue at the position of their snapshot, and
 * snapshots by canonical name; forbidden channels are refused later.
 * @throws {Refusal} `RATE_LIMITED`, `STORE_UNAVAILABLE`.
 */
export async function readSnapshots(
  requests: readonly Subscription[],
  { snapshots, principal, reader }: SnapshotReader,
): Promise<{
  readonly requests: Subscription[];
  readonly snapshots: ReadonlyMap<string, Snapshot>;
}> {
  const read = new Map<string, Snapshot>();
  const all: Subscription[] = [];
  for (const each of requests) {
    const channel = channelNamed(each.channel);
    if (!each.snapshot || !channel || !principal.mayRead(channel)) {
      all.push(each);
      continue;
    }
    const snapshot = read.get(channel.name) ??
      await snapshots.read(channel, reader);
    read.set(channel.name, snapshot);
    all.push({ ...each, after: snapshot.position });
  }
  return { requests: all, snapshots: read };
}

/** The frames of a snapshot; at least one. */
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
