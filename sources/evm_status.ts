/**
 * What is published about the node itself: its status, and an alert while its
 * answers are incomplete.
 *
 * @module
 */
import type { Clock } from "../platform/clock.ts";
import type { PayloadOf } from "../protocol/messages.ts";
import { instant } from "./evm_messages.ts";
import type { EvmBlock, EvmVitals } from "./evm_view.ts";
import type { RetryingPublisher } from "./retrying_publisher.ts";

/** Time between two reports on a node whose status stays, in milliseconds. */
export const STATUS_MS = 10_000;
/** Whole blocks after which incomplete ones are over. */
const WHOLE_BLOCKS = 10;

type Status = PayloadOf<"NODE_STATUS">["status"];

/** What a {@link NodeReport} needs. */
export interface ReportOptions {
  /** The node's name. */
  readonly nodeId: string;
  /** Where reports go. */
  readonly publisher: RetryingPublisher;
  /** Paces and dates reports. */
  readonly clock: Clock;
}

/** Reports on one node. */
export class NodeReport {
  readonly #nodeId: string;
  readonly #publisher: RetryingPublisher;
  readonly #clock: Clock;
  #status: Status | undefined;
  #dueAt = -Infinity;
  #lastAt = 0;
  /** Whole blocks still needed to end the alert; 0 without an alert. */
  #owed = 0;

  /** Publishes nothing yet. */
  constructor({ nodeId, publisher, clock }: ReportOptions) {
    this.#nodeId = nodeId;
    this.#publisher = publisher;
    this.#clock = clock;
  }

  /** Whether it is time for a report. */
  get isDue(): boolean {
    return this.#status === "OFFLINE" ||
      this.#clock.monotonic() >= this.#dueAt;
  }

  /** The node answers. */
  up(
    status: "ONLINE" | "SYNCING",
    blockHeight: number,
    { version, peers, latencyMs }: EvmVitals,
    signal: AbortSignal,
  ): Promise<void> {
    return this.#send(status, {
      blockHeight,
      networkLatency: Math.round(latencyMs * 100) / 100,
      ...(version === undefined ? {} : { version: version.slice(0, 256) }),
      ...(peers === undefined ? {} : { peers }),
    }, signal);
  }

  /** The node cannot be reached; published once. */
  async offline(signal: AbortSignal): Promise<void> {
    if (this.#status !== "OFFLINE") await this.#send("OFFLINE", {}, signal);
  }

  /** A block was published: an alert begins or ends with what it lacks. */
  async block(
    { hash, height, missing, transactions }: EvmBlock,
    signal: AbortSignal,
  ): Promise<void> {
    const lacks = new Set([
      ...missing,
      ...transactions.flatMap(({ missing }) => missing),
    ]);
    const before = this.#owed;
    this.#owed = lacks.size > 0 ? WHOLE_BLOCKS : Math.max(0, before - 1);
    if ((before > 0) === (this.#owed > 0)) return;
    const status = this.#owed > 0 ? "firing" : "resolved";
    const message = this.#owed > 0
      ? `${this.#nodeId} does not show all of block ${height}: ${
        [...lacks].join(", ")
      }`
      : `${this.#nodeId} shows whole blocks again`;
    await this.#publisher.send([{
      type: "ALERT_TRIGGERED",
      id: `evm:alert:source_incomplete:${status}:${hash}`,
      payload: {
        type: "source_incomplete",
        severity: this.#owed > 0 ? "warning" : "info",
        subject: this.#nodeId,
        status,
        message,
        timestamp: instant(this.#clock.now()),
      },
    }], signal);
  }

  async #send(
    status: Status,
    rest: Readonly<Record<string, unknown>>,
    signal: AbortSignal,
  ): Promise<void> {
    this.#status = status;
    this.#dueAt = this.#clock.monotonic() + STATUS_MS;
    this.#lastAt = Math.max(this.#clock.now(), this.#lastAt + 1);
    const name = this.#nodeId.replace(/[^\x21-\x7e]/g, "_").slice(0, 64);
    await this.#publisher.send([{
      type: "NODE_STATUS",
      id: `evm:node:${name}:${status}:${this.#lastAt}`,
      payload: {
        nodeId: this.#nodeId,
        status,
        ...rest,
        lastUpdate: instant(this.#lastAt),
      },
    }], signal);
  }
}
