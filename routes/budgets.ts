/**
 * What an address may spend: new connections, messages, requests.
 *
 * @module
 */
import type { Context } from "hono";
import type { Clock } from "../platform/clock.ts";
import { systemRandom } from "../platform/random.ts";
import { Refusal } from "../protocol/refusals.ts";
import { Budget } from "../security/budget.ts";
import type { RateLimit } from "../security/rate_limit.ts";
import type { Env, LimitName, Visitor } from "./http.ts";
import type { Offences } from "./offences.ts";

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
 * Violations counted, on average, for an address that sends twice what it may.
 * An address that sends a little too much, such as an office, only waits.
 */
export const VIOLATIONS_PER_LIMIT = 10;

/** What budgets are made of. */
export interface BudgetsParts {
  /** Counts by address, shared by all instances. */
  limits: Readonly<Record<LimitName, RateLimit>>;
  /** Length of their window, in milliseconds. */
  windowMs: number;
  /** Time: when blocks end, and how fast budgets fill. */
  clock: Pick<Clock, "now" | "monotonic">;
  /** Uniform in [0, 1), for {@link VIOLATIONS_PER_LIMIT}. */
  random?: () => number;
}

/** The budgets of all addresses. */
export class Budgets {
  readonly #parts: BudgetsParts;
  readonly #offences: Offences;

  /** The limits stay the caller's to dispose. */
  constructor(parts: BudgetsParts, offences: Offences) {
    this.#parts = parts;
    this.#offences = offences;
  }

  /**
   * Charges a caller's address; what is refused costs nothing.
   *
   * @param count how much, from 1.
   * @throws {Refusal} `RATE_LIMITED`.
   */
  take(
    c: Context<Env>,
    name: LimitName,
    visitor: Visitor,
    count = 1,
  ): void {
    const { limits, windowMs, random = systemRandom } = this.#parts;
    c.set("limit", name);
    const { bucket } = visitor;
    const retryAfterMs = limits[name].take(bucket, count);
    if (retryAfterMs === 0) return;
    this.#offences.record(visitor, "rate_limited", "RATE_LIMITED", name);
    const { limit } = limits[name].peek(bucket);
    if (random() * limit < VIOLATIONS_PER_LIMIT) {
      this.#offences.count(visitor, "RATE_LIMITED");
    }
    throw new Refusal(
      "RATE_LIMITED",
      `At most ${limit} ${WORDS[name]} in ${windowMs} ms from one address`,
      { retryAfterMs },
    );
  }

  /**
   * Charges an address for answers, in messages.
   *
   * @param count how many, from 0.
   */
  spend({ bucket }: Visitor, count: number): void {
    this.#parts.limits.messages.spend(bucket, count);
  }

  /**
   * Makes sure that an address owes no messages for earlier answers.
   *
   * @throws {Refusal} `RATE_LIMITED`.
   */
  requirePaid(c: Context<Env>, visitor: Visitor): void {
    const charged = c.get("limit");
    this.take(c, "messages", visitor, 0);
    // The answer is about the budget of requests.
    if (charged) c.set("limit", charged);
  }

  /**
   * Writes on an answer how much is left of the budget that was charged.
   *
   * @see {@link https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/}
   */
  setHeaders(c: Context<Env>): void {
    const name = c.get("limit");
    const bucket = c.get("visitor")?.bucket;
    if (name === undefined || bucket === undefined) return;
    const { limits, windowMs } = this.#parts;
    const { limit, remaining, resetMs } = limits[name].peek(bucket);
    const { headers } = c.res;
    const policy = `"${name}";q=${limit};w=${seconds(windowMs)}`;
    headers.set("ratelimit-policy", policy);
    headers.set("ratelimit", `"${name}";r=${remaining};t=${seconds(resetMs)}`);
  }

  /**
   * The budget of messages of a new connection: its own, within that of its
   * address.
   *
   * @returns `take`: from a number of messages to milliseconds until they are
   * admitted, 0 when they are now; `spend`: charges in any case.
   */
  ofConnection({ bucket }: Visitor): {
    readonly take: (count: number) => number;
    readonly spend: (count: number) => void;
  } {
    const { limits, windowMs, clock } = this.#parts;
    // Where an address may send more, each of its connections may.
    const ofAddress = limits.messages.peek(bucket).limit * 1_000 / windowMs;
    const perSecond = Math.max(
      CONNECTION_PER_SECOND,
      ofAddress / CONNECTION_SHARE,
    );
    const burst = perSecond * CONNECTION_BURST / CONNECTION_PER_SECOND;
    const now = () => clock.monotonic();
    const own = new Budget({ burst, perSecond, now });
    return {
      take: (count) => own.take(count) || limits.messages.take(bucket, count),
      spend(count) {
        own.spend(count);
        limits.messages.spend(bucket, count);
      },
    };
  }
}

const WORDS: Readonly<Record<LimitName, string>> = {
  connections: "new connections",
  messages: "messages",
  http: "requests",
};

function seconds(ms: number): number {
  return Math.ceil(ms / 1_000);
}
