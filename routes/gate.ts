/**
 * Who may come in, and what becomes of those who misbehave: the one place
 * where the guards meet connections.
 *
 * @module
 */
import type { Context } from "hono";
import { Refusal } from "../protocol/refusals.ts";
import type { RefusalCode } from "../protocol/refusals.ts";
import type { Caller } from "../realtime/caller.ts";
import type { SessionGuard } from "../realtime/session.ts";
import type { Sessions } from "../realtime/sessions.ts";
import type { BlockList } from "../security/block_list.ts";
import { Budget } from "../security/budget.ts";
import { bucketOf } from "../security/client_ip.ts";
import type { ClientIp } from "../security/client_ip.ts";
import type { RateLimit } from "../security/rate_limit.ts";
import type { SecurityLog } from "../security/security_log.ts";
import { bearerOf } from "./http.ts";
import type { Env } from "./http.ts";

/** Frames one connection may send at once. */
export const CONNECTION_BURST = 500;
/** Frames one connection may send in a second, in the long run. */
export const CONNECTION_PER_SECOND = 100;
/**
 * Messages an address may send for each connection or request it may make:
 * the budget of messages is that many times `RATE_LIMIT_MAX`.
 */
export const MESSAGES_PER_REQUEST = 20;

/** What the gate is made of. */
export interface GateParts {
  /** Finds the caller's address. */
  clientIp: ClientIp;
  /** Addresses that may not come in. */
  blocks: BlockList;
  /** Budgets by address. */
  limits: {
    /** New connections. */
    readonly connections: RateLimit;
    /** Frames over sockets. */
    readonly messages: RateLimit;
    /** HTTP requests. */
    readonly http: RateLimit;
  };
  /** Those connected here. */
  sessions: Sessions;
  /** Most connections of this isolate. */
  maxConnections: number;
  /** Most connections of one address (IPv6: of its /64) to this isolate. */
  maxConnectionsPerIp: number;
  /** Origins whose pages may connect; all when empty. */
  allowedOrigins: readonly string[];
  /**
   * Who shows `token`; a stranger without one.
   * @throws {Refusal} `UNAUTHENTICATED` or `TOKEN_EXPIRED`.
   */
  identify: (token: string | undefined) => Promise<Caller>;
  /**
   * Lets callers in.
   * @throws {Refusal} `DRAINING` when nobody is let in any more.
   */
  inService: () => void;
  /** Remembers what happened. */
  securityLog: SecurityLog;
  /** Reads the time, in epoch milliseconds. */
  now: () => number;
}

/** Somebody at the door. */
export interface Visitor {
  /** Address. */
  readonly ip: string;
  /** Who it is, for limits. */
  readonly bucket: string;
}

/** Decides at the door, before anything costs much. */
export class Gate {
  readonly #parts: GateParts;

  /** Owns nothing: the parts stay the caller's to dispose. */
  constructor(parts: GateParts) {
    this.#parts = parts;
  }

  /**
   * Lets an HTTP request in.
   *
   * @returns who calls; publishers and admins are not limited by address.
   * @throws {Refusal} `IP_BLOCKED`, `RATE_LIMITED`, `UNAUTHENTICATED`,
   * `TOKEN_EXPIRED`, `DRAINING`.
   */
  async request(c: Context<Env>): Promise<Caller> {
    const visitor = this.#unblocked(c);
    this.#parts.inService();
    const caller = await this.identify(bearerOf(c), visitor.ip, () => {
      this.#take("http", visitor);
    });
    if (!isTrusted(caller)) this.#take("http", visitor);
    return caller;
  }

  /**
   * Lets a connection in that will stay.
   *
   * @throws {Refusal} `IP_BLOCKED`, `RATE_LIMITED`, `TOO_MANY_CONNECTIONS`,
   * `FORBIDDEN` for pages of other origins, `DRAINING`.
   */
  connection(c: Context<Env>): Visitor {
    const visitor = this.#unblocked(c);
    this.#parts.inService();
    const origin = c.req.header("origin");
    if (origin !== undefined && !this.allowsOrigin(origin)) {
      this.#note(visitor.ip, "FORBIDDEN", `origin ${origin.slice(0, 100)}`);
      throw new Refusal(
        "FORBIDDEN",
        "Pages of this origin may not connect; see ALLOWED_ORIGINS",
      );
    }
    const { sessions, maxConnections, maxConnectionsPerIp } = this.#parts;
    if (
      sessions.size >= maxConnections ||
      sessions.socketsOf(visitor.bucket) >= maxConnectionsPerIp
    ) {
      this.#note(visitor.ip, "TOO_MANY_CONNECTIONS");
      throw new Refusal("TOO_MANY_CONNECTIONS", undefined, {
        retryAfterMs: 5_000,
      });
    }
    this.#take("connections", visitor);
    return visitor;
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
   * @throws {Refusal} `UNAUTHENTICATED` or `TOKEN_EXPIRED`.
   */
  async identify(
    token: string | undefined,
    ip: string,
    failed: () => void = () => {},
  ): Promise<Caller> {
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
    const { limits, now } = this.#parts;
    const budget = new Budget({
      burst: CONNECTION_BURST,
      perSecond: CONNECTION_PER_SECOND,
      now,
    });
    return {
      admit: (caller) =>
        isTrusted(caller) ? 0 : budget.take() || limits.messages.take(bucket),
      authenticate: (token) => this.identify(token, ip),
      refused: (code, isFinal) => {
        if (code === "FORBIDDEN" || code === "RATE_LIMITED") {
          this.#note(ip, code);
        }
        if (isFinal) this.#violation(ip, code);
      },
    };
  }

  #unblocked(c: Context<Env>): Visitor {
    const ip = this.#parts.clientIp(
      c.env.remoteAddr.hostname,
      c.req.header("x-forwarded-for"),
    );
    const block = this.#parts.blocks.blockOf(ip);
    if (!block) return { ip, bucket: bucketOf(ip) };
    const retryAfterMs = Math.max(1, block.until - this.#parts.now());
    throw new Refusal(
      "IP_BLOCKED",
      `This address is blocked until ${
        new Date(block.until).toISOString()
      }: ${block.reason}`,
      { retryAfterMs },
    );
  }

  #take(limit: keyof GateParts["limits"], { ip, bucket }: Visitor): void {
    const retryAfterMs = this.#parts.limits[limit].take(bucket);
    if (retryAfterMs === 0) return;
    this.#note(ip, "RATE_LIMITED", limit);
    this.#violation(ip, "RATE_LIMITED");
    throw new Refusal("RATE_LIMITED", `Rate limit of ${limit} reached`, {
      retryAfterMs,
    });
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

function isTrusted({ identity: { role } }: Caller): boolean {
  return role === "publisher" || role === "admin";
}

function isLoopback(ip: string): boolean {
  return ip.startsWith("127.") || ip === "::1" || ip === "unknown";
}
