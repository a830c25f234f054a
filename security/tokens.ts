/**
 * Who a caller is: JSON Web Tokens signed by one of our secrets (HS256) or by
 * a key server's keys (RS256, ES256, EdDSA). The algorithm decides which of
 * the two verifies, so neither can replace the other, and `none` is refused.
 *
 * @module
 */
import {
  decodeProtectedHeader,
  errors,
  type JWTPayload,
  jwtVerify,
  type JWTVerifyOptions,
  SignJWT,
} from "jose";
import { systemClock } from "../platform/clock.ts";
import type { Clock } from "../platform/clock.ts";
import { type Role, ROLES } from "../protocol/channels.ts";
import { MAX_TOKEN_LENGTH } from "../protocol/commands.ts";
import { Refusal } from "../protocol/refusals.ts";
import { KeyServer } from "./key_server.ts";
import { isPattern, MAX_PATTERN_LENGTH, MAX_PATTERNS } from "./patterns.ts";

/**
 * Shortest secret, in bytes: the size of the hash's output.
 *
 * @see {@link https://www.rfc-editor.org/rfc/rfc7518#section-3.2}
 */
export const STRONG_SECRET_BYTES = 32;
/** Most secrets at once: every one may have to be tried on a bad token. */
export const MAX_SECRETS = 8;
/** How far the clocks of issuer and server may differ, in milliseconds. */
export const CLOCK_SKEW_MS = 30_000;
/**
 * Longest life of a token, from `iat` (or from now) to `exp`, in
 * milliseconds: a revocation must be remembered that long.
 */
export const MAX_TOKEN_LIFE_MS = 366 * 24 * 3_600_000;
/** Longest `sub` and `jti`, in characters. */
export const MAX_CLAIM_LENGTH = 256;
/** Most verified tokens that are remembered until they expire. */
export const MAX_KNOWN_TOKENS = 1_024;

const KEY_SERVER_ALGORITHMS = ["RS256", "ES256", "EdDSA", "Ed25519"];

/** Identity and rights that a caller has proved. */
export interface Grant {
  /** The token's `sub`; `null` without a token. */
  readonly user: string | null;
  /** What the caller may do, before any patterns. */
  readonly role: Role;
  /** Whether a token was shown and found good. */
  readonly isAuthenticated: boolean;
  /** The token's `jti`, by which it can be revoked. */
  readonly tokenId?: string;
  /** When the token was issued, in epoch milliseconds. */
  readonly issuedAt?: number;
  /** When the token ends, in epoch milliseconds. */
  readonly expiresAt?: number;
  /** The only channels that may be read, as patterns; any when absent. */
  readonly read?: readonly string[];
  /** The only channels that may be published to, as patterns; any when absent. */
  readonly publish?: readonly string[];
}

/** What a caller without a token is. */
export const ANONYMOUS: Grant = Object.freeze({
  user: null,
  role: "anonymous",
  isAuthenticated: false,
});

/** What is trusted. */
export interface TokensOptions {
  /** Secrets for HS256; all verify, so that they can be rotated. */
  readonly secrets?: readonly string[];
  /** Address of a JSON Web Key Set for RS256, ES256 and EdDSA. */
  readonly jwksUrl?: string | undefined;
  /** The `iss` that tokens must have, when set. */
  readonly issuer?: string | undefined;
  /** The `aud` that tokens must hold, when set. */
  readonly audience?: string | undefined;
  /** Time; the machine's own when omitted. */
  readonly clock?: Pick<Clock, "now" | "monotonic">;
}

/** Verifies tokens. */
export interface Tokens {
  /**
   * Finds the principal that a token identifies.
   *
   * @param token the compact form, without `Bearer`.
   * @returns what its holder may do.
   * @throws {Refusal} `TOKEN_EXPIRED`, or `UNAUTHENTICATED` with a sentence
   * that names what is wrong and holds nothing of the token;
   * `STORE_UNAVAILABLE` while the key server is away and its key is not known.
   */
  verify(token: string): Promise<Grant>;
  /**
   * State of the key server: `unused` when none is set, `away` when its last
   * request failed (known keys continue to verify), else `ok`.
   */
  readonly keyServer: "unused" | "ok" | "away";
}

