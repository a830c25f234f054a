/**
 * Frames that the server sends besides events: replies to verbs, and
 * notifications.
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
/** An event of any type, as delivered: it was validated when accepted. */
export const AnyEvent = z.record(z.string(), z.unknown())
  .meta({ id: "Event" });

/** Why a resume could not deliver every missed event. */
export const GAP_REASONS = [
  /** The missed events are no longer stored. */
  "retention",
  /** The log is a new one; positions of the old one are not valid in it. */
  "epoch_changed",
  /** The missed events are stored, but damaged. */
  "unreadable",
  /** The client's position is beyond the end of the log, which lost events. */
  "position_unknown",
  /** The channel stores no events. */
  "no_retention",
  /** The block is not known. */
  "block_unknown",
] as const;
/** Why a resume could not deliver every missed event. */
export type GapReason = (typeof GAP_REASONS)[number];

/** The identity of a client, as its token proves it. */
export const Identity = z.strictObject({
  isAuthenticated: z.boolean().describe("Whether it sent a valid token."),
  user: z.string().nullable().describe(
    "The token's subject; `null` for anonymous clients.",
  ),
  role: z.enum(ROLES).describe("The role that decides its rights."),
  expiresAt: instant.optional().describe("When the token expires."),
}).meta({ id: "Identity" });
/** The identity of a client, as its token proves it. */
export type Identity = z.infer<typeof Identity>;

/** The position and the warnings of an accepted event. */
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
    "Heights of the chain below a block that are still to be published.",
  ),
  missingParents: z.array(z.string()).optional().describe(
    "Parents of a node of the DAG that are not known.",
  ),
  contradicts: z.strictObject({
    status: z.string().describe("The current status."),
    blockId: z.string().optional().describe("Name of the block."),
  }).optional().describe(
    "The current status of a transaction, which the published one cannot follow.",
  ),
}).meta({ id: "Accepted" });
/** The position and the warnings of an accepted event. */
export type Accepted = z.infer<typeof Accepted>;

