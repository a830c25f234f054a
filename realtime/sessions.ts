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
  /** Whether its token was revoked since. */
  readonly isRevoked: boolean;
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

/** Where a connection comes from. */
export interface Origin {
  /** Its address. */
  readonly ip: string;
  /** What counts as one caller: the address, or its network. */
  readonly bucket: string;
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
   * Sockets held by one caller, those included that the server has closed but
   * whose peer has not let go: they still cost memory.
   */
  socketsOf(bucket: string): number {
    return this.#sockets.get(bucket) ?? 0;
  }

  /**
   * Lists a connection from its beginning until it ends.
   *
   * @returns to be called, once or more, when its socket is really gone.
   */
  add(session: Connection, { ip, bucket }: Origin): () => void {
    this.#listed.set(session.id, { session, ip });
    this.#sockets.set(bucket, this.socketsOf(bucket) + 1);
    this.#total++;
    session.onEnd(() => this.#listed.delete(session.id));
    let held = true;
    return () => {
      if (held) this.#release(bucket);
      held = false;
    };
  }

  /** Ends the connections that `isMeant`, with the close code of `code`. */
  disconnect(code: RefusalCode, isMeant: (listed: Listed) => boolean): number {
    const meant = [...this].filter(isMeant);
    for (const { session } of meant) session.disconnect(code);
    return meant.length;
  }

  #release(bucket: string): void {
    const left = this.socketsOf(bucket) - 1;
    if (left > 0) this.#sockets.set(bucket, left);
    else this.#sockets.delete(bucket);
  }
}
