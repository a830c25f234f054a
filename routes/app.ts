/**
 * All routes of the service, and the one place where HTTP refusals are
 * answered.
 *
 * @module
 */
import { Hono } from "hono";
import type { Context, MiddlewareHandler } from "hono";
import { cors } from "hono/cors";
import type { Endpoint } from "../describe/openapi.ts";
import { Refusal } from "../protocol/refusals.ts";
import type { RightName } from "../security/rights.ts";
import { adminRoutes } from "./admin.ts";
import type { AdminParts } from "./admin.ts";
import { alertRoutes } from "./alerts.ts";
import type { AlertParts } from "./alerts.ts";
import { channelRoutes } from "./channels.ts";
import type { ChannelParts } from "./channels.ts";
import { dictionaryRoutes } from "./dictionary.ts";
import type { DictionaryParts } from "./dictionary.ts";
import { explorerRoutes } from "./explorer.ts";
import type { ExplorerParts } from "./explorer.ts";
import { documentRoutes } from "./documents.ts";
import type { EngineParts } from "./engine_door.ts";
import { Bodies } from "./bodies.ts";
import type { Gate } from "./gate.ts";
import { Gzip } from "./gzip.ts";
import { healthRoutes } from "./health.ts";
import type { HealthParts } from "./health.ts";
import { requireAddress } from "./http.ts";
import type { Env } from "./http.ts";
import { metricsRoutes } from "./metrics.ts";
import type { MetricsParts } from "./metrics.ts";
import { refusedOrders } from "./operator.ts";
import { pageRoutes } from "./pages.ts";
import type { PageParts } from "./pages.ts";
import { presenceRoutes } from "./presence.ts";
import type { PresenceParts } from "./presence.ts";
import { publishRoutes } from "./publish.ts";
import type { PublishParts } from "./publish.ts";
import { requestRoutes } from "./request.ts";
import { notFound, otherMethod, refused } from "./refusals.ts";
import { endpointsOf, mount } from "./route.ts";
import type { Route } from "./route.ts";
import { refusalStream, sseRoutes } from "./sse.ts";
import type { SseParts } from "./sse.ts";
import { mountRootSocket, socketRoutes } from "./socket.ts";
import { mountSocketIo, SOCKET_IO_PATH, socketIoRoutes } from "./socket_io.ts";
import { Unread } from "./unread.ts";

/** Where operators' paths are. */
const OPERATORS = "/api/admin/";

/** Writes a line for operators. */
export type Line = (
  event: string,
  fields: Readonly<Record<string, unknown>>,
) => void;

/** What the routes report to operators. */
export interface AppLogger {
  /** Reports an internal error. */
  readonly warn: Line;
  /** Reports a refusal. */
  readonly debug: Line;
  /** Every request; absent when that level is off. */
  readonly verbose?: Line | undefined;
}

/** What all routes together need. */
export type AppParts =
  & {
    /** Receives requests and refusals. */
    logger: AppLogger;
    /** Receives bugs, and what they were about. */
    report: (error: unknown, about?: Readonly<Record<string, unknown>>) => void;
  }
  & EngineParts
  & SseParts
  & PublishParts
  & ChannelParts
  & ExplorerParts
  & AdminParts
  & PresenceParts
  & MetricsParts
  & AlertParts
  & HealthParts
  & DictionaryParts
  & PageParts;

/** The routes put together. */
export interface App {
  /** Answers requests. */
  readonly app: Hono<Env>;
  /** How documents describe its routes; a new list at each call. */
  readonly endpoints: () => Endpoint[];
}

/**
 * Puts the routes together.
 *
 * @param parts built by the composition root; stay its to dispose.
 */
export function createApp(parts: AppParts): App {
  const { gate } = parts;
  const sockets = socketRoutes(parts);
  const routes: Route[] = [
    ...publishRoutes(parts),
    ...requestRoutes(parts),
    ...channelRoutes(parts),
    ...explorerRoutes(parts),
    ...sseRoutes(parts),
    ...socketIoRoutes(parts),
    ...metricsRoutes(parts),
    ...healthRoutes(parts),
    ...adminRoutes(parts),
    ...presenceRoutes(parts),
    ...alertRoutes(parts),
    ...dictionaryRoutes(parts),
    ...documentRoutes(() => endpoints()),
    ...pageRoutes(parts),
  ];
  const endpoints = (): Endpoint[] => endpointsOf([...sockets, ...routes]);

  const app = new Hono<Env>();
  app.onError((error, c) => answerError(error, c, parts));
  if (parts.logger.verbose) app.use(logged(parts));
  app.use(async (c, next) => {
    requireAddress(c.req.raw);
    await next();
  });
  // The rest concerns answers, and an upgraded socket has no answer of ours.
  const { clock } = parts;
  const guards = {
    gate,
    bodies: new Bodies(),
    unread: new Unread(clock),
    gzip: new Gzip(clock),
  };
  mount(app, sockets, guards);
  mountRootSocket(app, parts);
  mountSocketIo(app, parts);
  app.use(withHeaders(parts));
  app.use(guards.unread.watch());
  app.use(withoutBody);
  app.use("/api/*", crossOrigin(gate));
  app.use("/sse", crossOrigin(gate));
  app.use(SOCKET_IO_PATH, crossOrigin(gate));
  app.use(`${OPERATORS}*`, unkept, refusedOrders(parts.securityLog));
  mount(app, routes, guards);
  mountOthers(app, [...sockets, ...routes], gate);
  return { app, endpoints };
}

