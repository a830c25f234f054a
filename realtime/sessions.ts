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
  /** Says `why`, if given, and ends the connection with the code's close. */
  disconnect(code: RefusalCode, why?: string): void;
  /**
   * Names who hears, once, that the connection has ended, and why: a refusal,
   * or the close code of a client that left.
   */
  onEnd(listener: (why?: RefusalCode | number) => void): void;
}

/** Hears of those who come and go. */
export interface SessionsObserver {
  /** Somebody is connected. */
  opened?(listed: Listed): void;
  /** Somebody is no longer. */
  closed?(listed: Listed, why: RefusalCode | number | undefined): void;
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
  readonly #observer: SessionsObserver;
  readonly #listed = new Map<string, Listed>();
  readonly #sockets = new Map<string, number>();
  #held = 0;
  #total = 0;

  /** Nobody yet; `observer` hears of those who come and go. */
  constructor(observer: SessionsObserver = {}) {
    this.#observer = observer;
  }

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

  /** Sockets held by all together, counted as {@link socketsOf} does. */
  get sockets(): number {
    return this.#held;
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
    const listed = { session, ip };
    this.#listed.set(session.id, listed);
    this.#sockets.set(bucket, this.socketsOf(bucket) + 1);
    this.#held++;
    this.#total++;
    session.onEnd((why) => {
      this.#listed.delete(session.id);
      this.#observer.closed?.(listed, why);
    });
    this.#observer.opened?.(listed);
    let held = true;
    return () => {
      if (held) this.#release(bucket);
      held = false;
    };
  }

  /**
   * Ends connections, with the close code of `code`.
   *
   * @param whyOf a sentence for the client, or nothing to leave it be.
   * @returns how many were ended.
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

  #release(bucket: string): void {
    this.#held--;
    const left = this.socketsOf(bucket) - 1;
    if (left > 0) this.#sockets.set(bucket, left);
    else this.#sockets.delete(bucket);
  }
}
