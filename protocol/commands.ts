/**
 * Commands that clients send besides application messages: the verbs of the
 * protocol. Unknown keys are refused, so that a typing error is reported.
 *
 * @module
 */
import { z } from "zod";
import { channelNamed } from "./channels.ts";
import type { ChannelKindName } from "./channels.ts";
import { Filter, filterIssues } from "./filters.ts";
import { GOALS } from "./states.ts";

/** Longest token accepted, in characters. */
export const MAX_TOKEN_LENGTH = 8192;
/** Most channels named in one `subscribe` or `unsubscribe`. */
export const MAX_CHANNELS_PER_COMMAND = 1000;
/** Most events returned by one `query` or page of history. */
export const MAX_HISTORY_LIMIT = 1000;
/** Events returned by a `query` that names no limit. */
export const DEFAULT_HISTORY_LIMIT = 100;

/** Most transactions returned by one `block`. */
export const MAX_BLOCK_TRANSACTIONS = 100;

const token = z.string().min(1).max(MAX_TOKEN_LENGTH);
const channelName = z.string().min(1).max(128);

/** Most items that one `watch` adds, and most that it removes. */
export const MAX_WATCH_ITEMS = 1_000;
/** Longest item of a `watch` that is answered item by item, in characters. */
export const MAX_WATCH_ITEM_LENGTH = 1_024;

/** The client's name for one of its filtered subscriptions. */
const subscriptionName = z.string().regex(
  /^[A-Za-z0-9_.:-]{1,64}$/,
  "expected 1 to 64 of letters, digits, _ . : -",
).refine((name) => !channelNamed(name), "this is the name of a channel");

const watchItems = z.array(z.string().max(MAX_WATCH_ITEM_LENGTH))
  .max(MAX_WATCH_ITEMS);

/** Channels that can begin with a snapshot. */
export const SNAPSHOTS = [
  "validators",
  "nodes",
  "transactions",
  "dag",
] as const satisfies readonly ChannelKindName[];
/** A channel that can begin with a snapshot. */
export type SnapshotChannel = (typeof SNAPSHOTS)[number];

/** A position in a channel's log: the last event seen. */
export const Position = z.strictObject({
  epoch: z.string().min(1).max(64).describe("Identity of the log."),
  seq: z.int().nonnegative().describe(
    'Last number seen; 0 is "before the first".',
  ),
}).meta({ id: "Position" });
/** A position in a channel's log: the last event seen. */
export type Position = z.infer<typeof Position>;

/** A block of `blocks` as a position: the last one that the client holds. */
export const BlockPosition = z.strictObject({
  height: z.int().nonnegative().describe("Blocks above genesis."),
  blockId: z.string().min(1).max(256).describe("Name of the block."),
}).meta({ id: "BlockPosition" });
/** A block of `blocks` as a position: the last one that the client holds. */
export type BlockPosition = z.infer<typeof BlockPosition>;

/** One channel of a `subscribe`, and its starting position. */
export const Subscription = z.strictObject({
  channel: channelName.describe("A channel's name or alias, or `room:<name>`."),
  after: z.union([Position, BlockPosition]).optional().describe(
    "Replay the events after this position or block, then continue live.",
  ),
  snapshot: z.literal(true).optional().describe(
    "Begin with the newest event about each validator, node or pending transaction, or with the tips of the DAG, then continue live.",
  ),
  last: z.int().min(0).max(MAX_HISTORY_LIMIT).optional().describe(
    "Replay this number of the latest events, then continue live.",
  ),
  filter: Filter.optional().describe("Deliver only events that match."),
  as: subscriptionName.optional().describe(
    "Name of a filtered subscription: a connection may have several per channel.",
  ),
}).refine(
  ({ after, last }) => after === undefined || last === undefined,
  "use either after or last, not both",
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
      message: "a snapshot cannot be combined with after, last or filter",
    });
  }
  const some: readonly string[] = SNAPSHOTS;
  if (snapshot && kind && !some.includes(kind)) {
    context.addIssue({
      code: "custom",
      path: ["snapshot"],
      message: `snapshots exist only for ${some.join(", ")}`,
    });
  }
  if (after && "blockId" in after && kind && kind !== "blocks") {
    context.addIssue({
      code: "custom",
      path: ["after"],
      message: "a block is a position only in blocks",
    });
  }
  if (!filter || !kind) return;
  for (const { path, message } of filterIssues(filter, kind)) {
    const inside = path === "" ? [] : path.split(".");
    context.addIssue({ code: "custom", path: ["filter", ...inside], message });
  }
}).meta({ id: "Subscription" });
/** One channel of a `subscribe`, and its starting position. */
export type Subscription = z.infer<typeof Subscription>;