/** Payloads of the server's own frames, by type. */
export const REPLIES = {
  connected: z.strictObject({
    sessionId: z.string().describe("Name of this connection."),
    serverTime: instant.describe("The server's time."),
    identity: Identity.describe("The identity of the client."),
    heartbeatMs: z.int().positive().describe(
      "Send a `ping` at least this often, in milliseconds.",
    ),
    limits: z.strictObject({
      maxMessageBytes: z.int().positive().describe(
        "Longest frame accepted, in bytes.",
      ),
      maxSubscriptions: z.int().positive().describe(
        "Most subscriptions at a time.",
      ),
      maxCommandsInFlight: z.int().positive().describe(
        "Most commands that may wait for their reply.",
      ),
    }).describe("The limits of this connection."),
    schema: z.string().describe(
      "Changes whenever a schema of the protocol changes.",
    ),
    compress: z.strictObject({
      algorithm: z.literal("deflate-raw").describe(
        "How binary frames are compressed.",
      ),
      dictionary: z.string().nullable().describe(
        "Hash of the dictionary at `/dictionary/<hash>`; `null` without one.",
      ),
    }).optional().describe(
      "How binary frames are compressed; absent when none are sent.",
    ),
  }),
  subscribed: z.strictObject({
    channels: z.array(z.strictObject({
      channel: z.string().describe("Canonical name of the channel."),
      requested: z.string().optional().describe(
        "The alias in the command, when it was one.",
      ),
      as: z.string().optional().describe(
        "The name given to a filtered subscription.",
      ),
      epoch: z.string().nullable().describe(
        "`null` on channels without retention.",
      ),
      seq: seq.nullable().describe(
        "The next event is the one after this number; `null` likewise.",
      ),
      recovered: z.boolean().describe(
        "Whether every event after the requested position follows.",
      ),
      reason: z.enum(GAP_REASONS).optional().describe(
        "Why not every event can be delivered.",
      ),
      filtered: z.strictObject({
        values: z.int().nonnegative().describe("How many values it holds."),
      }).optional().describe("The filter of a filtered subscription."),
    })).describe("The subscriptions that are active now."),
    rejected: z.array(z.strictObject({
      channel: z.string().describe("Canonical name of the channel."),
      as: z.string().optional().describe("Name of the filtered subscription."),
      code: code.describe("The stable name of the reason."),
      retryAfterMs: z.int().nonnegative().optional().describe(
        "When a retry can succeed, in milliseconds from now.",
      ),
    })).describe("The subscriptions that were refused, and why."),
  }),
  snapshot: z.strictObject({
    channel: z.string().describe("Canonical name of the channel."),
    events: z.array(AnyEvent).describe(
      "The newest event about each subject, ordered by the subjects' names.",
    ),
    end: z.boolean().describe(
      "Whether this is the last frame: live events follow.",
    ),
    truncated: z.literal(true).optional().describe(
      "There are more subjects than a snapshot holds.",
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
      "Added values apply to events after this position.",
    ),
    added: z.array(z.string()).describe(
      "Values that the filter holds now and did not before, as compared.",
    ),
    removed: z.array(z.string()).describe(
      "Values that the filter held before and no longer does.",
    ),
    rejected: z.array(z.strictObject({
      item: z.string().describe("As the command named it."),
      code: code.describe("The stable name of the reason."),
    })).describe("Items that were refused, and why."),
    size: z.int().nonnegative().describe(
      "How many values the filter holds now.",
    ),
  }),
  progress: z.strictObject({
    positions: z.array(z.strictObject({
      channel: z.string().describe("Canonical name of the channel."),
      as: z.string().optional().describe("Name of the filtered subscription."),
      epoch: z.string().describe("Identity of the log."),
      seq: seq.describe("Every matching event up to this number was sent."),
      block: z.strictObject({
        height: z.int().nonnegative().describe("Blocks above genesis."),
        blockId: z.string().describe("Name of the block."),
      }).optional().describe("The newest block that is complete up to there."),
    })).describe(
      "Positions up to which every matching event was sent, by subscription.",
    ),
  }),
  refreshed: z.strictObject({
    expiresAt: instant.describe("When the newer token expires."),
  }),
  metrics_response: z.strictObject({
    type: z.string().optional().describe("As in the command."),
    metrics: z.record(z.string(), z.unknown()).describe(
      "The measurements, by name.",
    ),
  }),
  data_response: z.strictObject({
    key: z.string().describe("As in the command."),
    data: AnyEvent.nullable().describe(
      "The newest event about it; `null` when there is none.",
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
    more: z.boolean().describe(
      "Whether there are more events in the requested direction.",
    ),
  }),
  block_response: z.strictObject({
    block: z.string().describe("As in the command."),
    status: z.enum(["standing", "reverted", "unknown"]).describe(
      "Whether it is part of its chain.",
    ),
    finality: z.enum(["none", "safe", "final"]).describe(
      "`safe` blocks are unlikely to be reverted, `final` ones never are.",
    ),
    event: AnyEvent.nullable().describe(
      "The newest event about it; `null` when there is none.",
    ),
    total: seq.describe("How many transactions it lists."),
    transactions: z.array(AnyEvent).describe(
      "The newest event of each known transaction, in block order.",
    ),
    logs: z.array(AnyEvent).describe(
      "Their contract events: `TX_LOGS` of this block.",
    ),
    next: seq.nullable().describe(
      "The `after` of the next command; `null`: there are no more.",
    ),
  }),
  tracked: TrackedState,
  tx_state: TrackedState,
  published: z.strictObject({
    accepted: z.array(Accepted).describe(
      "The result of each message, in their order.",
    ),
  }),
  pong: z.strictObject({ serverTime: instant.describe("The server's time.") }),
  error: z.strictObject({
    code: code.describe("The stable name of the reason."),
    message: z.string().describe("What is wrong, for a person."),
    retryAfterMs: z.int().nonnegative().optional().describe(
      "When to retry, in milliseconds from now.",
    ),
    issues: z.array(z.strictObject({
      path: z.string().describe("Dotted path into the frame."),
      message: z.string().describe("What is wrong at that path."),
    })).optional().describe("What is wrong, field by field."),
    missing: z.strictObject({
      from: z.int().nonnegative().describe("The lowest height."),
      to: z.int().nonnegative().describe("The highest height."),
    }).optional().describe("Heights to publish first."),
  }),
  gap: z.strictObject({
    channel: z.string().describe("Canonical name of the channel."),
    as: z.string().optional().describe(
      "Name of the filtered subscription, where it has one.",
    ),
    from: z.int().positive().describe(
      "First number missed; numbers are of `epoch`.",
    ),
    to: seq.describe(
      "Last number missed; below `from` when it cannot be known.",
    ),
    epoch: z.string().describe("Identity of the log."),
    reason: z.enum(GAP_REASONS).describe(
      "Why not every event can be delivered.",
    ),
  }),
  token_expiring: z.strictObject({
    inMs: z.int().describe("Milliseconds until the token expires."),
  }),
  draining: z.strictObject({
    retryInMs: z.int().nonnegative().describe(
      "When to reconnect, in milliseconds from now.",
    ),
  }),
} as const;

/** The type of a frame of the server itself. */
export type ReplyType = keyof typeof REPLIES;

/** The payload of a frame of the server itself. */
export type ReplyPayload<Type extends ReplyType> = z.output<
  (typeof REPLIES)[Type]
>;

/** A frame of the server itself: payload and envelope. */
export interface Reply<Type extends ReplyType = ReplyType> {
  /** The type of the frame. */
  type: Type;
  /** Its content. */
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

/** Any frame of the server itself, its payload chosen by its type. */
export type AnyReply = { [Type in ReplyType]: Reply<Type> }[ReplyType];
