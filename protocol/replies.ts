/**
 * What the server says besides events: answers to verbs, and what it says of
 * itself.
 *
 * @module
 */
import { z } from "zod";
import { ROLES } from "./channels.ts";
import { REFUSALS } from "./refusals.ts";
import type { RefusalCode } from "./refusals.ts";
import { TrackedState } from "./states.ts";

const code = z.enum(
  Object.keys(REFUSALS) as [RefusalCode, ...RefusalCode[]],
).meta({ id: "RefusalCode" });
const instant = z.iso.datetime();
const seq = z.int().nonnegative();
/** An event of any type, as it was delivered: it was checked when accepted. */
export const AnyEvent = z.record(z.string(), z.unknown())
  .meta({ id: "Event" });

/** Why a resume could not give everything that was missed. */
export const GAP_REASONS = [
  /** What was missed is no longer kept. */
  "retention",
  /** The log is a new one; old positions mean nothing in it. */
  "epoch_changed",
  /** What was missed is stored, but damaged. */
  "unreadable",
  /** The client is ahead of the log, which lost its end. */
  "position_unknown",
  /** The channel keeps nothing. */
  "no_retention",
  /** Nothing is known of the block. */
  "block_unknown",
] as const;
/** Why a resume could not give everything that was missed. */
export type GapReason = (typeof GAP_REASONS)[number];

/** Who the server takes a client for. */
export const Identity = z.strictObject({
  isAuthenticated: z.boolean().describe("Whether it showed a valid token."),
  user: z.string().nullable().describe(
    "The token's subject; `null` for the anonymous.",
  ),
  role: z.enum(ROLES).describe("What it may do."),
  expiresAt: instant.optional().describe("When the token ends."),
}).meta({ id: "Identity" });
/** Who the server takes a client for. */
export type Identity = z.infer<typeof Identity>;

/** Where an accepted event stands. */
export const Accepted = z.strictObject({
  id: z.string().describe(
    "The event's id: the publisher's own, or the server's.",
  ),
  channel: z.string().describe("Canonical name of the channel."),
  seq: z.int().positive().optional().describe(
    "Absent on channels without retention.",
  ),
  epoch: z.string().optional().describe("Identity of the log."),
  missing: z.strictObject({
    from: seq.describe("The lowest."),
    to: seq.describe("The highest."),
  }).optional().describe(
    "Heights of the chain before a block that are to be published too.",
  ),
  missingParents: z.array(z.string()).optional().describe(
    "Parents of a node of the DAG that are not known.",
  ),
  contradicts: z.strictObject({
    status: z.string().describe("How far it has come."),
    blockId: z.string().optional().describe("Name of the block."),
  }).optional().describe(
    "The status of a transaction that stands: the published one comes late.",
  ),
}).meta({ id: "Accepted" });
/** Where an accepted event stands. */
export type Accepted = z.infer<typeof Accepted>;

