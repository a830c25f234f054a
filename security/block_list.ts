/**
 * Addresses that are not served: blocked by an operator, or by themselves
 * through repeated violations.
 *
 * @module
 */
import { Refusal } from "../protocol/refusals.ts";
import { NetworkMap, parseAddress, parseNetwork } from "./address.ts";
import type { Network } from "./address.ts";
import { bucketOf, callerNetwork } from "./client_ip.ts";
import type { Change, SharedSet } from "../store/shared_set.ts";
import { StoredSet } from "../store/stored_set.ts";
import { RateLimit } from "./rate_limit.ts";
import type { Clock } from "../platform/clock.ts";
import type { Store } from "../store/store.ts";

/** Most blocks kept, ended ones that are still remembered included. */
export const MAX_BLOCKS = 10_000;
/** How long a block by hand lasts by default, in milliseconds. */
export const DEFAULT_BLOCK_MS = 24 * 3_600_000;
/** Longest block, in milliseconds. */
export const MAX_BLOCK_MS = 366 * 24 * 3_600_000;
/** Shortest prefix that can be blocked: a typing error blocks no continent. */
export const MIN_PREFIX = { ipv4: 8, ipv6: 16 } as const;
/** Violations that are forgiven within {@link VIOLATION_WINDOW_MS}; one more blocks. */
export const MAX_VIOLATIONS = 20;
/** Over how long violations are counted, in milliseconds. */
export const VIOLATION_WINDOW_MS = 60_000;
/** How long the first, second, ... automatic block lasts, in milliseconds. */
export const AUTOMATIC_BLOCK_MS: readonly number[] = [
  60_000,
  600_000,
  3_600_000,
  24 * 3_600_000,
];
/** How long after the end of its last block an address starts again at the first level, in milliseconds. */
export const FORGIVE_MS = 24 * 3_600_000;
/** Longest reason and name, in characters; more is cut off. */
const MAX_TEXT_LENGTH = 200;

/** The value of `by` when the service blocked by itself. */
export const AUTOMATIC = "automatic";

/** One block. */
export interface Block {
  /** The address or CIDR, in its normal form. */
  readonly ip: string;
  /** Why, for people. */
  readonly reason: string;
  /** Who did it; {@link AUTOMATIC} for the service itself. */
  readonly by: string;
  /** When it began, in epoch milliseconds. */
  readonly since: number;
  /** When it ends, in epoch milliseconds. */
  readonly until: number;
  /** 0 for a block by hand, 1 for the first automatic block, 2 for the second. */
  readonly level: number;
}

/** Options of a block by hand. */
export interface BlockOptions {
  /** Why, for people. */
  readonly reason?: string | undefined;
  /** How long, in milliseconds; {@link DEFAULT_BLOCK_MS} when omitted. */
  readonly forMs?: number | undefined;
  /** Who does it. */
  readonly by?: string | undefined;
}

/** What a block list needs. */
export interface BlockListOptions {
  /** Holds the blocks; stays the caller's to close. */
  readonly kv: Store;
  /** Decides which blocks have ended, and paces the polls. */
  readonly clock: Clock;
  /** Addresses and CIDR that can never be blocked. */
  readonly allow?: readonly string[];
  /** Most blocks kept. */
  readonly maxBlocks?: number;
  /** How often the store is asked for changes that the watch did not report, in milliseconds. */
  readonly pollMs?: number;
}

/**
 * Blocked addresses, the same on all instances. Look-ups are answered from
 * memory; while the store is away, what was last known stays in force.
 */
export class BlockList {
  readonly #clock: Clock;
  readonly #allowed = new NetworkMap<true>();
  readonly #blocks = new NetworkMap<Block>();
  readonly #set: SharedSet<Block>;
  readonly #violations: RateLimit;
  readonly #listeners = new Set<(blocks: readonly Block[]) => void>();

  /** Fulfilled once the blocks were read for the first time, or could not be. */
  readonly ready: Promise<void>;