/**
 * Prepares the verification of tokens; keys are imported once, here.
 *
 * @param options secrets, key server, expected issuer and audience.
 * @throws {RangeError} when nothing could ever verify, there are too many
 * secrets, or the address is not one of http.
 */
export function createTokens(options: TokensOptions): Tokens {
  const { secrets = [], jwksUrl, clock = systemClock } = options;
  if (secrets.length === 0 && jwksUrl === undefined) {
    throw new RangeError(
      "Cannot verify tokens: neither a secret nor a JWKS URL is set",
    );
  }
  if (secrets.length > MAX_SECRETS) {
    throw new RangeError(
      `Cannot verify tokens: more than ${MAX_SECRETS} secrets are set`,
    );
  }
  const keys = secrets.map(importSecret);
  const known = new Map<string, Grant>();
  const server = jwksUrl === undefined
    ? undefined
    : new KeyServer(httpAddress(jwksUrl), clock);
  const expected: JWTVerifyOptions = {
    clockTolerance: CLOCK_SKEW_MS / 1000,
    requiredClaims: ["exp", "sub"],
    ...(options.issuer ? { issuer: options.issuer } : {}),
    ...(options.audience ? { audience: options.audience } : {}),
  };

  async function payloadOf(token: string, alg: string): Promise<JWTPayload> {
    const verifying = {
      ...expected,
      algorithms: [alg],
      currentDate: new Date(clock.now()),
    };
    if (alg === "HS256" && keys.length > 0) {
      return await verifyWithAny(token, keys, verifying);
    }
    if (server && KEY_SERVER_ALGORITHMS.includes(alg)) {
      return await server.verify(token, verifying);
    }
    throw refused("is signed in a way (alg) that is not accepted here");
  }

  async function read(token: string): Promise<Grant> {
    const alg = algorithmOf(token);
    const grant = grantOf(await payloadOf(token, alg), clock.now());
    // A key server may withdraw a key; secrets do not change after startup.
    if (alg === "HS256") {
      if (known.size >= MAX_KNOWN_TOKENS) known.clear();
      known.set(token, grant);
    }
    return grant;
  }

  return {
    async verify(token) {
      const grant = known.get(token);
      if (grant && clock.now() < grant.expiresAt! + CLOCK_SKEW_MS) return grant;
      if (token.length > MAX_TOKEN_LENGTH) {
        throw refused(`is longer than ${MAX_TOKEN_LENGTH} characters`);
      }
      try {
        return await read(token);
      } catch (error) {
        throw refusalOf(error);
      }
    },
    get keyServer() {
      return server ? (server.isAway ? "away" : "ok") : "unused";
    },
  };
}

/**
 * Splits a setting of several secrets: comma-separated, blanks around them
 * dropped. The first signs, all verify.
 *
 * @param text the setting, perhaps unset.
 */
export function secretsOf(text: string | undefined): string[] {
  return (text ?? "").split(",").map((part) => part.trim()).filter(Boolean);
}

/** The user that a token is made for. */
export interface TokenUser {
  /** Becomes `sub`. */
  readonly userId: string;
  /** What the user may do. */
  readonly role: Role;
  /** The only channels the user may read, as patterns. */
  readonly read?: readonly string[] | undefined;
  /** The only channels the user may publish to, as patterns. */
  readonly publish?: readonly string[] | undefined;
}

/** Other claims of a made token. */
export interface TokenOptions {
  /** Becomes `iss`. */
  readonly issuer?: string | undefined;
  /** Becomes `aud`. */
  readonly audience?: string | undefined;
  /** Becomes `jti`; made up when omitted, so that every token can be revoked. */
  readonly tokenId?: string;
  /** Reads the time, in epoch milliseconds; the machine's own when omitted. */
  readonly now?: () => number;
}