/** Payloads of what the server says, by type. */
export const REPLIES = {
  connected: z.strictObject({
    sessionId: z.string().describe("Name of this connection."),
    serverTime: instant.describe("The server's time."),
    identity: Identity.describe("Who the client is taken for."),
    heartbeatMs: z.int().positive().describe(
      "Send a `ping` at least this often, in milliseconds.",
    ),
    limits: z.strictObject({
      maxMessageBytes: z.int().positive().describe(
        "Longest frame accepted, in bytes.",
      ),
      maxSubscriptions: z.int().positive().describe(
        "Most channels followed at a time.",
      ),
      maxCommandsInFlight: z.int().positive().describe(
        "Most commands that may wait for their answer.",
      ),
    }).describe("What the server takes of this connection."),
    schema: z.string().describe(
      "Changes when any schema of the protocol does.",
    ),
    compress: z.strictObject({
      algorithm: z.literal("deflate-raw").describe(
        "How binary frames are compressed.",
      ),
      dictionary: z.string().nullable().describe(
        "Names the dictionary at `/dictionary/<hash>`; `null`: there is none.",
      ),
    }).optional().describe(
      "How binary frames are compressed; absent when none come.",
    ),
  }),
  subscribed: z.strictObject({
    channels: z.array(z.strictObject({
      channel: z.string().describe("Canonical name of the channel."),
      requested: z.string().optional().describe(
        "The alias that was asked for, when it was one.",
      ),
      as: z.string().optional().describe(
        "The name given to a filtered subscription.",
      ),
      epoch: z.string().nullable().describe(
        "`null` on channels without retention.",
      ),
      seq: seq.nullable().describe(
        "The first event to come is the one after this; `null` likewise.",
      ),
      recovered: z.boolean().describe(
        "Whether everything after the asked position will come.",
      ),
      reason: z.enum(GAP_REASONS).optional().describe(
        "Why not everything can be had.",
      ),
      filtered: z.strictObject({
        values: z.int().nonnegative().describe("How many values it holds."),
      }).optional().describe("The filter of a filtered subscription."),
    })).describe("Those that are followed now."),
    rejected: z.array(z.strictObject({
      channel: z.string().describe("Canonical name of the channel."),
      as: z.string().optional().describe("Name of the filtered subscription."),
      code: code.describe("The stable name of the reason."),
      retryAfterMs: z.int().nonnegative().optional().describe(
        "When to ask again, where that makes sense.",
      ),
    })).describe("Those that are not, and why."),
  }),
  snapshot: z.strictObject({
    channel: z.string().describe("Canonical name of the channel."),
    events: z.array(AnyEvent).describe(
      "The newest event about each thing, in the order of their names.",
    ),
    end: z.boolean().describe(
      "Whether this is the last frame: live events follow.",
    ),
    truncated: z.literal(true).optional().describe(
      "There are more things than a snapshot holds.",
    ),
  }),
  unsubscribed: z.strictObject({
    channels: z.array(z.string()).describe("As the command named them."),
  }),
  watched: z.strictObject({
    as: z.string().describe("The subscription, as the command named it."),
    field: z.string().describe("The field whose values were edited."),
    from: z.strictObject({
      epoch: z.string().describe("Identity of the log."),
      seq: seq.describe("A number in it."),
    }).describe(
      "What was added counts for events after this position.",
    ),
    added: z.array(z.string()).describe(
      "Items that count now and did not before, as they are compared.",
    ),
    removed: z.array(z.string()).describe(
      "Items that counted before and do not any more.",
    ),
    rejected: z.array(z.strictObject({
      item: z.string().describe("As the command named it."),
      code: code.describe("The stable name of the reason."),
    })).describe("Items that were not taken, and why."),
    size: z.int().nonnegative().describe(
      "How many values the filter holds now.",
    ),
  }),
  progress: z.strictObject({
    positions: z.array(z.strictObject({
      channel: z.string().describe("Canonical name of the channel."),
      as: z.string().optional().describe("Name of the filtered subscription."),
      epoch: z.string().describe("Identity of the log."),
      seq: seq.describe("Up to this number everything was sent."),
      block: z.strictObject({
        height: z.int().nonnegative().describe("Blocks above genesis."),
        blockId: z.string().describe("Name of the block."),
      }).optional().describe("The newest block that is complete up to there."),
    })).describe("Up to where filtered subscriptions were sent everything."),
  }),
  refreshed: z.strictObject({
    expiresAt: instant.describe("When the newer token ends."),
  }),
  metrics_response: z.strictObject({
    type: z.string().optional().describe("As it was asked for."),
    metrics: z.record(z.string(), z.unknown()).describe(
      "The measurements, by name.",
    ),
  }),
  data_response: z.strictObject({
    key: z.string().describe("As it was asked for."),
    data: AnyEvent.nullable().describe(
      "The newest event about it; `null` when nothing is known.",
    ),
  }),
  query_result: z.strictObject({
    channel: z.string().describe("Canonical name of the channel."),
    epoch: z.string().nullable().describe(
      "`null` while the channel has no events.",
    ),
    seq: seq.describe("Number of the newest event."),
    events: z.array(AnyEvent).describe(
      "Events, oldest first.",
    ),
    more: z.boolean().describe("Whether there is more in the direction asked."),
  }),
  block_response: z.strictObject({
    block: z.string().describe("What was asked for."),
    status: z.enum(["standing", "reverted", "unknown"]).describe(
      "Whether it stands in its chain.",
    ),
    finality: z.enum(["none", "safe", "final"]).describe(
      "How surely it stays.",
    ),
    event: AnyEvent.nullable().describe(
      "The newest event about it; `null` when none is known.",
    ),
    total: seq.describe("How many transactions it lists."),
    transactions: z.array(AnyEvent).describe(
      "The newest event of each, in their order; those that are known.",
    ),
    logs: z.array(AnyEvent).describe(
      "Their contract events: `TX_LOGS` of this block.",
    ),
    next: seq.nullable().describe(
      "Place after which to ask on; `null`: there are no more.",
    ),
  }),
  tracked: TrackedState,
  tx_state: TrackedState,
  published: z.strictObject({
    accepted: z.array(Accepted).describe(
      "Where each message stands, in their order.",
    ),
  }),
  pong: z.strictObject({ serverTime: instant.describe("The server's time.") }),
  error: z.strictObject({
    code: code.describe("The stable name of the reason."),
    message: z.string().describe("What is wrong, for a person."),
    retryAfterMs: z.int().nonnegative().optional().describe(
      "When to try again, in milliseconds from now.",
    ),
    issues: z.array(z.strictObject({
      path: z.string().describe("Where in the frame; dots lead inside."),
      message: z.string().describe("What is wrong there."),
    })).optional().describe("What is wrong, field by field."),
    missing: z.strictObject({
      from: z.int().nonnegative().describe("The lowest height."),
      to: z.int().nonnegative().describe("The highest height."),
    }).optional().describe("Heights to be published first."),
  }),
  gap: z.strictObject({
    channel: z.string().describe("Canonical name of the channel."),
    as: z.string().optional().describe(
      "The filtered subscription that it concerns, where it has a name.",
    ),
    from: z.int().positive().describe(
      "First number missed; numbers are of `epoch`.",
    ),
    to: seq.describe(
      "Last number missed; below `from` when it cannot be known.",
    ),
    epoch: z.string().describe("Identity of the log."),
    reason: z.enum(GAP_REASONS).describe("Why not everything can be had."),
  }),
  token_expiring: z.strictObject({
    inMs: z.int().describe("Milliseconds until the token ends."),
  }),
  draining: z.strictObject({
    retryInMs: z.int().nonnegative().describe(
      "After how many milliseconds to connect again.",
    ),
  }),
} as const;

/** The name of something the server says. */
export type ReplyType = keyof typeof REPLIES;

/** The payload of something the server says. */
export type ReplyPayload<Type extends ReplyType> = z.output<
  (typeof REPLIES)[Type]
>;

/** Something the server says, with its envelope. */
export interface Reply<Type extends ReplyType = ReplyType> {
  /** Which. */
  type: Type;
  /** What it says. */
  payload: ReplyPayload<Type>;
  /** ISO 8601 UTC with milliseconds. */
  timestamp: string;
  /** The server's name for this frame. */
  id: string;
  /** Semantic version of the protocol. */
  version: string;
  /** The `id` of the command answered. */
  ref?: string;
}

/** Anything the server says of itself, its payload chosen by its type. */
export type AnyReply = { [Type in ReplyType]: Reply<Type> }[ReplyType];