/** Answers requests without a route: other methods, other paths. */
function mountOthers(
  app: Hono<Env>,
  routes: readonly Route[],
  gate: Gate,
): void {
  const byPath = Map.groupBy(routes, ({ path }) => path);
  for (const [path, all] of byPath) {
    const allow = [
      ...all.flatMap(({ method }) =>
        method === "get" ? ["GET", "HEAD"] : [method.toUpperCase()]
      ),
      "OPTIONS",
    ];
    app.all(path, async (c) => {
      await gate.request(c, rightAt(path));
      // Engine.IO has one status for everything that it refuses.
      return otherMethod(c, allow, path === SOCKET_IO_PATH ? 400 : 405);
    });
  }
  app.notFound(async (c) => {
    await gate.request(c, rightAt(c.req.path));
    const path = c.req.path.replace(/\/+$/, "");
    // Only to known paths: a path may begin like another host.
    if (path !== c.req.path && byPath.has(path)) return c.redirect(path, 308);
    return notFound(c);
  });
}

/** Only operators may see which operators' paths exist. */
function rightAt(path: string): RightName {
  return path.startsWith(OPERATORS) ? "operate" : "page";
}

function answerError(
  error: unknown,
  c: Context<Env>,
  parts: AppParts,
): Response {
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
  c.res = refusalStream(c, refusal) ?? refused(c, refusal);
  if (!c.get("hasHeaders")) setHeaders(c, parts);
  return c.res;
}

/** Request ids from outside are accepted when they match this. */
const REQUEST_ID = /^[\w.:-]{1,64}$/;

/** The request id that a proxy assigned, or else a new one. */
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
function logged({ session, logger }: AppParts): MiddlewareHandler<Env> {
  return async (c, next) => {
    const began = session.clock.monotonic();
    // An upgraded request cannot be read any more.
    const request = requestIdOf(c, session);
    const { method, path } = c.req;
    await next();
    const { status } = c.res;
    const ms = Math.round(session.clock.monotonic() - began);
    logger.verbose?.("request", { request, method, path, status, ms });
  };
}

/** Sets the headers that all answers have. */
function withHeaders(parts: AppParts): MiddlewareHandler<Env> {
  return async (c, next) => {
    c.set("hasHeaders", true);
    await next();
    setHeaders(c, parts);
  };
}

/**
 * `HEAD` is answered as `GET` is, with the same length but without the body.
 *
 * @see {@link https://www.rfc-editor.org/rfc/rfc9110#section-9.3.2}
 */
const withoutBody: MiddlewareHandler<Env> = async (c, next) => {
  await next();
  if (c.req.raw.method !== "HEAD" || !c.res.body) return;
  const { byteLength } = await c.res.arrayBuffer();
  c.res = new Response(null, c.res);
  c.res.headers.set("content-length", String(byteLength));
};

/** Answers to operators are not cached. */
const unkept: MiddlewareHandler<Env> = async (c, next) => {
  c.header("cache-control", "no-store");
  await next();
};

function isConnecting(c: Context<Env>): boolean {
  const { path } = c.req;
  return path === "/sse" || c.req.header("upgrade") !== undefined ||
    (path === SOCKET_IO_PATH && c.req.query("sid") === undefined);
}

/** Headers of all answers for browsers; pages set more. */
const SECURE_HEADERS = {
  "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY",
  "referrer-policy": "no-referrer",
} as const;

/**
 * Sets the headers that all answers have: the request id, the rest of the
 * caller's budget, and restrictions for browsers.
 */
function setHeaders(c: Context<Env>, { session, gate }: AppParts): void {
  const { headers } = c.res;
  headers.set("x-request-id", requestIdOf(c, session));
  // The platform's own date stops when the wall clock is set back.
  headers.set("date", new Date(session.clock.now()).toUTCString());
  for (const [name, value] of Object.entries(SECURE_HEADERS)) {
    if (!headers.has(name)) headers.set(name, value);
  }
  gate.setHeaders(c);
}

/** Pages of allowed origins may use the HTTP API; credentials are tokens. */
function crossOrigin(gate: Gate): MiddlewareHandler<Env> {
  const answer = cors({
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
  return async (c, next) => {
    // A preflight is charged like any other request.
    if (c.req.raw.method === "OPTIONS") await gate.request(c, "page");
    return await answer(c, next);
  };
}
