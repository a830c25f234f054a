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
);
const instant = z.iso.datetime();
const seq = z.int().nonnegative();

/** Why a resume could not give everything that was missed. */
export const GAP_REASONS = [
  /** What was missed is no longer kept. */
  "retention",
  /** The log was begun anew; old positions mean nothing in it. */
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
  isAuthenticated: z.boolean(),
  /** The token's subject; `null` for the anonymous. */
  user: z.string().nullable(),
  role: z.enum(ROLES),
  /** When the token ends. */
  expiresAt: instant.optional(),
});
/** Who the server takes a client for. */
export type Identity = z.infer<typeof Identity>;

/** Where an accepted event stands. */
export const Accepted = z.strictObject({
  id: z.string(),
  channel: z.string(),
  /** Absent on channels without retention. */
  seq: z.int().positive().optional(),
  epoch: z.string().optional(),
  /** Heights of the chain before a block that are to be published too. */
  missing: z.strictObject({ from: seq, to: seq }).optional(),
  /** Parents of a node of the DAG that are not known. */
  missingParents: z.array(z.string()).optional(),
  /** The status of a transaction that stands: the published one comes late. */
  contradicts: z.strictObject({
    status: z.string(),
    blockId: z.string().optional(),
  }).optional(),
});
/** Where an accepted event stands. */
export type Accepted = z.infer<typeof Accepted>;

/** Payloads of what the server says, by type. */
export const REPLIES = {
  connected: z.strictObject({
    sessionId: z.string(),
    serverTime: instant,
    identity: Identity,
    /** Send a `ping` at least this often, in milliseconds. */
    heartbeatMs: z.int().positive(),
    limits: z.strictObject({
      maxMessageBytes: z.int().positive(),
      maxSubscriptions: z.int().positive(),
      maxCommandsInFlight: z.int().positive(),
    }),
    /** Changes when any schema of the protocol does. */
    schema: z.string(),
    /** How binary frames are compressed; absent when none come. */
    compress: z.strictObject({
      algorithm: z.literal("deflate-raw"),
      /** Names the dictionary at `/dictionary/<hash>`; `null`: there is none. */
      dictionary: z.string().nullable(),
    }).optional(),
  }),
  subscribed: z.strictObject({
    channels: z.array(z.strictObject({
      channel: z.string(),
      /** The alias that was asked for, when it was one. */
      requested: z.string().optional(),
      /** The name given to a filtered subscription. */
      as: z.string().optional(),
      /** `null` on channels without retention. */
      epoch: z.string().nullable(),
      /** The first event to come is the one after this; `null` likewise. */
      seq: seq.nullable(),
      /** Whether everything after the asked position will come. */
      recovered: z.boolean(),
      reason: z.enum(GAP_REASONS).optional(),
      /** Of a filtered subscription: how many values its filter holds. */
      filtered: z.strictObject({ values: z.int().nonnegative() }).optional(),
    })),
    rejected: z.array(z.strictObject({
      channel: z.string(),
      as: z.string().optional(),
      code,
      /** When to ask again, where that makes sense. */
      retryAfterMs: z.int().nonnegative().optional(),
    })),
  }),
  snapshot: z.strictObject({
    channel: z.string(),
    /** The newest event about each thing, in the order of their names. */
    events: z.array(z.record(z.string(), z.unknown())),
    /** Whether this is the last frame: live events follow. */
    end: z.boolean(),
    /** There are more things than a snapshot holds. */
    truncated: z.literal(true).optional(),
  }),
  unsubscribed: z.strictObject({ channels: z.array(z.string()) }),
  watched: z.strictObject({
    /** The subscription, as the command named it. */
    as: z.string(),
    /** The field whose values were edited. */
    field: z.string(),
    /** What was added counts for events after this position. */
    from: z.strictObject({ epoch: z.string(), seq }),
    /** Items that count now and did not before, as they are compared. */
    added: z.array(z.string()),
    /** Items that counted before and do not any more. */
    removed: z.array(z.string()),
    rejected: z.array(z.strictObject({ item: z.string(), code })),
    /** How many values the filter holds now. */
    size: z.int().nonnegative(),
  }),
  /** Up to where filtered subscriptions were sent everything. */
  progress: z.strictObject({
    positions: z.array(z.strictObject({
      channel: z.string(),
      as: z.string().optional(),
      epoch: z.string(),
      seq,
      /** The newest block that is complete up to there. */
      block: z.strictObject({
        height: z.int().nonnegative(),
        blockId: z.string(),
      }).optional(),
    })),
  }),
  refreshed: z.strictObject({ expiresAt: instant }),
  metrics_response: z.strictObject({
    type: z.string().optional(),
    metrics: z.record(z.string(), z.unknown()),
  }),
  data_response: z.strictObject({
    key: z.string(),
    /** The newest event about it; `null` when nothing is known. */
    data: z.record(z.string(), z.unknown()).nullable(),
  }),
  query_result: z.strictObject({
    channel: z.string(),
    /** `null` while the channel has no events. */
    epoch: z.string().nullable(),
    /** Newest number of the channel. */
    seq,
    events: z.array(z.record(z.string(), z.unknown())),
    /** Whether there is more in the direction asked. */
    more: z.boolean(),
  }),
  block_response: z.strictObject({
    /** What was asked for. */
    block: z.string(),
    status: z.enum(["standing", "reverted", "unknown"]),
    finality: z.enum(["none", "safe", "final"]),
    /** The newest event about it; `null` when none is known. */
    event: z.record(z.string(), z.unknown()).nullable(),
    /** How many transactions it lists. */
    total: seq,
    /** The newest event of each, in their order; those that are known. */
    transactions: z.array(z.record(z.string(), z.unknown())),
    /** Their contract events: `TX_LOGS` of this block. */
    logs: z.array(z.record(z.string(), z.unknown())),
    /** Place after which to ask on; `null`: there are no more. */
    next: seq.nullable(),
  }),
  tracked: TrackedState,
  tx_state: TrackedState,
  published: z.strictObject({ accepted: z.array(Accepted) }),
  pong: z.strictObject({ serverTime: instant }),
  error: z.strictObject({
    code,
    message: z.string(),
    retryAfterMs: z.int().nonnegative().optional(),
    issues: z.array(z.strictObject({ path: z.string(), message: z.string() }))
      .optional(),
  }),
  gap: z.strictObject({
    channel: z.string(),
    /** The filtered subscription that it concerns, where it has a name. */
    as: z.string().optional(),
    /** First number missed; numbers are of `epoch`. */
    from: z.int().positive(),
    /** Last number missed; below `from` when it cannot be known. */
    to: seq,
    epoch: z.string(),
    reason: z.enum(GAP_REASONS),
  }),
  token_expiring: z.strictObject({ inMs: z.int() }),
  draining: z.strictObject({ retryInMs: z.int().nonnegative() }),
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
