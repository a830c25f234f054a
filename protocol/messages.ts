/**
 * Application messages. One entry of {@link MESSAGES} is all that a message
 * type needs: its validation, TypeScript types, builder, channel and client
 * typing follow from it.
 *
 * Required are the fields that identify an event and those that the reference
 * document's own validator and builder calls require; a field that a source
 * may honestly not know (the CPU load of a node that is down) is optional.
 * Every known field is checked when present, every unknown one is kept.
 *
 * The file is as long as the table is: one table is the one idea in it.
 *
 * @module
 */
import { z } from "zod";
import type { ChannelKindName } from "./channels.ts";

/** A name or identifier the chain gave: 1 to 256 characters. */
const identifier = z.string().min(1).max(256);
/** ISO 8601 with an offset or `Z`. */
const instant = z.iso.datetime({ offset: true });
/** Token amount: a decimal string, at most a uint256 and 18 decimals. */
const amount = z.string().regex(
  /^\d{1,78}(\.\d{1,18})?$/,
  "expected a decimal string",
);
/** How many of something. */
const count = z.int().nonnegative();

/** Which chain, such as `evm:1`: its spine, where one service carries several. */
const chain = z.string().min(1).max(64);

/**
 * How far a transaction has come. `replaced` and `dropped` are judged from the
 * pool of a node and may be taken back by a later status.
 */
const txStatus = z.enum([
  "pending",
  "confirmed",
  "failed",
  "replaced",
  "dropped",
]);

/** A block by its name and place. */
const blockPlace = z.looseObject({ blockId: identifier, height: count });

/** A movement of value, decoded from a transaction and its logs. */
const transfer = z.looseObject({
  asset: z.enum(["native", "erc20", "erc721", "erc1155"]),
  /** Contract of the token; absent for the native asset. */
  token: identifier.optional(),
  from: identifier,
  to: identifier,
  /** Smallest units. */
  amount: amount.optional(),
  /** Decimal; of assets that are told apart. */
  tokenId: amount.optional(),
});

const transaction = z.looseObject({
  txId: identifier,
  from: identifier,
  to: identifier,
  amount,
  gasPrice: amount,
  gasLimit: count,
  nonce: count,
  /** Call data, hexadecimal. */
  data: z.string().optional(),
  status: txStatus,
  timestamp: instant,
  chain: chain.optional(),
  /** The block that holds it. */
  blockId: identifier.optional(),
  blockHeight: count.optional(),
  /** Its place in the block, from 0. */
  index: count.optional(),
  /** Address of the contract that it creates. */
  creates: identifier.optional(),
  /** Why a status is told again: `reorg` when its block was reverted. */
  cause: z.string().min(1).max(64).optional(),
  /** The reverted block that held it. */
  left: blockPlace.optional(),
  /** The transaction with the same sender and nonce that took its place. */
  replacedBy: identifier.optional(),
  /** Transaction type of EIP-2718; 0 is the oldest form. */
  kind: count.optional(),
  maxFeePerGas: amount.optional(),
  maxPriorityFeePerGas: amount.optional(),
  gasUsed: count.optional(),
  /** What it paid in all, in the native asset. */
  fee: amount.optional(),
  transfers: z.array(transfer).optional(),
  /** Fields that the source could not learn; required ones hold a stand-in. */
  missing: z.array(z.string().min(1).max(64)).max(64).optional(),
  /** The status before, which this one cannot follow; the service says so. */
  contradicts: z.looseObject({
    status: txStatus,
    blockId: identifier.optional(),
  }).optional(),
});

/** An event that a contract wrote. */
const contractLog = z.looseObject({
  /** The contract. */
  address: identifier,
  /** Up to four words, hexadecimal. */
  topics: z.array(z.string().max(66)).max(4),
  /** Hexadecimal. */
  data: z.string().optional(),
  /** Its place in the block, from 0. */
  logIndex: count.optional(),
});

