/**
 * The client for Vue's components: one shared connection for all that use the
 * same server and user, and no update for a message.
 *
 * @module
 */
import {
  getCurrentScope,
  onScopeDispose,
  shallowReadonly,
  shallowRef,
} from "vue";
import type { ShallowRef } from "vue";
import type { Client, ClientState } from "./client.ts";
import type { Asked, NamedChannel, Received, TypesIn } from "./client.ts";
import type { JoinOptions, Options } from "./client.ts";
import { INITIAL, settled, sharedFor, statusIn } from "./connections.ts";
import type { ChannelStatus } from "./connections.ts";

export type { ChannelStatus } from "./connections.ts";

export { RequestError } from "./client.ts";
export type * from "./client.ts";

/** What a component gets. */
export interface WebSocketComposable<Selected = ClientState> {
  /** The connection itself, which other components share. */
  readonly client: Client;
  /** What was selected of its state. */
  readonly state: Readonly<ShallowRef<Selected>>;
}

/**
 * Connects a component, or whatever effect scope it is called in. The
 * connection ends a moment after the last of its users; on a server that
 * renders a page, none is made until `client` is used.
 *
 * @param options as of the client.
 * @param select what is needed of the state: only its changes, or those of a
 * field of it, cause an update. Default: the whole state.
 */
export function useWebSocket<Selected = ClientState>(
  options: Options = {},
  select: (state: ClientState) => Selected = (state) => state as never,
): WebSocketComposable<Selected> {
  const shared = sharedFor(options);
  const state = shallowRef(select(INITIAL)) as ShallowRef<Selected>;
  const read = () => {
    state.value = settled(state.value, select(shared.state));
  };
  const undo = shared.hold(read);
  read();
  if (getCurrentScope()) onScopeDispose(undo);
  return {
    get client() {
      return shared.client;
    },
    state: shallowReadonly(state),
  };
}

/**
 * Joins a channel for as long as the component, or the effect scope, lives.
 *
 * @param name the channel's name or alias.
 * @param onEvent receives each event once and in order.
 * @param options as of `useWebSocket`, and where to begin.
 * @returns the channel's state, without its position; `undefined` until joined
 * for the first time.
 */
export function useChannel<const Name extends string>(
  name: Asked<Name>,
  onEvent: (message: Received<TypesIn<NamedChannel<Name>>>) => void,
  options: Options & JoinOptions = {},
): Readonly<
  ShallowRef<ChannelStatus | undefined>
> {
  const { after, last, ...connection } = options;
  const used = useWebSocket(connection, (state) => statusIn(state, name));
  if ("document" in globalThis) {
    const channel = used.client.channel(name, {
      ...(after ? { after } : last !== undefined && { last }),
    });
    channel.onAny(onEvent);
    if (getCurrentScope()) onScopeDispose(channel.close);
  }
  return used.state;
}
