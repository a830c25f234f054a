/**
 * One client's position in one stream: all that a slow subscriber costs.
 *
 * @module
 */
import { REPLAY } from "./codec.ts";
import type { Marks } from "./codec.ts";
import type { Cursor, Stream } from "./stream.ts";

/** A position in a channel's log. */
export interface StreamPosition {
  /** The log that `seq` counts in. */
  readonly epoch: string;
  /** Number of the last event the client has. */
  readonly seq: number;
}

/** Who sends what a subscription is due. */
export interface Sender {
  /** Sends what `subscription` is due, as far as the socket takes it. */
  advance(subscription: Subscription): void;
}

/** A subscription of one client to one channel. */
export class Subscription implements Cursor {
  /** The channel's events. */
  readonly stream: Stream;
  /** The log that {@link seq} counts in. */
  epoch: string;
  /** Number of the last event handed to the client. */
  seq: number;
  /** Up to this number events are history to the client. */
  replayUntil: number;
  /** Whether it takes events at its own pace instead of as they arrive. */
  behind = false;
  readonly #sender: Sender;

  /**
   * Begins after `start`; what the stream already has is history.
   *
   * @param sender must not throw.
   */
  constructor(
    stream: Stream,
    { epoch, seq }: StreamPosition,
    sender: Sender,
  ) {
    this.stream = stream;
    this.epoch = epoch;
    this.seq = seq;
    this.replayUntil = stream.seq;
    this.#sender = sender;
  }

  /** Has its sender send what is due. */
  advance(): void {
    this.#sender.advance(this);
  }

  /** The marks of the event `seq` for this client. */
  marksOf(seq: number): Marks | undefined {
    return seq <= this.replayUntil ? REPLAY : undefined;
  }
}
