/**
 * A source that follows an EVM chain: every block is published once, in order,
 * and reverted blocks are reported before the blocks that replace them.
 *
 * @module
 */
import { systemClock } from "../platform/clock.ts";
import type { Clock } from "../platform/clock.ts";
import { systemRandom } from "../platform/random.ts";
import type { Random } from "../platform/random.ts";
import { Follower } from "./evm_follower.ts";
import type { OpenRpc } from "./json_rpc.ts";
import { RetryingPublisher } from "./retrying_publisher.ts";
import type { Log, Publisher, Source } from "./source.ts";

/** Longest wait for a new head before it is requested, in milliseconds. */
export const POLL_MS = 2_000;
/** Most nodes of one chain. */
export const MAX_NODES = 16;

/** What an EVM source needs. */
export interface EvmSourceOptions {
  /**
   * The nodes: `ws:`, `wss:`, `http:` or `https:` URLs, separated by commas.
   * Of several, the head that most of them agree on is followed.
   */
  readonly rpcUrl: string;
  /** Where messages go, and published events are read from. */
  readonly publisher: Publisher;
  /** Records breaks, reorganisations and faults. */
  readonly log: Log;
  /** The node's name in `NODE_STATUS`; the first URL's host when absent. */
  readonly nodeId?: string | undefined;
  /** Height of the first block, where none was published before. */
  readonly from?: number | undefined;
  /** Blocks above one that make it final; the node's own levels when absent. */
  readonly finalAfter?: number | undefined;
  /** Measures waits, dates messages. */
  readonly clock?: Clock;
  /** Jitter: uniform in [0, 1). */
  readonly random?: Random;
  /** Longest message the service takes, in bytes of UTF-8. */
  readonly maxMessageBytes?: number | undefined;
  /** Longest wait for a new head before it is requested, in milliseconds. */
  readonly pollMs?: number;
  /** Opens connections to nodes. */
  readonly open?: OpenRpc;
}

/**
 * Makes a source that follows an EVM chain.
 *
 * @param options the nodes, the publisher and the log.
 * @throws {TypeError} when `rpcUrl` is not a list of addresses of nodes.
 */
export function evmSource(options: EvmSourceOptions): Source {
  const urls = readRpcUrls(options.rpcUrl);
  const {
    log,
    nodeId = new URL(urls[0]!).host,
    clock = systemClock,
    random = systemRandom,
    pollMs = POLL_MS,
    from,
    finalAfter,
  } = options;
  const publisher = new RetryingPublisher({ ...options, clock, random });
  return {
    async run(signal) {
      // Loaded only where a node is followed.
      const { openRpc } = await import("./json_rpc.ts");
      const { connectAll } = await import("./evm_nodes.ts");
      const open = options.open ?? openRpc;
      const follower = new Follower({
        connect: (listener, signal) =>
          connectAll({ ...listener, urls, signal, clock, random, open, log }),
        ...{ publisher, log, nodeId, clock, random, pollMs, from, finalAfter },
      });
      try {
        await follower.run(signal);
      } catch (error) {
        if (!signal.aborted) throw error;
      }
    },
  };
}

/**
 * Reads the addresses of nodes.
 *
 * @param text URLs, separated by commas.
 * @throws {TypeError} a sentence without the addresses, which may hold keys.
 */
export function readRpcUrls(text: string): string[] {
  const urls = text.split(/,(?=\w+:)/).map((url) => url.trim());
  const areUrls = urls.every((url) =>
    URL.canParse(url) && /^(?:ws|http)s?:$/.test(new URL(url).protocol)
  );
  if (!areUrls || urls.length > MAX_NODES) {
    throw new TypeError(
      `Expected up to ${MAX_NODES} ws:, wss:, http: or https: URLs of nodes`,
    );
  }
  return urls;
}
