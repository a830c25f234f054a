/**
 * Admits callers: the one place where the guards check requests and
 * connections.
 *
 * @module
 */
import type { Context } from "hono";
import { Refusal } from "../protocol/refusals.ts";
import type { Admission } from "../realtime/drain.ts";
import { FREE_READER, priceOfReading } from "../realtime/prices.ts";
import type { Reader } from "../realtime/prices.ts";
import type { SessionGuard } from "../realtime/session_guard.ts";
import type { Sessions } from "../realtime/sessions.ts";
import { AUTOMATIC } from "../security/block_list.ts";
import type { Block } from "../security/block_list.ts";
import { bucketOf } from "../security/client_ip.ts";
import type { ClientIp } from "../security/client_ip.ts";
import { ANONYMOUS_PRINCIPAL } from "../security/identity.ts";
import { isTrusted } from "../security/principal.ts";
import type { Principal } from "../security/principal.ts";
import type { Revocations } from "../security/revocations.ts";
import { requireRight, RIGHTS } from "../security/rights.ts";
import type { Right, RightName } from "../security/rights.ts";
import { Budgets } from "./budgets.ts";
import type { BudgetsParts } from "./budgets.ts";
import { bearerOf, isCrossSite } from "./http.ts";
import type { Env, Visitor } from "./http.ts";
import { Offences } from "./offences.ts";
import type { OffencesParts } from "./offences.ts";

/** When to try again after there was no room, in milliseconds. */
const FULL_RETRY_MS = 5_000;
/** Longest origin recorded, in characters. */
const MAX_ORIGIN_LENGTH = 100;
/** Query arguments that often carry tokens, which belong in a header. */
const TOKEN_ARGUMENTS: ReadonlySet<string> = new Set([
  "token",
  "access_token",
  "auth_token",
  "authorization",
  "bearer",
  "jwt",
]);

/** What the gate is made of. */
export interface GateParts extends BudgetsParts, OffencesParts {
  /** Finds the caller's address. */
  clientIp: ClientIp;
  /** Emits when tokens are revoked. */
  revocations: Pick<Revocations, "onRevoked">;
  /** Those connected here. */
  sessions: Sessions;
  /** Most connections of this instance. */
  maxConnections: number;
  /** Most connections of one address (IPv6: of its /64) to this instance. */
  maxConnectionsPerIp: number;
  /** Origins whose pages may connect; all when empty. */
  allowedOrigins: readonly string[];
  /** Whether callers must show a token; see `RIGHTS`. */
  requireAuth: boolean;
  /**
   * Who shows `token`; a caller without identity when it is absent.
   * @throws {Refusal} `UNAUTHENTICATED`, `TOKEN_EXPIRED`, or
   * `STORE_UNAVAILABLE` while the key server is away.
   */
  identify: (token: string | undefined) => Promise<Principal>;
  /**
   * Admits callers.
   * @throws {Refusal} `DRAINING` when the instance no longer admits any.
   */
  inService: (what: Admission) => void;
  /** Whether memory is too short for further clients without a token. */
  isMemoryFull: () => boolean;
}

/** An admitted caller with a lasting connection. */
export interface Arrival {
  /** Its address. */
  readonly visitor: Visitor;
  /** Its principal; without identity when the token was bad. */
  readonly principal: Principal;
  /** The fault of the token, for a frame that the client can read. */
  readonly refusal: Refusal | undefined;
}

/** Admits or refuses a caller before expensive work. */
export class Gate implements Disposable {
  readonly #parts: GateParts;
  readonly #offences: Offences;
  readonly #budgets: Budgets;
  readonly #listening: readonly Disposable[];

