/**
 * How old the newest block is: whether a chain that should move does.
 *
 * @module
 */
import type { Clock } from "../platform/clock.ts";
import type { Hub } from "../realtime/hub.ts";

/** The channel whose events are a chain's heartbeat. */
const HEAD_CHANNEL = "blocks";
/**
 * Where no source is set, so many blocks in the log make a chain that should
 * go on; fewer may be somebody's trial.
 */
export const CHAIN_BLOCKS = 10;
/** Bytes of blocks read to find that out. */
const MAX_BYTES = 4 * 1024 * 1024;

/** What is asked. */
export interface FreshnessOptions {
  /** Reads the log. */
  hub: Hub;
  /** Time. */
  clock: Clock;
  /** Whether this service has a source of its own. */
  isExpected: boolean;
}

/** Looks at the newest block. */
export class Freshness {
  readonly #options: FreshnessOptions;
  readonly #since: number;

  /** Without any block, counting begins here. */
  constructor(options: FreshnessOptions) {
    this.#options = options;
    this.#since = options.clock.now();
  }

  /**
   * Milliseconds since the newest block was accepted; nothing when no block
   * is expected.
   *
   * @throws {Refusal} `STORE_UNAVAILABLE`.
   */
  async ageMs(): Promise<number | undefined> {
    const { hub, clock, isExpected } = this.#options;
    const [head] = await hub.heads([HEAD_CHANNEL]);
    const { entries } = await hub.read(HEAD_CHANNEL, {
      after: Math.max(0, head!.seq - CHAIN_BLOCKS),
      upTo: head!.seq,
      limit: isExpected ? 1 : CHAIN_BLOCKS,
      maxBytes: MAX_BYTES,
      newest: true,
    });
    if (!isExpected && entries.length < CHAIN_BLOCKS) return undefined;
    const last = entries.at(-1);
    const at = last ? last.at : this.#since;
    return Math.max(0, clock.now() - at);
  }
}
