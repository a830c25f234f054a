/**
 * A node of an EVM chain as the source sees it, whatever carries the questions.
 *
 * @module
 */

/** A transaction, as a node tells it. */
export interface EvmTransaction {
  /** Its name. */
  readonly hash: string;
  /** Who signed it. */
  readonly from: string;
  /** Whom it calls, or the contract that it creates. */
  readonly to: string;
  /** Wei. */
  readonly value: bigint;
  /** Wei for each gas: as paid, or else as offered at most. */
  readonly gasPrice: bigint;
  /** Most gas it may use. */
  readonly gas: bigint;
  /** Which of its sender's it is. */
  readonly nonce: number;
  /** Call data, hexadecimal. */
  readonly input: string;
  /** What became of it; nothing while it is pending. */
  readonly outcome: {
    readonly succeeded: boolean;
    readonly gasUsed: bigint;
  } | undefined;
}

/** A block with its transactions and what became of them. */
export interface EvmBlock {
  /** Its name. */
  readonly hash: string;
  /** The block before it. */
  readonly parentHash: string;
  /** Blocks above genesis. */
  readonly height: number;
  /** Epoch milliseconds. */
  readonly timestampMs: number;
  /** Who made it. */
  readonly miner: string | undefined;
  /** Bytes. */
  readonly size: bigint | undefined;
  /** Of all its transactions. */
  readonly gasUsed: bigint | undefined;
  /** Most gas that its transactions may use. */
  readonly gasLimit: bigint | undefined;
  /** In their order. */
  readonly transactions: readonly EvmTransaction[];
}

/** How a node fares; what it does not tell is absent. */
export interface EvmVitals {
  /** Its program and version. */
  readonly version: string | undefined;
  /** How many it is connected to. */
  readonly peers: number | undefined;
  /** Whether it says that it has yet to catch up with its chain. */
  readonly syncing: boolean;
  /** Milliseconds from a question to its answer. */
  readonly latencyMs: number;
}

/** A node, for as long as the connection to it lasts. */
export interface EvmNode {
  /** Which chain it follows. */
  readonly chainId: number;
  /** Its newest block. */
  head(): Promise<Pick<EvmBlock, "height" | "hash" | "timestampMs">>;
  /** The hash of a block; nothing when it has none of that height. */
  hashAt(height: number): Promise<string | undefined>;
  /** A whole block; nothing when it has none, or not all of it, just now. */
  block(height: number): Promise<EvmBlock | undefined>;
  /** A transaction that is pending; nothing when it is not, or no more. */
  pending(hash: string): Promise<EvmTransaction | undefined>;
  /** How it fares. */
  vitals(): Promise<EvmVitals>;
  /** Ends the connection; questions under way fail. */
  close(): Promise<void>;
}

/** What connecting to a node needs. */
export interface NodeOptions {
  /** `ws:` or `wss:`; may hold a provider's key. */
  readonly url: string;
  /** Gives up connecting. */
  readonly signal: AbortSignal;
  /** Called when there may be a new head. */
  readonly onHead: () => void;
  /** Called with the hash of a transaction that is pending. */
  readonly onPending: (hash: string) => void;
  /** Called once, when the connection is no more. */
  readonly onClosed: () => void;
}

/** A node answered, but not with what was asked for; it may another time. */
export class NodeFault extends Error {
  /** Lets a log tell it from a lost connection. */
  override readonly name = "NodeFault";
  /** What the node called it, when it said so. */
  readonly code: unknown;

  /** Says what was asked, and what the node said of it. */
  constructor(message: string, code?: unknown) {
    super(message);
    this.code = code;
  }
}
