/**
 * Functions that fill the envelope around a payload, one for each message type
 * of the registry: `buildNewBlockMessage` for `NEW_BLOCK`, and so on.
 *
 * @module
 */
import { idSource, VERSION } from "./envelope.ts";
import { MESSAGES } from "./messages.ts";
import type {
  AnyMessage,
  Message,
  MessageType,
  PayloadOf,
  Stamp,
} from "./messages.ts";

/** Options of a builder. */
export interface BuildOptions {
  /** Idempotency key; a new unique one when absent. */
  id?: string;
  /** The destination, for types with several channels, such as rooms. */
  channel?: string;
  /** Epoch milliseconds; the current time when absent. */
  now?: number;
}

/** A payload whose timestamp is optional: the builder fills it. */
export type BuildPayload<Type extends MessageType> =
  & Omit<KnownFields<PayloadOf<Type>>, Stamp<Type>>
  & Partial<Pick<PayloadOf<Type>, Stamp<Type>>>;

/** A payload's declared fields, without the index signature for others. */
export type KnownFields<Payload> = {
  [Key in keyof Payload as string extends Key ? never : Key]: Payload[Key];
};

/** A message whose whole envelope is filled. */
export type BuiltMessage<Type extends MessageType> =
  & Omit<Message<Type>, "id" | "timestamp" | "version" | "channel">
  & {
    /** Idempotency key. */
    id: string;
    /** ISO 8601. */
    timestamp: string;
    /** Semantic version of the protocol. */
    version: string;
    /** The destination, for types with several channels. */
    channel?: string;
  };

/** A function that builds one type of message. */
export type Builder<Type extends MessageType> = (
  payload: BuildPayload<Type>,
  options?: BuildOptions,
) => BuiltMessage<Type>;

type Pascal<Text extends string> = Text extends `${infer Head}_${infer Tail}`
  ? `${Capitalize<Lowercase<Head>>}${Pascal<Tail>}`
  : Capitalize<Lowercase<Text>>;

/** Every builder, named after its type. */
export type Builders = {
  [Type in MessageType as `build${Pascal<Type>}Message`]: Builder<Type>;
};

const nextId = idSource();

function builder<Type extends MessageType>(type: Type): Builder<Type> {
  const { stamp } = MESSAGES[type];
  return (payload, { id, channel, now = Date.now() } = {}) => {
    const timestamp = new Date(now).toISOString();
    const stamped = stamp === null
      ? payload
      : { [stamp]: timestamp, ...payload };
    return {
      type,
      payload: stamped as unknown as PayloadOf<Type>,
      timestamp,
      id: id ?? nextId(now),
      version: VERSION,
      ...(channel === undefined ? {} : { channel }),
    };
  };
}

function pascal(type: string): string {
  return type.toLowerCase().replace(
    /(?:^|_)(\w)/g,
    (_, letter: string) => letter.toUpperCase(),
  );
}

/** Every builder, made from the registry. */
export const builders: Builders = Object.fromEntries(
  (Object.keys(MESSAGES) as MessageType[])
    .map((type) => [`build${pascal(type)}Message`, builder(type)]),
) as unknown as Builders;

/** Builds a `NEW_BLOCK`. */
export const buildNewBlockMessage: Builder<"NEW_BLOCK"> =
  builders.buildNewBlockMessage;
/** Builds a `DAG_UPDATE`. */
export const buildDagUpdateMessage: Builder<"DAG_UPDATE"> =
  builders.buildDagUpdateMessage;
/** Builds a `VALIDATOR_EVENT`. */
export const buildValidatorEventMessage: Builder<"VALIDATOR_EVENT"> =
  builders.buildValidatorEventMessage;
/** Builds a `TX_RECEIVED`. */
export const buildTxReceivedMessage: Builder<"TX_RECEIVED"> =
  builders.buildTxReceivedMessage;
/** Builds a `NODE_STATUS`. */
export const buildNodeStatusMessage: Builder<"NODE_STATUS"> =
  builders.buildNodeStatusMessage;
/** Builds a `ALERT_TRIGGERED`. */
export const buildAlertTriggeredMessage: Builder<"ALERT_TRIGGERED"> =
  builders.buildAlertTriggeredMessage;
/** Builds a `TEST`. */
export const buildTestMessage: Builder<"TEST"> = builders.buildTestMessage;
/** Builds a `ROOM_MESSAGE`; `options.channel` names the room. */
export const buildRoomMessage: Builder<"ROOM_MESSAGE"> =
  builders.buildRoomMessageMessage;

/** Many messages in one frame. */
export interface BatchMessage {
  /** Always this. */
  type: "BATCH_UPDATE";
  /** The messages, in the order in which they are published. */
  payload: { updates: AnyMessage[] };
  /** Named in `published` as `ref`. */
  id: string;
  /** ISO 8601 UTC with milliseconds. */
  timestamp: string;
  /** Semantic version of the protocol. */
  version: string;
}

/**
 * Puts complete messages into one frame.
 *
 * @param updates 1 to 100 messages, in order.
 * @param options envelope fields; `channel` does not apply.
 */
export function buildBatchUpdateMessage(
  updates: AnyMessage[],
  { id, now = Date.now() }: Omit<BuildOptions, "channel"> = {},
): BatchMessage {
  return {
    type: "BATCH_UPDATE",
    payload: { updates },
    timestamp: new Date(now).toISOString(),
    id: id ?? nextId(now),
    version: VERSION,
  };
}