/** What the registry says of one message type. */
export interface MessageKind {
  /** When it is sent, for people. */
  readonly summary: string;
  /** The kind of channel that carries it; `null`: none, it is only echoed. */
  readonly channel: ChannelKindName | null;
  /** Other channels on which it may be published by naming them. */
  readonly also?: readonly ChannelKindName[];
  /** Payload field that the builder fills with the present time. */
  readonly stamp: string | null;
  /**
   * What the message tells the latest state of, and the payload fields that
   * name it, the first of them for good; `null`: nothing that can be asked for.
   */
  readonly about:
    | { readonly kind: string; readonly by: readonly string[] }
    | null;
  /**
   * Fields that subscribers may filter by, and what each is made of. Without
   * them a message says something of its channel as a whole: it passes every
   * filter.
   */
  readonly tags?: Readonly<Record<string, TagKind>>;
  /** What the payload must look like. */
  readonly payload: z.ZodObject;
}

/** A field that events can be filtered by. */
export interface TagKind {
  /**
   * Payload fields whose values it holds: texts, numbers or lists of them. A
   * dot leads into an object, or into each of a list.
   */
  readonly of: readonly string[];
  /** Addresses are compared in lower case. */
  readonly isAddress?: true;
  /** Each value is on many events: filters are found by another field. */
  readonly isCommon?: true;
}

/** What an event can be filtered by: values by field, as text. */
export type Tags = Readonly<Record<string, readonly string[]>>;

/** Most values of one field that an event is tagged with. */
export const MAX_TAG_VALUES = 1_000;
/** Longer values, in UTF-16 units, are no tags: no filter can name them. */
export const MAX_TAG_LENGTH = 256;
/** A tag without values, of an event that may concern more than it says. */
export const PARTIAL_TAG = "*";
/** What the fields of a message may be read from, in its field `missing`. */
const SOURCES_OF_TAGS = ["receipt", "logs"];

/**
 * Any JSON value. What arrives was parsed as JSON and checked for soundness:
 * `z.json()` would walk it again, at many times the cost.
 */
const AnyData = z.unknown() as z.ZodType<z.core.util.JSONType>;

