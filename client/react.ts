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
import { connect } from "./client.ts";
import type {
  Auth,
  ChannelName,
  Client,
  ClientState,
  JoinOptions,
} from "./client.ts";
import type { Options, Position, SendOptions } from "./client.ts";

export { RequestError } from "./client.ts";
export type * from "./client.ts";

/** How long a connection outlives the last component that uses it. */
export const LINGER_MS = 1_000;

/**
 * What a component gets: the connection's state and its verbs. `connect` and
 * `disconnect` are counted: the connection ends when every component that uses
 * it has disconnected.
 */
export interface WebSocketHook extends
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
  > {
  /** The connection itself, which other components may share. */
  readonly client: Client;
  /**
   * As of the last notification: at once for the connection, channels and
   * errors, at most once a second for what traffic alone changes.
   */
  readonly state: ClientState;
}

/** What components see before there is a connection, and on a server. */
const INITIAL: ClientState = {
  status: "connecting",
  isConnected: false,
  connectionError: null,
  reconnectAttempts: 0,
  nextRetryAt: null,
  reconnects: 0,
  messageLatency: null,
  roundTripMs: null,
  clockOffsetMs: 0,
  transport: "websocket",
  channels: {},
  sessionId: null,
  identity: null,
  gaps: 0,
  received: 0,
  lastEventAt: null,
  pending: 0,
  lastError: null,
};

/** A mounted component. */
interface Holder {
  /** The token it was last rendered with. */
  auth?: Auth | undefined;
  /** Whether the server may not know that token yet. */
  isRenewed?: boolean;
  /** Its positions on the connection of another user, until it joins again. */
  readonly positions: Map<string, Position>;
}

/** One connection and the components that hold it. */
class Shared {
  /** What components render. */
  state: ClientState = INITIAL;
  /** Of the connection; functions in them may be replaced by later renders. */
  options: Options;
  /** Who we are: as rendered last with another token. */
  auth: Auth | undefined;
  readonly #key: string;
  readonly #renderers = new Set<() => void>();
  readonly #joins = new Map<string, Set<Holder>>();
  readonly #holders = new Set<Holder>();
  readonly #away = new Set<Holder>();
  #client: Client | undefined;
  #sweep: ReturnType<typeof setTimeout> | undefined;

  constructor(key: string, options: Options) {
    this.#key = key;
    this.options = options;
    this.auth = options.auth;
    // A server renders once and mounts nothing.
    if (!("document" in globalThis)) return;
    shared.set(key, this);
    this.#sweepSoon(); // A render may be thrown away before it mounts.
  }

