/**
 * Frames as JSON text. An event is sent as its publisher's instance encoded it;
 * marks and batches are joined to it as text.
 *
 * @module
 */
import { decode, glance } from "../protocol/decode.ts";
import { encodeBatch, encodeReply } from "../protocol/encode.ts";
import type { Entry } from "../store/entry.ts";
import { isEvent } from "./codec.ts";
import type { Codec, Marks, Part } from "./codec.ts";

/** The codec of PROTOCOL.md: one JSON object per frame. */
export const JSON_CODEC: Codec = {
  event: marked,
  batch: (parts, envelope) => encodeBatch(parts.map(textOf), envelope),
  reply: encodeReply,
  decode,
  glance,
};

function textOf(part: Part): string {
  return isEvent(part) ? marked(part.entry, part.marks) : encodeReply(part);
}

/** The event's text; marks are written in front of its other fields. */
function marked({ json }: Entry, marks?: Marks): string {
  if (marks === undefined) return json;
  return headOf(marks) + json.slice(1);
}

function headOf({ replay, prev, sub }: Marks): string {
  let head = "{";
  if (prev !== undefined) head += `"prev":${prev},`;
  // The characters of a name need no escaping.
  if (sub !== undefined) head += `"sub":"${sub}",`;
  if (replay) head += '"replay":true,';
  return head;
}