/**
 * Makes a token, signed with HS256.
 *
 * @param user its user, and what it allows.
 * @param secret {@link STRONG_SECRET_BYTES} bytes or more, best random.
 * @param expiresIn its life: seconds, or a text such as `90s`, `15m`, `24h`, `7d`.
 * @param options issuer, audience, token id.
 * @returns the compact form.
 * @throws {RangeError} when a part of it would be refused on verification.
 */
export async function generateWebSocketToken(
  user: TokenUser,
  secret: string,
  expiresIn: string | number,
  options: TokenOptions = {},
): Promise<string> {
  const { issuer, audience, tokenId = crypto.randomUUID() } = options;
  const key = importSecret(secret);
  const seconds = secondsOf(expiresIn);
  const issuedAt = Math.floor((options.now ?? systemClock.now)() / 1000);
  const claims = {
    sub: user.userId,
    role: user.role,
    jti: tokenId,
    ...(user.read ? { read: [...user.read] } : {}),
    ...(user.publish ? { publish: [...user.publish] } : {}),
  };
  const fault = faultOf(claims);
  if (fault) throw new RangeError(`Cannot make a token: its ${fault}`);
  const token = new SignJWT(claims)
    .setProtectedHeader({ alg: "HS256", typ: "JWT" })
    .setIssuedAt(issuedAt)
    .setExpirationTime(issuedAt + seconds);
  if (issuer) token.setIssuer(issuer);
  if (audience) token.setAudience(audience);
  const text = await token.sign(await key);
  if (text.length > MAX_TOKEN_LENGTH) {
    throw new RangeError(
      `Cannot make a token: it is longer than ${MAX_TOKEN_LENGTH} characters`,
    );
  }
  return text;
}

const UNIT_SECONDS = { s: 1, m: 60, h: 3_600, d: 86_400 } as const;

/**
 * Reads the life of a token.
 *
 * @param life seconds, or digits with `s`, `m`, `h` or `d`.
 * @returns whole seconds, 1 to {@link MAX_TOKEN_LIFE_MS} / 1000.
 * @throws {RangeError} when it is neither, or out of range.
 */
export function secondsOf(life: string | number): number {
  const parts = /^(\d{1,10})([smhd]?)$/.exec(String(life));
  const unit = (parts?.[2] || "s") as keyof typeof UNIT_SECONDS;
  const seconds = parts ? Number(parts[1]) * UNIT_SECONDS[unit] : 0;
  if (seconds >= 1 && seconds * 1000 <= MAX_TOKEN_LIFE_MS) return seconds;
  throw new RangeError(
    `Cannot make a token: its life must be like 90s, 15m, 24h or 7d, and at most ${
      MAX_TOKEN_LIFE_MS / 86_400_000
    }d`,
  );
}

/**
 * Whether a secret is shorter than HS256 wants: a holder of any token could
 * find it by guessing, and sign tokens of every role.
 *
 * @param secret as written in the setting.
 * @see {@link https://www.rfc-editor.org/rfc/rfc7518#section-3.2}
 */
export function isWeak(secret: string): boolean {
  return new TextEncoder().encode(secret).byteLength < STRONG_SECRET_BYTES;
}

function importSecret(secret: string): Promise<CryptoKey> {
  const bytes = new TextEncoder().encode(secret);
  const algorithm = { name: "HMAC", hash: "SHA-256" };
  return crypto.subtle.importKey("raw", bytes, algorithm, false, [
    "sign",
    "verify",
  ]);
}

function httpAddress(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url?.protocol === "https:" || url?.protocol === "http:") return url;
  throw new RangeError("Cannot verify tokens: the JWKS URL is not one of http");
}

async function verifyWithAny(
  token: string,
  keys: readonly Promise<CryptoKey>[],
  options: JWTVerifyOptions,
): Promise<JWTPayload> {
  let mismatch: unknown;
  for (const key of keys) {
    try {
      return (await jwtVerify(token, await key, options)).payload;
    } catch (error) {
      if (!(error instanceof errors.JWSSignatureVerificationFailed)) {
        throw error;
      }
      mismatch = error;
    }
  }
  throw mismatch;
}

