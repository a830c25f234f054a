/**
 * Who may come in, and what becomes of those who misbehave: the one place
 * where the guards meet connections.
 *
 * @module
 */
import type { Context, MiddlewareHandler } from "hono";
import { Refusal } from "../protocol/refusals.ts";
import type { RefusalCode } from "../protocol/refusals.ts";
import type { Principal } from "../security/principal.ts";
import type { SessionGuard } from "../realtime/session.ts";
import type { Sessions } from "../realtime/sessions.ts";
import type { Block, BlockList } from "../security/block_list.ts";
import { Budget } from "../security/budget.ts";
import { bucketOf, UNKNOWN_IP } from "../security/client_ip.ts";
import type { ClientIp } from "../security/client_ip.ts";
import type { RateLimit } from "../security/rate_limit.ts";
import type { SecurityLog } from "../security/security_log.ts";
import type { Revocations } from "../security/revocations.ts";
import { systemRandom } from "../platform/random.ts";
import { bearerOf } from "./http.ts";
import type { Env, LimitName, Visitor } from "./http.ts";
import { ANONYMOUS_PRINCIPAL } from "./identity.ts";

/** Frames one connection may send at once. */
export const CONNECTION_BURST = 500;
/**
 * Which part of what its address may send one connection may send, where that
 * is more than {@link CONNECTION_PER_SECOND}.
 */
export const CONNECTION_SHARE = 4;
/** Frames one connection may send in a second, in the long run. */
export const CONNECTION_PER_SECOND = 100;
/**
 * Messages an address may send for each connection or request it may make:
 * the budget of messages is that many times `RATE_LIMIT_MAX`.
 */
export const MESSAGES_PER_REQUEST = 20;
/**
 * How many violations it counts as when an address was refused, for too much,
 * as often again as it may come. Who comes a little too often, as an office
 * behind one address may, is only told to wait.
 */
export const VIOLATIONS_PER_LIMIT = 10;
/** When to come back after there was no room, in milliseconds. */
const FULL_RETRY_MS = 5_000;
/** Longest origin noted, in characters. */
const MAX_ORIGIN_LENGTH = 100;
/** Query arguments in which people put tokens, for want of knowing better. */
const TOKEN_ARGUMENTS: ReadonlySet<string> = new Set([
  "token",
  "access_token",
  "auth_token",
  "authorization",
  "bearer",
  "jwt",
]);
/** Doors that load balancers knock at: open to all, always. */
const OPEN_DOORS: ReadonlySet<string> = new Set(["/health", "/ready"]);
/**
 * Where a block does not hold, only tokens do: an operator who blocked its own
 * address can lift the block again.
 */
const ADMIN_DOORS = "/api/admin/";

/** What the gate is made of. */
export interface GateParts {
  /** Finds the caller's address. */
  clientIp: ClientIp;
  /** Addresses that may not come in. */
  blocks: BlockList;
  /** Tells when tokens are revoked. */
  revocations: Pick<Revocations, "onRevoked">;
  /** Budgets by address. */
  limits: Readonly<Record<LimitName, RateLimit>>;
  /** Length of the budgets' window, in milliseconds. */
  windowMs: number;
  /** Those connected here. */
  sessions: Sessions;
  /** Most connections of this isolate. */
  maxConnections: number;
  /** Most connections of one address (IPv6: of its /64) to this isolate. */
  maxConnectionsPerIp: number;
  /** Origins whose pages may connect; all when empty. */
  allowedOrigins: readonly string[];
  /** Whether strangers may not even read. */
  requireAuth: boolean;
  /**
   * Who shows `token`; a stranger without one.
   * @throws {Refusal} `UNAUTHENTICATED`, `TOKEN_EXPIRED`, or
   * `STORE_UNAVAILABLE` while the key server is away.
   */
  identify: (token: string | undefined) => Promise<Principal>;
  /**
   * Lets callers in.
   * @throws {Refusal} `DRAINING` when nobody is let in any more.
   */
  inService: () => void;
  /** Remembers what happened. */
  securityLog: SecurityLog;
  /** Reads the time, in epoch milliseconds. */
  now: () => number;
  /** Uniform in [0, 1), for {@link VIOLATIONS_PER_LIMIT}. */
  random?: () => number;
}