/** Longest name of a client program, in characters. */
const MAX_CLIENT_LENGTH = 128;

/** The client program that headers of a `connect` name, at most as `client`. */
export function programIn(
  headers: Readonly<Record<string, string>> = {},
): string | undefined {
  return Object.entries(headers)
    .find(([name]) => name.toLowerCase() === "x-client-version")
    ?.[1].slice(0, MAX_CLIENT_LENGTH);
}

/** Payloads of the verbs, by verb. */
export const COMMANDS = {
  connect: z.strictObject({
    auth: z.strictObject({
      token: token.describe("A JSON Web Token."),
      headers: z.record(z.string().max(128), z.string().max(1024)).optional()
        .describe(
          "Headers of the client: `X-Client-Version` names the program when `client` is absent.",
        ),
    }).optional().describe("Who the client is; anonymous when absent."),
    client: z.string().max(MAX_CLIENT_LENGTH).optional().describe(
      "Name and version of the client program, for the operator.",
    ),
    batch: z.boolean().optional().describe(
      "Whether frames due together may be sent as one `BATCH_UPDATE`.",
    ),
    compress: z.enum(["deflate", "deflate-plain"]).optional().describe(
      "Whether frames may be sent as raw DEFLATE of their text: with the preset dictionary that `connected` names, or without one.",
    ),
  }),
  subscribe: z.strictObject({
    channels: z.array(z.union([channelName, Subscription]))
      .min(1).max(MAX_CHANNELS_PER_COMMAND)
      .describe("Names, or names with a starting position."),
  }),
  unsubscribe: z.strictObject({
    channels: z.array(channelName).min(1).max(MAX_CHANNELS_PER_COMMAND)
      .describe("Channels, and names given by `as`."),
  }),
  watch: z.strictObject({
    as: z.string().min(1).max(128).describe(
      "The subscription: its `as`, or its channel.",
    ),
    field: z.string().min(1).max(64).optional().describe(
      "Field whose values are edited; needed when the clause has several.",
    ),
    add: watchItems.optional().describe("Values to add to the filter."),
    remove: watchItems.optional().describe("Values to remove from it."),
    after: Position.optional().describe(
      "First deliver the events that match the added values since this position.",
    ),
  }),
  refresh: z.strictObject({ token: token.describe("The newer token.") }),
  request_metrics: z.strictObject({
    type: z.string().max(64).optional().describe("Repeated in the reply."),
  }),
  request_data: z.strictObject({
    key: z.string().min(1).max(300).describe(
      "`block:<height or id>`, `transaction:<id>`, `logs:<id>`, `validator:<id>`, `node:<id>`, `channel:<name>`.",
    ),
  }),
  query: z.strictObject({
    channel: channelName.describe(
      "A channel's name or alias, or `room:<name>`.",
    ),
    after: Position.optional().describe("Only events after this position."),
    before: Position.optional().describe("Only events before this position."),
    limit: z.int().min(1).max(MAX_HISTORY_LIMIT).default(DEFAULT_HISTORY_LIMIT)
      .describe("Most events returned."),
  }),
  block: z.strictObject({
    block: z.string().min(1).max(256).describe("Its id, or its height."),
    after: z.int().min(-1).default(-1).describe(
      "Index in the block after which transactions are returned; -1: all.",
    ),
    limit: z.int().min(0).max(MAX_BLOCK_TRANSACTIONS)
      .default(MAX_BLOCK_TRANSACTIONS)
      .describe("Most transactions returned."),
  }),
  track: z.strictObject({
    txId: z.string().min(1).max(256).describe("The transaction's id."),
    until: z.enum(GOALS).default("final").describe(
      "The state at which tracking ends.",
    ),
  }),
  ping: z.strictObject({}),
} as const;

/** The name of a verb. */
export type CommandType = keyof typeof COMMANDS;

/** Verbs that are valid without a payload. */
export const BARE_COMMANDS: ReadonlySet<CommandType> = new Set(
  ["connect", "request_metrics", "ping"] as const,
);

/** The payload of a verb, once decoded. */
export type CommandPayload<Type extends CommandType> = z.output<
  (typeof COMMANDS)[Type]
>;
