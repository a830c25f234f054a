/**
 * What the operator's page requests from the service. The token lives in this
 * object, and in the tab's storage only where the operator asked for that.
 *
 * @module
 */
/// <reference lib="dom" />

/** An instance, as `/api/channels` lists it. */
export interface InstanceInfo {
  readonly id: string;
  readonly startedAt: number;
  readonly at: number;
  readonly connections: number;
  readonly totalConnections: number;
  readonly memoryUsage: number;
  readonly throughput: {
    readonly messagesPerSecond: number;
    readonly eventsPerSecond: number;
    readonly broadcastsPerSecond: number;
  };
}

/** A channel, as `/api/channels` lists it. */
export interface ChannelInfo {
  readonly channel: string;
  readonly summary: string;
  readonly retention: string;
  readonly epoch: string | null;
  readonly seq: number | null;
  readonly subscribers: number;
}

/** A connection. */
export interface SessionInfo {
  readonly id: string;
  readonly instance: string;
  readonly ip: string;
  readonly user: string | null;
  readonly role: string;
  readonly client: string | null;
  readonly since: number;
  readonly channels: readonly {
    readonly channel: string;
    readonly seq: number;
    readonly lag: number;
  }[];
  readonly subscriptions: number;
  readonly lag: number;
}

/** A room. */
export interface RoomInfo {
  readonly room: string;
  readonly followers: number;
  readonly lag: number;
  readonly seq: number;
  readonly lastEventAt: number | null;
}

/** A blocked address. */
export interface BlockInfo {
  readonly ip: string;
  readonly reason: string;
  readonly by: string;
  readonly since: number;
  readonly until: number;
}

/** A revoked token or user. */
export interface RevocationInfo {
  readonly kind: "token" | "user";
  readonly id: string;
  readonly at: number;
  readonly by: string;
  readonly reason: string;
}

/** A security event. */
export interface SecurityEvent {
  readonly kind: string;
  readonly reason: string;
  readonly ip?: string;
  readonly user?: string;
  readonly by?: string;
  readonly detail?: string;
  readonly lastAt: number;
  readonly count: number;
}

/** The result of one readiness check. */
export interface Check {
  readonly ok: boolean;
  readonly degraded?: boolean;
  readonly detail: string;
}

/** An event of the channel `alerts`. */
export interface AlertEvent {
  readonly id: string;
  readonly timestamp: string;
  readonly payload: {
    readonly type: string;
    readonly severity: string;
    readonly message: string;
    readonly status?: string;
    readonly subject?: string;
  };
}

/** An alert that has not ended. */
export interface ActiveAlert {
  readonly id: string;
  readonly type: string;
  readonly severity: string;
  readonly message: string;
  readonly subject?: string;
  readonly startedAt: number;
}

/** A rule that an operator silenced. */
export interface Silence {
  readonly type: string;
  readonly until: number;
  readonly by: string;
  readonly reason?: string;
}

/** What an instance measures of itself and of all; absent fields are not shown. */
export interface MetricsInfo {
  readonly uptime?: number;
  readonly eventDeliveryTime?: { readonly p95: number };
  readonly cluster?: { readonly eventDeliveryTime?: { readonly p95: number } };
  readonly log?: { readonly commitTimeMs: number; readonly failures: number };
}

/** Why the service refused, or that it cannot be reached. */
export class ApiError extends Error {
  /** The refusal's code, or `UNREACHABLE`. */
  readonly code: string;

  /**
   * Takes a refusal's code.
   *
   * @param code the refusal's.
   * @param message for a person.
   */
  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

/** Longest a request may take, in milliseconds. */
const TIMEOUT_MS = 10_000;

/** The service, as an operator with a token sees it. */
export class OperatorApi {
  readonly #token: string;

  /**
   * Keeps the token, here only.
   *
   * @param token of the role `admin`.
   */
  constructor(token: string) {
    this.#token = token;
  }

  /** Reads. @throws {ApiError} */
  get<Answer>(path: string): Promise<Answer> {
    return this.#ask("GET", path);
  }

  /** Creates. @throws {ApiError} */
  post<Answer>(path: string, body: unknown): Promise<Answer> {
    return this.#ask("POST", path, body);
  }

  /** Removes. @throws {ApiError} */
  delete<Answer>(path: string): Promise<Answer> {
    return this.#ask("DELETE", path);
  }

  async #ask<Answer>(
    method: string,
    path: string,
    body?: unknown,
  ): Promise<Answer> {
    let response: Response;
    try {
      response = await fetch(path, {
        method,
        headers: { authorization: `Bearer ${this.#token}` },
        cache: "no-store",
        credentials: "omit",
        signal: AbortSignal.timeout(TIMEOUT_MS),
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
    } catch (error) {
      const why = (error as Error).name === "TimeoutError"
        ? `none within ${TIMEOUT_MS / 1_000} s`
        : "the service cannot be reached";
      throw new ApiError("UNREACHABLE", `No answer: ${why}`);
    }
    const answer = await response.json().catch(() => ({}));
    // Not ready is an answer, not a refusal.
    if (response.ok || path === "/ready") return answer;
    throw new ApiError(
      answer.code ?? String(response.status),
      sentenceOf(answer),
    );
  }
}

/** The message of a refusal, with the first of its issues. */
function sentenceOf(
  { message = "The service refused", issues: [issue] = [] }: {
    readonly message?: string;
    readonly issues?: readonly {
      readonly path: string;
      readonly message: string;
    }[];
  },
): string {
  if (!issue || message.includes(issue.message)) return message;
  return `${message}: ${issue.path} ${issue.message}`;
}

/** The error, as a sentence. */
export function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
