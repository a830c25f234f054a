/**
 * A binary codec, to prove that a second codec needs one file and one line of
 * registration.
 *
 * @module
 */
import { decode, encode } from "@msgpack/msgpack";
import { interpret } from "../../protocol/decode.ts";
import { instantText } from "../../protocol/encode.ts";
import type { FrameOptions, ReplyFrame } from "../../protocol/encode.ts";
import { VERSION } from "../../protocol/envelope.ts";
import { Refusal } from "../../protocol/refusals.ts";
import { isEvent } from "../../realtime/codec.ts";
import type { Codec, Marks, Part } from "../../realtime/codec.ts";
import type { Entry } from "../../store/entry.ts";

/** Subprotocol that selects {@link MSGPACK_CODEC}. */
export const MSGPACK_SUBPROTOCOL = "kaldrix.v1.msgpack";

type Bytes = Uint8Array<ArrayBuffer>;

/** Each event as it was encoded, for as long as the event lives. */
const encoded = new WeakMap<Entry, Bytes>();

/** Frames as MessagePack. */
export const MSGPACK_CODEC: Codec = {
  event,
  batch(parts, envelope) {
    const updates = parts.map(bytesOf);
    const header = Uint8Array.of(0xdc, updates.length >> 8, updates.length);
    const frame = enveloped("BATCH_UPDATE", envelope, { updates: [] });
    // The empty array of updates is the last byte.
    return concatenated([frame.subarray(0, -1), header, ...updates]);
  },
  reply,
  decode(data, maxBytes, rights) {
    if (!(data instanceof ArrayBuffer)) {
      throw new Refusal("INVALID_MESSAGE", "Frame is text; send MessagePack");
    }
    if (data.byteLength > maxBytes) throw new Refusal("MESSAGE_TOO_LARGE");
    let value: unknown;
    try {
      value = decode(data);
    } catch (cause) {
      throw new Refusal("INVALID_JSON", "Not MessagePack", { cause });
    }
    return interpret(value, maxBytes, rights);
  },
  glance: () => undefined,
};

/** Each mark is one more field in front: the header counts fields. */
function event(entry: Entry, marks?: Marks): Bytes {
  let bytes = encoded.get(entry);
  if (!bytes) {
    bytes = encode(JSON.parse(entry.json)) as Bytes;
    encoded.set(entry, bytes);
  }
  if (!marks) return bytes;
  const fields = encode(marks, { ignoreUndefined: true }) as Bytes;
  const count = fields[0]! & 0x0f;
  return concatenated([
    Uint8Array.of(bytes[0]! + count),
    fields.subarray(1),
    bytes.subarray(1),
  ]);
}

function reply(frame: ReplyFrame): Bytes {
  return enveloped(frame.type, frame, frame.payload);
}

function bytesOf(part: Part): Bytes {
  return isEvent(part) ? event(part.entry, part.marks) : reply(part);
}

function enveloped(
  type: string,
  { id, now, ref }: FrameOptions,
  payload: unknown,
): Bytes {
  const timestamp = instantText(now);
  const answered = ref === undefined ? {} : { ref };
  return encode(
    { type, ...answered, id, timestamp, version: VERSION, payload },
    { ignoreUndefined: true },
  ) as Bytes;
}

function concatenated(pieces: readonly Bytes[]): Bytes {
  const whole = new Uint8Array(
    pieces.reduce((sum, { byteLength }) => sum + byteLength, 0),
  );
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.byteLength;
  }
  return whole;
}
