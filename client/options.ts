/**
 * How a connection is made and kept, as applications choose it.
 *
 * @module
 */

/** How a connection is made and kept. */
export interface Options {
  /**
   * Where to: `wss://…`, `https://…`, or a path on the page's origin.
   * Default `/ws` on the page's origin; required where there is no page.
   */
  readonly url?: string;
  /** Whether a lost connection is made again. Default `true`. */
  readonly autoReconnect?: boolean;
  /**
   * Longest wait before trying again, in milliseconds. The wait is drawn at
   * random below a ceiling that begins at 500 and doubles up to this.
   * Default 5,000.
   */
  readonly reconnectInterval?: number;
  /**
   * Tries in a row without success before the client gives up; tries while
   * the browser reports that it is offline do not count. Default `Infinity`.
   */
  readonly maxReconnectAttempts?: number;
  /**
   * Whether `sendMessage` sends at most one message of a type, channel and, in
   * rooms, `event` every `throttleTime`. The others wait for their turn, in
   * order; of those with the same `key`, only the newest is sent. Messages
   * with an `id` of their own and batches are sent at once. Also sets how often
   * traffic alone notifies `onState`. Received messages are never skipped.
   * Default `false`.
   */
  readonly enableThrottle?: boolean;
  /** Milliseconds between two such messages. Default 100. */
  readonly throttleTime?: number;
  /**
   * Whether `sendMessage` waits until no other such message was sent for
   * `debounceTime`, and then sends all that wait, in order; of those with the
   * same `key`, only the newest. With `enableThrottle`, too, they are sent
   * `debounceTime` after the first that waits. Default `false`.
   */
  readonly enableDebounce?: boolean;
  /** Milliseconds of quiet before messages are sent. Default 200. */
  readonly debounceTime?: number;
  /** Who we are; anonymous when absent. */
  readonly auth?: Auth;
  /** Whether events due together may share a frame. Default `true`. */
  readonly batch?: boolean;
  /**
   * Whether to receive fewer bytes: events compressed by the server, once for
   * all. Loads `inflate.js` beside the client's own file and, once, the
   * server's dictionary; should either fail, nothing is compressed. Default
   * `false`.
   */
  readonly compress?: boolean;
  /**
   * Whether all tabs of this origin that ask for it share one socket to the
   * same address as the same user, up to 16: should the tab that holds it be
   * closed, frozen or crash, another takes its place. Loads `shared.js` beside
   * the client's own file. Needs what only secure pages and `localhost` have
   * (Web Locks); without it, and where sockets do not pass, each tab has its own
   * connection. `compress` has no effect then. Default `false`.
   */
  readonly shared?: boolean;
  /**
   * What happens to messages and requests made while not connected: up to
   * `max` wait for the connection, or all are refused with `OFFLINE`.
   * Default `{ max: 100 }`.
   */
  readonly offlineQueue?: { readonly max: number } | "refuse";
  /** Name and version of the program, for the operator, 1 to 128 characters. */
  readonly client?: string;
  /**
   * Receives what a handler threw, once for each handler. Default: `reportError` in a
   * page, the console elsewhere.
   */
  readonly onError?: (error: unknown) => void;
  /**
   * Whether events come as Server-Sent Events and messages go by POST where
   * sockets do not pass; see `state.transport`. Loads `fallback.js` beside the
   * client's own file when a socket fails. Default `true`.
   */
  readonly fallback?: boolean;
  /**
   * Makes sockets. Default: the platform's `WebSocket`; Node 20 has none and
   * takes that of the package `ws`.
   */
  readonly WebSocket?: new (url: string) => Socket;
}

/** What the client uses of a socket. */
export interface Socket {
  /** Called once it is open. */
  onopen: unknown;
  /** Called with each message, in its `data`. */
  onmessage: unknown;
  /** Called at its end, with `code` and `reason`. */
  onclose: unknown;
  /** Called when it breaks; `onclose` follows. */
  onerror: unknown;
  /** Sends a text. */
  send(text: string): void;
  /** Ends it. */
  close(): void;
}

/** Credentials. */
export interface Auth {
  /**
   * A token, or a function that gives a fresh one. The function is called
   * before every connection and when the token is about to expire, again until
   * it gives another one; with a fixed token, expiry ends the connection for
   * good. Without a token (`""`, `undefined`) the connection is anonymous,
   * `state.lastError` is `NO_TOKEN`, and the function is called at each
   * heartbeat until it gives one.
   */
  readonly token:
    | string
    | undefined
    | (() => string | undefined | Promise<string | undefined>);
  /**
   * Headers for the server, as in HTTP: `X-Client-Version` names the program to
   * operators where `client` does not; others mean nothing to it.
   */
  readonly headers?: Readonly<Record<string, string>>;
}
