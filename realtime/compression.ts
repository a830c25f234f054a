/**
 * The compressions that a client may ask for with `connect`.
 *
 * @module
 */
import type { Clock } from "../platform/clock.ts";
import type { CommandPayload } from "../protocol/commands.ts";
import type { ReplyPayload } from "../protocol/replies.ts";
import type { Codec } from "./codec.ts";
import { CompressionBudget } from "./compression_budget.ts";
import { DeflateCodec } from "./deflate_codec.ts";

/** What a client asks for. */
export type CompressionName = NonNullable<
  CommandPayload<"connect">["compress"]
>;

/** A compression as one connection gets it. */
export interface Compression {
  /** Writes its frames. */
  readonly codec: Codec;
  /** What `connected` reports of it. */
  readonly terms: NonNullable<ReplyPayload<"connected">["compress"]>;
}

/** The bytes that inflaters begin with, and their name. */
export interface Dictionary {
  /** Short texts refer to it. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Changes with the bytes. */
  readonly hash: string;
}

/**
 * Makes the compressions of an instance, whose frames all its clients share.
 *
 * @param dictionary for `"deflate"`.
 * @param clock measures what one turn compresses.
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
