/**
 * The codecs a socket may choose, by WebSocket subprotocol.
 *
 * @module
 */
import { SUBPROTOCOL } from "../protocol/envelope.ts";
import type { Codec } from "./codec.ts";
import { JSON_CODEC } from "./json_codec.ts";

/** Codecs by the subprotocol that selects them: one line registers a codec. */
export type Codecs = ReadonlyMap<string, Codec>;

/** The codecs of the service; a socket that names none uses the first. */
export const CODECS: Codecs = new Map([
  [SUBPROTOCOL, JSON_CODEC],
]);