/** Somebody let in who will stay. */
export interface Arrival {
  /** Where from. */
  readonly visitor: Visitor;
  /** Who; a stranger when the token was bad. */
  readonly principal: Principal;
  /** What is wrong with the token, to be said where it can be heard. */
  readonly refusal: Refusal | undefined;
}

/** Decides at the door, before anything costs much. */
export class Gate implements Disposable {
  readonly #parts: GateParts;
  readonly #listening: readonly Disposable[];

  /**
   * Begins to send those away who are blocked or revoked from now on. The
   * parts stay the caller's to dispose.
   */
  constructor(parts: GateParts) {
    this.#parts = parts;
    const { blocks, revocations, sessions } = parts;
    this.#listening = [
      blocks.onBlocked(() => {
        sessions.disconnect("IP_BLOCKED", ({ ip }) => {
          const block = blocks.blockOf(ip);
          return block && sentenceOf(block);
        });
      }),
      revocations.onRevoked(() => {
        sessions.disconnect(
          "UNAUTHENTICATED",
          ({ session }) =>
            session.isRevoked ? "Token has been revoked" : undefined,
        );
      }),
    ];
  }

  /** Listens no more. */
  [Symbol.dispose](): void {
    for (const each of this.#listening) each[Symbol.dispose]();
  }

  /** Stands before all doors but the sockets': keeps blocked addresses out. */
  watch(): MiddlewareHandler<Env> {
    return async (c, next) => {
      if (!OPEN_DOORS.has(c.req.path)) {
        const isAdminDoor = c.req.path.startsWith(ADMIN_DOORS);
        c.set("visitor", isAdminDoor ? this.#anyone(c) : this.#unblocked(c));
      }
      await next();
    };
  }

  /**
   * Tells on an answer how much is left of the budget that was asked.
   *
   * @see {@link https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/}
   */
  tell(c: Context<Env>): void {
    const name = c.get("limit");
    const bucket = c.get("visitor")?.bucket;
    if (name === undefined || bucket === undefined) return;
    const { limits, windowMs } = this.#parts;
    const budget = limits[name].peek(bucket);
    const seconds = (ms: number) => Math.ceil(ms / 1_000);
    const { limit, remaining, resetMs } = budget;
    const { headers } = c.res;
    headers.set(
      "ratelimit-policy",
      `"${name}";q=${limit};w=${seconds(windowMs)}`,
    );
    headers.set("ratelimit", `"${name}";r=${remaining};t=${seconds(resetMs)}`);
  }

  /**
   * Lets an HTTP request in.
   *
   * @returns who calls; publishers and admins are not limited by address.
   * @throws {Refusal} `IP_BLOCKED`, `RATE_LIMITED`, `UNAUTHENTICATED`,
   * `TOKEN_EXPIRED`, `DRAINING`; `INVALID_MESSAGE` for a token in the URL.
   */
  async request(c: Context<Env>): Promise<Principal> {
    const visitor = this.#visitor(c);
    this.#parts.inService();
    refuseTokenInUrl(c);
    const principal = await this.identify(bearerOf(c), visitor.ip, () => {
      this.#take(c, "http", visitor);
    });
    if (!isTrusted(principal)) this.#take(c, "http", visitor);
    this.#requireIdentity(principal);
    return principal;
  }

  /**
   * Charges what an HTTP request publishes to the budget of messages, as it
   * would be over a socket.
   *
   * @param count how many messages, from 1.
   * @throws {Refusal} `RATE_LIMITED`.
   */
  publishing(c: Context<Env>, principal: Principal, count: number): void {
    if (!isTrusted(principal)) {
      this.#take(c, "messages", this.#visitor(c), count);
    }
  }

  /**
   * Lets a connection in that will stay.
   *
   * @param enter called in the same turn as the last check, so that caps are
   * exact and nobody slips in who was blocked meanwhile.
   * @returns what `enter` returned.
   * @throws {Refusal} `IP_BLOCKED`, `RATE_LIMITED`, `TOO_MANY_CONNECTIONS`,
   * `FORBIDDEN` for pages of other origins, `DRAINING`.
   */
  async connection<Result>(
    c: Context<Env>,
    enter: (arrival: Arrival) => Result,
  ): Promise<Awaited<Result>> {
    const visitor = this.#visitor(c);
    this.#parts.inService();
    const { principal, refusal } = await this.#whoArrives(c, visitor);
    if (!isTrusted(principal)) this.#take(c, "connections", visitor);
    this.#requireUnblocked(visitor);
    this.#parts.inService();
    this.#requireOrigin(c, visitor);
    this.#requireRoom(visitor);
    return await enter({ visitor, principal, refusal });
  }

  /**
   * Makes sure that a caller said who it is, where that is required.
   *
   * @throws {Refusal} `UNAUTHENTICATED`, or what was wrong with the token.
   */
  requireIdentity({ principal, refusal }: Arrival): void {
    if (refusal) throw refusal;
    this.#requireIdentity(principal);
  }

  /** Whether pages of `origin` may talk to this service. */
  allowsOrigin(origin: string): boolean {
    const { allowedOrigins } = this.#parts;
    return allowedOrigins.length === 0 || allowedOrigins.includes(origin);
  }

  /**
   * Who shows `token`, with failures noted against the address.
   *
   * @param failed called before a bad token is answered.
   * @throws {Refusal} `UNAUTHENTICATED`, `TOKEN_EXPIRED` or
   * `STORE_UNAVAILABLE`.
   */
  async identify(
    token: string | undefined,
    ip: string,
    failed: () => void = () => {},
  ): Promise<Principal> {
    try {
      return await this.#parts.identify(token);
    } catch (error) {
      const { code, message } = Refusal.of(error);
      this.#parts.securityLog.record({
        kind: "auth_failed",
        reason: code,
        ip,
        detail: message,
      });
      if (code === "UNAUTHENTICATED") this.#violation(ip, code);
      failed();
      throw error;
    }
  }

  /** What a session asks at every frame. */
  guard({ ip, bucket }: Visitor): SessionGuard {
    const { limits, windowMs, now } = this.#parts;
    // Whoever lets an address send more lets its connections, too.
    const ofAddress = limits.messages.peek(bucket).limit * 1_000 / windowMs;
    const perSecond = Math.max(
      CONNECTION_PER_SECOND,
      ofAddress / CONNECTION_SHARE,
    );
    const burst = perSecond * CONNECTION_BURST / CONNECTION_PER_SECOND;
    const budget = new Budget({ burst, perSecond, now });
    return {
      admit: (principal, count = 1) =>
        isTrusted(principal)
          ? 0
          : budget.take(count) || limits.messages.take(bucket, count),
      authenticate: (token) => this.identify(token, ip),
      refused: (code, isFinal) => {
        if (code === "FORBIDDEN" || code === "RATE_LIMITED") {
          this.#note(ip, code);
        }
        if (isFinal) this.#violation(ip, code);
      },
    };
  }

  #visitor(c: Context<Env>): Visitor {
    const known = c.get("visitor");
    if (known) return known;
    const visitor = this.#unblocked(c);
    c.set("visitor", visitor);
    return visitor;
  }

  #anyone(c: Context<Env>): Visitor {
    const ip = this.#parts.clientIp(
      c.env.remoteAddr.hostname,
      c.req.header("x-forwarded-for"),
    );
    return { ip, bucket: bucketOf(ip) };
  }

  #unblocked(c: Context<Env>): Visitor {
    const visitor = this.#anyone(c);
    this.#requireUnblocked(visitor);
    return visitor;
  }

  #requireUnblocked({ ip }: Visitor): void {
    const block = this.#parts.blocks.blockOf(ip);
    if (!block) return;
    const retryAfterMs = Math.max(1, block.until - this.#parts.now());
    throw new Refusal("IP_BLOCKED", sentenceOf(block), { retryAfterMs });
  }

  /** A bad token is no reason to stay outside: nobody would hear why. */
  async #whoArrives(
    c: Context<Env>,
    { ip }: Visitor,
  ): Promise<Omit<Arrival, "visitor">> {
    try {
      refuseTokenInUrl(c);
      const principal = await this.identify(bearerOf(c), ip);
      return { principal, refusal: undefined };
    } catch (error) {
      return { principal: ANONYMOUS_PRINCIPAL, refusal: Refusal.of(error) };
    }
  }

  #requireIdentity({ identity }: Principal): void {
    if (!this.#parts.requireAuth || identity.isAuthenticated) return;
    throw new Refusal(
      "UNAUTHENTICATED",
      "This service needs a token: Authorization: Bearer <token>",
    );
  }

  #requireOrigin(c: Context<Env>, { ip }: Visitor): void {
    const origin = c.req.header("origin");
    if (origin === undefined || this.allowsOrigin(origin)) return;
    const shown = origin.slice(0, MAX_ORIGIN_LENGTH);
    this.#note(ip, "FORBIDDEN", `origin ${shown}`);
    throw new Refusal(
      "FORBIDDEN",
      "Pages of this origin may not connect; see ALLOWED_ORIGINS",
    );
  }

  #requireRoom({ ip, bucket }: Visitor): void {
    const { sessions, maxConnections, maxConnectionsPerIp } = this.#parts;
    const isCrowd = sessions.socketsOf(bucket) >= maxConnectionsPerIp;
    if (!isCrowd && sessions.sockets < maxConnections) return;
    this.#note(ip, "TOO_MANY_CONNECTIONS");
    throw new Refusal(
      "TOO_MANY_CONNECTIONS",
      isCrowd
        ? `At most ${maxConnectionsPerIp} connections from one address; see MAX_CONNECTIONS_PER_IP`
        : "This instance holds as many connections as it may",
      { retryAfterMs: FULL_RETRY_MS },
    );
  }

  #take(
    c: Context<Env>,
    name: LimitName,
    { ip, bucket }: Visitor,
    count = 1,
  ): void {
    const { limits, random = systemRandom } = this.#parts;
    c.set("limit", name);
    const retryAfterMs = limits[name].take(bucket, count);
    if (retryAfterMs === 0) return;
    this.#note(ip, "RATE_LIMITED", name);
    const { limit } = limits[name].peek(bucket);
    if (random() * limit < VIOLATIONS_PER_LIMIT) {
      this.#violation(ip, "RATE_LIMITED");
    }
    throw new Refusal(
      "RATE_LIMITED",
      `At most ${limit} ${
        WORDS[name]
      } in ${this.#parts.windowMs} ms from one address`,
      { retryAfterMs },
    );
  }

  #note(ip: string, code: RefusalCode, detail?: string): void {
    const kind = code === "RATE_LIMITED" ? "rate_limited" : "forbidden";
    this.#parts.securityLog.record({ kind, reason: code, ip, detail });
  }

  /**
   * Counts towards an automatic block. This machine's own addresses are left
   * out: behind them stands everybody, when a proxy is not named in
   * `TRUSTED_PROXIES`.
   */
  #violation(ip: string, code: RefusalCode): void {
    if (isLoopback(ip)) return;
    const block = this.#parts.blocks.violation(ip, code);
    if (!block) return;
    const { reason, by } = block;
    this.#parts.securityLog.record({ kind: "blocked", reason, ip, by });
  }
}

const WORDS: Readonly<Record<LimitName, string>> = {
  connections: "new connections",
  messages: "messages",
  http: "requests",
};

function isTrusted({ identity: { role } }: Principal): boolean {
  return role === "publisher" || role === "admin";
}

function isLoopback(ip: string): boolean {
  return ip.startsWith("127.") || ip === "::1" || ip === UNKNOWN_IP;
}

function sentenceOf({ until, reason }: Block): string {
  const end = new Date(until).toISOString();
  return `This address is blocked until ${end}: ${reason}`;
}

/** URLs end up in logs and histories, where tokens must never be. */
function refuseTokenInUrl(c: Context<Env>): void {
  if (!c.req.url.includes("?")) return;
  const { searchParams } = new URL(c.req.url);
  for (const name of searchParams.keys()) {
    if (!TOKEN_ARGUMENTS.has(name.toLowerCase())) continue;
    throw new Refusal(
      "INVALID_MESSAGE",
      "A token in the URL is never read and may have been logged on its way: replace it, and send it as Authorization: Bearer <token> or in the connect frame",
    );
  }
}
