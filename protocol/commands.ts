/**
 * What clients say to the server besides application messages: the verbs of
 * the protocol. Unknown keys are refused, so that a typing error is heard.
 *
 * @module
 */
import { z } from "zod";

/** Longest token accepted, in characters. */
export const MAX_TOKEN_LENGTH = 8192;
/** Most channels named in one `subscribe` or `unsubscribe`. */
export const MAX_CHANNELS_PER_COMMAND = 1000;
/** Most events one `query` or page of history answers. */
export const MAX_HISTORY_LIMIT = 1000;
/** Events a `query` answers when it names no limit. */
export const DEFAULT_HISTORY_LIMIT = 100;

const token = z.string().min(1).max(MAX_TOKEN_LENGTH);
const channelName = z.string().min(1).max(128);

/** A position in a channel's log: the last event seen. */
export const Position = z.strictObject({
  /** Identity of the log. */
  epoch: z.string().min(1).max(64),
  /** Last number seen; 0 is "before the first". */
  seq: z.int().nonnegative(),
});
/** A position in a channel's log: the last event seen. */
export type Position = z.infer<typeof Position>;

/** One channel of a `subscribe`, with where to begin. */
export const Subscription = z.strictObject({
  channel: channelName,
  /** Replay what came after this position, then go on live. */
  after: Position.optional(),
  /** Replay the last so many events, then go on live. */
  last: z.int().min(0).max(MAX_HISTORY_LIMIT).optional(),
}).refine(
  ({ after, last }) => after === undefined || last === undefined,
  "name either after or last, not both",
);
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
  }),
  subscribe: z.strictObject({
    channels: z.array(z.union([channelName, Subscription]))
      .min(1).max(MAX_CHANNELS_PER_COMMAND),
  }),
  unsubscribe: z.strictObject({
    channels: z.array(channelName).min(1).max(MAX_CHANNELS_PER_COMMAND),
  }),
  refresh: z.strictObject({ token }),
  request_metrics: z.strictObject({ type: z.string().max(64).optional() }),
  request_data: z.strictObject({
    /** `block:<height or id>`, `transaction:<id>`, `validator:<id>`, `node:<id>`, `channel:<name>`. */
    key: z.string().min(1).max(300),
  }),
  query: z.strictObject({
    channel: channelName,
    after: Position.optional(),
    before: Position.optional(),
    limit: z.int().min(1).max(MAX_HISTORY_LIMIT).default(DEFAULT_HISTORY_LIMIT),
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
