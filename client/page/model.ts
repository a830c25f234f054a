/**
 * What the page knows of the chain. Every event is counted and taken; only
 * what is shown is bounded, and drawing looks here when it has time.
 *
 * @module
 */
import type { AnyEvent, PayloadOf } from "../../protocol/messages.ts";
import { Blocks } from "./blocks.ts";
import type {
  AlertRow,
  NodeRow,
  Sample,
  TransactionRow,
  TransactionStatus,
  ValidatorRow,
  Vertex,
} from "./rows.ts";
import { transactionRow } from "./transactions.ts";

/** Transactions kept; the longest untouched leave first. */
export const MAX_TRANSACTIONS = 1000;
/** Validators kept; the longest silent leave first. */
export const MAX_VALIDATORS = 200;
/** Nodes of the network kept; the longest silent leave first. */
export const MAX_NODES = 200;
/** Alerts kept, newest first. */
export const MAX_ALERTS = 50;
/** Vertices of the DAG kept; the oldest leave first. */
export const MAX_VERTICES = 160;
/** Parents remembered of one vertex. */
export const MAX_PARENTS = 16;
/** Seconds of measurements kept. */
export const MAX_SAMPLES = 120;
/** Latencies considered for one second. */
export const MAX_LATENCIES_PER_SAMPLE = 256;
/** Earlier states kept of a node, `SYNCING` to `ONLINE`. */
export const MAX_NODE_STEPS = 4;

/** The parts of the model, each with its own revision. */
export type Part =
  | "blocks"
  | "transactions"
  | "validators"
  | "nodes"
  | "alerts"
  | "dag"
  | "samples";

