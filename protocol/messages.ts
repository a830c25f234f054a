/**
 * Application messages. One entry of {@link MESSAGES} defines a message type:
 * its validation, TypeScript types, builder, channel and client typing are
 * derived from it.
 *
 * The required fields are those that identify an event and those that the
 * reference document's own validator and builder calls require. A field that a
 * source may not know (the CPU load of a node that is down) is optional. Every
 * known field is validated when present, every unknown one is kept.
 *
 * The file is long because the table is: the table is its one idea.
 *
 * @module
 */
import * as z from "zod";
import type { ChannelKindName } from "./channels.ts";

/** A name or identifier from the chain: 1 to 256 characters. */
const identifier = z.string().min(1).max(256);
/** ISO 8601 with an offset or `Z`. */
const instant = z.iso.datetime({ offset: true });
/** Token amount: a decimal string, at most a uint256 and 18 decimals. */
const amount = z.string().regex(
  /^\d{1,78}(\.\d{1,18})?$/,
  "expected a decimal string",
);
/** A count. */
const count = z.int().nonnegative();

/** The chain of an event, where one service carries several. */
const chain = z.string().min(1).max(64).describe(
  "Which chain, such as `evm:1`; the service's default chain when absent.",
);

/**
 * The status of a transaction. `replaced` and `dropped` are derived from the
 * pool of a node, so a later status may reverse them.
 */
const txStatus = z.enum([
  "pending",
  "confirmed",
  "failed",
  "replaced",
  "dropped",
]).meta({ id: "TransactionStatus" });

/** A block's name. */
const blockId = identifier.describe("Name of the block, unique in its chain.");
/** Blocks above genesis. */
const height = count.describe("Blocks above genesis.");
/** When something happened. */
const timestamp = instant.describe("When it happened.");

/** A block by its name and place. */
const blockPlace = z.looseObject({ blockId, height })
  .meta({ id: "BlockPlace" });

/** A movement of value, decoded from a transaction and its logs. */
const transfer = z.looseObject({
  asset: z.enum(["native", "erc20", "erc721", "erc1155"]).describe(
    "What kind of value moves.",
  ),
  token: identifier.optional().describe(
    "Contract of the token; absent for the native asset.",
  ),
  from: identifier.describe(
    "Who sends the value; the zero address where it is made.",
  ),
  to: identifier.describe(
    "Who receives the value; the zero address where it is destroyed.",
  ),
  amount: amount.optional().describe("Smallest units."),
  tokenId: amount.optional().describe(
    "Decimal; only of non-fungible and semi-fungible assets.",
  ),
}).meta({ id: "Transfer" });

const transaction = z.looseObject({
  txId: identifier.describe("The transaction's id, such as its hash."),
  from: identifier.describe("Address of the sender."),
  to: identifier.describe(
    "Address of the receiver; of the new contract where one is created.",
  ),
  amount: amount.describe("Amount transferred, in the chain's unit."),
  gasPrice: amount.describe("Price of a unit of gas."),
  gasLimit: count.describe("Most gas it may use."),
  nonce: count.describe("Number of earlier transactions of the sender."),
  data: z.string().optional().describe("Call data, hexadecimal."),
  status: txStatus.describe("The status of the transaction."),
  timestamp,
  chain: chain.optional(),
  blockId: identifier.optional().describe("The block that holds it."),
  blockHeight: height.optional(),
  index: count.optional().describe("Its place in the block, from 0."),
  creates: identifier.optional().describe(
    "Address of the contract that it creates.",
  ),
  cause: z.string().min(1).max(64).optional().describe(
    "Why the status is published again: `reorg` when its block was reverted.",
  ),
  left: blockPlace.optional().describe("The reverted block that contained it."),
  replacedBy: identifier.optional().describe(
    "The transaction with the same sender and nonce that replaced it.",
  ),
  kind: count.optional().describe(
    "Transaction type of EIP-2718; 0 for legacy transactions.",
  ),
  maxFeePerGas: amount.optional().describe(
    "Highest price of a unit of gas.",
  ),
  maxPriorityFeePerGas: amount.optional().describe(
    "Highest tip to the block's maker for each unit of gas.",
  ),
  gasUsed: count.optional().describe("Gas it used, once it is in a block."),
  fee: amount.optional().describe("Total fee, in the native asset."),
  transfers: z.array(transfer).optional().describe(
    "Movements of value that it caused.",
  ),
  missing: z.array(z.string().min(1).max(64)).max(64).optional().describe(
    "Fields that the source could not read; required ones hold a placeholder.",
  ),
  contradicts: z.looseObject({
    status: txStatus.describe("The status before."),
    blockId: identifier.optional().describe("The block of that status."),
  }).optional().describe(
    "The status before, which this one cannot follow; set by the service.",
  ),
}).meta({ id: "Transaction" });

