/**
 * The public keys of a key server.
 *
 * @module
 */
import {
  createRemoteJWKSet,
  customFetch,
  errors,
  type JWTPayload,
  jwtVerify,
  type JWTVerifyOptions,
  type RemoteJWKSet,
} from "jose";
import type { Clock } from "../platform/clock.ts";
import { Refusal } from "../protocol/refusals.ts";
import { Budget } from "./budget.ts";

/**
 * Least time between two fetches while the key server does not answer, and
 * after which one more fetch for an unknown key is allowed, in milliseconds.
 */
export const JWKS_COOLDOWN_MS = 30_000;
/**
 * Burst of fetches for unknown keys. Anyone can invent key ids, so all of them
 * share this budget; the service's own scheduled fetches are not charged to
 * it.
 */
export const JWKS_UNKNOWN_BURST = 4;
/** Age at which known keys are fetched again, in the background, in milliseconds. */
export const JWKS_REFRESH_MS = 600_000;
/** How long the key server may take to answer, in milliseconds. */
const JWKS_TIMEOUT_MS = 5_000;
/** Least `retryAfterMs` of a token that cannot be verified now. */
const MIN_RETRY_MS = 1_000;

/**
 * Verifies by a key server's public keys. jose fetches, chooses and imports
 * them; when to fetch is decided here.
 */
export class KeyServer {
  readonly #keys: RemoteJWKSet;
  readonly #clock: Pick<Clock, "monotonic">;
  readonly #unknown: Budget;
  /** When a fetch began last, on the monotonic clock. */
  #fetchedAt = -Infinity;
  #fetching: Promise<void> | undefined;
  #isAway = false;

  /**
   * Fetches nothing yet.
   *
   * @param url of a JSON Web Key Set.
   * @param clock measures how old keys are.
   */
  constructor(url: URL, clock: Pick<Clock, "monotonic">) {
    this.#clock = clock;
    this.#unknown = new Budget({
      burst: JWKS_UNKNOWN_BURST,
      perSecond: 1_000 / JWKS_COOLDOWN_MS,
      now: () => clock.monotonic(),
    });
    this.#keys = createRemoteJWKSet(url, {
      timeoutDuration: JWKS_TIMEOUT_MS,
      cooldownDuration: Infinity,
      cacheMaxAge: Infinity,
      [customFetch]: fetchKeys,
    });
  }

  /** Whether its last request failed; known keys continue to verify. */
  get isAway(): boolean {
    return this.#isAway;
  }

  /**
   * Verifies a token.
   *
   * @throws {Refusal} `STORE_UNAVAILABLE` while it cannot be known whether its
   * key is good; jose's errors otherwise.
   */
  async verify(token: string, options: JWTVerifyOptions): Promise<JWTPayload> {
    const ageMs = this.#clock.monotonic() - this.#fetchedAt;
    if (!this.#keys.jwks()) {
      if (ageMs >= JWKS_COOLDOWN_MS || this.#fetching) await this.#fetch();
      if (!this.#keys.jwks()) throw unavailable(this.#cooldownMs());
    } else if (ageMs >= JWKS_REFRESH_MS) {
      // The old keys verify while the new ones are fetched.
      void this.#fetch();
    }
    const payload = await this.#tryKnown(token, options) ??
      (this.#fetching && await this.#tryFetched(token, options));
    if (payload) return payload;
    // It may be a new key: only an answer newer than the token can show that.
    const waitMs = this.#isAway && this.#cooldownMs() > 0
      ? this.#cooldownMs()
      : this.#unknown.take();
    if (waitMs > 0) throw unavailable(waitMs);
    await this.#fetch();
    if (this.#isAway) throw unavailable(this.#cooldownMs());
    return await this.#verifyWithKnown(token, options);
  }

  async #tryFetched(
    token: string,
    options: JWTVerifyOptions,
  ): Promise<JWTPayload | undefined> {
    await this.#fetching;
    return await this.#tryKnown(token, options);
  }

  /** Nothing when the token's key is not among the known ones. */
  async #tryKnown(
    token: string,
    options: JWTVerifyOptions,
  ): Promise<JWTPayload | undefined> {
    try {
      return await this.#verifyWithKnown(token, options);
    } catch (error) {
      if (error instanceof errors.JWKSNoMatchingKey) return undefined;
      throw error;
    }
  }

  async #verifyWithKnown(
    token: string,
    options: JWTVerifyOptions,
  ): Promise<JWTPayload> {
    return (await jwtVerify(token, this.#keys, options)).payload;
  }

  #cooldownMs(): number {
    return this.#fetchedAt + JWKS_COOLDOWN_MS - this.#clock.monotonic();
  }

  #fetch(): Promise<void> {
    if (!this.#fetching) {
      this.#fetchedAt = this.#clock.monotonic();
      this.#fetching = this.#keys.reload().then(
        () => void (this.#isAway = false),
        () => void (this.#isAway = true),
      ).finally(() => this.#fetching = undefined);
    }
    return this.#fetching;
  }
}

/** Not the client's fault, and it may try again. */
function unavailable(retryAfterMs: number): Refusal {
  return new Refusal(
    "STORE_UNAVAILABLE",
    "Token cannot be verified now: the key server does not answer, or its keys were fetched too often; try again",
    { retryAfterMs: Math.max(MIN_RETRY_MS, Math.ceil(retryAfterMs)) },
  );
}

/** jose leaves the body of an error unread, which would hold its connection. */
async function fetchKeys(url: string, options: RequestInit): Promise<Response> {
  const response = await fetch(url, options);
  if (!response.ok) await response.body?.cancel();
  return response;
}