/** Every application message, by its type. */
export const MESSAGES = {
  NEW_BLOCK: {
    summary: "A block joined the chain",
    channel: "blocks",
    stamp: "timestamp",
    about: { kind: "block", by: ["blockId", "height"] },
    tags: {
      blockId: { of: ["blockId"] },
      validator: { of: ["validator"], isAddress: true },
    },
    payload: z.looseObject({
      blockId: identifier,
      /** Blocks above genesis. */
      height: count,
      timestamp: instant,
      hash: identifier.optional(),
      previousHash: identifier.optional(),
      transactions: z.array(transaction).optional(),
      validator: identifier.optional(),
      signature: z.string().optional(),
      /** Whole block, in bytes. */
      size: count.optional(),
      gasUsed: count.optional(),
      gasLimit: count.optional(),
      chain: chain.optional(),
      /** How many transactions it holds, however many are listed. */
      transactionCount: count.optional(),
      /** Their ids, where the transactions themselves do not fit. */
      transactionIds: z.array(identifier).optional(),
      /** How many are listed in no form, since not even their ids fit. */
      transactionsOmitted: count.optional(),
      /** Smallest units of the native asset for each unit of gas. */
      baseFee: amount.optional(),
      /** Heights before it of which the service knows nothing; it says so. */
      gapBefore: z.looseObject({ from: count, to: count }).optional(),
      /** What the source could not learn of the block. */
      missing: z.array(z.string().min(1).max(64)).max(64).optional(),
    }),
  },
  BLOCK_REVERTED: {
    summary: "A block left the chain; the newest leaves first",
    channel: "blocks",
    stamp: "timestamp",
    about: { kind: "block", by: ["blockId", "height"] },
    payload: z.looseObject({
      chain: chain.optional(),
      blockId: identifier,
      height: count,
      /** Its parent: the newest block now. */
      previousHash: identifier.optional(),
      /** Why, such as `reorg` or `rollback`. */
      reason: z.string().min(1).max(64).optional(),
      timestamp: instant,
    }),
  },
  FINALITY: {
    summary: "Blocks up to this one reached a level and leave no more",
    channel: "blocks",
    stamp: "timestamp",
    about: null,
    payload: z.looseObject({
      chain: chain.optional(),
      level: z.enum(["safe", "final"]),
      blockId: identifier,
      height: count,
      timestamp: instant,
    }),
  },
  CHAIN_RESET: {
    summary: "All blocks above the one it keeps are void",
    channel: "blocks",
    also: ["dag", "transactions", "logs"],
    stamp: "timestamp",
    about: null,
    payload: z.looseObject({
      chain: chain.optional(),
      /** The newest block that still stands; `null`: none. */
      keeps: blockPlace.nullable(),
      /** Why, such as `deeper_than_kept`, `finality_broken`, `chain_replaced`. */
      reason: z.string().min(1).max(64).optional(),
      timestamp: instant,
    }),
  },
  DAG_UPDATE: {
    summary: "A node or an edge came to or left the DAG",
    channel: "dag",
    stamp: "timestamp",
    about: null,
    tags: {
      updateType: { of: ["updateType"], isCommon: true },
      nodeId: { of: ["nodeId"] },
      relatedNode: { of: ["relatedNodes"] },
    },
    payload: z.looseObject({
      updateType: z.enum([
        "NODE_ADDED",
        "NODE_REMOVED",
        "EDGE_ADDED",
        "EDGE_REMOVED",
        "PATH_UPDATED",
      ]),
      nodeId: identifier,
      /** Parents of an added node, the other end of an edge, a path's nodes. */
      relatedNodes: z.array(identifier),
      timestamp: instant,
      metadata: z.looseObject({
        weight: z.number().optional(),
        layer: count.optional(),
        parentCount: count.optional(),
        childCount: count.optional(),
      }).optional(),
      /** Parents of an added node that are not known; the service says so. */
      missingParents: z.array(identifier).optional(),
    }),
  },
  VALIDATOR_EVENT: {
    summary: "A validator's standing changed",
    channel: "validators",
    stamp: "timestamp",
    about: { kind: "validator", by: ["validatorId"] },
    tags: {
      eventType: { of: ["eventType"], isCommon: true },
      validatorId: { of: ["validatorId"], isAddress: true },
    },
    payload: z.looseObject({
      eventType: z.enum([
        "JOINED",
        "LEFT",
        "SLASHED",
        "REWARDED",
        "PROPOSED",
        "VOTED",
      ]),
      validatorId: identifier,
      stake: amount.optional(),
      timestamp: instant,
      blockHeight: count.optional(),
      reward: amount.optional(),
      penalty: amount.optional(),
      metadata: z.looseObject({
        /** Percent of the time, 0 to 100. */
        uptime: z.number().min(0).max(100).optional(),
        proposedBlocks: count.optional(),
        missedBlocks: count.optional(),
      }).optional(),
    }),
  },
  TX_RECEIVED: {
    summary: "A transaction's status changed",
    channel: "transactions",
    stamp: "timestamp",
    about: { kind: "transaction", by: ["txId"] },
    tags: {
      address: {
        of: ["from", "to", "creates", "transfers.from", "transfers.to"],
        isAddress: true,
      },
      from: { of: ["from", "transfers.from"], isAddress: true },
      to: { of: ["to", "transfers.to"], isAddress: true },
      token: { of: ["transfers.token"], isAddress: true },
      status: { of: ["status"], isCommon: true },
      txId: { of: ["txId"] },
    },
    payload: transaction,
  },
  BLOCK_COMPLETE: {
    summary: "Everything about a block has been published on this channel",
    channel: "transactions",
    also: ["logs"],
    stamp: "timestamp",
    about: null,
    payload: z.looseObject({
      chain: chain.optional(),
      blockId: identifier,
      height: count,
      /** How many the block holds. */
      transactions: count,
      /** How many of them failed. */
      failed: count.optional(),
      timestamp: instant,
    }),
  },
  TX_LOGS: {
    summary: "Contract events of one transaction",
    channel: "logs",
    stamp: "timestamp",
    about: { kind: "logs", by: ["txId"] },
    tags: {
      address: { of: ["logs.address"], isAddress: true },
      topic: { of: ["logs.topics"], isAddress: true },
      txId: { of: ["txId"] },
    },
    payload: z.looseObject({
      chain: chain.optional(),
      txId: identifier,
      blockId: identifier,
      blockHeight: count,
      /** The transaction's place in the block, from 0. */
      index: count.optional(),
      logs: z.array(contractLog),
      /** How many were left out since they do not fit. */
      logsOmitted: count.optional(),
      timestamp: instant.optional(),
    }),
  },
  LOGS_REVERTED: {
    summary: "A block left the chain; its contract events are void",
    channel: "logs",
    stamp: "timestamp",
    about: null,
    payload: z.looseObject({
      chain: chain.optional(),
      blockId: identifier,
      height: count,
      timestamp: instant,
    }),
  },
  NODE_STATUS: {
    summary: "A node's state changed",
    channel: "nodes",
    stamp: "lastUpdate",
    about: { kind: "node", by: ["nodeId"] },
    tags: {
      nodeId: { of: ["nodeId"] },
      status: { of: ["status"], isCommon: true },
      region: { of: ["region"], isCommon: true },
    },
    payload: z.looseObject({
      nodeId: identifier,
      status: z.enum(["ONLINE", "OFFLINE", "SYNCING", "ERROR"]),
      version: z.string().max(256).optional(),
      /** Seconds since the node started. */
      uptime: z.number().nonnegative().optional(),
      blockHeight: count.optional(),
      peers: count.optional(),
      /** Bytes. */
      memoryUsage: count.optional(),
      /** Percent of one core. */
      cpuUsage: z.number().nonnegative().optional(),
      /** Milliseconds. */
      networkLatency: z.number().nonnegative().optional(),
      lastUpdate: instant,
      region: z.string().max(256).optional(),
    }),
  },
  ALERT_TRIGGERED: {
    summary: "Something needs a person's attention, or no longer does",
    channel: "alerts",
    stamp: "timestamp",
    about: null,
    tags: {
      alert: { of: ["type"], isCommon: true },
      severity: { of: ["severity"], isCommon: true },
      subject: { of: ["subject"] },
      status: { of: ["status"], isCommon: true },
    },
    payload: z.looseObject({
      /** What kind of alert, for example `node_failure`. */
      type: identifier,
      severity: z.enum(["info", "warning", "critical"]),
      message: z.string().min(1).max(4096),
      timestamp: instant.optional(),
      /** What it is about: a node, a validator, a channel. */
      subject: identifier.optional(),
      /** Whether it began or ended; `firing` when absent. */
      status: z.enum(["firing", "resolved"]).optional(),
      /** What was measured. */
      value: z.number().optional(),
      /** What it was measured against. */
      threshold: z.number().optional(),
    }),
  },
  METRICS_UPDATE: {
    summary: "This service's own measurements",
    channel: "metrics",
    stamp: "timestamp",
    about: null,
    payload: z.looseObject({ timestamp: instant }),
  },
  ROOM_MESSAGE: {
    summary: "An application's own event, to everyone in a room",
    channel: "room",
    stamp: null,
    about: null,
    tags: { event: { of: ["event"] } },
    payload: z.looseObject({
      /** The application's name for what happened. */
      event: identifier,
      /** Whatever the application sends. */
      data: AnyData.optional(),
    }),
  },
  TEST: {
    summary: "Echoed to its sender",
    channel: null,
    stamp: null,
    about: null,
    payload: z.looseObject({}),
  },
} as const satisfies Record<string, MessageKind>;