  /**
   * Starts reading and watching.
   *
   * @param options where blocks are kept, and which addresses none can hit.
   * @throws {RangeError} names the entry of `allow` that is no address or CIDR.
   */
  constructor(options: BlockListOptions) {
    const { kv, clock, allow = [], maxBlocks = MAX_BLOCKS, pollMs } = options;
    for (const text of allow) {
      const network = parseNetwork(text.trim());
      if (!network) {
        throw new RangeError(
          `Cannot allow "${text}": it is neither an address nor a CIDR`,
        );
      }
      this.#allowed.set(network, true);
    }
    this.#clock = clock;
    this.#violations = new RateLimit({
      kv,
      clock,
      name: "violations",
      limit: MAX_VIOLATIONS,
      windowMs: VIOLATION_WINDOW_MS,
      maxUnshared: MAX_VIOLATIONS,
    });
    this.#set = new StoredSet<Block>({
      kv,
      clock,
      name: "block",
      maxEntries: maxBlocks,
      // An ended automatic block is remembered: the next one is longer.
      endOf: ({ until, level }) => until + (level > 0 ? FORGIVE_MS : 0),
      pollMs,
    }, (change) => this.#changed(change));
    this.ready = this.#set.ready;
  }

  /** `degraded` while the store is away: the last known blocks stay in force. */
  get state(): "ok" | "degraded" {
    return this.#set.state === "ok" ? this.#violations.state : "degraded";
  }

  /**
   * Blocks an address or a network; again replaces reason and end.
   *
   * @param ip an address or a CIDR, IPv4 or IPv6: as {@link callerNetwork} reads
   * it, an IPv6 address means its /64.
   * @param options why, how long, who.
   * @returns the block, once every instance can know of it.
   * @throws {Refusal} `INVALID_PAYLOAD` when `ip` is neither, too wide, or
   * `forMs` out of range; `FORBIDDEN` when it lies on the allow-list or the
   * list is full of blocks by hand; `STORE_UNAVAILABLE` when the block holds
   * on this instance only, until the store is back.
   */
  async blockIP(ip: string, options: BlockOptions = {}): Promise<Block> {
    const { forMs = DEFAULT_BLOCK_MS } = options;
    const network = this.#blockable(ip);
    if (!(forMs >= 1 && forMs <= MAX_BLOCK_MS)) {
      throw invalid("forMs", `is not 1 to ${MAX_BLOCK_MS} milliseconds`);
    }
    if (!this.#makeRoom(network.text)) {
      throw new Refusal("FORBIDDEN", "Block list is full; unblock some first");
    }
    const since = this.#clock.now();
    const block: Block = {
      ip: network.text,
      reason: (options.reason ?? "blocked by an operator")
        .slice(0, MAX_TEXT_LENGTH),
      by: (options.by ?? "operator").slice(0, MAX_TEXT_LENGTH),
      since,
      until: since + forMs,
      level: 0,
    };
    await this.#set.put(block.ip, block);
    return block;
  }

  /**
   * Asks whether an address or a network may be blocked.
   *
   * @param ip an address or a CIDR, IPv4 or IPv6.
   * @throws {Refusal} as {@link blockIP} for `ip`.
   */
  requireBlockable(ip: string): void {
    this.#blockable(ip);
  }

  /**
   * Ends a block, and forgets how often the address was blocked before.
   *
   * @param ip as it was blocked: a block of a network is not lifted for one
   * of its addresses, but for a /64 of IPv6.
   * @returns whether it was blocked.
   * @throws {Refusal} `INVALID_PAYLOAD` when `ip` is neither address nor CIDR;
   * `STORE_UNAVAILABLE` when it is lifted on this instance only, until KV is
   * back.
   */
  async unblockIP(ip: string): Promise<boolean> {
    const blocks = [networkOf(ip), networkOf(ip, callerNetwork)]
      .map(({ text }) => this.#set.get(text)).filter((block) =>
        block !== undefined
      );
    const wasBlocked = blocks.some((block) => this.#holds(block));
    await Promise.all(blocks.map(({ ip }) => this.#set.delete(ip)));
    return wasBlocked;
  }

  /** The blocks in force, latest first. */
  list(): Block[] {
    return [...this.#set.values()].filter((block) => this.#holds(block))
      .sort((a, b) => b.since - a.since);
  }

  /**
   * Whether an address is blocked, at once.
   *
   * @param ip in whatever spelling; what is no address is not blocked.
   */
  isBlocked(ip: string): boolean {
    return this.blockOf(ip) !== undefined;
  }

  /**
   * The block that an address falls under: the one that ends last.
   *
   * @param ip in whatever spelling.
   */
  blockOf(ip: string): Block | undefined {
    const address = parseAddress(ip);
    if (!address || !this.#allowed.holding(address).next().done) {
      return undefined;
    }
    let last: Block | undefined;
    for (const block of this.#blocks.holding(address)) {
      if (!this.#holds(block)) continue;
      if (!last || block.until > last.until) last = block;
    }
    return last;
  }

  /**
   * Counts a violation. More than {@link MAX_VIOLATIONS} within
   * {@link VIOLATION_WINDOW_MS}, on all instances together, block the address
   * (IPv6: its /64), each time for longer.
   *
   * @param ip of the caller.
   * @param reason what it did, for people.
   * @returns the block, if the address is blocked now.
   */
  violation(ip: string, reason: string): Block | undefined {
    const address = parseAddress(ip);
    if (!address || !this.#allowed.holding(address).next().done) {
      return undefined;
    }
    const bucket = bucketOf(ip);
    if (this.#violations.take(bucket) === 0) return this.blockOf(ip);
    const standing = this.blockOf(ip);
    if (standing) return standing;
    const level = (this.#set.get(bucket)?.level ?? 0) + 1;
    const forMs = AUTOMATIC_BLOCK_MS[
      Math.min(level, AUTOMATIC_BLOCK_MS.length) - 1
    ]!;
    if (!this.#makeRoom(bucket)) return undefined;
    const since = this.#clock.now();
    const block: Block = {
      ip: bucket,
      reason: reason.slice(0, MAX_TEXT_LENGTH),
      by: AUTOMATIC,
      since,
      until: since + forMs,
      level,
    };
    // It holds here at once, and elsewhere when the store is back.
    this.#set.put(bucket, block).catch(() => {});
    return block;
  }

  /**
   * Registers for blocks that take effect, here or on another instance, so
   * that open sockets can be closed.
   *
   * @param listener receives the new blocks; must not throw.
   * @returns ends the registration when disposed.
   */
  onBlocked(listener: (blocks: readonly Block[]) => void): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
  }

  /** Stops watching. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#set[Symbol.asyncDispose]();
    await this.#violations[Symbol.asyncDispose]();
  }

  #blockable(ip: string): Network {
    const network = networkOf(ip);
    const isIPv4 = network.bytes.length === 4;
    const least = isIPv4 ? MIN_PREFIX.ipv4 : MIN_PREFIX.ipv6;
    if (network.prefix < least) {
      throw invalid("ip", `is wider than /${least}`);
    }
    if (!this.#allowed.holding(network).next().done) {
      throw new Refusal("FORBIDDEN", "Address is on the allow-list");
    }
    return networkOf(ip, callerNetwork);
  }

  #holds({ until }: Block): boolean {
    return until > this.#clock.now();
  }

  #changed({ put, deleted }: Change<Block>): void {
    for (const [ip] of deleted) this.#blocks.delete(parseNetwork(ip)!);
    for (const [ip, block] of put) this.#blocks.set(parseNetwork(ip)!, block);
    const inForce = put.map(([, block]) => block)
      .filter((block) => this.#holds(block));
    if (inForce.length === 0) return;
    for (const listener of this.#listeners) listener(inForce);
  }

  /**
   * Makes room in a full list: drops the automatic block that ends first.
   * Blocks by hand are never dropped.
   */
  #makeRoom(ip: string): boolean {
    if (!this.#set.isFull || this.#set.get(ip)) return true;
    let least: Block | undefined;
    for (const block of this.#set.values()) {
      if (block.level === 0) continue;
      if (!least || block.until < least.until) least = block;
    }
    if (!least) return false;
    this.#set.delete(least.ip).catch(() => {});
    return !this.#set.isFull;
  }
}

function networkOf(ip: string, read = parseNetwork): Network {
  const network = read(ip.trim());
  if (!network) throw invalid("ip", "is neither an address nor a CIDR");
  return network;
}

function invalid(path: string, what: string): Refusal {
  return new Refusal("INVALID_PAYLOAD", `${path} ${what}`, {
    issues: [{ path, message: what }],
  });
}
