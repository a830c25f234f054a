/**
 * The catalogue of channels: who may read, who may publish, and how long events
 * are kept. `messages.ts` decides which messages a channel carries.
 *
 * @module
 */
import { Refusal } from "./refusals.ts";

/** The roles of a caller, each including the rights of the ones before it. */
export const ROLES = ["anonymous", "user", "publisher", "admin"] as const;
/** One of {@link ROLES}. */
export type Role = (typeof ROLES)[number];

/** A kind of channel. */
export interface ChannelKind {
  /** Its content, for people. */
  readonly summary: string;
  /** Other names that clients may use for it. */
  readonly aliases: readonly string[];
  /** The least role that may subscribe. */
  readonly read: Role;
  /** The least role that may publish. */
  readonly publish: Role;
  /**
   * `log`: numbered, kept and resumable. `none`: live only, without `seq`.
   */
  readonly retention: "log" | "none";
}

/** Every kind of channel; `room` stands for the family `room:<name>`. */
export const CHANNELS = {
  blocks: {
    summary: "Blocks that joined or left the chain, and what is final",
    aliases: [],
    read: "anonymous",
    publish: "publisher",
    retention: "log",
  },
  dag: {
    summary: "Nodes and edges added to or removed from the DAG",
    aliases: [],
    read: "anonymous",
    publish: "publisher",
    retention: "log",
  },
  validators: {
    summary:
      "Validators that joined, left, proposed, voted, were rewarded or slashed",
    aliases: ["validator_updates"],
    read: "anonymous",
    publish: "publisher",
    retention: "log",
  },
  transactions: {
    summary:
      "Transactions, from pending to confirmed, failed, replaced or dropped",
    aliases: [],
    read: "anonymous",
    publish: "publisher",
    retention: "log",
  },
  logs: {
    summary: "Contract events of mined transactions",
    aliases: [],
    read: "anonymous",
    publish: "publisher",
    retention: "log",
  },
  nodes: {
    summary: "State of the network's nodes",
    aliases: [],
    read: "anonymous",
    publish: "publisher",
    retention: "log",
  },
  alerts: {
    summary: "Alerts that need a person's attention",
    aliases: [],
    read: "anonymous",
    publish: "publisher",
    retention: "log",
  },
  metrics: {
    summary: "This service's own measurements, live only",
    aliases: [],
    read: "anonymous",
    publish: "admin",
    retention: "none",
  },
  room: {
    summary: "Applications' own messages, one channel per room",
    aliases: [],
    read: "anonymous",
    publish: "user",
    retention: "log",
  },
} as const satisfies Record<string, ChannelKind>;

/** The name of a kind of channel. */
export type ChannelKindName = keyof typeof CHANNELS;

/** A channel that exists. */
export interface Channel {
  /** Canonical name, as events have it: `blocks`, `room:lobby`. */
  readonly name: string;
  /** Which entry of {@link CHANNELS} it belongs to. */
  readonly kind: ChannelKindName;
}

/** Name of a room: 1 to 64 letters, digits, `_ . : -`. */
export const ROOM_NAME = /^room:[A-Za-z0-9_.:-]{1,64}$/;

const fixed = new Map<string, Channel>(
  (Object.keys(CHANNELS) as ChannelKindName[])
    .filter((kind) => kind !== "room")
    .flatMap((kind) => {
      const channel = { name: kind, kind };
      return [kind, ...CHANNELS[kind].aliases].map((name) =>
        [name, channel] as const
      );
    }),
);

/**
 * Finds a channel by its name or alias.
 *
 * @param name as a client wrote it.
 * @returns the channel with its canonical name; `undefined` for other names.
 */
export function channelNamed(name: string): Channel | undefined {
  return fixed.get(name) ??
    (ROOM_NAME.test(name) ? { name, kind: "room" } : undefined);
}

/**
 * The refusal of an unknown channel name.
 *
 * @param name as a client wrote it; the message quotes its beginning.
 * @param ref the `id` of the frame refused, when it could be read.
 */
export function unknownChannel(name: string, ref?: string): Refusal {
  const names = fixedChannels().map(({ name }) => name).join(", ");
  return new Refusal(
    "UNKNOWN_CHANNEL",
    `Channel ${
      JSON.stringify(name.slice(0, 64))
    } is not known: expected ${names} or room:<name>`,
    { ref },
  );
}

/** The channels that always exist: all but rooms. */
export function fixedChannels(): Channel[] {
  return [...new Set(fixed.values())];
}