/** The name of an application message. */
export type MessageType = keyof typeof MESSAGES;

/** The payload of an application message. */
export type PayloadOf<Type extends MessageType> = z.output<
  (typeof MESSAGES)[Type]["payload"]
>;

/** An application message as a publisher sends it. */
export interface Message<Type extends MessageType = MessageType> {
  /** Which message. */
  type: Type;
  /** What it says. */
  payload: PayloadOf<Type>;
  /** The publisher's idempotency key, 1 to 128 visible ASCII characters. */
  id?: string | undefined;
  /** ISO 8601; the server replaces it by the time of acceptance. */
  timestamp?: string | undefined;
  /** Semantic version of the protocol. */
  version?: string | undefined;
  /** Where to, when the type leaves a choice. */
  channel?: string | undefined;
}

/** Any application message, its payload chosen by its type. */
export type AnyMessage = { [Type in MessageType]: Message<Type> }[MessageType];

/** An application message as subscribers receive it. */
export interface Event<Type extends MessageType = MessageType>
  extends Message<Type> {
  /** Unique; the publisher's own when it chose one. */
  id: string;
  /** ISO 8601 UTC with milliseconds: when the server accepted the event. */
  timestamp: string;
  /** Semantic version of the protocol. */
  version: string;
  /** The channel's canonical name. */
  channel: string;
  /** Position in the channel, from 1; absent on channels without retention. */
  seq?: number;
  /** Identity of the channel's log; a new one voids old positions. */
  epoch?: string;
  /** `true` when sent from history rather than live. */
  replay?: true;
  /**
   * Of filtered subscriptions: the number up to which everything was sent
   * before; absent where a `watch` fetches what its items missed.
   */
  prev?: number;
  /** Name of the filtered subscription, where it has one. */
  sub?: string;
}

