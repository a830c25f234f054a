/**
 * The compressions of frames and their dictionary, loaded when the first
 * client asks for them: served code stays light.
 *
 * @module
 */
import type { Dictionary } from "../describe/dictionary.ts";
import { once } from "../platform/once.ts";
import type { compressions } from "../realtime/compression.ts";

/** What is loaded once. */
export interface LazyCompressions {
  /** The dictionary and its name. */
  readonly dictionary: () => Promise<Dictionary>;
  /** Every compression, by its name. */
  readonly compressions: () => Promise<ReturnType<typeof compressions>>;
}

/** Loads nothing yet. */
export function lazyCompressions(
  clock: Parameters<typeof compressions>[1],
): LazyCompressions {
  const dictionary = once(async () => {
    const { dictionary } = await import("../describe/dictionary.ts");
    return await dictionary();
  });
  return {
    dictionary,
    compressions: once(async () => {
      const [{ compressions }, known] = await Promise.all([
        import("../realtime/compression.ts"),
        dictionary(),
      ]);
      return compressions(known, clock);
    }),
  };
}
