/**
 * The compressions that a client may request with `connect`.
 *
 * @module
 */
import type { Clock } from "../platform/clock.ts";
import type { CommandPayload } from "../protocol/commands.ts";
import type { ReplyPayload } from "../protocol/replies.ts";
import type { Codec } from "./codec.ts";
import { CompressionBudget } from "./compression_budget.ts";
import { DeflateCodec } from "./deflate_codec.ts";

/** The compression that a client requests. */
export type CompressionName = NonNullable<
  CommandPayload<"connect">["compress"]
>;

/** A compression, prepared for one connection. */
export interface Compression {
  /** Encodes its frames. */
  readonly codec: Codec;
  /** What `connected` reports of it. */
  readonly terms: NonNullable<ReplyPayload<"connected">["compress"]>;
}

/** The preset dictionary of inflaters, and its name. */
export interface Dictionary {
  /** Content, to which short texts refer. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Hash of the content. */
  readonly hash: string;
}

/**
 * Creates the compressions of an instance; all its clients share their frames.
 *
 * @param dictionary for `"deflate"`.
 * @param clock measures the time that compression takes in a turn.
 */
export function compressions(
  { bytes, hash }: Dictionary,
  clock: Pick<Clock, "monotonic" | "soon">,
): Readonly<Record<CompressionName, Compression>> {
  const algorithm = "deflate-raw";
  const budget = new CompressionBudget(clock);
  return {
    deflate: {
      codec: new DeflateCodec(budget, bytes),
      terms: { algorithm, dictionary: hash },
    },
    "deflate-plain": {
      codec: new DeflateCodec(budget),
      terms: { algorithm, dictionary: null },
    },
  };
}