function algorithmOf(token: string): string {
  try {
    return decodeProtectedHeader(token).alg ?? "none";
  } catch {
    throw refused("is malformed");
  }
}

function grantOf(claims: JWTPayload, now: number): Grant {
  const fault = faultOf(claims);
  if (fault) throw refused(`has a bad claim: ${fault}`);
  const { sub, jti, iat, exp, role = "user", read, publish } = claims;
  const expiresAt = exp! * 1000;
  const issuedAt = iat === undefined ? undefined : iat * 1000;
  if (issuedAt !== undefined && issuedAt > now + CLOCK_SKEW_MS) {
    throw refused("has a bad claim: iat lies in the future");
  }
  if (expiresAt - (issuedAt ?? now) > MAX_TOKEN_LIFE_MS) {
    throw refused(
      `has a bad claim: exp is more than ${
        MAX_TOKEN_LIFE_MS / 86_400_000
      } days after iat`,
    );
  }
  return {
    user: sub!,
    role: role as Role,
    isAuthenticated: true,
    expiresAt,
    ...(jti === undefined ? {} : { tokenId: jti }),
    ...(issuedAt === undefined ? {} : { issuedAt }),
    ...(read === undefined ? {} : { read: read as string[] }),
    ...(publish === undefined ? {} : { publish: publish as string[] }),
  };
}

/** What is wrong with our own claims, as "<claim> <why>"; values are not quoted. */
function faultOf(claims: JWTPayload): string | undefined {
  const { sub, jti, role, read, publish } = claims;
  if (!isName(sub)) return `sub is not 1 to ${MAX_CLAIM_LENGTH} characters`;
  if (jti !== undefined && !isName(jti)) {
    return `jti is not 1 to ${MAX_CLAIM_LENGTH} characters`;
  }
  if (role !== undefined && !ROLES.includes(role as Role)) {
    return `role is not one of ${ROLES.join(", ")}`;
  }
  for (const [claim, patterns] of Object.entries({ read, publish })) {
    if (patterns === undefined) continue;
    if (!Array.isArray(patterns) || patterns.length > MAX_PATTERNS) {
      return `${claim} is not a list of at most ${MAX_PATTERNS} channel patterns`;
    }
    const bad = patterns.findIndex((pattern) => !isPattern(pattern));
    if (bad !== -1) {
      return `${claim}[${bad}] is not a channel pattern: at most ` +
        `${MAX_PATTERN_LENGTH} characters, * only at the end or as a whole segment`;
    }
  }
  return undefined;
}

function isName(value: unknown): value is string {
  return typeof value === "string" && value.length >= 1 &&
    value.length <= MAX_CLAIM_LENGTH && value.isWellFormed();
}

function refused(what: string): Refusal {
  return new Refusal("UNAUTHENTICATED", `Token ${what}`);
}

const CLAIM_FAULTS: Record<string, string> = {
  iss: "was issued by another issuer (iss)",
  aud: "was issued for another audience (aud)",
  nbf: "is not valid yet (nbf)",
};

/** jose's errors carry the claims, so they are never kept as the cause. */
function refusalOf(error: unknown): unknown {
  if (error instanceof errors.JWTExpired) {
    return new Refusal(
      "TOKEN_EXPIRED",
      "Token has expired (exp): send a new one",
    );
  }
  if (error instanceof errors.JWTClaimValidationFailed) {
    if (error.reason === "missing") {
      return refused(`lacks the claim ${error.claim}`);
    }
    return refused(
      CLAIM_FAULTS[error.claim] ?? `has a bad claim: ${error.claim}`,
    );
  }
  if (error instanceof errors.JWSSignatureVerificationFailed) {
    return refused("has a signature that does not match");
  }
  if (error instanceof errors.JWKSNoMatchingKey) {
    return refused("names a key (kid) that the key server does not know");
  }
  if (error instanceof errors.JWKSMultipleMatchingKeys) {
    return refused("names no key (kid), and the key server has several");
  }
  if (error instanceof errors.JOSEError || error instanceof TypeError) {
    return refused("is malformed");
  }
  return error;
}
