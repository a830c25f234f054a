/**
 * The connections of one instance.
 *
 * @module
 */
import { Holdings } from "../platform/holdings.ts";
import type { RefusalCode } from "../protocol/refusals.ts";
import type { Identity } from "../protocol/replies.ts";

/** A connected client, on a socket or an event stream. */
export interface Connection {
  /** Unique name. */
  readonly id: string;
  /** When it opened, in epoch milliseconds. */
  readonly since: number;
  /** The client's current principal. */
  readonly identity: Identity;
  /** Name and version of the client program, as it reported them. */
  readonly client: string | undefined;
  /** Its channels, with its position and lag in each. */
  readonly positions: Iterable<{ channel: string; seq: number; lag: number }>;
  /** Its token's `jti`; absent without a token. */
  readonly tokenId?: string | undefined;
  /** Whether its token has been revoked. */
  readonly isRevoked: boolean;
  /** Requests the client to reconnect in `retryInMs` milliseconds. */
  drain(retryInMs: number): void;
  /** Sends `why`, if given, and ends the connection with the code's close. */
  disconnect(code: RefusalCode, why?: string): void;
  /**
   * Registers the listener that is called, once, when the connection has ended,
   * with the reason: a refusal, or the close code of a client that left.
   */
  onEnd(listener: (why?: RefusalCode | number) => void): void;
}

/** Called when connections open and end. */
export interface SessionsObserver {
  /** A connection opened. */
  opened?(listed: Listed): void;
  /** A connection ended. */
  closed?(listed: Listed, why: RefusalCode | number | undefined): void;
}

/** A connection, and its origin. */
export interface Listed {
  /** The client. */
  readonly session: Connection;
  /** Its address. */
  readonly ip: string;
}

/** The origin of a connection. */
export interface Origin {
  /** Its address. */
  readonly ip: string;
  /** The caller that bounds apply to: the address, or its network. */
  readonly bucket: string;
}

/** Lists the connections of this instance, in all and by address. */
export class Sessions {
  readonly #observer: SessionsObserver;
  readonly #listed = new Map<string, Listed>();
  readonly #sockets = new Holdings();
  #total = 0;

  /** Empty; `observer` is called when connections open and end. */
  constructor(observer: SessionsObserver = {}) {
    this.#observer = observer;
  }

  /** Number of current connections. */
  get size(): number {
    return this.#listed.size;
  }

  /** Number of connections since the start. */
  get total(): number {
    return this.#total;
  }

  /** The current connections, oldest first. */
  [Symbol.iterator](): IterableIterator<Listed> {
    return this.#listed.values();
  }

  /** The connection of that name, if this instance has it. */
  get(id: string): Listed | undefined {
    return this.#listed.get(id);
  }

  /** Sockets of all callers, counted as {@link socketsOf} does. */
  get sockets(): number {
    return this.#sockets.total;
  }

  /**
   * Sockets of one caller, including those that the server has closed but the
   * peer has not: they still take memory.
   */
  socketsOf(bucket: string): number {
    return this.#sockets.of(bucket);
  }

  /**
   * Registers a connection until it ends.
   *
   * @returns a function to call, at least once, when both sides have closed the
   * socket.
   */
  add(session: Connection, { ip, bucket }: Origin): () => void {
    const listed = { session, ip };
    this.#listed.set(session.id, listed);
    this.#sockets.add(bucket, 1);
    this.#total++;
    session.onEnd((why) => {
      this.#listed.delete(session.id);
      this.#observer.closed?.(listed, why);
    });
    this.#observer.opened?.(listed);
    let held = true;
    return () => {
      if (held) this.#sockets.add(bucket, -1);
      held = false;
    };
  }

  /**
   * Ends connections, with the close code of `code`.
   *
   * @param whyOf the reason for the client, or nothing to keep it connected.
   * @returns the number of ended connections.
   */
  disconnect(
    code: RefusalCode,
    whyOf: (listed: Listed) => string | undefined,
  ): number {
    let ended = 0;
    for (const listed of [...this]) {
      const why = whyOf(listed);
      if (why === undefined) continue;
      listed.session.disconnect(code, why);
      ended++;
    }
    return ended;
  }
}
