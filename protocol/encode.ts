/**
 * Frames as JSON text. An event's payload is stringified once; what stands around
 * it is joined as text, here and nowhere else.
 *
 * @module
 */
import { VERSION } from "./envelope.ts";
import type { ReplyPayload, ReplyType } from "./replies.ts";

/** The last instant written, and how: a busy server writes each many times. */
const written = { at: NaN, text: "" };

/**
 * Writes an instant.
 *
 * @param at epoch milliseconds.
 * @returns ISO 8601 in UTC with milliseconds.
 */
export function instantText(at: number): string {
  if (at !== written.at) {
    written.text = new Date(at).toISOString();
    written.at = at;
  }
  return written.text;
}

/** What the server knows of a frame besides type and payload. */
export interface FrameOptions {
  /** The frame's name. */
  readonly id: string;
  /** Epoch milliseconds, the frame's `timestamp`. */
  readonly now: number;
  /** The `id` of the command answered. */
  readonly ref?: string | undefined;
}

/** A frame of the server itself, before it is encoded. */
export type ReplyFrame =
  & FrameOptions
  & (
    | {
      [Type in ReplyType]: {
        readonly type: Type;
        readonly payload: ReplyPayload<Type>;
      };
    }[ReplyType]
    /** The echo of a `TEST`, its payload as the sender wrote it. */
    | { readonly type: "TEST"; readonly payload: unknown }
  );

/**
 * Writes a reply.
 *
 * @param reply its type, payload and envelope.
 * @returns one JSON text.
 */
export function encodeReply(reply: ReplyFrame): string {
  return encodeFrame(reply.type, JSON.stringify(reply.payload), reply);
}

/**
 * Joins encoded frames into one `BATCH_UPDATE`, without parsing them.
 *
 * @param texts complete encoded frames, at least one, oldest first.
 * @param options its envelope.
 * @returns one JSON text.
 */
export function encodeBatch(
  texts: readonly string[],
  options: FrameOptions,
): string {
  // One after the other is a sixth faster than `join`, which copies them all
  // before what stands around them makes it necessary again.
  let updates = texts[0]!;
  for (let i = 1; i < texts.length; i++) updates += `,${texts[i]}`;
  return encodeFrame("BATCH_UPDATE", `{"updates":[${updates}]}`, options);
}

/** Where an event stands, once it does. */
export interface EventPlace {
  /** Canonical name of the channel. */
  readonly channel: string;
  /** Position in it, from 1; absent on channels without retention. */
  readonly seq?: number | undefined;
  /** Identity of its log; absent likewise. */
  readonly epoch?: string | undefined;
}

/**
 * Writes an event.
 *
 * @param type its message type, one of the registry's.
 * @param payloadText its payload, already JSON.
 * @param place where it stands; names in it need no escaping.
 * @param options its envelope.
 * @returns one JSON text.
 */
export function encodeEvent(
  type: string,
  payloadText: string,
  { channel, seq, epoch }: EventPlace,
  { id, now }: FrameOptions,
): string {
  return `${eventHead(type, { channel, seq, epoch })},"id":${
    JSON.stringify(id)
  },"timestamp":"${
    instantText(now)
  }","version":"${VERSION}","payload":${payloadText}}`;
}

/**
 * How an event's frame begins: all that follows from its type and place.
 *
 * @param type its message type.
 * @param place where it stands.
 */
export function eventHead(
  type: string,
  { channel, seq, epoch }: EventPlace,
): string {
  const position = seq === undefined ? "" : `,"seq":${seq},"epoch":"${epoch}"`;
  return `{"type":"${type}","channel":"${channel}"${position}`;
}

function encodeFrame(
  type: string,
  payloadText: string,
  { id, now, ref }: FrameOptions,
): string {
  const answered = ref === undefined ? "" : `,"ref":${JSON.stringify(ref)}`;
  return `{"type":"${type}"${answered},"id":"${id}","timestamp":"${
    instantText(now)
  }","version":"${VERSION}","payload":${payloadText}}`;
}
