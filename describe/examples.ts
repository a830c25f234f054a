/**
 * One valid example of everything on the wire. Examples written here are
 * realistic; a message type without one gets an example made from its schema.
 *
 * @module
 */
import { z } from "zod";
import { CHANNELS } from "../protocol/channels.ts";
import type { CommandType } from "../protocol/commands.ts";
import { VERSION } from "../protocol/envelope.ts";
import { MESSAGES } from "../protocol/messages.ts";
import type { MessageType, PayloadOf } from "../protocol/messages.ts";
import type { ReplyPayload, ReplyType } from "../protocol/replies.ts";

/** The instant at which all examples happen. */
const AT = "2025-08-07T10:00:00.000Z";
const EPOCH = "01K21CAMA0QW3RT8YZ00000001";
const ID = "01K21CAMA0QW3RT8YZ00000042";

const tx = {
  txId: "tx_123",
  from: "0x123",
  to: "0x456",
  amount: "1000",
  gasPrice: "10",
  gasLimit: 21000,
  nonce: 1,
  timestamp: AT,
};

const PAYLOADS: { readonly [Type in MessageType]?: PayloadOf<Type> } = {
  NEW_BLOCK: {
    blockId: "abc123",
    height: 15420,
    timestamp: AT,
    hash: "0x123abc",
    previousHash: "0x456def",
    transactions: [{ ...tx, status: "confirmed" }],
    validator: "validator_1",
    signature: "0x789abc",
    size: 1024,
    gasUsed: 50000,
    gasLimit: 100000,
    chain: "evm:1",
    transactionCount: 1,
    baseFee: "7",
  },
  BLOCK_REVERTED: {
    chain: "evm:1",
    blockId: "0xaa",
    height: 18,
    previousHash: "0x99",
    reason: "reorg",
    timestamp: AT,
  },
  FINALITY: {
    chain: "evm:1",
    level: "final",
    blockId: "0x77",
    height: 10,
    timestamp: AT,
  },
  CHAIN_RESET: {
    chain: "evm:1",
    keeps: { height: 600, blockId: "0x88" },
    reason: "deeper_than_kept",
    timestamp: AT,
  },
  DAG_UPDATE: {
    updateType: "NODE_ADDED",
    nodeId: "node_123",
    relatedNodes: ["node_456", "node_789"],
    timestamp: AT,
    metadata: { weight: 1.5, layer: 10, parentCount: 2, childCount: 3 },
  },
  VALIDATOR_EVENT: {
    eventType: "JOINED",
    validatorId: "validator_123",
    stake: "1000000",
    timestamp: AT,
    blockHeight: 15420,
    reward: "100",
    penalty: "0",
    metadata: { uptime: 99.9, proposedBlocks: 100, missedBlocks: 1 },
  },
  TX_RECEIVED: { ...tx, data: "0xabcdef", status: "pending" },
  BLOCK_COMPLETE: {
    chain: "evm:1",
    blockId: "0xaa",
    height: 18,
    transactions: 1000,
    failed: 3,
    timestamp: AT,
  },
  TX_LOGS: {
    chain: "evm:1",
    txId: "tx_123",
    blockId: "0xaa",
    blockHeight: 18,
    index: 0,
    logs: [{
      address: "0x789",
      topics: [
        "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef",
      ],
      data: "0x01",
      logIndex: 0,
    }],
  },
  LOGS_REVERTED: {
    chain: "evm:1",
    blockId: "0xaa",
    height: 18,
    timestamp: AT,
  },
  NODE_STATUS: {
    nodeId: "node_123",
    status: "ONLINE",
    version: "1.0.0",
    uptime: 3600,
    blockHeight: 15420,
    peers: 5,
    memoryUsage: 1048576,
    cpuUsage: 25.5,
    networkLatency: 10,
    lastUpdate: AT,
    region: "us-east-1",
  },
  ALERT_TRIGGERED: {
    type: "node_failure",
    severity: "critical",
    message: "Node failure detected",
    timestamp: AT,
    subject: "node_123",
    status: "firing",
  },
  METRICS_UPDATE: { timestamp: AT, activeConnections: 498 },
  ROOM_MESSAGE: { event: "greeting", data: { text: "Good morning" } },
  TEST: { message: "Hello from client!" },
};

/** A payload of each verb, as a client might send it. */
export const COMMAND_EXAMPLES: {
  readonly [Type in CommandType]: Readonly<Record<string, unknown>>;
} = {
  connect: { client: "dashboard/1.4.0", batch: true },
  subscribe: {
    channels: [
      "blocks",
      { channel: "transactions", last: 50 },
      { channel: "dag", after: { epoch: EPOCH, seq: 1041 } },
      {
        channel: "transactions",
        as: "mine",
        filter: { address: ["0x123", "0x456"] },
      },
    ],
  },
  unsubscribe: { channels: ["transactions"] },
  watch: { as: "mine", add: ["0x789"], remove: ["0x456"] },
  refresh: { token: "eyJhbGciOiJIUzI1NiJ9.e30.signature" },
  request_metrics: { type: "throughput" },
  request_data: { key: "block:15420" },
  query: { channel: "blocks", after: { epoch: EPOCH, seq: 0 }, limit: 10 },
  block: { block: "15420", limit: 10 },
  track: { txId: "tx_123", until: "final" },
  ping: {},
};

