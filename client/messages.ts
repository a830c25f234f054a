/**
 * Types of received events: the message types of each channel, and the payload
 * of each. All are derived from the protocol's registries.
 *
 * @module
 */
import type { ChannelKindName, CHANNELS } from "../protocol/channels.ts";
import type { Event, MESSAGES, MessageType } from "../protocol/messages.ts";
import type { PayloadOf } from "../protocol/messages.ts";

/** The message types of each channel that always exists, by name and alias. */
export type CarriedTypes = {
  [
    Kind in Exclude<ChannelKindName, "room"> as
      | Kind
      | (typeof CHANNELS)[Kind]["aliases"][number]
  ]: {
    [Type in MessageType]: (typeof MESSAGES)[Type] extends { channel: Kind }
      ? Type
      : (typeof MESSAGES)[Type] extends { also: readonly (infer Also)[] }
        ? Kind extends Also ? Type : never
      : never;
  }[MessageType];
};

/** Message types of channels without retention: they have no `seq`. */
export type LiveOnlyType = {
  [Type in MessageType]: (typeof MESSAGES)[Type]["channel"] extends
    keyof typeof CHANNELS
    ? (typeof CHANNELS)[(typeof MESSAGES)[Type]["channel"]]["retention"] extends
      "none" ? Type
    : never
    : Type;
}[MessageType];

/** A name that a channel can be joined by. */
export type ChannelName = keyof CarriedTypes | `room:${string}`;

/** The message types that a channel carries. */
export type TypesIn<Name extends ChannelName> = Name extends keyof CarriedTypes
  ? CarriedTypes[Name]
  : "ROOM_MESSAGE";

/** The declared fields of a payload, at every depth: others are type errors. */
export type Known<T> = T extends readonly (infer Item)[] ? Known<Item>[]
  : T extends object ? keyof NamedFields<T> extends never ? T : NamedFields<T>
  : T;

/** The fields of an object, without the index signature for others. */
export type NamedFields<T> = {
  [Key in keyof T as string extends Key ? never : Key]: Known<T[Key]>;
};

/** An event as handlers receive it. */
export type Received<Type extends MessageType = MessageType> = Type extends
  MessageType ?
    & Omit<Event<Type>, "type" | "payload" | "seq" | "epoch">
    & {
      /** The message type. */
      readonly type: Type;
      /** Its content. */
      readonly payload: Type extends LiveOnlyType ? PayloadOf<Type>
        : Known<PayloadOf<Type>>;
    }
    & (Type extends LiveOnlyType ? Partial<Numbered> : Numbered)
  : never;

/** Handles events of one type. */
export type Handler<Type extends MessageType = MessageType> = (
  message: Received<Type>,
) => void;

/** The position of an event in its channel. */
export interface Numbered {
  /** Position in the channel, from 1. */
  readonly seq: number;
  /** Identity of the channel's log; a new one voids old positions. */
  readonly epoch: string;
}

/**
 * The name of a requested channel: a literal must exist, a name known only at
 * run time is checked by the server.
 */
export type Asked<Name extends string> = Name extends ChannelName ? Name
  : string extends Name ? Name
  : ChannelName;

/** The types of the channel of a name. */
export type NamedChannel<Name extends string> = Name extends ChannelName ? Name
  : ChannelName;
