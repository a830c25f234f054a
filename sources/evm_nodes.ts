/**
 * Several nodes of one chain as one: the head is the one that most of them
 * agree on, so that a node that lags, forks or fails has no effect.
 *
 * @module
 */
import { backoffMs } from "../platform/backoff.ts";
import { within } from "../platform/deadline.ts";
import { pause } from "../platform/pause.ts";
import type { Random } from "../platform/random.ts";
import { connect } from "./evm_node.ts";
import type { ConnectOptions } from "./evm_node.ts";
import { NodeFault } from "./evm_view.ts";
import type {
  EvmBlock,
  EvmHead,
  EvmNode,
  EvmTransaction,
  EvmVitals,
  FinalityLevel,
} from "./evm_view.ts";
import { RETRY } from "./retrying_publisher.ts";
import { describe } from "./source.ts";
import type { Log } from "./source.ts";

/** How long the others are waited for once one is connected, in milliseconds. */
const GATHER_MS = 2_000;
/** How long a node may take to name its head and count, in milliseconds. */
const HEAD_MS = 3_000;
/**
 * How long a head may stay unchanged, while another's moves, until its node no
 * longer counts, in milliseconds.
 */
export const STUCK_MS = 60_000;

/** What connecting to several nodes needs. */
export interface ConnectAllOptions extends Omit<ConnectOptions, "url"> {
  /** Addresses; may hold providers' keys. */
  readonly urls: readonly string[];
  /** Jitter: uniform in [0, 1). */
  readonly random: Random;
  /** Records nodes that are lost or of another chain. */
  readonly log: Log;
}

/**
 * Connects to nodes.
 *
 * @param options their addresses, and who receives what they report.
 * @returns once one is connected; the others join when they can.
 * @throws when none can be reached.
 */
export async function connectAll(
  { urls, ...options }: ConnectAllOptions,
): Promise<EvmNode> {
  const [url] = urls;
  if (urls.length === 1 && url) return await connect({ ...options, url });
  return await NodeGroup.open({ urls, ...options });
}

/** One of several nodes. */
interface Member {
  readonly url: string;
  node: EvmNode | undefined;
  head: EvmHead | undefined;
  isJoining: boolean;
  /** When its head moved, on the monotonic clock. */
  movedAt: number;
}

class NodeGroup implements EvmNode {
  readonly chainId: number;
  readonly #options: ConnectAllOptions;
  readonly #members: readonly Member[];
  readonly #end: AbortController;
  readonly #signal: AbortSignal;
  readonly #joining: Promise<void>[];
  /** Those that have the agreed head, the ones to ask. */
  #voters: readonly EvmNode[];

  private constructor(
    options: ConnectAllOptions,
    members: readonly Member[],
    end: AbortController,
  ) {
    this.#options = options;
    this.#members = members;
    this.#end = end;
    this.#signal = options.signal;
    const nodes = connected(members);
    this.chainId = mostCommon(nodes.map(({ chainId }) => chainId));
    this.#voters = nodes.filter(({ chainId }) => chainId === this.chainId);
    this.#joining = members.map((member) => this.#keepJoined(member));
  }

  static async open(outer: ConnectAllOptions): Promise<NodeGroup> {
    const end = new AbortController();
    const signal = AbortSignal.any([outer.signal, end.signal]);
    const options = { ...outer, signal };
    const { urls, clock } = options;
    const now = clock.monotonic();
    const members = urls.map((url): Member => ({
      url,
      node: undefined,
      head: undefined,
      isJoining: false,
      movedAt: now,
    }));
    const group = Promise.withResolvers<NodeGroup>();
    const onClosed = (member: Member) => {
      member.node = undefined;
      void group.promise.then((it) => it.lost(member));
    };
    const joins = members.map((member) => join(member, options, onClosed));
    const all = Promise.allSettled(joins);
    try {
      await Promise.any(joins);
    } catch {
      throw new Error("None of the nodes can be reached");
    }
    await Promise.race([all, pause(clock, GATHER_MS, signal)]);
    group.resolve(new NodeGroup(options, members, end));
    return await group.promise;
  }