/** A payload of each reply. */
export const REPLY_EXAMPLES: {
  readonly [Type in ReplyType]: ReplyPayload<Type>;
} = {
  connected: {
    sessionId: ID,
    serverTime: AT,
    identity: { isAuthenticated: false, user: null, role: "anonymous" },
    heartbeatMs: 25_000,
    limits: {
      maxMessageBytes: 65_536,
      maxSubscriptions: 100,
      maxCommandsInFlight: 16,
    },
    schema: "0123456789abcdef",
  },
  subscribed: {
    channels: [
      { channel: "blocks", epoch: EPOCH, seq: 1042, recovered: true },
      {
        channel: "transactions",
        as: "mine",
        epoch: EPOCH,
        seq: 900,
        recovered: true,
        filtered: { values: 2 },
      },
    ],
    rejected: [{ channel: "nothing", code: "UNKNOWN_CHANNEL" }],
  },
  snapshot: { channel: "validators", events: [], end: true },
  unsubscribed: { channels: ["transactions"] },
  watched: {
    as: "mine",
    field: "address",
    from: { epoch: EPOCH, seq: 905 },
    added: ["0x789"],
    removed: ["0x456"],
    rejected: [],
    size: 2,
  },
  progress: {
    positions: [{
      channel: "transactions",
      as: "mine",
      epoch: EPOCH,
      seq: 1500,
      block: { height: 15420, blockId: "abc123" },
    }],
  },
  refreshed: { expiresAt: "2025-08-08T10:00:00.000Z" },
  metrics_response: {
    type: "throughput",
    metrics: { throughput: { messagesPerSecond: 12.5 } },
  },
  data_response: { key: "block:15420", data: null },
  query_result: {
    channel: "blocks",
    epoch: EPOCH,
    seq: 1042,
    events: [],
    more: false,
  },
  block_response: {
    block: "15420",
    status: "unknown",
    finality: "none",
    event: null,
    total: 0,
    transactions: [],
    logs: [],
    next: null,
  },
  tracked: { txId: "tx_123", state: "seen" },
  tx_state: {
    txId: "tx_123",
    state: "final",
    ok: true,
    blockId: "0xaa",
    height: 18,
    end: true,
  },
  published: {
    accepted: [{ id: ID, channel: "blocks", seq: 1042, epoch: EPOCH }],
  },
  pong: { serverTime: AT },
  error: {
    code: "RATE_LIMITED",
    message: "Rate limit reached",
    retryAfterMs: 1_500,
  },
  gap: {
    channel: "blocks",
    from: 12,
    to: 41,
    epoch: EPOCH,
    reason: "retention",
  },
  token_expiring: { inMs: 60_000 },
  draining: { retryInMs: 1_200 },
};

/** The payload of a message, as a publisher might send it. */
export function payloadExample(
  type: MessageType,
): Readonly<Record<string, unknown>> {
  return PAYLOADS[type] ?? made(
    z.toJSONSchema(MESSAGES[type].payload, {
      io: "input",
      unrepresentable: "any",
    }) as Shape,
  ) as Readonly<Record<string, unknown>>;
}

/** A message as a publisher sends it: what is not needed is left out. */
export function publishExample(
  type: MessageType,
): Readonly<Record<string, unknown>> {
  const isRoom = MESSAGES[type].channel === "room";
  return {
    type,
    payload: payloadExample(type),
    ...(isRoom ? { channel: "room:lobby" } : {}),
  };
}

/** A message as subscribers receive it. */
export function eventExample(
  type: MessageType,
): Readonly<Record<string, unknown>> {
  const kind = MESSAGES[type].channel;
  const around = serverEnvelope(type, payloadExample(type));
  if (kind === null) return around;
  const channel = kind === "room" ? "room:lobby" : kind;
  if (CHANNELS[kind].retention === "none") return { ...around, channel };
  return { ...around, channel, seq: 1042, epoch: EPOCH };
}

/** A reply as the server sends it. */
export function replyExample(
  type: ReplyType,
): Readonly<Record<string, unknown>> {
  return serverEnvelope(type, REPLY_EXAMPLES[type]);
}

function serverEnvelope(
  type: string,
  payload: object,
): Record<string, unknown> {
  return { type, payload, timestamp: AT, id: ID, version: VERSION };
}

/** The part of JSON Schema from which an example can be made. */
interface Shape {
  readonly type?: string | readonly string[];
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly anyOf?: readonly Shape[];
  readonly properties?: Readonly<Record<string, Shape>>;
  readonly required?: readonly string[];
  readonly items?: Shape;
  readonly minItems?: number;
  readonly minimum?: number;
  readonly exclusiveMinimum?: number;
  readonly minLength?: number;
  readonly format?: string;
  readonly pattern?: string;
}

/** The least value of a shape that reads like one. */
function made(shape: Shape): unknown {
  if (shape.const !== undefined) return shape.const;
  if (shape.enum) return shape.enum[0];
  if (shape.anyOf) return made(shape.anyOf[0]!);
  switch (typeof shape.type === "object" ? shape.type[0] : shape.type) {
    case "object":
      return Object.fromEntries(
        (shape.required ?? []).map((name) => [
          name,
          made(shape.properties?.[name] ?? {}),
        ]),
      );
    case "array":
      return Array.from(
        { length: shape.minItems ?? 0 },
        () => made(shape.items ?? {}),
      );
    case "integer":
    case "number":
      return Math.max(
        0,
        shape.minimum ?? 0,
        (shape.exclusiveMinimum ?? -1) + 1,
      );
    case "boolean":
      return true;
    case "string":
      if (shape.format === "date-time") return AT;
      // The patterns of the registry are of numbers: amounts, versions.
      if (shape.pattern) return "1";
      return "example".padEnd(shape.minLength ?? 0, "-");
    default:
      return null;
  }
}
