/**
 * Age of the newest block: whether a chain that should advance does.
 *
 * @module
 */
import type { Clock } from "../platform/clock.ts";
import type { Hub } from "../realtime/hub.ts";

/** The channel whose events are a chain's heartbeat. */
const HEAD_CHANNEL = "blocks";
/**
 * Without a source of its own, the service expects further blocks once this
 * many are in the log; fewer may be a trial.
 */
export const CHAIN_BLOCKS = 10;
/** Most bytes of blocks read to find that out. */
const MAX_BYTES = 4 * 1024 * 1024;

/** The newest block, as one instance sees it. */
export interface Head {
  /**
   * Milliseconds since the block was accepted; negative when the clock of the
   * instance that accepted it is ahead of this one's, or this one's was set
   * back.
   */
  readonly ageMs: number;
  /**
   * Milliseconds for which no newer block was seen, by this instance's own
   * monotonic clock, which wrong wall clocks do not affect.
   */
  readonly unchangedMs: number;
  /**
   * Milliseconds since the last look that did not find the block, by the same
   * monotonic clock: an upper bound of its age that no wall clock affects.
   * Infinite when the first look found the block.
   */
  readonly atMostMs: number;
}

/** What {@link Freshness} needs. */
export interface FreshnessOptions {
  /** Reads the log. */
  hub: Hub;
  /** Time. */
  clock: Clock;
  /** Whether this service has a source of its own. */
  isExpected: boolean;
}

/** Follows the newest block. */
export class Freshness {
  readonly #options: FreshnessOptions;
  /** The newest block at the last look, or the start when there was none. */
  #seen: Seen;
  /** When the last look was that succeeded, on the monotonic clock. */
  #lookedAt = -Infinity;

  /** Without any block, the age counts from here. */
  constructor(options: FreshnessOptions) {
    this.#options = options;
    const { clock } = options;
    this.#seen = {
      position: "",
      ageMs: 0,
      since: clock.monotonic(),
      absentAt: -Infinity,
      isExpected: options.isExpected,
    };
  }

  /**
   * Looks for a newer block.
   *
   * @returns the newest one; nothing when no block is expected.
   * @throws {Refusal} `STORE_UNAVAILABLE`.
   */
  async look(): Promise<Head | undefined> {
    const { hub, clock, isExpected } = this.#options;
    const began = clock.monotonic();
    const [head] = await hub.heads([HEAD_CHANNEL]);
    const position = `${head!.epoch}:${head!.seq}`;
    if (head!.seq > 0 && position !== this.#seen.position) {
      const { entries: newest } = await hub.read(HEAD_CHANNEL, {
        after: Math.max(0, head!.seq - CHAIN_BLOCKS),
        upTo: head!.seq,
        limit: isExpected ? 1 : CHAIN_BLOCKS,
        maxBytes: MAX_BYTES,
        newest: true,
      });
      const last = newest.at(-1);
      if (last) {
        this.#seen = {
          position,
          ageMs: clock.now() - last.at,
          since: clock.monotonic(),
          absentAt: this.#lookedAt,
          isExpected: isExpected || newest.length >= CHAIN_BLOCKS,
        };
      }
    }
    this.#lookedAt = began;
    return this.head;
  }

  /** The newest block as of the last look, its age as of now. */
  get head(): Head | undefined {
    const { ageMs, since, absentAt, isExpected } = this.#seen;
    if (!isExpected) return undefined;
    const now = this.#options.clock.monotonic();
    const unchangedMs = now - since;
    return {
      ageMs: ageMs + unchangedMs,
      unchangedMs,
      atMostMs: now - absentAt,
    };
  }
}

/** One look at the newest block. */
interface Seen {
  /** Its epoch and sequence number. */
  readonly position: string;
  /** Its age at that look, in milliseconds. */
  readonly ageMs: number;
  /** When that look was, on the monotonic clock. */
  readonly since: number;
  /** When the last look was that did not find it, on the same clock. */
  readonly absentAt: number;
  /** Whether more blocks are expected. */
  readonly isExpected: boolean;
}

/**
 * How long the chain has stood still, in milliseconds: the age of its newest
 * block as far as this instance's own clock can confirm it.
 */
export function stillMs({ ageMs, unchangedMs, atMostMs }: Head): number {
  return Math.max(Math.min(ageMs, atMostMs), unchangedMs);
}

/**
 * Whether the age by wall clocks cannot be true: the block is from the future,
 * or was not there yet when it should have been, by more than a second.
 */
export function clocksDiffer({ ageMs, atMostMs }: Head): boolean {
  return ageMs < -500 || ageMs > atMostMs + 1_000;
}
