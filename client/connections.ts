/**
 * Connections that components share: one for each server and user, made when
 * the first of them mounts and ended a moment after the last unmounts.
 *
 * @module
 */
import { connect } from "./client.ts";
import type {
  Auth,
  ChannelName,
  ChannelState,
  Client,
  ClientState,
  JoinOptions,
} from "./client.ts";
import type { Options, Position } from "./client.ts";

/** How long a connection outlives the last component that uses it. */
export const LINGER_MS = 1_000;

/** What components see before there is a connection, and on a server. */
export const INITIAL: ClientState = {
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
export interface Holder {
  /** The token it was last rendered with. */
  auth?: Auth | undefined;
  /** Whether the server may not know that token yet. */
  isRenewed?: boolean;
  /** Its positions on the connection of another user, until it joins again. */
  readonly positions: Map<string, Position>;
}

/** One connection and the components that hold it. */
export class Shared {
  /** What components render. */
  state: ClientState = INITIAL;
  /** Of the connection; functions in them may be replaced by later renders. */
  options: Options;
  /** The current token: the one rendered last that differed. */
  auth: Auth | undefined;
  readonly #key: string;
  readonly #renderers = new Set<() => void>();
  readonly #joins = new Map<string, Set<Holder>>();
  readonly #holders = new Set<Holder>();
  readonly #away = new Set<Holder>();
  #client: Client | undefined;
  #sweep: ReturnType<typeof setTimeout> | undefined;

  /** Registers a connection that is not made yet. */
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
    // It ended because the token was not valid.
    if (/TOKEN|AUTH/.test(connectionError?.code ?? "")) this.#client.connect();
  }

  /**
   * Keeps the connection for a mounted component; a server mounts nothing.
   *
   * @param render called with each change of the state.
   * @returns a function that undoes it.
   */
  hold = (render: () => void): () => void => {
    if (!("document" in globalThis)) return () => {};
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
   * Ends what no component holds, after a short delay: an effect that reruns
   * holds it again by then. Waits while disconnected, since effects that depend
   * on `isConnected` join again only afterwards and need the position.
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

/** A channel by its name or alias. */
function channelNamed(
  channels: ClientState["channels"],
  name: string,
): ChannelState | undefined {
  return channels[name] ??
    Object.values(channels).find(({ alias }) => alias === name);
}

/** The position in a channel, by its name or alias. */
function positionIn(
  channels: ClientState["channels"],
  name: string,
): Position | undefined {
  const { epoch = null, seq = null } = channelNamed(channels, name) ?? {};
  return epoch === null || seq === null ? undefined : { epoch, seq };
}

/** The connection for these options: one for each server and user. */
export function sharedFor({ url = "/ws", ...options }: Options): Shared {
  const at = "location" in globalThis ? globalThis.location?.href : undefined;
  const address = URL.canParse(url, at) ? new URL(url, at).href : url;
  const key = `${userOf(options.auth?.token)} ${
    address.replace(/^http/, "ws")
  }`;
  return shared.get(key) ?? new Shared(key, { url, ...options });
}

/**
 * The user of a token: its subject, unchecked. Tokens that cannot be read, and
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

/** The state of a channel but for its position, which each event moves. */
export type ChannelStatus = Pick<
  ChannelState,
  "status" | "recovered" | "code"
>;

/** The state of a channel, by its name or alias. */
export function statusIn(
  { channels }: ClientState,
  name: string,
): ChannelStatus | undefined {
  const { status, recovered, code } = channelNamed(channels, name) ?? {};
  return status && { status, recovered: recovered!, code };
}

/**
 * Keeps the value before when the next is the same: identical, or an object
 * with identical fields.
 */
export function settled<T>(before: T | undefined, next: T): T {
  if (Object.is(before, next)) return next;
  if (Object(before) !== before || Object(next) !== next) return next;
  const [a, b] = [Object.entries(before as object), next as never];
  const isSame = a.length === Object.keys(b).length &&
    a.every(([key, value]) => Object.is(value, b[key]));
  return isSame ? before as T : next;
}