/** Any event, its payload chosen by its type. */
export type AnyEvent = { [Type in MessageType]: Event<Type> }[MessageType];

/** The message types that a kind of channel carries. */
export function typesOf(kind: ChannelKindName): MessageType[] {
  return (Object.keys(MESSAGES) as MessageType[])
    .filter((type) => isCarriedBy(type, kind));
}

/**
 * Whether a kind of channel carries a message type.
 *
 * @param type the message's type.
 * @param kind the kind of channel.
 */
export function isCarriedBy(
  type: MessageType,
  kind: ChannelKindName,
): boolean {
  const { channel, also } = MESSAGES[type] as MessageKind;
  return channel === kind || (also?.includes(kind) ?? false);
}

/**
 * Under which keys a message's subject can be asked for, for good first.
 *
 * @param type the message's type.
 * @param payload its validated payload.
 * @returns keys such as `block:abc123` and `block#15420`, told apart since an
 * identifier may look like a height; none for most types.
 */
export function keysOf(
  type: MessageType,
  payload: Readonly<Record<string, unknown>>,
): string[] {
  const { about } = MESSAGES[type] as MessageKind;
  if (!about) return [];
  return about.by.map((field, i) =>
    `${about.kind}${i === 0 ? ":" : "#"}${payload[field]}`
  );
}

/**
 * What an event can be filtered by.
 *
 * @param type the message's type.
 * @param payload its validated payload.
 * @returns fields that have a value, each with its distinct values: at most
 * {@link MAX_TAG_VALUES} of at most {@link MAX_TAG_LENGTH} UTF-16 units;
 * {@link PARTIAL_TAG} as well, where values were left out or are not known.
 */
export function tagsOf(
  type: MessageType,
  payload: Readonly<Record<string, unknown>>,
): Tags {
  const tags: Record<string, readonly string[]> = {};
  const { tags: kinds = {} } = MESSAGES[type] as MessageKind;
  for (const field in kinds) {
    const { of, isAddress } = kinds[field]!;
    const values = new Set<string>();
    for (const path of of) {
      addTags(values, valueAt(payload, path), isAddress);
      if (isPartial(payload, path)) tags[PARTIAL_TAG] = [];
    }
    if (values.size > MAX_TAG_VALUES) tags[PARTIAL_TAG] = [];
    if (values.size > 0) tags[field] = [...values].slice(0, MAX_TAG_VALUES);
  }
  return tags;
}

/** Whether a payload says that it does not hold all that a path leads to. */
function isPartial(
  payload: Readonly<Record<string, unknown>>,
  path: string,
): boolean {
  const [field] = path.split(".", 1);
  const { missing, [`${field}Omitted`]: omitted } = payload;
  return omitted !== undefined ||
    Array.isArray(missing) &&
      [field, ...SOURCES_OF_TAGS].some((it) => missing.includes(it));
}

/** What a dotted path leads to; a list of it where the path crosses a list. */
function valueAt(value: unknown, path: string): unknown {
  const dot = path.indexOf(".");
  const inside = Object(value)[dot < 0 ? path : path.slice(0, dot)];
  if (dot < 0 || inside === undefined) return inside;
  const rest = path.slice(dot + 1);
  return Array.isArray(inside)
    ? inside.map((each) => valueAt(each, rest))
    : valueAt(inside, rest);
}

function addTags(values: Set<string>, value: unknown, isAddress = false): void {
  if (Array.isArray(value)) {
    for (const item of value) addTags(values, item, isAddress);
  } else if (typeof value === "string" || typeof value === "number") {
    const text = isAddress ? `${value}`.toLowerCase() : `${value}`;
    if (text.length > MAX_TAG_LENGTH || values.size > MAX_TAG_VALUES) return;
    values.add(text);
  }
}

/** The kind of channel that tells about things of a kind, such as `block`. */
export function channelAbout(kind: string): ChannelKindName | undefined {
  const entry = Object.values(MESSAGES as Record<string, MessageKind>)
    .find(({ about }) => about?.kind === kind);
  return entry?.channel ?? undefined;
}
