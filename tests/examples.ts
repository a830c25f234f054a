/**
 * The examples of the reference document, word for word.
 *
 * @module
 */
import type { MessageType } from "../protocol/messages.ts";

/** A message as the reference shows it. */
export interface Example {
  /** Which message. */
  readonly type: MessageType;
  /** Its text. */
  readonly payload: Readonly<Record<string, unknown>>;
  /** ISO 8601. */
  readonly timestamp: string;
  /** The publisher's name for it. */
  readonly id: string;
}

/** One example of each message that the reference describes. */
export const EXAMPLES: readonly Example[] = [
  {
    type: "NEW_BLOCK",
    payload: {
      blockId: "abc123",
      height: 15420,
      timestamp: "2025-08-07T10:00:00Z",
      hash: "0x123...abc",
      previousHash: "0x456...def",
      transactions: [
        {
          txId: "tx123",
          from: "0x123",
          to: "0x456",
          amount: "1000",
          gasPrice: "10",
          gasLimit: 21000,
          nonce: 1,
          status: "confirmed",
          timestamp: "2025-08-07T10:00:00Z",
        },
      ],
      validator: "validator_1",
      signature: "0x789...xyz",
      size: 1024,
      gasUsed: 50000,
      gasLimit: 100000,
    },
    timestamp: "2025-08-07T10:00:00Z",
    id: "msg_123",
  },
  {
    type: "DAG_UPDATE",
    payload: {
      updateType: "NODE_ADDED",
      nodeId: "node_123",
      relatedNodes: ["node_456", "node_789"],
      timestamp: "2025-08-07T10:00:00Z",
      metadata: {
        weight: 1.5,
        layer: 10,
        parentCount: 2,
        childCount: 3,
      },
    },
    timestamp: "2025-08-07T10:00:00Z",
    id: "msg_124",
  },
  {
    type: "VALIDATOR_EVENT",
    payload: {
      eventType: "JOINED",
      validatorId: "validator_123",
      stake: "1000000",
      timestamp: "2025-08-07T10:00:00Z",
      blockHeight: 15420,
      reward: "100",
      penalty: "0",
      metadata: {
        uptime: 99.9,
        proposedBlocks: 100,
        missedBlocks: 1,
      },
    },
    timestamp: "2025-08-07T10:00:00Z",
    id: "msg_125",
  },
  {
    type: "TX_RECEIVED",
    payload: {
      txId: "tx_123",
      from: "0x123",
      to: "0x456",
      amount: "1000",
      gasPrice: "10",
      gasLimit: 21000,
      nonce: 1,
      data: "0xabcdef",
      status: "pending",
      timestamp: "2025-08-07T10:00:00Z",
    },
    timestamp: "2025-08-07T10:00:00Z",
    id: "msg_126",
  },
  {
    type: "NODE_STATUS",
    payload: {
      nodeId: "node_123",
      status: "ONLINE",
      version: "1.0.0",
      uptime: 3600,
      blockHeight: 15420,
      peers: 5,
      memoryUsage: 1048576,
      cpuUsage: 25.5,
      networkLatency: 10,
      lastUpdate: "2025-08-07T10:00:00Z",
      region: "us-east-1",
    },
    timestamp: "2025-08-07T10:00:00Z",
    id: "msg_127",
  },
];

/** The middle of its performance report. */
export const REPORT = `Uptime: 5.2 minutes

Event Delivery Performance:
- Average Delivery Time: 12.45ms
- Min Delivery Time: 2.10ms
- Max Delivery Time: 45.20ms
- 95th Percentile: 18.30ms
- 99th Percentile: 32.10ms
- Total Events Tracked: 45210

Throughput:
- Messages/Second: 1250.50
- Events/Second: 850.25
- Broadcasts/Second: 45.10

Connection Statistics:
- Active Connections: 498
- Total Connections: 500
- Failed Connections: 2
- Avg Connection Time: 125.50ms
`;
