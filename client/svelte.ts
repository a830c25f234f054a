/**
 * The client as Svelte stores: one shared connection for all stores of the same
 * server and user, held while any of them is subscribed to. It needs nothing
 * of Svelte but its contract of stores.
 *
 * @module
 */
import type { Client, ClientState } from "./client.ts";
import type { Asked, NamedChannel, Received, TypesIn } from "./client.ts";
import type { JoinOptions, Options } from "./client.ts";
import { INITIAL, settled, sharedFor } from "./connections.ts";

export { RequestError } from "./client.ts";
export type * from "./client.ts";

/** Most events that {@link channelStore} keeps, by default. */
export const KEEP = 100;

/**
 * A store that Svelte reads as `$store`.
 *
 * @see {@link https://svelte.dev/docs/svelte/stores#Store-contract}
 */
export interface Readable<T> {
  /**
   * Calls `run` at once and with each later value.
   *
   * @returns a function that undoes it.
   */
  subscribe(run: (value: T) => void): () => void;
}

/** The state of a connection, and the connection. */
export interface WebSocketStore<Selected = ClientState>
  extends Readable<Selected> {
  /** The connection itself, which other stores share. */
  readonly client: Client;
}

/**
 * The state of a connection as a store. The connection is made when it is
 * first subscribed to and ends a moment after the last subscription; on a
 * server that renders a page, none is made.
 *
 * @param options as of the client.
 * @param select what the store gives of the state: subscribers are called only
 * when that changes, or a field of it. Default: the whole state.
 */
export function webSocketStore<Selected = ClientState>(
  options: Options = {},
  select: (state: ClientState) => Selected = (state) => state as never,
): WebSocketStore<Selected> {
  return {
    get client() {
      return sharedFor(options).client;
    },
    subscribe(run) {
      const shared = sharedFor(options);
      let value = select(INITIAL);
      const undo = shared.hold(() => {
        const before = value;
        value = settled(before, select(shared.state));
        if (!Object.is(before, value)) run(value);
      });
      value = select(shared.state);
      run(value);
      return undo;
    },
  };
}

/** Where a store of events begins, and how many it keeps. */
export interface ChannelStoreOptions extends Options, JoinOptions {
  /** Most events kept, the newest; at least 1. Default 100. */
  readonly keep?: number;
}

/**
 * The newest events of a channel as a store, oldest first. The channel is
 * joined while the store is subscribed to.
 *
 * @param name the channel's name or alias.
 * @param options as of the client, where to begin, and how many to keep.
 */
export function channelStore<const Name extends string>(
  name: Asked<Name>,
  options: ChannelStoreOptions = {},
): Readable<readonly Received<TypesIn<NamedChannel<Name>>>[]> {
  const { keep = KEEP, after, last, ...connection } = options;
  return {
    subscribe(run) {
      const shared = sharedFor(connection);
      const undo = shared.hold(() => {});
      let events: readonly Received<TypesIn<NamedChannel<Name>>>[] = [];
      run(events);
      if (!("document" in globalThis)) return undo;
      const channel = shared.client.channel(name, {
        ...(after ? { after } : last !== undefined && { last }),
      });
      channel.onAny((event) => run(events = [...events, event].slice(-keep)));
      return () => {
        channel.close();
        undo();
      };
    },
  };
}
