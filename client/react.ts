"use client";
/**
 * The client as a React hook: one shared connection for all components that
 * ask for the same, and no render for a message.
 *
 * @module
 */
import {
  useEffect,
  useMemo,
  useRef,
  useState,
  useSyncExternalStore,
} from "react";
import type {
  Asked,
  Client,
  ClientState,
  Failure,
  NamedChannel,
  Received,
  TypesIn,
} from "./client.ts";
import type { JoinOptions, Options, Position, SendOptions } from "./client.ts";
import type { Goal, TrackedState } from "./client.ts";
import {
  INITIAL,
  LINGER_MS,
  settled,
  sharedFor,
  statusIn,
} from "./connections.ts";
import type { ChannelStatus, Holder } from "./connections.ts";

export type { ChannelStatus } from "./connections.ts";

export { RequestError } from "./client.ts";
export type * from "./client.ts";

/**
 * What a component gets: the connection's state and its verbs. `connect` and
 * `disconnect` are counted: the connection ends when every component that uses
 * it has disconnected.
 */
export interface WebSocketHook<Selected = ClientState> extends
  Omit<
    Client,
    | "state"
    | "onState"
    | "on"
    | "onAny"
    | "batch"
    | "channel"
    | "room"
    | "ready"
    | "setToken"
    | "track"
    | "chain"
    | "watch"
  > {
  /** The connection itself, which other components may share. */
  readonly client: Client;
  /**
   * What was selected of the state as of the last notification: at once for the
   * connection, channels and errors, at most once a second for what traffic
   * alone changes.
   */
  readonly state: Selected;
}

/**
 * Connects a component. Components of the same server and user share one
 * connection, made with the options of the first and closed a moment after the
 * last of them unmounts. Pace and queue options are each component's own.
 * Channels are counted by component: one leaves, the others stay, and
 * unmounting leaves. The verbs never change while server and user do not.
 *
 * Another token of the same user is given to the server on the same
 * connection. Another user gets another connection, in which the component's
 * channels continue from its positions; `state` is then that connection's.
 *
 * @param options as of the client. The user is read from the token; all token
 * functions count as one user's, and the latest given is used.
 * @param select what the component needs of the state: it renders only when
 * that changes, or a field of it. Default: the whole state.
 *
 * @example Renders when the connection opens and closes, and never else
 * ```tsx ignore
 * const { state: isConnected } = useWebSocket({}, (state) => state.isConnected);
 * ```
 */
export function useWebSocket<Selected = ClientState>(
  options: Options = {},
  select: (state: ClientState) => Selected = (state) => state as never,
): WebSocketHook<Selected> {
  const [holder] = useState((): Holder => ({ positions: new Map() }));
  const latest = sharedFor(options);
  latest.render(holder, options);
  const chosen = useRef<Selected>(undefined);
  const read = (state: ClientState) => () =>
    chosen.current = settled(chosen.current, select(state));
  const state = useSyncExternalStore(
    latest.hold,
    () => read(latest.state)(),
    read(INITIAL),
  );
  useEffect(() => {
    latest.add(holder);
    return () => latest.remove(holder);
  }, [latest, holder]);
  useEffect(() => latest.refresh(holder));

  const pace = useRef(options);
  pace.current = options;
  const verbs = useMemo((): Omit<WebSocketHook, "state" | "client"> => {
    const own = (sending?: SendOptions) => ({
      ...paceOf(pace.current),
      ...sending,
    });
    return {
      connect: () => latest.connect(holder),
      disconnect: () => latest.disconnect(holder),
      refresh: () => latest.client.refresh(),
      sendMessage: (message, options) =>
        latest.client.sendMessage(message, own(options)),
      sendBatch: (messages, options) =>
        latest.client.sendBatch(messages, own(options)),
      subscribe: (type, handler) => latest.client.subscribe(type, handler),
      request: (verb, payload?: object, options?: SendOptions) =>
        latest.client.request(verb, payload as never, own(options)),
      onGap: (listener) => latest.client.onGap(listener),
      onFrame: (listener) => latest.client.onFrame(listener),
      joinChannel: (channel, options) => latest.join(holder, channel, options),
      leaveChannel: (channel) => latest.leave(holder, channel),
    };
  }, [latest, holder]);
  return {
    state,
    get client() {
      return latest.client;
    },
    ...verbs,
  };
}

/** A component's own pace and queue, the connection's defaults where absent. */
function paceOf({
  enableThrottle = false,
  throttleTime = 100,
  enableDebounce = false,
  debounceTime = 200,
  offlineQueue = { max: 100 },
}: Options): SendOptions {
  return {
    enableThrottle,
    throttleTime,
    enableDebounce,
    debounceTime,
    offlineQueue,
  };
}

/**
 * Joins a channel while the component is mounted, over the connection that it
 * shares: each event is given to `onEvent` once and in order, and none causes a
 * render. Nothing is missed when another user takes over, or when React mounts
 * the component again at once.
 *
 * @param name the channel's name or alias.
 * @param onEvent receives the events; the latest given is called.
 * @param options as of `useWebSocket`, and where to begin.
 * @returns the channel's status and what belongs to it, without its position;
 * `undefined` until joined for the first time.
 */
export function useChannel<const Name extends string>(
  name: Asked<Name>,
  onEvent: (message: Received<TypesIn<NamedChannel<Name>>>) => void,
  options: Options & JoinOptions = {},
): ChannelStatus | undefined {
  const { client, state } = useWebSocket(
    options,
    (state) => statusIn(state, name),
  );
  const latest = useRef(onEvent);
  latest.current = onEvent;
  const begin = useRef<JoinOptions>(options);
  const left = useRef<{ readonly name: string; readonly at: Position }>(
    undefined,
  );
  useEffect(() => {
    const { after, last } = begin.current;
    const at = left.current?.name === name ? left.current.at : after;
    const handle = client.channel(name, {
      ...(at ? { after: at } : last !== undefined && { last }),
    });
    const undo = handle.onAny((message) => latest.current(message as never));
    return () => {
      undo();
      const { position } = handle;
      if (position) left.current = { name, at: { ...position } };
      // An effect that runs again holds the channel again by then.
      setTimeout(handle.close, LINGER_MS);
    };
  }, [client, name]);
  return state;
}

/** What {@link useTransaction} gives. */
export interface TransactionHook {
  /** The transaction's present state; `undefined` until known. */
  readonly state: TrackedState | undefined;
  /** Why it is followed no longer, before it came as far as asked for. */
  readonly error: Failure | undefined;
}

/** While nothing is known. */
const UNKNOWN: TransactionHook = { state: undefined, error: undefined };

/**
 * Follows a transaction while the component is mounted, until it has come as
 * far as asked for.
 *
 * @param txId the transaction; nothing is followed while it is `undefined`.
 * @param options as of `useWebSocket`, and how far: default `final`.
 */
export function useTransaction(
  txId: string | undefined,
  { until = "final", ...options }: Options & { readonly until?: Goal } = {},
): TransactionHook {
  const { client } = useWebSocket(options, () => null);
  const [known, setKnown] = useState(UNKNOWN);
  useEffect(() => {
    setKnown(UNKNOWN);
    if (txId === undefined) return;
    const ending = new AbortController();
    const { signal } = ending;
    const follow = async () => {
      for await (const state of client.track(txId, { until, signal })) {
        setKnown({ state, error: undefined });
      }
    };
    follow().catch((error) => {
      if (!signal.aborted) setKnown(({ state }) => ({ state, error }));
    });
    return () => ending.abort();
  }, [client, txId, until]);
  return known;
}
