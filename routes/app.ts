/**
 * All doors of the service, and the one place where HTTP refusals are
 * answered.
 *
 * @module
 */
import { Hono } from "hono";
import type { Context, MiddlewareHandler } from "hono";
import { cors } from "hono/cors";
import { Refusal } from "../protocol/refusals.ts";
import { adminRoutes } from "./admin.ts";
import type { AdminParts } from "./admin.ts";
import { alertRoutes } from "./alerts.ts";
import type { AlertParts } from "./alerts.ts";
import { channelRoutes } from "./channels.ts";
import type { ChannelParts } from "./channels.ts";
import { documentRoutes } from "./documents.ts";
import type { Gate } from "./gate.ts";
import { healthRoutes } from "./health.ts";
import type { HealthParts } from "./health.ts";
import type { Env } from "./http.ts";
import { metricsRoutes } from "./metrics.ts";
import type { MetricsParts } from "./metrics.ts";
import { pageRoutes } from "./pages.ts";
import type { PageParts } from "./pages.ts";
import { publishRoutes } from "./publish.ts";
import type { PublishParts } from "./publish.ts";
import { refusalStream, sseRoutes } from "./sse.ts";
import type { SseParts } from "./sse.ts";
import { socketRoutes } from "./socket.ts";
import type { SocketParts } from "./socket.ts";

/** Writes a line for operators. */
export type Line = (
  event: string,
  fields: Readonly<Record<string, unknown>>,
) => void;

/** What the doors tell operators. */
export interface AppLogger {
  /** Something broke on our side. */
  readonly warn: Line;
  /** Something was refused. */
  readonly debug: Line;
  /** Every request; absent when nobody reads that. */
  readonly verbose?: Line | undefined;
}

/** What all routes together need. */
export type AppParts =
  & {
    /** Hears of requests. */
    logger: AppLogger;
    /** Hears of bugs, and what they were about. */
    report: (error: unknown, about?: Readonly<Record<string, unknown>>) => void;
  }
  & SocketParts
  & SseParts
  & PublishParts
  & ChannelParts
  & AdminParts
  & MetricsParts
  & AlertParts
  & HealthParts
  & PageParts;

/**
 * Puts the routes together.
 *
 * @param parts built by the composition root; stay its to dispose.
 */
export function createApp(parts: AppParts): Hono<Env> {
  const app = new Hono<Env>();
  app.onError((error, c) => {
    const refusal = Refusal.of(error);
    const { code } = refusal;
    const { path } = c.req;
    const request = requestIdOf(c, parts.session);
    if (code === "INTERNAL") parts.report(refusal.cause, { request, path });
    else {
      const level = refusal.kind.http >= 500 ? "warn" : "debug";
      parts.logger[level]("request_refused", { request, path, code });
    }
    parts.session.refused?.(code);
    if (isConnecting(c)) parts.session.failed?.();
    c.res = refusalStream(c, refusal) ?? refused(refusal);
    if (!c.get("hasHeaders")) setHeaders(c, parts);
    return c.res;
  });
  if (parts.logger.verbose) app.use(told(parts));
  // What follows is about answers, and a socket has none of ours.
  app.route("/", socketRoutes(parts));
  app.use(withHeaders(parts));
  app.use("/api/*", crossOrigin(parts.gate));
  app.use("/sse", crossOrigin(parts.gate));
  app.use(parts.gate.watch());
  app.notFound((c) =>
    c.json({ code: "NOT_FOUND", message: `No such path: ${c.req.path}` }, 404)
  );
  app.route("/", sseRoutes(parts));
  app.route("/", publishRoutes(parts));
  app.route("/", channelRoutes(parts));
  app.route("/", alertRoutes(parts));
  app.route("/", adminRoutes(parts) as unknown as Hono<Env>);
  app.route("/", metricsRoutes(parts));
  app.route("/", healthRoutes(parts));
  app.route("/", documentRoutes(parts));
  app.route("/", pageRoutes(parts));
  return app;
}

/** Request ids that come from outside are taken when they look like this. */
const REQUEST_ID = /^[\w.:-]{1,64}$/;

/** The name that a proxy gave the request, or else a new one. */
function requestIdOf(
  c: Context<Env>,
  { nextId, clock }: AppParts["session"],
): string {
  const known = c.get("requestId");
  if (known !== undefined) return known;
  const given = c.req.header("x-request-id") ?? "";
  const request = REQUEST_ID.test(given) ? given : nextId(clock.now());
  c.set("requestId", request);
  return request;
}

/** Writes a line about every request, sockets too. */
function told({ session, logger }: AppParts): MiddlewareHandler<Env> {
  return async (c, next) => {
    const began = session.clock.now();
    // An upgraded request cannot be asked any more.
    const request = requestIdOf(c, session);
    const { method, path } = c.req;
    await next();
    const { status } = c.res;
    const ms = session.clock.now() - began;
    logger.verbose?.("request", { request, method, path, status, ms });
  };
}

/** Dresses every answer. */
function withHeaders(parts: AppParts): MiddlewareHandler<Env> {
  return async (c, next) => {
    c.set("hasHeaders", true);
    await next();
    setHeaders(c, parts);
  };
}

function isConnecting(c: Context<Env>): boolean {
  return c.req.path === "/sse" || c.req.header("upgrade") !== undefined;
}

/** What answers say to browsers; pages say more by themselves. */
const SECURE_HEADERS = {
  "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY",
  "referrer-policy": "no-referrer",
} as const;

/**
 * Puts on an answer what all have: the request's name, what is left of the
 * caller's budget, and that browsers do nothing with it but read it.
 */
function setHeaders(c: Context<Env>, { session, gate }: AppParts): void {
  const { headers } = c.res;
  headers.set("x-request-id", requestIdOf(c, session));
  for (const [name, value] of Object.entries(SECURE_HEADERS)) {
    if (!headers.has(name)) headers.set(name, value);
  }
  gate.tell(c);
}

/** Pages of allowed origins may use the HTTP API; credentials are tokens. */
function crossOrigin(gate: Gate): MiddlewareHandler<Env> {
  return cors({
    origin: (origin) => gate.allowsOrigin(origin) ? origin : null,
    allowHeaders: ["authorization", "content-type", "last-event-id"],
    exposeHeaders: [
      "x-request-id",
      "retry-after",
      "ratelimit",
      "ratelimit-policy",
    ],
    maxAge: 600,
  });
}

function refused(refusal: Refusal): Response {
  const headers = new Headers({ "content-type": "application/json" });
  const { retryAfterMs, kind } = refusal;
  if (retryAfterMs !== undefined) {
    headers.set("retry-after", String(Math.ceil(retryAfterMs / 1_000)));
  }
  if (kind.http === 401) headers.set("www-authenticate", "Bearer");
  return new Response(JSON.stringify(refusal), { status: kind.http, headers });
}