/** An event that a contract emitted. */
const contractLog = z.looseObject({
  address: identifier.describe("The contract."),
  topics: z.array(z.string().max(66)).max(4).describe(
    "Up to four words, hexadecimal.",
  ),
  data: z.string().optional().describe("Hexadecimal."),
  logIndex: count.optional().describe("Its place in the block, from 0."),
}).meta({ id: "ContractLog" });

/** One entry of the registry: a message type. */
export interface MessageKind {
  /** What it reports, for people. */
  readonly summary: string;
  /** The kind of channel that carries it; `null`: none, it is only echoed. */
  readonly channel: ChannelKindName | null;
  /** Other channels on which it may be published by naming them. */
  readonly also?: readonly ChannelKindName[];
  /** Payload field that the builder fills with the current time. */
  readonly stamp: string | null;
  /**
   * The kind of subject whose latest state the message holds, and the payload
   * fields that name the subject: the first is permanent, the others may name
   * another subject later. `null`: no subject can be requested by name.
   */
  readonly about:
    | { readonly kind: string; readonly by: readonly string[] }
    | null;
  /**
   * Fields that subscribers may filter by, and their sources in the payload. A
   * message without tags concerns its channel as a whole: it passes every
   * filter.
   */
  readonly tags?: Readonly<Record<string, TagKind>>;
  /** The schema of the payload. */
  readonly payload: z.ZodObject;
}

/** A field that events can be filtered by. */
export interface TagKind {
  /**
   * Payload fields whose values it holds: texts, numbers or lists of them. A
   * dot descends into an object, or into each item of a list.
   */
  readonly of: readonly string[];
  /** Addresses are compared in lower case. */
  readonly isAddress?: true;
  /** Each value is on many events: filters are indexed by another field. */
  readonly isCommon?: true;
}

/** What an event can be filtered by: values by field, as text. */
export type Tags = Readonly<Record<string, readonly string[]>>;

/** Most values of one field that an event is tagged with. */
export const MAX_TAG_VALUES = 1_000;
/** Longest tag, in UTF-16 units: no filter can name a longer value. */
export const MAX_TAG_LENGTH = 256;
/** A tag without values, on an event that may concern more than it names. */
export const PARTIAL_TAG = "*";
/** Sources of a message's fields, as its field `missing` names them. */
const SOURCES_OF_TAGS = ["receipt", "logs"];

