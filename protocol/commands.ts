/**
 * What clients say to the server besides application messages: the verbs of
 * the protocol. Unknown keys are refused, so that a typing error is heard.
 *
 * @module
 */
import { z } from "zod";
import { channelNamed } from "./channels.ts";
import { Filter, filterIssues } from "./filters.ts";
import { GOALS } from "./states.ts";

/** Longest token accepted, in characters. */
export const MAX_TOKEN_LENGTH = 8192;
/** Most channels named in one `subscribe` or `unsubscribe`. */
export const MAX_CHANNELS_PER_COMMAND = 1000;
/** Most events one `query` or page of history answers. */
export const MAX_HISTORY_LIMIT = 1000;
/** Events a `query` answers when it names no limit. */
export const DEFAULT_HISTORY_LIMIT = 100;

/** Most transactions that one `block` answers. */
export const MAX_BLOCK_TRANSACTIONS = 100;

const token = z.string().min(1).max(MAX_TOKEN_LENGTH);
const channelName = z.string().min(1).max(128);

/** Most items that one `watch` adds, and most that it removes. */
export const MAX_WATCH_ITEMS = 1_000;
/** Longest item of a `watch` that is answered item by item, in characters. */
export const MAX_WATCH_ITEM_LENGTH = 1_024;

/** The name that a client gives to one of its filtered subscriptions. */
const subscriptionName = z.string().regex(
  /^[A-Za-z0-9_.:-]{1,64}$/,
  "expected 1 to 64 of letters, digits, _ . : -",
).refine((name) => !channelNamed(name), "this is the name of a channel");

const watchItems = z.array(z.string().max(MAX_WATCH_ITEM_LENGTH))
  .max(MAX_WATCH_ITEMS);

/** Channels that can begin with a snapshot, and what it is of. */
export const SNAPSHOTS: Readonly<Record<string, string>> = {
  validators: "validator",
  nodes: "node",
};

/** A position in a channel's log: the last event seen. */
export const Position = z.strictObject({
  /** Identity of the log. */
  epoch: z.string().min(1).max(64),
  /** Last number seen; 0 is "before the first". */
  seq: z.int().nonnegative(),
});
/** A position in a channel's log: the last event seen. */
export type Position = z.infer<typeof Position>;

/** A block of `blocks` as a position: the last one that the client holds. */
export const BlockPosition = z.strictObject({
  /** Blocks above genesis. */
  height: z.int().nonnegative(),
  blockId: z.string().min(1).max(256),
});
/** A block of `blocks` as a position: the last one that the client holds. */
export type BlockPosition = z.infer<typeof BlockPosition>;

/** One channel of a `subscribe`, with where to begin. */
export const Subscription = z.strictObject({
  channel: channelName,
  /** Replay what came after this position or block, then go on live. */
  after: z.union([Position, BlockPosition]).optional(),
  /** Begin with the newest event about each thing, then go on live. */
  snapshot: z.literal(true).optional(),
  /** Replay the last so many events, then go on live. */
  last: z.int().min(0).max(MAX_HISTORY_LIMIT).optional(),
  /** Deliver only events that match. */
  filter: Filter.optional(),
  /** Name of a filtered subscription: a connection may have several a channel. */
  as: subscriptionName.optional(),
}).refine(
  ({ after, last }) => after === undefined || last === undefined,
  "name either after or last, not both",
).refine(
  ({ as, filter }) => as === undefined || filter !== undefined,
  { path: ["as"], error: "names a filtered subscription: give a filter" },
).superRefine(({ channel, filter, after, last, snapshot }, context) => {
  const kind = channelNamed(channel)?.kind;
  const isElsewhere = after !== undefined || last !== undefined;
  if (snapshot && (isElsewhere || filter !== undefined)) {
    context.addIssue({
      code: "custom",
      path: ["snapshot"],
      message: "a snapshot goes without after, last and filter",
    });
  }
  if (snapshot && kind && !(kind in SNAPSHOTS)) {
    context.addIssue({
      code: "custom",
      path: ["snapshot"],
      message: `there are snapshots of ${Object.keys(SNAPSHOTS).join(", ")}`,
    });
  }
  if (after && "blockId" in after && kind && kind !== "blocks") {
    context.addIssue({
      code: "custom",
      path: ["after"],
      message: "a block is a position in blocks only",
    });
  }
  if (!filter || !kind) return;
  for (const { path, message } of filterIssues(filter, kind)) {
    const inside = path === "" ? [] : path.split(".");
    context.addIssue({ code: "custom", path: ["filter", ...inside], message });
  }
});
/** One channel of a `subscribe`, with where to begin. */
export type Subscription = z.infer<typeof Subscription>;