  /**
   * Begins to disconnect callers that are blocked or revoked from now on. The
   * caller disposes the parts.
   */
  constructor(parts: GateParts) {
    this.#parts = parts;
    this.#offences = new Offences(parts);
    this.#budgets = new Budgets(parts, this.#offences);
    const { blocks, revocations, sessions } = parts;
    this.#listening = [
      blocks.onBlocked(() => {
        sessions.disconnect("IP_BLOCKED", ({ ip, session }) => {
          const block = blocks.blockOf(ip);
          return block && !passes(block, session)
            ? sentenceOf(block)
            : undefined;
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

  /** Stops listening. */
  [Symbol.dispose](): void {
    for (const each of this.#listening) each[Symbol.dispose]();
  }

  /**
   * Admits an HTTP request.
   *
   * @param name its row in the table of rights.
   * @returns who calls; publishers and admins are not limited by address.
   * @throws {Refusal} `IP_BLOCKED`, `RATE_LIMITED`, `UNAUTHENTICATED`,
   * `TOKEN_EXPIRED`, `FORBIDDEN`, `DRAINING`; `INVALID_MESSAGE` for a token in
   * the URL or a malformed header.
   */
  async request(c: Context<Env>, name: RightName): Promise<Principal> {
    // Load balancers must not be refused.
    if (name === "probe") return ANONYMOUS_PRINCIPAL;
    const right: Right = RIGHTS[name];
    const visitor = this.visitorOf(c);
    const passed = right.ignoresBlocks
      ? undefined
      : await this.#passBlock(c, visitor);
    if (!right.inDrain) this.#parts.inService("request");
    if (right.isOpen) {
      if (!passed) this.#budgets.take(c, "http", visitor);
      return passed ?? ANONYMOUS_PRINCIPAL;
    }
    const principal = passed ?? await this.#chargeAndIdentify(c, visitor);
    c.set("principal", principal);
    const { requireAuth } = this.#parts;
    requireRight(name, principal, { requireAuth });
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
    if (isTrusted(principal)) return;
    this.#budgets.take(c, "messages", this.visitorOf(c), count);
  }

  /** Charges what a request reads of the log to the budget of messages. */
  reader(c: Context<Env>, principal: Principal): Reader {
    const visitor = this.visitorOf(c);
    const { bucket: address } = visitor;
    if (isTrusted(principal)) return { ...FREE_READER, address };
    return {
      address,
      admit: () => this.#budgets.requirePaid(c, visitor),
      read: (length) => this.#budgets.spend(visitor, priceOfReading(length)),
    };
  }

  /**
   * Admits a lasting connection.
   *
   * @param enter called in the same turn as the last check, so that caps are
   * exact and an address that was blocked in between is refused.
   * @returns what `enter` returned.
   * @throws {Refusal} `IP_BLOCKED`, `RATE_LIMITED`, `TOO_MANY_CONNECTIONS`,
   * `FORBIDDEN` for pages of other origins, `DRAINING`.
   */
  async connection<Result>(
    c: Context<Env>,
    enter: (arrival: Arrival) => Result,
  ): Promise<Awaited<Result>> {
    const visitor = this.visitorOf(c);
    const passed = await this.#passBlock(c, visitor);
    this.#parts.inService("connection");
    const { principal, refusal } = passed
      ? { principal: passed, refusal: undefined }
      : await this.#whoArrives(c, visitor);
    if (!isTrusted(principal)) {
      this.#budgets.take(c, "connections", visitor);
    }
    const block = this.#parts.blocks.blockOf(visitor.ip);
    if (block && !passes(block, principal)) throw this.#blocked(block);
    this.#parts.inService("connection");
    this.#requireOrigin(c, visitor);
    this.#requireRoom(visitor);
    this.#requireMemory(principal);
    return await enter({ visitor, principal, refusal });
  }

  /**
   * Makes sure that a connected caller has a right.
   *
   * @throws {Refusal} the fault of its token, or the missing right.
   */
  requireRight(name: RightName, { principal, refusal }: Arrival): void {
    if (refusal) throw refusal;
    const { requireAuth } = this.#parts;
    requireRight(name, principal, { requireAuth });
  }

  /** Writes on an answer how much is left of the budget that was charged. */
  setHeaders(c: Context<Env>): void {
    this.#budgets.setHeaders(c);
  }

  /** Whether pages of `origin` may use this service. */
  allowsOrigin(origin: string): boolean {
    const { allowedOrigins } = this.#parts;
    return allowedOrigins.length === 0 || allowedOrigins.includes(origin);
  }

  /** The checks of a session at every frame. */
  guard(visitor: Visitor): SessionGuard {
    const budget = this.#budgets.ofConnection(visitor);
    return {
      address: visitor.bucket,
      admit: (principal, count = 1) =>
        isTrusted(principal) ? 0 : budget.take(count),
      spend(principal, count) {
        if (!isTrusted(principal)) budget.spend(count);
      },
      authenticate: (token) => this.#identify(token, visitor),
      refused: (code, isFinal) => {
        if (code === "RATE_LIMITED") {
          this.#offences.record(visitor, "rate_limited", code);
        }
        if (code === "FORBIDDEN") {
          this.#offences.record(visitor, "forbidden", code);
        }
        if (isFinal) this.#offences.count(visitor, code);
      },
    };
  }

  /** The origin of a request. */
  visitorOf(c: Context<Env>): Visitor {
    const known = c.get("visitor");
    if (known) return known;
    const ip = this.#parts.clientIp(
      c.env.remoteAddr.hostname,
      c.req.header("x-forwarded-for"),
    );
    const { headers } = c.req.raw;
    const visitor = {
      ip,
      bucket: bucketOf(ip),
      isCrossSite: isCrossSite(headers),
    };
    c.set("visitor", visitor);
    return visitor;
  }

  /**
   * An automatic block does not hold for trusted callers: others behind the
   * same address may have caused it. Tokens that pass it are verified without a record, since
   * nothing more can be counted against the address.
   *
   * @returns the caller who passes a block; nothing when there is none.
   * @throws {Refusal} `IP_BLOCKED`.
   */
  async #passBlock(
    c: Context<Env>,
    { ip }: Visitor,
  ): Promise<Principal | undefined> {
    const block = this.#parts.blocks.blockOf(ip);
    if (!block) return undefined;
    if (block.by === AUTOMATIC && c.req.header("authorization")) {
      const principal = await this.#known(c);
      if (principal && passes(block, principal)) return principal;
    }
    throw this.#blocked(block);
  }

  async #known(c: Context<Env>): Promise<Principal | undefined> {
    try {
      return await this.#parts.identify(bearerOf(c));
    } catch {
      return undefined;
    }
  }

  #blocked(block: Block): Refusal {
    const retryAfterMs = Math.max(1, block.until - this.#parts.clock.now());
    return new Refusal("IP_BLOCKED", sentenceOf(block), { retryAfterMs });
  }

  async #chargeAndIdentify(
    c: Context<Env>,
    visitor: Visitor,
  ): Promise<Principal> {
    const charge = () => this.#budgets.take(c, "http", visitor);
    try {
      refuseTokenInUrl(c);
      const principal = await this.#identify(bearerOf(c), visitor);
      if (!isTrusted(principal)) charge();
      return principal;
    } catch (error) {
      if (c.get("limit") === undefined) charge();
      throw error;
    }
  }

  /** A bad token does not keep a socket out: it is refused where it is read. */
  async #whoArrives(
    c: Context<Env>,
    visitor: Visitor,
  ): Promise<Omit<Arrival, "visitor">> {
    try {
      refuseTokenInUrl(c);
      const principal = await this.#identify(bearerOf(c), visitor);
      return { principal, refusal: undefined };
    } catch (error) {
      return { principal: ANONYMOUS_PRINCIPAL, refusal: Refusal.of(error) };
    }
  }

  /** Who shows `token`; failures are recorded against the address. */
  async #identify(
    token: string | undefined,
    visitor: Visitor,
  ): Promise<Principal> {
    try {
      return await this.#parts.identify(token);
    } catch (error) {
      const { code, message } = Refusal.of(error);
      this.#offences.record(visitor, "auth_failed", code, message);
      if (code === "UNAUTHENTICATED") this.#offences.count(visitor, code);
      throw error;
    }
  }

