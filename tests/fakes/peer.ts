/**
 * The other end of a socket, in a test's hands.
 *
 * @module
 */
import type { Frame } from "../../realtime/codec.ts";
import type { OutboxOwner } from "../../realtime/outbox.ts";
import type { Socket } from "../../realtime/session.ts";

/** Owns an outbox that nothing is charged for. */
export const FREE: OutboxOwner = {
  address: "10.0.0.1",
  stalled: () => {},
  charge: () => 0,
  read: () => {},
};

/** A frame as a test looks at it. */
export interface Seen {
  /** Which. */
  readonly type: string;
  /** Its frames. */
  // deno-lint-ignore no-explicit-any -- tests look wherever they like.
  readonly payload: any;
  /** Of events. */
  readonly channel?: string;
  /** Of events. */
  readonly seq?: number;
  /** Of events. */
  readonly epoch?: string;
  /** Of replies. */
  readonly ref?: string;
  /** Of events from history. */
  readonly replay?: true;
}

/** A socket that keeps what it is sent. */
export class FakePeer implements Socket {
  /** Unsent bytes that the test sets. */
  bufferedAmount = 0;
  /** Whether what is sent stays in the buffer: the reader has stopped. */
  stopped = false;
  /** Whether the handshake is under way: sending throws, closing is forgotten. */
  opening = false;
  /** Every frame sent, unparsed; text alone. */
  readonly texts: string[] = [];
  /** How it was closed, once it was. */
  closed: { code: number | undefined; reason: string | undefined } | undefined;

  /** Keeps a frame. */
  send(text: Frame): void {
    if (typeof text !== "string") throw new TypeError("A binary frame");
    if (this.opening) throw new Error("'readyState' not OPEN");
    this.texts.push(text);
    if (this.stopped) this.bufferedAmount += text.length;
  }

  /** Keeps how it was closed first. */
  close(code?: number, reason?: string): void {
    if (this.opening) return;
    this.closed ??= { code, reason };
  }

  /** All frames, joined ones taken apart. */
  get seen(): Seen[] {
    return this.texts.flatMap((text) => {
      const frame = JSON.parse(text);
      return frame.type === "BATCH_UPDATE" ? frame.payload.updates : [frame];
    });
  }

  /** Frames of one type. */
  of(type: string): Seen[] {
    return this.seen.filter((frame) => frame.type === type);
  }

  /** Numbers of the events seen, in their order. */
  seqs(channel?: string): number[] {
    return this.seen.flatMap((frame) =>
      frame.seq === undefined || (channel && frame.channel !== channel)
        ? []
        : [frame.seq]
    );
  }
}
