/**
 * Streams and outboxes as an instance makes them, without sockets.
 *
 * @module
 */
import { systemClock } from "../../platform/clock.ts";
import type { FrameOptions } from "../../protocol/encode.ts";
import { idSource } from "../../protocol/envelope.ts";
import { FilterBudget } from "../../realtime/filter_budget.ts";
import { JSON_CODEC } from "../../realtime/json_codec.ts";
import { Outbox } from "../../realtime/outbox.ts";
import type { OutboxOwner } from "../../realtime/outbox.ts";
import { Pace } from "../../realtime/pace.ts";
import { Progress } from "../../realtime/progress.ts";
import { Stream } from "../../realtime/stream.ts";
import { FREE } from "./peer.ts";

/** The log of every stream here. */
export const EPOCH = "E";

const nextId = idSource();

/** A frame's envelope: an id of its own, the present time. */
export function envelope(): FrameOptions {
  return { id: nextId(1_754_560_800_000), now: Date.now() };
}

/** The stream of a channel whose log is empty. */
export function emptyStream(channel: string): Stream {
  const head = { epoch: EPOCH, seq: 0 };
  return new Stream(channel, { logged: true, head, envelope });
}

const machine = {
  clock: systemClock,
  pace: new Pace(systemClock),
  progress: new Progress(systemClock),
  filters: new FilterBudget(),
  envelope,
  readPage: () => Promise.resolve({ entries: [], unreadable: [] }),
  readOldest: () => Promise.resolve(1),
};

/** An outbox to a socket that takes everything at once. */
export function outbox(owner: OutboxOwner = FREE): Outbox {
  const send = () => {};
  return new Outbox({ bufferedAmount: 0, send }, JSON_CODEC, machine, owner);
}
