/**
 * The nodes of a simulated chain: they catch up, follow, fail and recover.
 *
 * @module
 */
import type { Event, PayloadOf } from "../protocol/messages.ts";
import { rounded } from "./chain_story.ts";
import type { Story } from "./chain_story.ts";

const VERSIONS = ["2.4.0", "2.4.1", "2.4.1", "2.5.0"] as const;
const REGIONS = [
  "us-east-1",
  "us-west-2",
  "eu-west-1",
  "eu-central-1",
  "ap-southeast-1",
  "ap-northeast-1",
  "sa-east-1",
  "af-south-1",
] as const;

interface ChainNode {
  readonly id: string;
  readonly region: string;
  status: PayloadOf<"NODE_STATUS">["status"];
  version: string;
  height: number;
  /** Epoch milliseconds. */
  startedAt: number;
  peers: number;
  /** Steps until it reports or changes. */
  steps: number;
  alerted: boolean;
}

/** All nodes, one in each region. */
export class Nodes {
  readonly #story: Story;
  readonly #all: readonly ChainNode[];

  /** Starts them, with nothing of the chain yet. */
  constructor(story: Story) {
    this.#story = story;
    this.#all = REGIONS.map((region, i) => ({
      id: `node-${region}`,
      region,
      status: "SYNCING",
      version: story.pick(VERSIONS),
      height: 0,
      startedAt: 0,
      peers: story.between(2, 6),
      steps: i + 1,
      alerted: false,
    }));
  }

  /**
   * Continues from what was published of nodes, oldest first.
   *
   * @param events of `nodes`.
   * @param alerts of `alerts`.
   * @param height of the newest block.
   */
  resume(
    events: readonly Event<"NODE_STATUS">[],
    alerts: readonly Event<"ALERT_TRIGGERED">[],
    height: number,
  ): void {
    const alerted = new Set<string>();
    for (const { payload: { type, subject, status } } of alerts) {
      if (type !== "node_error" || !subject) continue;
      if (status === "resolved") alerted.delete(subject);
      else alerted.add(subject);
    }
    for (const { payload } of events) {
      const { nodeId, status, blockHeight, version } = payload;
      const node = this.#all.find(({ id }) => id === nodeId);
      if (!node) continue;
      node.status = status;
      node.height = Math.min(blockHeight ?? node.height, height);
      node.version = version ?? node.version;
    }
    for (const node of this.#all) {
      node.startedAt = this.#story.now;
      node.alerted = alerted.has(node.id);
    }
  }

  /**
   * Advances each node, and reports when it is due.
   *
   * @param height of the newest block.
   */
  move(height: number): void {
    for (const node of this.#all) this.#move(node, height);
  }

  #move(node: ChainNode, height: number): void {
    const story = this.#story;
    if (node.startedAt === 0) node.startedAt = story.now;
    // After a reorganisation the chain may be shorter for a moment.
    node.height = Math.min(node.height, Math.max(0, height));
    if (node.status === "ONLINE") this.#trouble(node);
    if (--node.steps > 0) return;
    switch (node.status) {
      case "ONLINE":
        node.height = Math.max(node.height, height - story.between(0, 1));
        node.steps = 100;
        break;
      case "SYNCING":
        node.height = Math.max(
          0,
          Math.min(height, node.height + story.between(8, 40)),
        );
        node.steps = 10;
        if (node.height >= height - 1) this.#recover(node);
        break;
      case "ERROR":
        node.status = "OFFLINE";
        node.steps = story.between(100, 300);
        break;
      case "OFFLINE":
        node.status = "SYNCING";
        node.startedAt = story.now;
        node.version = story.pick(VERSIONS);
        node.steps = 10;
        break;
    }
    this.#emit(node);
  }

  #trouble(node: ChainNode): void {
    const failing = this.#all.filter(({ status }) => status !== "ONLINE");
    if (failing.length > 2) return;
    if (this.#story.chance(0.00006)) {
      node.status = "ERROR";
      node.steps = this.#story.between(20, 60);
      node.alerted = true;
      this.#emit(node);
      this.#story.alert("node_error", node.id, {
        severity: "critical",
        status: "firing",
        message:
          `${node.id} stopped following the chain at height ${node.height}`,
      });
    } else if (this.#story.chance(0.00015)) {
      node.status = "OFFLINE";
      node.steps = this.#story.between(100, 300);
      this.#emit(node);
    }
  }

  #recover(node: ChainNode): void {
    node.status = "ONLINE";
    node.steps = this.#story.between(50, 100);
    node.peers = this.#story.between(12, 48);
    if (!node.alerted) return;
    node.alerted = false;
    this.#story.alert("node_error", node.id, {
      severity: "info",
      status: "resolved",
      message: `${node.id} follows the chain again`,
    });
  }

  #emit(node: ChainNode): void {
    const story = this.#story;
    const up = node.status === "ONLINE" || node.status === "SYNCING";
    const busy = node.status === "SYNCING" ? 45 : 12;
    story.emit("NODE_STATUS", `node:${node.id}:${story.now}`, {
      nodeId: node.id,
      status: node.status,
      version: node.version,
      blockHeight: node.height,
      // A node that is down reports no measurements.
      ...(up
        ? {
          uptime: Math.floor((story.now - node.startedAt) / 1000),
          peers: node.peers,
          memoryUsage: story.between(900, 1_600) * 1024 ** 2,
          cpuUsage: rounded(busy + story.random() * 20),
          networkLatency: rounded(8 + story.random() * 90),
        }
        : {}),
      lastUpdate: story.instant,
      region: node.region,
    });
  }
}
