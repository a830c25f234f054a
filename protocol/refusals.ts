/**
 * The table of all refusals: the code, default text, HTTP status and WebSocket
 * close code of each.
 *
 * @module
 */

/** What a refusal means on the wire. */
export interface RefusalKind {
  /** The message of a refusal without a detail of its own. */
  readonly text: string;
  /** HTTP status of the same refusal. */
  readonly http: number;
  /**
   * WebSocket close code, when the refusal ends the connection. Below 4500 the
   * client may reconnect and resume; from 4500 on it should not reconnect.
   */
  readonly close: number;
}

/** First close code after which clients do not reconnect. */
export const FINAL_CLOSE = 4500;

/** Every refusal the server can make. */
export const REFUSALS = {
  INVALID_JSON: { text: "Frame is not JSON", http: 400, close: 4500 },
  INVALID_MESSAGE: {
    text: "Frame does not match the envelope",
    http: 400,
    close: 4500,
  },
  UNKNOWN_TYPE: { text: "Message type is not known", http: 400, close: 4500 },
  INVALID_PAYLOAD: {
    text: "Payload does not match its type",
    http: 400,
    close: 4500,
  },
  INVALID_SUBSCRIPTION: {
    text: "Subscription does not match the protocol",
    http: 400,
    close: 4500,
  },
  UNKNOWN_CHANNEL: { text: "Channel is not known", http: 404, close: 4500 },
  UNSUPPORTED_VERSION: {
    text: "Protocol version is not supported",
    http: 400,
    close: 4505,
  },
  UNAUTHENTICATED: {
    text: "Token is missing or invalid",
    http: 401,
    close: 4501,
  },
  TOKEN_EXPIRED: { text: "Token has expired", http: 401, close: 4401 },
  FORBIDDEN: { text: "Not allowed", http: 403, close: 4503 },
  RATE_LIMITED: { text: "Rate limit reached", http: 429, close: 4029 },
  MESSAGE_TOO_LARGE: { text: "Message is too large", http: 413, close: 4513 },
  ID_CONFLICT: {
    text: "The id was used for another message",
    http: 409,
    close: 4500,
  },
  PARENT_UNKNOWN: {
    text: "The parent of the block is not known",
    http: 409,
    close: 4500,
  },
  STATUS_CONFLICT: {
    text: "The status cannot follow the one before it",
    http: 409,
    close: 4500,
  },
  TOO_MANY_ROOMS: { text: "Too many rooms created", http: 429, close: 4500 },
  TOO_MANY_SUBSCRIPTIONS: {
    text: "Too many subscriptions on one connection",
    http: 400,
    close: 4500,
  },
  TOO_MANY_CONNECTIONS: {
    text: "Too many connections",
    http: 503,
    close: 4030,
  },
  SLOW_CONSUMER: { text: "Client reads too slowly", http: 503, close: 4008 },
  IP_BLOCKED: { text: "Address is blocked", http: 403, close: 4510 },
  DRAINING: { text: "Server is restarting", http: 503, close: 1012 },
  STORE_UNAVAILABLE: {
    text: "The store did not confirm; retry with the same id",
    http: 503,
    close: 4011,
  },
  INTERNAL: { text: "Internal server error", http: 500, close: 1011 },
} as const satisfies Record<string, RefusalKind>;

/**
 * Overrides for refusals with `retryAfterMs`: the service has no capacity now,
 * and the caller did nothing wrong.
 */
const TEMPORARY: {
  readonly [Code in RefusalCode]?: Pick<RefusalKind, "http" | "close">;
} = {
  TOO_MANY_SUBSCRIPTIONS: { http: 503, close: 4030 },
};

/** The name of a refusal, as clients switch on it. */
export type RefusalCode = keyof typeof REFUSALS;

/** One thing wrong with a frame: where, and what. */
export interface Issue {
  /** Dotted path into the frame, `""` for the frame itself. */
  readonly path: string;
  /** A sentence for a person. */
  readonly message: string;
}

/** What a refusal may carry besides its code. */
export interface RefusalOptions extends ErrorOptions {
  /** What exactly was wrong, for the `INVALID_*` codes. */
  readonly issues?: readonly Issue[];
  /** The `id` of the frame refused, when it could be read. */
  readonly ref?: string | undefined;
  /** Milliseconds until a retry can succeed. */
  readonly retryAfterMs?: number;
  /** Heights to publish first, for `PARENT_UNKNOWN`. */
  readonly missing?: Heights | undefined;
}

/** Heights of a chain, both included. */
export interface Heights {
  /** The lowest. */
  readonly from: number;
  /** The highest. */
  readonly to: number;
}

/**
 * Thrown where the server refuses; answered in two places only, the session
 * (as a frame or a close) and the router (as an HTTP response).
 *
 * @example Switch on the code, never on the message
 * ```ts
 * import assert from "node:assert/strict";
 *
 * const refusal = new Refusal("INVALID_JSON");
 * assert.equal(refusal.code, "INVALID_JSON");
 * assert.equal(refusal.kind.http, 400);
 * ```
 */
export class Refusal extends Error {
  /** Distinguishes refusals from bugs in a log. */
  override readonly name = "Refusal";
  /** The stable name of the reason. */
  readonly code: RefusalCode;
  /** What exactly was wrong, for the `INVALID_*` codes. */
  readonly issues: readonly Issue[] | undefined;
  /** The `id` of the frame refused, when it could be read. */
  readonly ref: string | undefined;
  /** Milliseconds until a retry can succeed. */
  readonly retryAfterMs: number | undefined;
  /** Heights to publish first, for `PARENT_UNKNOWN`. */
  readonly missing: Heights | undefined;

  /**
   * Creates a refusal.
   *
   * @param code which refusal.
   * @param detail what was wrong this time; the kind's own text when omitted.
   * @param options issues, the id of the frame, when to retry, the cause.
   */
  constructor(
    code: RefusalCode,
    detail?: string,
    options: RefusalOptions = {},
  ) {
    super(detail ?? REFUSALS[code].text, options);
    this.code = code;
    this.issues = options.issues;
    this.ref = options.ref;
    this.retryAfterMs = options.retryAfterMs;
    this.missing = options.missing;
  }

  /** What the refusal means on the wire. */
  get kind(): RefusalKind {
    const kind: RefusalKind = REFUSALS[this.code];
    if (this.retryAfterMs === undefined) return kind;
    return { ...kind, ...TEMPORARY[this.code] };
  }

  /**
   * Returns `error` if it is a refusal, else `INTERNAL` with it as the cause.
   *
   * @param error anything thrown.
   */
  static of(error: unknown): Refusal {
    if (error instanceof Refusal) return error;
    return new Refusal("INTERNAL", undefined, { cause: error });
  }

  /** The refusal as clients see it, in an `error` frame or an HTTP body. */
  toJSON(): {
    code: RefusalCode;
    message: string;
    retryAfterMs?: number;
    issues?: readonly Issue[];
    missing?: Heights;
  } {
    return {
      code: this.code,
      message: this.message,
      ...(this.retryAfterMs === undefined
        ? {}
        : { retryAfterMs: this.retryAfterMs }),
      ...(this.issues === undefined ? {} : { issues: this.issues }),
      ...(this.missing === undefined ? {} : { missing: this.missing }),
    };
  }
}