/**
 * Any JSON value. A frame is already parsed as JSON and within the limits of
 * `json_limits.ts`: `z.json()` would walk it again, at many times the cost.
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
      blockId,
      height,
      timestamp,
      hash: identifier.optional().describe(
        "Hash of the block, where it differs from `blockId`.",
      ),
      previousHash: identifier.optional().describe(
        "Its parent's hash, or the parent's `blockId` where it has no hash.",
      ),
      transactions: z.array(transaction).optional().describe(
        "Its transactions, where they fit; see `transactionCount`.",
      ),
      validator: identifier.optional().describe("Validator that made it."),
      signature: z.string().optional().describe("The maker's signature."),
      size: count.optional().describe("Whole block, in bytes."),
      gasUsed: count.optional().describe(
        "Gas that all of its transactions used.",
      ),
      gasLimit: count.optional().describe("Most gas that the block may use."),
      chain: chain.optional(),
      transactionCount: count.optional().describe(
        "Number of transactions in it, listed or not.",
      ),
      transactionIds: z.array(identifier).optional().describe(
        "Their ids, where the transactions themselves do not fit.",
      ),
      transactionsOmitted: count.optional().describe(
        "Number of transactions not listed, because not even their ids fit.",
      ),
      baseFee: amount.optional().describe(
        "Smallest units of the native asset for each unit of gas.",
      ),
      gapBefore: z.looseObject({
        from: count.describe("The lowest."),
        to: count.describe("The highest."),
      }).optional().describe(
        "Heights below it that the service does not know; set by the service.",
      ),
      missing: z.array(z.string().min(1).max(64)).max(64).optional().describe(
        "Fields that the source could not read.",
      ),
    }),
  },
  BLOCK_REVERTED: {
    summary: "A block was reverted; the newest is reverted first",
    channel: "blocks",
    stamp: "timestamp",
    about: { kind: "block", by: ["blockId", "height"] },
    payload: z.looseObject({
      chain: chain.optional(),
      blockId,
      height,
      previousHash: identifier.optional().describe(
        "Its parent: the newest block now.",
      ),
      reason: z.string().min(1).max(64).optional().describe(
        "Why, such as `reorg` or `rollback`.",
      ),
      timestamp,
    }),
  },
  FINALITY: {
    summary: "Blocks up to this one reached a level of finality",
    channel: "blocks",
    stamp: "timestamp",
    about: null,
    payload: z.looseObject({
      chain: chain.optional(),
      level: z.enum(["safe", "final"]).describe(
        "`safe`: unlikely to be reverted; `final`: never reverted.",
      ),
      blockId,
      height,
      timestamp,
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
      keeps: blockPlace.nullable().describe(
        "The newest block that is still valid; `null`: none.",
      ),
      reason: z.string().min(1).max(64).optional().describe(
        "Why, such as `deeper_than_kept`, `finality_broken`, `chain_replaced`.",
      ),
      timestamp,
    }),
  },
  DAG_UPDATE: {
    summary: "A node or an edge was added to or removed from the DAG",
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
      ]).describe("What happened to the node, the edge or the path."),
      nodeId: identifier.describe("Name of the node of the DAG."),
      relatedNodes: z.array(identifier).describe(
        "Parents of an added node, the other end of an edge, or a path's nodes.",
      ),
      timestamp,
      metadata: z.looseObject({
        weight: z.number().optional().describe("Weight of the node."),
        layer: count.optional().describe("Layer of the node, from 0."),
        parentCount: count.optional().describe("Number of its parents."),
        childCount: count.optional().describe("Number of its children."),
      }).optional().describe("Position of the node in the DAG."),
      missingParents: z.array(identifier).optional().describe(
        "Parents of an added node that are not known; set by the service.",
      ),
    }),
  },
  VALIDATOR_EVENT: {
    summary: "A validator changed its state or acted",
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
      ]).describe("What happened to the validator, or what it did."),
      validatorId: identifier.describe("Name or address of the validator."),
      stake: amount.optional().describe("Its stake."),
      timestamp,
      blockHeight: height.optional(),
      reward: amount.optional().describe("Amount it earned."),
      penalty: amount.optional().describe("Amount it lost."),
      metadata: z.looseObject({
        uptime: z.number().min(0).max(100).optional().describe(
          "Uptime in percent, 0 to 100.",
        ),
        proposedBlocks: count.optional().describe(
          "Number of blocks it proposed.",
        ),
        missedBlocks: count.optional().describe(
          "Number of blocks it failed to propose.",
        ),
      }).optional().describe("Its performance so far."),
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
      blockId,
      height,
      transactions: count.describe("Number of transactions in the block."),
      failed: count.optional().describe("Number of failed transactions."),
      missing: z.array(z.string().min(1).max(64)).max(64).optional().describe(
        "Contains `transactions` when a node did not return all of the block.",
      ),
      timestamp,
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
      txId: identifier.describe("The transaction's id, such as its hash."),
      blockId,
      blockHeight: height,
      index: count.optional().describe(
        "The transaction's place in the block, from 0.",
      ),
      logs: z.array(contractLog).describe(
        "Its contract events, in their order.",
      ),
      logsOmitted: count.optional().describe(
        "Number of contract events left out because they do not fit.",
      ),
      timestamp: timestamp.optional(),
    }),
  },
  LOGS_REVERTED: {
    summary: "A block was reverted; its contract events are void",
    channel: "logs",
    stamp: "timestamp",
    about: null,
    payload: z.looseObject({
      chain: chain.optional(),
      blockId,
      height,
      timestamp,
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
      nodeId: identifier.describe("Name of the network's node."),
      status: z.enum(["ONLINE", "OFFLINE", "SYNCING", "ERROR"]).describe(
        "Whether the node takes part in the network.",
      ),
      version: z.string().max(256).optional().describe(
        "Version of the node's program.",
      ),
      uptime: z.number().nonnegative().optional().describe(
        "Seconds since the node started.",
      ),
      blockHeight: height.optional(),
      peers: count.optional().describe("Number of connected nodes."),
      memoryUsage: count.optional().describe("Memory in use, in bytes."),
      cpuUsage: z.number().nonnegative().optional().describe(
        "CPU load, in percent of one core.",
      ),
      networkLatency: z.number().nonnegative().optional().describe(
        "Latency of the network, in milliseconds.",
      ),
      lastUpdate: instant.describe("Time of this state."),
      region: z.string().max(256).optional().describe("Region it runs in."),
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
      type: identifier.describe(
        "What kind of alert, for example `node_failure`.",
      ),
      severity: z.enum(["info", "warning", "critical"]).describe(
        "Urgency of the alert.",
      ),
      message: z.string().min(1).max(4096).describe(
        "What is wrong, for a person.",
      ),
      timestamp: timestamp.optional(),
      subject: identifier.optional().describe(
        "Subject of the alert: a node, a validator, a channel.",
      ),
      status: z.enum(["firing", "resolved"]).optional().describe(
        "Whether the alert starts or ends; `firing` when absent.",
      ),
      value: z.number().optional().describe("The measured value."),
      threshold: z.number().optional().describe(
        "The threshold that the value crossed.",
      ),
    }),
  },
  METRICS_UPDATE: {
    summary: "This service's own measurements",
    channel: "metrics",
    stamp: "timestamp",
    about: null,
    payload: z.looseObject({ timestamp }),
  },
  ROOM_MESSAGE: {
    summary: "An application's own event, for all subscribers of a room",
    channel: "room",
    stamp: null,
    about: null,
    tags: { event: { of: ["event"] } },
    payload: z.looseObject({
      event: identifier.describe("The application's name for what happened."),
      data: AnyData.optional().describe("Any JSON value of the application."),
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

/** The payload's field for the time of the event, where a type has one. */
export type Stamp<Type extends MessageType> = Extract<
  (typeof MESSAGES)[Type]["stamp"],
  keyof PayloadOf<Type>
