/**
 * The sessions of one isolate.
 *
 * @module
 */
import type { RefusalCode } from "../protocol/refusals.ts";
import type { Identity } from "../protocol/replies.ts";

/** A client, whichever way it is connected. */
export interface Connection {
  /** Unique name. */
  readonly id: string;
  /** When it began, in epoch milliseconds. */
  readonly since: number;
  /** Who the client is. */
  readonly identity: Identity;
  /** Name and version of the client program, as it said itself. */
  readonly client: string | undefined;
  /** The channels it follows, where it stands in them and how far behind. */
  readonly positions: Iterable<{ channel: string; seq: number; lag: number }>;
  /** Tells the client to come back in so many milliseconds. */
  drain(retryInMs: number): void;
  /** Ends the connection, with the close code of `code`. */
  disconnect(code: RefusalCode): void;
  /** Names who hears, once, that the connection has ended. */
  onEnd(listener: () => void): void;
}

/** A connection, and where it comes from. */
export interface Listed {
  /** The client. */
  readonly session: Connection;
  /** Its address. */
  readonly ip: string;
}

/** Knows who is connected here, in all and by address. */
export class Sessions {
  readonly #listed = new Map<string, Listed>();
  readonly #sockets = new Map<string, number>();
  #total = 0;

  /** How many are connected now. */
  get size(): number {
    return this.#listed.size;
  }

  /** How many were ever connected here. */
  get total(): number {
    return this.#total;
  }

  /** Those connected now, oldest first. */
  [Symbol.iterator](): IterableIterator<Listed> {
    return this.#listed.values();
  }

  /** The session of that name, if it is here. */
  get(id: string): Listed | undefined {
    return this.#listed.get(id);
  }

  /**
   * Sockets held by an address, those included that the server has closed but
   * whose peer has not let go: they still cost memory.
   */
  socketsOf(ip: string): number {
    return this.#sockets.get(ip) ?? 0;
  }

  /** Lists a session from its beginning until it ends. */
  add(session: Connection, ip: string): void {
    this.#listed.set(session.id, { session, ip });
    this.#sockets.set(ip, this.socketsOf(ip) + 1);
    this.#total++;
    session.onEnd(() => this.#listed.delete(session.id));
  }

  /** The socket of an address is really gone. */
  released(ip: string): void {
    const left = this.socketsOf(ip) - 1;
    if (left > 0) this.#sockets.set(ip, left);
    else this.#sockets.delete(ip);
  }
}
