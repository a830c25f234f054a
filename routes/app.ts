/**
 * All doors of the service, and the one place where HTTP refusals are
 * answered.
 *
 * @module
 */
import { Hono } from "hono";
import type { MiddlewareHandler } from "hono";
import { cors } from "hono/cors";
import { Refusal } from "../protocol/refusals.ts";
import { adminRoutes } from "./admin.ts";
import type { AdminParts } from "./admin.ts";
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
import { sseRoutes } from "./sse.ts";
import type { SseParts } from "./sse.ts";
import { socketRoutes } from "./socket.ts";
import type { SocketParts } from "./socket.ts";

/** What all routes together need. */
export type AppParts =
  & SocketParts
  & SseParts
  & PublishParts
  & ChannelParts
  & AdminParts
  & MetricsParts
  & HealthParts
  & PageParts;

/**
 * Puts the routes together.
 *
 * @param parts built by the composition root; stay its to dispose.
 */
export function createApp(parts: AppParts): Hono<Env> {
  const app = new Hono<Env>();
  app.onError((error) => {
    const refusal = Refusal.of(error);
    if (refusal.code === "INTERNAL") parts.report(refusal.cause);
    parts.session.refused?.(refusal.code);
    return refused(refusal);
  });
  app.use(secured);
  app.use("/api/*", crossOrigin(parts.gate));
  app.use("/sse", crossOrigin(parts.gate));
  app.use(parts.gate.watch());
  app.notFound((c) =>
    c.json({ code: "NOT_FOUND", message: `No such path: ${c.req.path}` }, 404)
  );
  app.route("/", socketRoutes(parts));
  app.route("/", sseRoutes(parts));
  app.route("/", publishRoutes(parts));
  app.route("/", channelRoutes(parts));
  app.route("/", adminRoutes(parts) as unknown as Hono<Env>);
  app.route("/", metricsRoutes(parts));
  app.route("/", healthRoutes(parts));
  app.route("/", documentRoutes(parts));
  app.route("/", pageRoutes(parts));
  return app;
}

/** What answers say to browsers; pages say more by themselves. */
const SECURE_HEADERS = {
  "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY",
  "referrer-policy": "no-referrer",
} as const;

/** Makes browsers do nothing with an answer but read it. */
const secured: MiddlewareHandler<Env> = async (c, next) => {
  await next();
  // The answer to an upgrade is not ours to change.
  if (c.res.status === 101) return;
  for (const [name, value] of Object.entries(SECURE_HEADERS)) {
    if (!c.res.headers.has(name)) c.res.headers.set(name, value);
  }
};

/** Pages of allowed origins may use the HTTP API; credentials are tokens. */
function crossOrigin(gate: Gate): MiddlewareHandler<Env> {
  return cors({
    origin: (origin) => gate.allowsOrigin(origin) ? origin : null,
    allowHeaders: ["authorization", "content-type", "last-event-id"],
    exposeHeaders: ["retry-after", "ratelimit", "ratelimit-policy"],
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