/** Everything the page shows of the chain. */
export class ChainModel {
  /** How often each part changed: a drawing is stale when its number is. */
  readonly revisions: Record<Part, number> = {
    blocks: 0,
    transactions: 0,
    validators: 0,
    nodes: 0,
    alerts: 0,
    dag: 0,
    samples: 0,
  };
  /** The newest blocks, and the finality of each. */
  readonly blocks: Blocks = new Blocks();
  /** Vertices by identity, oldest first. */
  readonly vertices: Map<string, Vertex> = new Map();
  #alerts: AlertRow[] = [];
  readonly #transactions = new Map<string, TransactionRow>();
  readonly #validators = new Map<string, ValidatorRow>();
  readonly #nodes = new Map<string, NodeRow>();
  readonly #samples: Sample[] = [];
  #second = 0;
  #events = 0;
  #latencies: number[] = [];
  #order = 0;
  #total = 0;
  #replayed = 0;
  readonly #counts = {
    pending: 0,
    confirmed: 0,
    failed: 0,
    replaced: 0,
    dropped: 0,
  };

  /** Events taken since the page opened. */
  get total(): number {
    return this.#total;
  }

  /** Those of them that are from history. */
  get replayed(): number {
    return this.#replayed;
  }

  /** The newest {@link MAX_ALERTS}, newest first. */
  get alerts(): readonly AlertRow[] {
    return this.#alerts;
  }

  /** The last {@link MAX_SAMPLES} seconds, oldest first. */
  get samples(): readonly Sample[] {
    return this.#samples;
  }

  /** Transactions on screen that wait, and settled ones since the start. */
  get transactionCounts(): Readonly<Record<TransactionStatus, number>> {
    return this.#counts;
  }

  /** The transactions touched last, newest first. */
  transactions(limit: number): TransactionRow[] {
    return newest(this.#transactions, limit);
  }

  /** Validators, active ones first, then by identity. */
  validators(): ValidatorRow[] {
    return [...this.#validators.values()].sort((a, b) =>
      Number(b.active) - Number(a.active) || compareNames(a.id, b.id)
    );
  }

  /** How many validators are active, and how many nodes of how many online. */
  get standing(): { active: number; online: number; nodes: number } {
    let active = 0;
    let online = 0;
    for (const row of this.#validators.values()) active += Number(row.active);
    for (const { status } of this.#nodes.values()) {
      online += Number(status === "ONLINE");
    }
    return { active, online, nodes: this.#nodes.size };
  }

  /** Nodes of the network by identity. */
  nodes(): NodeRow[] {
    return [...this.#nodes.values()].sort((a, b) => compareNames(a.id, b.id));
  }

  /**
   * Takes an event.
   *
   * @param event as the client delivered it.
   * @param latency milliseconds it travelled, when known.
   */
  take(event: AnyEvent, latency?: number): void {
    this.#total++;
    if (event.replay) this.#replayed++;
    else {
      this.#events++;
      if (
        latency !== undefined &&
        this.#latencies.length < MAX_LATENCIES_PER_SAMPLE
      ) this.#latencies.push(latency);
    }

    const at = Date.parse(event.timestamp);
    if (event.type === "NEW_BLOCK") this.#takeBlock(event.payload, at);
    else if (event.type === "BLOCK_REVERTED") {
      this.#judge(() => this.blocks.revert(event.payload));
    } else if (event.type === "FINALITY") {
      this.#judge(() => this.blocks.settle(event.payload));
    } else if (event.type === "CHAIN_RESET") {
      // The channels of transactions and logs repeat it.
      if (event.channel !== "blocks") return;
      this.#judge(() => this.blocks.reset(event.payload));
    } else if (event.type === "TX_RECEIVED") {
      this.#takeTransaction(event.payload, at);
    } else if (event.type === "VALIDATOR_EVENT") {
      this.#takeValidator(event.payload);
    } else if (event.type === "NODE_STATUS") this.#takeNode(event.payload);
    else if (event.type === "ALERT_TRIGGERED") {
      this.#takeAlert(event.payload, event.id, at);
    } else if (event.type === "DAG_UPDATE") this.#takeDag(event.payload);
  }

  /**
   * Closes the seconds that ended before `now` into samples.
   *
   * @param now epoch milliseconds.
   * @param isConnected whether events can arrive.
   */
  tick(now: number, isConnected = true): void {
    const second = Math.floor(now / 1000);
    if (this.#second === 0 || second < this.#second) this.#second = second;
    // A tab that slept for an hour measured nothing most of the time.
    const from = Math.max(this.#second, second - MAX_SAMPLES);
    for (let each = from; each < second; each++) {
      this.#samples.push({
        second: each,
        events: this.#events,
        latency: middle(this.#latencies) ?? (isConnected ? undefined : null),
      });
      this.#events = 0;
      this.#latencies = [];
      this.revisions.samples++;
    }
    this.#second = second;
    if (this.#samples.length > MAX_SAMPLES) {
      this.#samples.splice(0, this.#samples.length - MAX_SAMPLES);
    }
  }

  /** Mean of live events a second over the last `seconds` samples. */
  rate(seconds: number): number {
    const recent = this.#samples.slice(-seconds);
    if (recent.length === 0) return 0;
    return recent.reduce((sum, { events }) => sum + events, 0) / recent.length;
  }

  #takeBlock(block: PayloadOf<"NEW_BLOCK">, at: number): void {
    this.blocks.add(block, at);
    const place = { chain: block.chain, blockHeight: block.height };
    for (const transaction of block.transactions ?? []) {
      this.#takeTransaction({ ...place, ...transaction }, at);
    }
    this.revisions.blocks++;
  }

  /** Applies events that change the finality of blocks. */
  #judge(change: () => void): void {
    change();
    this.revisions.blocks++;
    this.revisions.transactions++;
  }

  #takeTransaction(received: PayloadOf<"TX_RECEIVED">, at: number): void {
    const before = this.#transactions.get(received.txId);
    const row = transactionRow(received, at, before);
    if (row === before) return;
    if (before) {
      this.#transactions.delete(before.id);
      this.#counts[before.status]--;
    }
    this.#counts[row.status]++;
    this.#transactions.set(row.id, row);
    for (
      const { status } of evict(this.#transactions, MAX_TRANSACTIONS)
    ) if (status === "pending") this.#counts.pending--;
    this.revisions.transactions++;
  }

  #takeValidator(event: PayloadOf<"VALIDATOR_EVENT">): void {
    const { validatorId: id, eventType, metadata } = event;
    const before = this.#validators.get(id);
    this.#validators.delete(id);
    this.#validators.set(id, {
      id,
      stake: event.stake ?? before?.stake,
      active: eventType !== "LEFT",
      last: eventType,
      proposed: metadata?.proposedBlocks ??
        (before?.proposed ?? 0) + Number(eventType === "PROPOSED"),
      voted: (before?.voted ?? 0) + Number(eventType === "VOTED"),
      slashed: (before?.slashed ?? 0) + Number(eventType === "SLASHED"),
      uptime: metadata?.uptime ?? before?.uptime,
    });
    evict(this.#validators, MAX_VALIDATORS);
    this.revisions.validators++;
  }

  #takeNode(node: PayloadOf<"NODE_STATUS">): void {
    const before = this.#nodes.get(node.nodeId);
    const way = before === undefined || before.status === node.status
      ? before?.way ?? []
      : [...before.way, before.status].slice(-MAX_NODE_STEPS);
    this.#nodes.delete(node.nodeId);
    this.#nodes.set(node.nodeId, {
      id: node.nodeId,
      status: node.status,
      way,
      region: node.region ?? before?.region,
      height: node.blockHeight ?? before?.height,
      peers: node.peers,
      latency: node.networkLatency,
    });
    evict(this.#nodes, MAX_NODES);
    this.revisions.nodes++;
  }

  #takeAlert(
    alert: PayloadOf<"ALERT_TRIGGERED">,
    key: string,
    at: number,
  ): void {
    this.#alerts = [{
      key,
      kind: alert.type,
      severity: alert.severity,
      message: alert.message,
      subject: alert.subject,
      resolved: alert.status === "resolved",
      at,
    }, ...this.#alerts].slice(0, MAX_ALERTS);
    this.revisions.alerts++;
  }

  #takeDag(update: PayloadOf<"DAG_UPDATE">): void {
    const { updateType, nodeId, relatedNodes, metadata } = update;
    const vertex = this.vertices.get(nodeId);
    if (updateType === "NODE_ADDED" && !vertex) {
      const parents = relatedNodes.slice(0, MAX_PARENTS);
      this.vertices.set(nodeId, {
        id: nodeId,
        layer: metadata?.layer ?? 1 + Math.max(
              -1,
              ...parents.map((id) => this.vertices.get(id)?.layer ?? -1),
            ),
        weight: metadata?.weight ?? 1,
        parents: new Set(parents),
        hasChildren: (metadata?.childCount ?? 0) > 0,
        order: this.#order++,
      });
      this.#markParents(parents);
      evict(this.vertices, MAX_VERTICES);
    } else if (updateType === "NODE_REMOVED" && vertex) {
      this.vertices.delete(nodeId);
      for (const parent of vertex.parents) this.#recount(parent);
    } else if (updateType === "EDGE_ADDED" && vertex) {
      for (const id of relatedNodes) {
        if (vertex.parents.size < MAX_PARENTS) vertex.parents.add(id);
      }
      this.#markParents(relatedNodes);
    } else if (updateType === "EDGE_REMOVED" && vertex) {
      for (const id of relatedNodes) {
        vertex.parents.delete(id);
        this.#recount(id);
      }
    } else return;
    this.revisions.dag++;
  }

  #markParents(parents: readonly string[]): void {
    for (const id of parents) {
      const parent = this.vertices.get(id);
      if (parent) parent.hasChildren = true;
    }
  }

  #recount(id: string): void {
    const parent = this.vertices.get(id);
    if (!parent) return;
    parent.hasChildren = [...this.vertices.values()].some(({ parents }) =>
      parents.has(id)
    );
  }
}

/** Removes the oldest beyond `bound`, and returns them. */
function evict<Row>(rows: Map<string, Row>, bound: number): Row[] {
  const gone: Row[] = [];
  for (const [key, row] of rows) {
    if (rows.size <= bound) break;
    rows.delete(key);
    gone.push(row);
  }
  return gone;
}

function newest<Row>(rows: Map<string, Row>, limit: number): Row[] {
  return [...rows.values()].slice(-limit).reverse();
}

function middle(values: number[]): number | undefined {
  return values.sort((a, b) => a - b)[values.length >> 1];
}

/** Orders `node-2` before `node-10`. */
function compareNames(a: string, b: string): number {
  return collator.compare(a, b);
}

const collator = new Intl.Collator("en", { numeric: true });
