/**
 * Options of a connection.
 *
 * @module
 */

/** Options of a connection. */
export interface Options {
  /**
   * The server's URL: `wss://…`, `https://…`, or a path on the page's origin.
   * Default `/ws` on the page's origin; required without a page.
   */
  readonly url?: string;
  /** Whether to reconnect after a lost connection. Default `true`. */
  readonly autoReconnect?: boolean;
  /**
   * Longest pause before a reconnect, in milliseconds. The pause is random below
   * a ceiling that starts at 500 and doubles up to this value. Default 5,000.
   */
  readonly reconnectInterval?: number;
  /**
   * Failed attempts in a row before the client stops; attempts while the browser
   * is offline do not count. Default `Infinity`.
   */
  readonly maxReconnectAttempts?: number;
  /**
   * Whether `sendMessage` sends at most one message of a type, channel and, in
   * rooms, `event` every `throttleTime`. The others wait for their turn, in
   * order; of those with the same `key`, only the newest is sent. Messages with
   * an explicit `id` and batches are sent at once. Also limits how often traffic
   * alone notifies `onState`. Received messages are never skipped. Default
   * `false`.
   */
  readonly enableThrottle?: boolean;
  /** Milliseconds between two such messages. Default 100. */
  readonly throttleTime?: number;
  /**
   * Whether `sendMessage` waits until no other such message was sent for
   * `debounceTime`, and then sends all that wait, in order; of those with the
   * same `key`, only the newest. Combined with `enableThrottle`, they are sent
   * `debounceTime` after the first that waits. Default `false`.
   */
  readonly enableDebounce?: boolean;
  /** Milliseconds without a message before messages are sent. Default 200. */
  readonly debounceTime?: number;
  /** Credentials of the client; anonymous when absent. */
  readonly auth?: Auth;
  /** Whether events due together may share a frame. Default `true`. */
  readonly batch?: boolean;
  /**
   * Whether the server compresses events, once for all clients. Loads
   * `inflate.js` beside the client's own file and, once, the server's
   * dictionary; if either fails, nothing is compressed. Default `false`.
   */
  readonly compress?: boolean;
  /**
   * Whether all tabs of this origin with this option share one socket to the
   * same address as the same user, up to 16 tabs. When the tab that holds the
   * socket is closed, frozen or crashes, another replaces it. Loads `shared.js`
   * beside the client's own file. Requires Web Locks, which only secure pages and
   * `localhost` have; without them, and where sockets are blocked, each tab has
   * its own connection. `compress` has no effect then. Default `false`.
   */
  readonly shared?: boolean;
  /**
   * Handling of messages and requests while not connected: up to `max` wait for
   * the connection, or all are refused with `OFFLINE`.
   * Default `{ max: 100 }`.
   */
  readonly offlineQueue?: { readonly max: number } | "refuse";
  /** Name and version of the program, for operators, 1 to 128 characters. */
  readonly client?: string;
  /**
   * Receives the first error of each handler. Default: `reportError` in a page,
   * the console elsewhere.
   */
  readonly onError?: (error: unknown) => void;
  /**
   * Whether to use Server-Sent Events and POST where WebSockets are blocked; see
   * `state.transport`. Loads `fallback.js` beside the client's own file when a
   * socket fails. Default `true`.
   */
  readonly fallback?: boolean;
  /**
   * Creates sockets. Default: the platform's `WebSocket`; Node 20 has none, so
   * pass that of the package `ws`.
   */
  readonly WebSocket?: new (url: string) => Socket;
}

/** The part of a WebSocket that the client uses. */
export interface Socket {
  /** Called when it has opened. */
  onopen: unknown;
  /** Called with each message, in its `data`. */
  onmessage: unknown;
  /** Called when it has closed, with `code` and `reason`. */
  onclose: unknown;
  /** Called when it fails; `onclose` follows. */
  onerror: unknown;
  /** Sends a text. */
  send(text: string): void;
  /** Closes it. */
  close(): void;
}

/** Credentials. */
export interface Auth {
  /**
   * A token, or a function that returns a fresh one. The function is called
   * before every connection, and repeatedly when the token is about to expire,
   * until it returns another one. With a fixed token, expiry ends the connection
   * permanently. Without a token (`""`, `undefined`) the connection is anonymous,
   * `state.lastError` is `NO_TOKEN`, and the function is called at each heartbeat
   * until it returns one.
   */
  readonly token:
    | string
    | undefined
    | (() => string | undefined | Promise<string | undefined>);
  /**
   * Headers for the server, as in HTTP: `X-Client-Version` names the program for
   * operators when `client` is absent; others are ignored.
   */
  readonly headers?: Readonly<Record<string, string>>;
}
