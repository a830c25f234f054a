/**
 * A node of an EVM chain as the source sees it, whatever carries the requests.
 * What a node does not show, or shows in a form that cannot be read, is absent.
 *
 * @module
 */

/** A block's place in the chain. Hashes are lower case. */
export interface EvmHead {
  /** Its name. */
  readonly hash: string;
  /** The block before it. */
  readonly parentHash: string;
  /** Blocks above genesis. */
  readonly height: number;
  /** Epoch milliseconds. */
  readonly timestampMs: number;
}

/** An event that a contract wrote. */
export interface EvmLog {
  /** The contract, lower case. */
  readonly address: string;
  /** Up to four words, hexadecimal. */
  readonly topics: readonly string[];
  /** Hexadecimal. */
  readonly data: string;
  /** Its place in the block. */
  readonly logIndex: number | undefined;
}

/** What became of a mined transaction, from its receipt. */
export interface EvmOutcome {
  /** `false` only when the receipt has that status. */
  readonly succeeded: boolean;
  /** Gas it used. */
  readonly gasUsed: bigint | undefined;
  /** Wei for each gas, as paid. */
  readonly gasPrice: bigint | undefined;
  /** In their order. */
  readonly logs: readonly EvmLog[];
}

/** A transaction. Addresses are lower case. */
export interface EvmTransaction {
  /** Its name. */
  readonly hash: string;
  /** Its sender. */
  readonly from: string | undefined;
  /** The account it calls, or the contract that it creates. */
  readonly to: string | undefined;
  /** The contract that it creates. */
  readonly creates: string | undefined;
  /** Wei. */
  readonly value: bigint | undefined;
  /** Wei for each gas: at most. */
  readonly gasPrice: bigint | undefined;
  /** Fee cap of EIP-1559, wei for each gas. */
  readonly maxFeePerGas: bigint | undefined;
  /** Tip cap of EIP-1559, wei for each gas. */
  readonly maxPriorityFeePerGas: bigint | undefined;
  /** Fee cap of EIP-4844, wei for each blob gas. */
  readonly maxFeePerBlobGas: bigint | undefined;
  /** Blobs of EIP-4844, by versioned hash. */
  readonly blobVersionedHashes: readonly string[] | undefined;
  /** Accounts that authorize code, EIP-7702: the code's addresses. */
  readonly authorizations: readonly string[] | undefined;
  /** Most gas it may use. */
  readonly gas: bigint | undefined;
  /** Its number among its sender's. */
  readonly nonce: number | undefined;
  /** Call data, hexadecimal. */
  readonly input: string | undefined;
  /** Type of EIP-2718. */
  readonly kind: number | undefined;
  /** The block that holds it; absent while it is pending. */
  readonly blockHash: string | undefined;
  /** What became of it; absent while it is pending or not known. */
  readonly outcome: EvmOutcome | undefined;
  /** Fields of the protocol that could not be read. */
  readonly missing: readonly string[];
}

/** A block with its transactions and what became of them. */
export interface EvmBlock extends EvmHead {
  /** Its maker, lower case. */
  readonly miner: string | undefined;
  /** Bytes. */
  readonly size: bigint | undefined;
  /** Of all its transactions. */
  readonly gasUsed: bigint | undefined;
  /** Most gas that its transactions may use. */
  readonly gasLimit: bigint | undefined;
  /** Wei for each gas. */
  readonly baseFee: bigint | undefined;
  /** In their order. */
  readonly transactions: readonly EvmTransaction[];
  /** How many the node listed, readable or not. */
  readonly transactionCount: number;
  /** Fields of the protocol that could not be read. */
  readonly missing: readonly string[];
}

/** How a node is doing. */
export interface EvmVitals {
  /** Its program and version. */
  readonly version: string | undefined;
  /** How many it is connected to. */
  readonly peers: number | undefined;
  /** Whether it reports that it has yet to catch up with its chain. */
  readonly syncing: boolean;
  /** Milliseconds from a request to its answer. */
  readonly latencyMs: number;
}

/** How sure a block is to stay. */
export type FinalityLevel = "safe" | "final";

/**
 * A node, for as long as the connection to it lasts. Every method throws
 * {@link NodeFault} when the node answers with an error or nonsense, and other
 * errors when the connection is lost.
 */
export interface EvmNode {
  /** Which chain it follows. */
  readonly chainId: number;
  /** Its newest block. */
  head(): Promise<EvmHead>;
  /** A block's place; `undefined` when the node has none of that height. */
  headAt(height: number): Promise<EvmHead | undefined>;
  /**
   * A whole block; `undefined` when the node has none at that height.
   *
   * @param hash asked for where the node does not show the height.
   */
  block(height: number, hash?: string): Promise<EvmBlock | undefined>;
  /** The newest block of a level; `undefined` when the node has no levels. */
  level(level: FinalityLevel): Promise<EvmHead | undefined>;
  /** A transaction, pending or mined; `undefined` when it is not known. */
  transaction(hash: string): Promise<EvmTransaction | undefined>;
  /** How it is doing. */
  vitals(): Promise<EvmVitals>;
  /** Ends the connection; requests under way fail. */
  close(): Promise<void>;
}

/** Receives what a node reports by itself. */
export interface NodeListener {
  /** There may be a new head. */
  readonly onHead: () => void;
  /** A transaction is pending: its hash, or all of it where the node sends it. */
  readonly onPending: (found: string | EvmTransaction) => void;
  /** The connection ended; called once. */
  readonly onClosed: () => void;
}

/** A node answered, but not with what was asked for; it may another time. */
export class NodeFault extends Error {
  /** Distinguishes it from a lost connection in logs. */
  override readonly name = "NodeFault";
  /** The node's own code, when it gave one. */
  readonly code: unknown;

  /** Names the request and the reason. */
  constructor(message: string, code?: unknown) {
    super(message);
    this.code = code;
  }
}

/**
 * A block of which a node returns only its height and hash.
 *
 * @param head its name and place; its time is a guess.
 */
export function nameOnly(head: EvmHead): EvmBlock {
  return {
    ...head,
    miner: undefined,
    size: undefined,
    gasUsed: undefined,
    gasLimit: undefined,
    baseFee: undefined,
    transactions: [],
    transactionCount: 0,
    missing: ["transactions", "timestamp"],
  };
}