>;

/** An application message as a publisher sends it. */
export interface Message<Type extends MessageType = MessageType> {
  /** The message type. */
  type: Type;
  /** Its content. */
  payload: PayloadOf<Type>;
  /** The publisher's idempotency key, 1 to 128 visible ASCII characters. */
  id?: string | undefined;
  /** ISO 8601; the server replaces it by the time of acceptance. */
  timestamp?: string | undefined;
  /** Semantic version of the protocol. */
  version?: string | undefined;
  /** The destination, for types with several channels. */
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
   * In filtered subscriptions: every matching event up to this number was sent
   * before. Absent on the missed events that a `watch` replays.
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
 * The keys under which a message's subject can be requested, the permanent one
 * first.
 *
 * @param type the message's type.
 * @param payload its validated payload.
 * @returns keys such as `block:abc123` and `block#15420`, which differ since an
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

/** A payload field that tags are read from, split once. */
interface TagPath {
  /** Names, from the outermost. */
  readonly steps: readonly string[];
  /** The field that counts its omitted values. */
  readonly omitted: string;
  /** The entries of `missing` under which it is not known. */
  readonly sources: readonly string[];
}

const TAG_PATHS = new Map(
  (Object.keys(MESSAGES) as MessageType[]).map((type) => {
    const { tags = {} } = MESSAGES[type] as MessageKind;
    const fields = Object.entries(tags).map(([field, { of, isAddress }]) => ({
      field,
      isAddress: isAddress ?? false,
      paths: of.map(tagPath),
    }));
    return [type, fields];
  }),
);

function tagPath(path: string): TagPath {
  const steps = path.split(".");
  const [field] = steps as [string];
  const sources = [field, ...SOURCES_OF_TAGS];
  return { steps, omitted: `${field}Omitted`, sources };
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
  for (const { field, isAddress, paths } of TAG_PATHS.get(type)!) {
    const values = new Set<string>();
    for (const path of paths) {
      addTags(values, payload, path.steps, 0, isAddress);
      if (isPartial(payload, path)) tags[PARTIAL_TAG] = [];
    }
    if (values.size > MAX_TAG_VALUES) tags[PARTIAL_TAG] = [];
    if (values.size > 0) tags[field] = [...values].slice(0, MAX_TAG_VALUES);
  }
  return tags;
}

/** Whether a payload declares that values of a path are missing. */
function isPartial(
  payload: Readonly<Record<string, unknown>>,
  { omitted, sources }: TagPath,
): boolean {
  const { missing } = payload;
  return payload[omitted] !== undefined ||
    Array.isArray(missing) && sources.some((it) => missing.includes(it));
}

/** Adds the values that the steps lead to; every item of a list is followed. */
function addTags(
  values: Set<string>,
  value: unknown,
  steps: readonly string[],
  at: number,
  isAddress: boolean,
): void {
  if (Array.isArray(value)) {
    for (const item of value) addTags(values, item, steps, at, isAddress);
  } else if (at < steps.length) {
    addTags(values, Object(value)[steps[at]!], steps, at + 1, isAddress);
  } else if (typeof value === "string" || typeof value === "number") {
    const text = isAddress ? `${value}`.toLowerCase() : `${value}`;
    if (text.length > MAX_TAG_LENGTH || values.size > MAX_TAG_VALUES) return;
    values.add(text);
  }
}

/** The kind of channel for things of a kind, such as `block`. */
export function channelAbout(kind: string): ChannelKindName | undefined {
  const entry = Object.values(MESSAGES as Record<string, MessageKind>)
    .find(({ about }) => about?.kind === kind);
  return entry?.channel ?? undefined;
}