/** Payloads of the verbs, by verb. */
export const COMMANDS = {
  connect: z.strictObject({
    auth: z.strictObject({
      token,
      headers: z.record(z.string().max(128), z.string().max(1024)).optional(),
    }).optional(),
    /** Name and version of the client program, for the operator. */
    client: z.string().max(128).optional(),
    /** Whether frames due together may come as one `BATCH_UPDATE`. */
    batch: z.boolean().optional(),
    /**
     * Whether frames may come as raw DEFLATE of their text: with the preset
     * dictionary that `connected` names, or without one.
     */
    compress: z.enum(["deflate", "deflate-plain"]).optional(),
  }),
  subscribe: z.strictObject({
    channels: z.array(z.union([channelName, Subscription]))
      .min(1).max(MAX_CHANNELS_PER_COMMAND),
  }),
  unsubscribe: z.strictObject({
    /** Channels, and names given by `as`. */
    channels: z.array(channelName).min(1).max(MAX_CHANNELS_PER_COMMAND),
  }),
  /** Edits the values of a filtered subscription in place. */
  watch: z.strictObject({
    /** Which: its `as`, or its channel. */
    as: z.string().min(1).max(128),
    /** Field whose values are edited; needed when the clause has several. */
    field: z.string().min(1).max(64).optional(),
    add: watchItems.optional(),
    remove: watchItems.optional(),
    /** Deliver what the added items missed since this position first. */
    after: Position.optional(),
  }),
  refresh: z.strictObject({ token }),
  request_metrics: z.strictObject({ type: z.string().max(64).optional() }),
  request_data: z.strictObject({
    /** `block:<height or id>`, `transaction:<id>`, `logs:<id>`, `validator:<id>`, `node:<id>`, `channel:<name>`. */
    key: z.string().min(1).max(300),
  }),
  query: z.strictObject({
    channel: channelName,
    after: Position.optional(),
    before: Position.optional(),
    limit: z.int().min(1).max(MAX_HISTORY_LIMIT).default(DEFAULT_HISTORY_LIMIT),
  }),
  block: z.strictObject({
    /** Its id, or its height. */
    block: z.string().min(1).max(256),
    /** Place in the block after which transactions are answered; -1: all. */
    after: z.int().min(-1).default(-1),
    /** Most transactions answered. */
    limit: z.int().min(0).max(MAX_BLOCK_TRANSACTIONS)
      .default(MAX_BLOCK_TRANSACTIONS),
  }),
  track: z.strictObject({
    txId: z.string().min(1).max(256),
    /** The state at which tracking ends. */
    until: z.enum(GOALS).default("final"),
  }),
  ping: z.strictObject({}),
} as const;

/** The name of a verb. */
export type CommandType = keyof typeof COMMANDS;

/** Verbs that mean something without a payload. */
export const BARE_COMMANDS: ReadonlySet<CommandType> = new Set(
  ["connect", "request_metrics", "ping"] as const,
);

/** The payload of a verb, once decoded. */
export type CommandPayload<Type extends CommandType> = z.output<
  (typeof COMMANDS)[Type]
>;
