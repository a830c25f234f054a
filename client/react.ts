/**
 * The client as a React hook: one shared connection for all components that
 * ask for the same, and no render for a message.
 *
 * @module
 */
import { useEffect, useMemo, useState, useSyncExternalStore } from "react";
import { connect } from "./client.ts";
import type { Client, ClientState, JoinOptions, Options } from "./client.ts";

export type * from "./client.ts";

/** How long a connection outlives the last component that uses it. */
export const LINGER_MS = 1_000;

/** What a component gets: the connection's state and its verbs. */
export interface WebSocketHook
  extends Omit<Client, "state" | "onState" | "on" | "batch"> {
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
  reconnects: 0,
  messageLatency: null,
  roundTripMs: null,
  clockOffsetMs: 0,
  channels: {},
  sessionId: null,
  identity: null,
  gaps: 0,
  received: 0,
  lastEventAt: null,
  pending: 0,
  lastError: null,
};

/** One connection and those who hold it. */
class Shared {
  /** What components render. */
  state: ClientState = INITIAL;
  /** The newest options: equal but for the functions in them. */
  options: Options;
  readonly #key: string;
  readonly #renderers = new Set<() => void>();
  readonly #joins = new Map<string, Set<object>>();
  #client: Client | undefined;
  #sweep: ReturnType<typeof setTimeout> | undefined;

  constructor(key: string, options: Options) {
    this.#key = key;
    this.options = options;
    // A server renders once and mounts nothing.
    if (!("document" in globalThis)) return;
    shared.set(key, this);
    this.#sweepSoon(); // A render may be thrown away before it mounts.
  }

  /** The connection, made when first needed. */
  get client(): Client {
    if (this.#client) return this.#client;
    shared.set(this.#key, this);
    const { auth } = this.options;
    // Asked for when needed, so that a later render's function counts.
    const token = async () => {
      const token = this.options.auth!.token;
      return typeof token === "string" ? token : await token();
    };
    const client = connect(undefined, {
      ...this.options,
      ...(typeof auth?.token === "function" && { auth: { ...auth, token } }),
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

  /** Keeps the connection for a mounted component. */
  hold = (render: () => void): () => void => {
    this.#renderers.add(render);
    void this.client;
    return () => {
      this.#renderers.delete(render);
      this.#sweepSoon();
    };
  };

  /** Joins for `holder`; a channel is left when nobody holds it. */
  join(holder: object, channel: string, options?: JoinOptions): void {
    const holders = this.#joins.get(channel) ?? new Set();
    this.#joins.set(channel, holders.add(holder));
    this.client.joinChannel(channel, options);
  }

  /** Leaves a channel, or all, for `holder`. */
  leave(holder: object, channel?: string): void {
    for (const [name, holders] of this.#joins) {
      if (channel === undefined || channel === name) holders.delete(holder);
    }
    this.#sweepSoon();
  }

  /**
   * Lets go of what nobody holds, a moment later: an effect that runs again
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

/** The connection for these options; functions in them count as equal. */
function sharedFor(options: Options): Shared {
  const key = JSON.stringify(
    options,
    (_, value) => typeof value === "function" ? "ƒ" : value,
  );
  const known = shared.get(key);
  if (known) return known;
  return new Shared(key, options);
}

/**
 * Connects a component. Components with equal options share one connection,
 * which is closed a moment after the last of them unmounts. Channels are
 * counted by component: one leaves, the others stay, and unmounting leaves.
 * The functions never change while the options do not.
 *
 * @param options as of the client; functions in them are compared by their
 * presence alone, the latest given is used.
 */
export function useWebSocket(options: Options = {}): WebSocketHook {
  const latest = sharedFor(options);
  latest.options = options;
  const [holder] = useState(() => ({}));
  const state = useSyncExternalStore(
    latest.hold,
    () => latest.state,
    () => INITIAL,
  );
  useEffect(() => () => latest.leave(holder), [latest, holder]);
  const verbs = useMemo((): Omit<WebSocketHook, "state"> => ({
    connect: () => latest.client.connect(),
    disconnect: () => latest.client.disconnect(),
    sendMessage: (message) => latest.client.sendMessage(message),
    sendBatch: (messages) => latest.client.sendBatch(messages),
    subscribe: (type, handler) => latest.client.subscribe(type, handler),
    request: (verb, ...payload) => latest.client.request(verb, ...payload),
    onGap: (listener) => latest.client.onGap(listener),
    onFrame: (listener) => latest.client.onFrame(listener),
    joinChannel: (channel, options) => latest.join(holder, channel, options),
    leaveChannel: (channel) => latest.leave(holder, channel),
  }), [latest, holder]);
  return { state, ...verbs };
}
