/**
 * Tokens that are refused although they have not expired.
 *
 * @module
 */
import { Refusal } from "../protocol/refusals.ts";
import type { SharedSet } from "../store/shared_set.ts";
import { StoredSet } from "../store/stored_set.ts";
import type { Clock } from "../platform/clock.ts";
import {
  CLOCK_SKEW_MS,
  type Grant,
  MAX_CLAIM_LENGTH,
  MAX_TOKEN_LIFE_MS,
} from "./tokens.ts";
import type { Store } from "../store/store.ts";

/** Most revocations kept; beyond that, new ones are refused and no old one is lost. */
export const MAX_REVOCATIONS = 10_000;
/** Longest reason and name, in characters; more is cut off. */
const MAX_TEXT_LENGTH = 200;

/** One revocation. */
export interface Revocation {
  /** Whether one token is meant, or all that a user held. */
  readonly kind: "token" | "user";
  /** The token's `jti`, or the user. */
  readonly id: string;
  /** When, in epoch milliseconds: a user's tokens issued later are good. */
  readonly at: number;
  /** When all tokens it can mean have expired, in epoch milliseconds. */
  readonly until: number;
  /** Who did it. */
  readonly by: string;
  /** Why, for people. */
  readonly reason: string;
}

/** Options of a revocation. */
export interface RevokeOptions {
  /** Who does it. */
  readonly by?: string | undefined;
  /** Why, for people. */
  readonly reason?: string | undefined;
  /**
   * When the token expires, in epoch milliseconds, if known: it need not be
   * remembered longer.
   */
  readonly expiresAt?: number | undefined;
}

/** What revocations need. */
export interface RevocationsOptions {
  /** Holds them; stays the caller's to close. */
  readonly kv: Store;
  /** Decides which revocations have ended, and paces the polls. */
  readonly clock: Clock;
  /** Most revocations kept. */
  readonly maxRevocations?: number;
  /** How often the store is asked for changes that the watch did not report, in milliseconds. */
  readonly pollMs?: number;
}

/**
 * Revoked tokens, the same on all instances. Look-ups are answered from
 * memory; while the store is away, what was last known stays in force.
 */
export class Revocations {
  readonly #clock: Clock;
  readonly #set: SharedSet<Revocation>;
  readonly #listeners = new Set<(revoked: readonly Revocation[]) => void>();

  /** Fulfilled once they were read for the first time, or could not be. */
  readonly ready: Promise<void>;

  /**
   * Starts reading and watching.
   *
   * @param options where revocations are kept.
   */
  constructor(options: RevocationsOptions) {
    const { kv, clock, maxRevocations = MAX_REVOCATIONS, pollMs } = options;
    this.#clock = clock;
    this.#set = new StoredSet<Revocation>({
      kv,
      clock,
      name: "revocation",
      maxEntries: maxRevocations,
      endOf: ({ until }) => until,
      pollMs,
    }, ({ put }) => {
      const revoked = put.map(([, revocation]) => revocation);
      if (revoked.length === 0) return;
      for (const listener of this.#listeners) listener(revoked);
    });
    this.ready = this.#set.ready;
  }

  /** `degraded` while the store is away: the last known revocations stay in force. */
  get state(): "ok" | "degraded" {
    return this.#set.state;
  }

  /**
   * Revokes one token.
   *
   * @param tokenId its `jti`.
   * @param options who, why, when it expires anyway.
   * @returns the revocation, once every instance can know of it.
   * @throws {Refusal} `INVALID_PAYLOAD` when `tokenId` cannot be one,
   * `FORBIDDEN` when there is no room, `STORE_UNAVAILABLE` when it holds on
   * this instance only, until the store is back.
   */
  revokeToken(tokenId: string, options?: RevokeOptions): Promise<Revocation> {
    return this.#revoke("token", tokenId, options);
  }

  /**
   * Revokes all tokens a user holds: those issued up to now, to the second,
   * and those without a time of issue.
   *
   * @param user the tokens' `sub`.
   * @param options who, why.
   * @returns the revocation, once every instance can know of it.
   * @throws {Refusal} as {@link revokeToken}.
   */
  revokeUser(
    user: string,
    options?: Omit<RevokeOptions, "expiresAt">,
  ): Promise<Revocation> {
    return this.#revoke("user", user, options);
  }

  /**
   * Ends a revocation: tokens that it meant are accepted again until they
   * expire. Connections that it ended stay ended.
   *
   * @param kind whether one token is meant, or all that a user held.
   * @param id the token's `jti`, or the user.
   * @returns whether it was revoked.
   * @throws {Refusal} `STORE_UNAVAILABLE` when it ended on this instance only,
   * until the store is back.
   */
  async restore(kind: Revocation["kind"], id: string): Promise<boolean> {
    const key = `${kind}:${id}`;
    if (!this.#set.get(key)) return false;
    await this.#set.delete(key);
    return true;
  }

  /**
   * Whether the token behind a grant is revoked, at once.
   *
   * @param grant what its token grants.
   */
  isRevoked(grant: Grant): boolean {
    const { user, tokenId, issuedAt = 0 } = grant;
    if (tokenId !== undefined && this.#set.get(`token:${tokenId}`)) {
      return true;
    }
    if (user === null) return false;
    const revocation = this.#set.get(`user:${user}`);
    return revocation !== undefined && issuedAt <= revocation.at;
  }

  /** The revocations in force, latest first. */
  list(): Revocation[] {
    return [...this.#set.values()].sort((a, b) => b.at - a.at);
  }

  /**
   * Registers for revocations, here or on another instance, so that open sockets
   * can be closed.
   *
   * @param listener receives the new ones; must not throw.
   * @returns ends the registration when disposed.
   */
  onRevoked(
    listener: (revoked: readonly Revocation[]) => void,
  ): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
  }

  /** Stops watching. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#set[Symbol.asyncDispose]();
  }

  async #revoke(
    kind: "token" | "user",
    id: string,
    options: RevokeOptions = {},
  ): Promise<Revocation> {
    if (id.length < 1 || id.length > MAX_CLAIM_LENGTH || !id.isWellFormed()) {
      throw new Refusal(
        "INVALID_PAYLOAD",
        `${kind} is not 1 to ${MAX_CLAIM_LENGTH} characters`,
      );
    }
    const at = this.#clock.now();
    const latest = at + MAX_TOKEN_LIFE_MS;
    const revocation: Revocation = {
      kind,
      id,
      at,
      until: Math.min(options.expiresAt ?? latest, latest) + CLOCK_SKEW_MS,
      by: (options.by ?? "operator").slice(0, MAX_TEXT_LENGTH),
      reason: (options.reason ?? "").slice(0, MAX_TEXT_LENGTH),
    };
    // A token that has expired is refused for that.
    if (revocation.until <= at) return revocation;
    await this.#keep(revocation);
    return revocation;
  }

  #keep(revocation: Revocation): Promise<void> {
    try {
      return this.#set.put(
        `${revocation.kind}:${revocation.id}`,
        revocation,
      );
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      throw new Refusal(
        "FORBIDDEN",
        "Too many revocations; change the secret instead",
      );
    }
  }
}