  /** The connection, made when first needed. */
  get client(): Client {
    if (this.#client) return this.#client;
    shared.set(this.#key, this);
    // Read when needed, so that what a later render gives counts.
    const auth = (): Auth => this.auth ?? { token: "" };
    const client = connect(undefined, {
      ...this.options,
      ...(this.auth && {
        auth: {
          get token() {
            return auth().token;
          },
          ...(this.auth.headers && { headers: this.auth.headers }),
        },
      }),
      ...(this.options.onError && {
        onError: (error) => this.options.onError!(error),
      }),
    });
    client.onState((state) => {
      const wasConnected = this.state.isConnected;
      this.state = state;
      if (state.isConnected && !wasConnected) this.#sweepSoon();
      for (const render of this.#renderers) render();
    });
    this.state = client.state;
    this.#client = client;
    this.#sweepSoon();
    return client;
  }

  /**
   * Takes over what a component was rendered with. Its token counts when it
   * differs from the one before: another component may already have a newer.
   */
  render(holder: Holder, options: Options): void {
    const { auth } = options;
    const isNew = holder.auth?.token !== auth?.token;
    this.options = options;
    holder.auth = auth;
    if (!isNew) return;
    holder.isRenewed = typeof auth?.token === "string" &&
      auth.token !== this.auth?.token;
    this.auth = auth;
  }

  /** Gives the server the token that `holder` was rendered with, if new. */
  refresh(holder: Holder): void {
    if (!holder.isRenewed || !this.#client) return;
    holder.isRenewed = false;
    const { status, connectionError } = this.#client.state;
    if (status !== "closed") return this.#client.refresh();
    // It ended for want of a good token.
    if (/TOKEN|AUTH/.test(connectionError?.code ?? "")) this.#client.connect();
  }

  /** Keeps the connection for a mounted component. */
  hold = (render: () => void): () => void => {
    this.#renderers.add(render);
    void this.client;
    return () => {
      this.#renderers.delete(render);
      this.#sweepSoon();
    };
  };

  /** Counts a mounted component; it is not bound by what others ended. */
  add(holder: Holder): void {
    this.#holders.add(holder);
    const { status, connectionError } = this.client.state;
    const isAllAway = this.#away.size > 0 && status === "closed";
    if (isAllAway && !connectionError) this.client.connect();
  }

  /** No longer counts it; it keeps its positions. */
  remove(holder: Holder): void {
    this.#holders.delete(holder);
    this.#away.delete(holder);
    const channels = this.#client?.state.channels ?? {};
    for (const [name, holders] of this.#joins) {
      const position = positionIn(channels, name);
      if (position && holders.has(holder)) holder.positions.set(name, position);
    }
    this.leave(holder);
    this.#endIfUnused();
  }

  /** Connects for `holder`, again or at once. */
  connect(holder: Holder): void {
    this.#away.delete(holder);
    this.client.connect();
  }

  /** Disconnects for `holder`. */
  disconnect(holder: Holder): void {
    this.#away.add(holder);
    this.#endIfUnused();
  }

  #endIfUnused(): void {
    if (this.#away.size === 0) return;
    if (this.#away.size >= this.#holders.size) this.#client?.disconnect();
  }

  /** Joins for `holder`; a channel is left when no component holds it. */
  join(holder: Holder, channel: string, options?: JoinOptions): void {
    const holders = this.#joins.get(channel) ?? new Set();
    this.#joins.set(channel, holders.add(holder));
    const after = holder.positions.get(channel);
    holder.positions.delete(channel);
    this.client.joinChannel(
      channel as ChannelName,
      options ?? (after && { after }),
    );
  }

  /** Leaves a channel, or all, for `holder`. */
  leave(holder: Holder, channel?: string): void {
    for (const [name, holders] of this.#joins) {
      if (channel === undefined || channel === name) holders.delete(holder);
    }
    this.#sweepSoon();
  }

  /**
   * Ends what no component holds, a moment later: an effect that runs again
   * holds it again by then. Not while disconnected, since effects that follow
   * `isConnected` join again only after; the position must outlast that.
   */
  #sweepSoon(): void {
    clearTimeout(this.#sweep);
    this.#sweep = setTimeout(() => {
      if (this.#renderers.size === 0) return this.#close();
      if (!this.#client?.state.isConnected) return;
      for (const [name, holders] of this.#joins) {
        if (holders.size > 0) continue;
        this.#joins.delete(name);
        this.#client.leaveChannel(name);
      }
    }, LINGER_MS);
  }

  #close(): void {
    this.#client?.disconnect();
    this.#client = undefined;
    this.#joins.clear();
    this.state = INITIAL;
    if (shared.get(this.#key) === this) shared.delete(this.#key);
  }
}

const shared = new Map<string, Shared>();

/** The position in a channel that is named by its name or alias. */
function positionIn(
  channels: ClientState["channels"],
  name: string,
): Position | undefined {
  const { epoch = null, seq = null } = channels[name] ??
    Object.values(channels).find(({ alias }) => alias === name) ?? {};
  return epoch === null || seq === null ? undefined : { epoch, seq };
}

/** The connection for these options: one for each server and user. */
function sharedFor({ url = "/ws", ...options }: Options): Shared {
  const at = "location" in globalThis ? globalThis.location?.href : undefined;
  const address = URL.canParse(url, at) ? new URL(url, at).href : url;
  const key = `${userOf(options.auth?.token)} ${
    address.replace(/^http/, "ws")
  }`;
  return shared.get(key) ?? new Shared(key, { url, ...options });
}

/**
 * Whose a token is: its subject, unchecked. Tokens that cannot be read, and
 * functions, count as one user's; the server decides whose they are.
 */
function userOf(token: Auth["token"]): string {
  if (!token) return "anonymous";
  if (typeof token === "function") return "function";
  try {
    const claims = token.split(".")[1]!.replace(/-/g, "+").replace(/_/g, "/");
    return JSON.stringify(JSON.parse(atob(claims)).sub);
  } catch {
    return "unknown";
  }
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
 */
export function useWebSocket(options: Options = {}): WebSocketHook {
  const [holder] = useState((): Holder => ({ positions: new Map() }));
  const latest = sharedFor(options);
  latest.render(holder, options);
  const state = useSyncExternalStore(
    latest.hold,
    () => latest.state,
    () => INITIAL,
  );
  useEffect(() => {
    latest.add(holder);
    return () => latest.remove(holder);
  }, [latest, holder]);
  useEffect(() => latest.refresh(holder));

  const {
    enableThrottle,
    throttleTime,
    enableDebounce,
    debounceTime,
    offlineQueue,
  } = options;
  const max = typeof offlineQueue === "object" ? offlineQueue.max : undefined;
  const sending = useMemo((): SendOptions => ({
    enableThrottle: enableThrottle ?? false,
    enableDebounce: enableDebounce ?? false,
    ...(throttleTime !== undefined && { throttleTime }),
    ...(debounceTime !== undefined && { debounceTime }),
    offlineQueue: max !== undefined ? { max } : offlineQueue ?? { max: 100 },
  }), [
    enableThrottle,
    throttleTime,
    enableDebounce,
    debounceTime,
    max,
    typeof offlineQueue,
  ]);
  const latestSending = useRef(sending);
  latestSending.current = sending;

  const verbs = useMemo((): Omit<WebSocketHook, "state" | "client"> => {
    const own = (options?: SendOptions) => ({
      ...latestSending.current,
      ...options,
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