  #requireOrigin(c: Context<Env>, visitor: Visitor): void {
    const origin = c.req.header("origin");
    if (origin === undefined || this.allowsOrigin(origin)) return;
    const shown = origin.slice(0, MAX_ORIGIN_LENGTH);
    this.#offences.record(
      visitor,
      "forbidden",
      "FORBIDDEN",
      `origin ${shown}`,
    );
    throw new Refusal(
      "FORBIDDEN",
      "Pages of this origin may not connect; see ALLOWED_ORIGINS",
    );
  }

  #requireMemory({ identity }: Principal): void {
    if (identity.isAuthenticated || !this.#parts.isMemoryFull()) return;
    throw new Refusal("TOO_MANY_CONNECTIONS", "Memory is short", {
      retryAfterMs: FULL_RETRY_MS,
    });
  }

  #requireRoom(visitor: Visitor): void {
    const { sessions, maxConnections, maxConnectionsPerIp } = this.#parts;
    const isCrowd = sessions.socketsOf(visitor.bucket) >= maxConnectionsPerIp;
    if (!isCrowd && sessions.sockets < maxConnections) return;
    this.#offences.record(visitor, "forbidden", "TOO_MANY_CONNECTIONS");
    throw new Refusal(
      "TOO_MANY_CONNECTIONS",
      isCrowd
        ? `At most ${maxConnectionsPerIp} connections from one address; see MAX_CONNECTIONS_PER_IP`
        : "This instance holds as many connections as it may",
      { retryAfterMs: FULL_RETRY_MS },
    );
  }
}

/** Whether a block does not hold for a caller. */
function passes({ by }: Block, caller: Pick<Principal, "identity">): boolean {
  return by === AUTOMATIC && isTrusted(caller);
}

function sentenceOf({ until, reason }: Block): string {
  const end = new Date(until).toISOString();
  return `This address is blocked until ${end}: ${reason}`;
}

/** URLs are stored in logs and histories, which must not contain tokens. */
function refuseTokenInUrl(c: Context<Env>): void {
  const at = c.req.url.indexOf("?");
  if (at < 0) return;
  for (const name of new URLSearchParams(c.req.url.slice(at + 1)).keys()) {
    if (!TOKEN_ARGUMENTS.has(name.toLowerCase())) continue;
    throw new Refusal(
      "INVALID_MESSAGE",
      "A token in the URL is never read and may have been logged on its way: replace it, and send it as Authorization: Bearer <token> or in the connect frame",
    );
  }
}