  /** A member's connection ended. */
  lost(member: Member): void {
    if (this.#end.signal.aborted) return;
    this.#options.log("source_node_left", { node: hostOf(member.url) });
    if (connected(this.#members).length === 0) this.#options.onClosed();
  }

  async head(): Promise<EvmHead> {
    const { clock } = this.#options;
    const members = this.#members.filter(({ node }) => this.#isOurs(node));
    if (members.length === 0) {
      throw new Error("Connection to the nodes was lost");
    }
    const answers = await Promise.all(members.map(async (member) => {
      try {
        const work = member.node!.head();
        const head = await within(clock, HEAD_MS, "A node", work, this.#signal);
        if (member.head?.hash !== head.hash) {
          member.movedAt = clock.monotonic();
        }
        member.head = head;
        return { member, node: member.node!, head };
      } catch {
        return undefined;
      }
    }));
    this.#signal.throwIfAborted();
    const found = answers.filter((answer) => answer !== undefined);
    const newest = Math.max(...found.map(({ member }) => member.movedAt));
    const moving = found.filter(({ member }) =>
      newest - member.movedAt < STUCK_MS
    );
    const { head, voters } = await agreedOn(moving, this.#voters);
    this.#voters = voters;
    return head;
  }

  headAt(height: number): Promise<EvmHead | undefined> {
    return this.#first((node) => node.headAt(height));
  }

  async block(height: number, hash?: string): Promise<EvmBlock | undefined> {
    let best: EvmBlock | undefined;
    await this.#first(async (node) => {
      const block = await node.block(height, hash);
      if (!best || best.missing.length > 0) best = block ?? best;
      return block && block.missing.length === 0 ? block : undefined;
    });
    return best;
  }

  level(level: FinalityLevel): Promise<EvmHead | undefined> {
    return this.#first((node) => node.level(level));
  }

  transaction(hash: string): Promise<EvmTransaction | undefined> {
    return this.#first((node) => node.transaction(hash));
  }

  async vitals(): Promise<EvmVitals> {
    const vitals = await this.#first((node) => node.vitals());
    if (!vitals) throw new NodeFault("No node answers");
    return vitals;
  }

  async close(): Promise<void> {
    this.#end.abort(new Error("Connection to the nodes was ended"));
    await Promise.all(this.#joining);
    await Promise.all(connected(this.#members).map((node) => node.close()));
  }

  #isOurs(node: EvmNode | undefined): node is EvmNode {
    return node?.chainId === this.chainId;
  }

  /**
   * Asks one node after the other until one has an answer.
   *
   * @throws the last one's error, when all failed.
   */
  async #first<T>(
    ask: (node: EvmNode) => Promise<T | undefined>,
  ): Promise<T | undefined> {
    let failure: unknown;
    let answers = 0;
    for (const node of this.#voters) {
      try {
        const answer = await ask(node);
        if (answer !== undefined) return answer;
        answers++;
      } catch (error) {
        this.#signal.throwIfAborted();
        failure = error;
      }
    }
    if (answers > 0) return undefined;
    // One lost connection of several is no loss of the connection.
    throw new NodeFault(`No node answers: ${describe(failure)["message"]}`);
  }

  /** Connects a member again whenever it is not. Never throws. */
  async #keepJoined(member: Member): Promise<void> {
    const { clock, random, log } = this.#options;
    const onClosed = (member: Member) => {
      member.node = undefined;
      this.lost(member);
    };
    for (let attempt = 4; !this.#signal.aborted; attempt++) {
      await pause(clock, backoffMs(attempt, RETRY, random), this.#signal);
      if (member.node || this.#signal.aborted) continue;
      try {
        await join(member, this.#options, onClosed);
        if (this.#isOurs(member.node)) continue;
        log("source_node_other_chain", { node: hostOf(member.url) });
      } catch {
        // Tried again.
      }
    }
  }
}

async function join(
  member: Member,
  { urls: _, ...options }: ConnectAllOptions,
  onClosed: (member: Member) => void,
): Promise<void> {
  if (member.isJoining) return;
  member.isJoining = true;
  try {
    member.node = await connect({
      ...options,
      url: member.url,
      onClosed: () => onClosed(member),
    });
    member.movedAt = options.clock.monotonic();
  } finally {
    member.isJoining = false;
  }
}

interface Shown {
  readonly node: EvmNode;
  readonly head: EvmHead;
}

/**
 * The newest head that more than half of the nodes have; where none is, that
 * which most have, before that of the nodes followed so far.
 */
async function agreedOn(
  shown: readonly Shown[],
  before: readonly EvmNode[],
): Promise<{ head: EvmHead; voters: EvmNode[] }> {
  const heads = [
    ...new Map(shown.map(({ head }) => [head.hash, head])).values(),
  ]
    .sort((a, b) => b.height - a.height);
  const results: { head: EvmHead; voters: EvmNode[]; weight: number }[] = [];
  for (const head of heads) {
    const votes = await Promise.all(shown.map(async (it) => {
      if (it.head.hash === head.hash) return true;
      if (it.head.height <= head.height) return false;
      try {
        return (await it.node.headAt(head.height))?.hash === head.hash;
      } catch {
        return false;
      }
    }));
    const voters = shown.filter((_, at) => votes[at]).map(({ node }) => node);
    if (voters.length * 2 > shown.length) return { head, voters };
    const isKnown = voters.some((node) => before.includes(node));
    results.push({ head, voters, weight: voters.length + (isKnown ? 0.5 : 0) });
  }
  const best = results.reduce<typeof results[number] | undefined>(
    (best, it) => !best || it.weight > best.weight ? it : best,
    undefined,
  );
  if (!best) throw new NodeFault("No node shows its head");
  return best;
}

function connected(members: readonly Member[]): EvmNode[] {
  return members.map(({ node }) => node).filter((node) => node !== undefined);
}

function mostCommon(ids: readonly number[]): number {
  const count = (id: number) => ids.filter((other) => other === id).length;
  return ids.reduce((best, id) => count(id) > count(best) ? id : best);
}

function hostOf(url: string): string {
  return new URL(url).host;
}
