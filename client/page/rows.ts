/**
 * What the page shows of the chain, a row at a time.
 *
 * @module
 */
import type { PayloadOf } from "../../protocol/messages.ts";

/** A block, as the list shows it. */
export interface BlockRow {
  /** Its `blockId`. */
  readonly id: string;
  /** Blocks above genesis. */
  readonly height: number;
  /** Epoch milliseconds. */
  readonly at: number;
  /** The chain it belongs to; `""` for the channel's default chain. */
  readonly chain: string;
  /** Whether it left the chain. */
  readonly isReverted: boolean;
  /** Its hash, or `blockId` when it has none. */
  readonly hash: string;
  /** Who proposed it; `""` when unknown. */
  readonly validator: string;
  /** How many it holds. */
  readonly transactions: number;
  /** Bytes; 0 when unknown. */
  readonly size: number;
  /** Share of the gas limit, 0 to 1; absent when unknown. */
  readonly fullness: number | undefined;
}

/** The finality of a block, or that it is reverted. */
export type Level = "new" | "safe" | "final" | "reverted";

/** Status of a transaction. */
export type TransactionStatus = PayloadOf<"TX_RECEIVED">["status"];

/** A transaction. */
export interface TransactionRow {
  /** Its `txId`. */
  readonly id: string;
  /** Sender. */
  readonly from: string;
  /** Recipient. */
  readonly to: string;
  /** Decimal string. */
  readonly amount: string;
  /** Its status. */
  readonly status: TransactionStatus;
  /** The chain it belongs to; `""` for the channel's default chain. */
  readonly chain: string;
  /** Height of the block that holds it; absent outside of one. */
  readonly height: number | undefined;
  /** Whether it is pending again, since its block left the chain. */
  readonly isReverted: boolean;
  /** When it was first seen, epoch milliseconds. */
  readonly since: number;
  /** When it was settled; absent while pending. */
  readonly settledAt: number | undefined;
}

/** A validator and its record. */
export interface ValidatorRow {
  /** Its `validatorId`. */
  readonly id: string;
  /** Decimal string; absent when unknown. */
  readonly stake: string | undefined;
  /** Whether it takes part. */
  readonly active: boolean;
  /** What it did last. */
  readonly last: PayloadOf<"VALIDATOR_EVENT">["eventType"];
  /** Blocks proposed. */
  readonly proposed: number;
  /** Votes seen. */
  readonly voted: number;
  /** Fines seen. */
  readonly slashed: number;
  /** Percent; absent when unknown. */
  readonly uptime: number | undefined;
}

/** How a node of the network is. */
export type NodeState = PayloadOf<"NODE_STATUS">["status"];

/** A node of the network. */
export interface NodeRow {
  /** Its `nodeId`. */
  readonly id: string;
  /** How it is. */
  readonly status: NodeState;
  /** The states before this one, oldest first. */
  readonly way: readonly NodeState[];
  /** Where it is. */
  readonly region: string | undefined;
  /** Blocks above genesis that it knows. */
  readonly height: number | undefined;
  /** Nodes it is connected to. */
  readonly peers: number | undefined;
  /** Milliseconds. */
  readonly latency: number | undefined;
}

/** An alert. */
export interface AlertRow {
  /** Unique. */
  readonly key: string;
  /** What kind of alert. */
  readonly kind: string;
  /** How bad. */
  readonly severity: PayloadOf<"ALERT_TRIGGERED">["severity"];
  /** A sentence. */
  readonly message: string;
  /** What it is about. */
  readonly subject: string | undefined;
  /** Whether it is over. */
  readonly resolved: boolean;
  /** Epoch milliseconds. */
  readonly at: number;
}

/** A vertex of the DAG. */
export interface Vertex {
  /** Its `nodeId`. */
  readonly id: string;
  /** Column, growing with time. */
  readonly layer: number;
  /** As the chain gave it; 1 when unknown. */
  readonly weight: number;
  /** What it builds on. */
  readonly parents: Set<string>;
  /** Whether anything is known to build on it. */
  hasChildren: boolean;
  /** Running number of its arrival. */
  readonly order: number;
}

/** One second of measurements. */
export interface Sample {
  /** Epoch seconds. */
  readonly second: number;
  /** Live events taken; a replay would dwarf them. */
  readonly events: number;
  /**
   * Middle latency of live events, in milliseconds; absent without any,
   * `null` without a connection.
   */
  readonly latency: number | null | undefined;
}
