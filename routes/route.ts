/**
 * A route, declared once: its path, rights, input and answer. Its handler
 * receives only checked input, and the OpenAPI document is generated from the
 * same declaration.
 *
 * @module
 */
import type { Context, Hono } from "hono";
import type { z } from "zod";
import type { Description, Endpoint } from "../describe/openapi.ts";
import type { Principal } from "../security/principal.ts";
import { RIGHTS } from "../security/rights.ts";
import type { Right, RightName } from "../security/rights.ts";
import type { Bodies } from "./bodies.ts";
import type { Gate } from "./gate.ts";
import type { Gzip } from "./gzip.ts";
import type { Env } from "./http.ts";
import { textOf } from "./http.ts";
import type { Unread } from "./unread.ts";
import { argumentsOf, queryOf } from "./input.ts";
import type { BodyReader } from "./input.ts";

/** What a handler gets: all of it checked. */
export interface Call<Query, Params, Body> {
  /** Who calls; a caller without a token where the route is open. */
  readonly principal: Principal;
  /** Arguments of the query. */
  readonly query: Query;
  /** Arguments of the path. */
  readonly params: Params;
  /** The body, as its reader made it. */
  readonly body: Body;
}

type Handled = Response | Promise<Response>;

/** A route as it is written down. */
export interface Declaration<
  Query extends z.ZodObject,
  Params extends z.ZodObject,
  Body,
> {
  /** HTTP method; `get` answers `HEAD` too. */
  readonly method: "get" | "post" | "delete";
  /** Hono's pattern. */
  readonly path: string;
  /** Its row in the table of rights. */
  readonly right: RightName;
  /** Arguments of the query; none when omitted, and all others are refused. */
  readonly query?: Query;
  /** Code with which a bad query is refused; `INVALID_PAYLOAD` when omitted. */
  readonly queryCode?: "INVALID_PAYLOAD" | "INVALID_SUBSCRIPTION";
  /** Arguments of the path. */
  readonly params?: Params;
  /** The body; not read when omitted. */
  readonly body?: BodyReader<Body>;
  /**
   * Longest answer in bytes, for routes with large ones: this amount is
   * reserved while the answer is built.
   */
  readonly maxAnswerBytes?: number;
  /** Whether its answers are compressed for callers who accept that. */
  readonly compresses?: true;
  /** How documents describe it; pages and their files are in none. */
  readonly describe?: () => Description;
  /** Does the work. */
  readonly handle: (
    c: Context<Env>,
    call: Call<z.output<Query>, z.output<Params>, Body>,
  ) => Handled;
}

/** A route, whatever it takes. */
export interface Route {
  /** HTTP method. */
  readonly method: "get" | "post" | "delete";
  /** Hono's pattern. */
  readonly path: string;
  /** Its row in the table of rights. */
  readonly right: RightName;
  /** How documents describe it. */
  readonly endpoint: (() => Endpoint) | undefined;
  /** Admits the caller, checks the input, and does the work. */
  readonly answer: (c: Context<Env>, guards: Guards) => Promise<Response>;
}

/** What all routes are guarded by. */
export interface Guards {
  /** Admits callers. */
  readonly gate: Gate;
  /** Bounds what their requests hold. */
  readonly bodies: Bodies;
  /** Bounds what is answered to one of them. */
  readonly unread: Unread;
  /** Compresses what they are answered. */
  readonly gzip: Gzip;
}

type None = z.ZodObject<Record<never, never>>;

/**
 * A route whose callers get one answer.
 *
 * @param declared what it is.
 */
export function route<
  Query extends z.ZodObject = None,
  Params extends z.ZodObject = None,
  Body = undefined,
>(declared: Declaration<Query, Params, Body>): Route {
  return {
    ...named(declared),
    async answer(c, { gate, bodies, unread, gzip }) {
      // The right is asked before everything that costs something.
      const principal = await gate.request(c, declared.right);
      const { handle, body: reader, maxAnswerBytes = 0 } = declared;
      const input = inputOf(c, declared);
      using held = reader?.waits && bodies.open(c.get("visitor")!);
      const body = reader === undefined ? undefined as Body : reader.read(
        await textOf(c.req.raw, reader.maxBytes, held?.take),
        principal,
      );
      c.set("isHandled", true);
      const reserve = (bytes: number) =>
        bytes > 0 ? unread.reserve(c.get("visitor")!, bytes) : undefined;
      using _room = reserve(maxAnswerBytes);
      const answer = await handle(c, { principal, ...input, body });
      if (!declared.compresses) return answer;
      return await gzip.answer(
        c,
        answer,
        // Room for the longest answer holds this one, too.
        (bytes) => reserve(maxAnswerBytes === 0 ? bytes : 0),
      );
    },
  };
}

/** A route that admits its callers by itself, since they stay connected. */
export interface ConnectionDeclaration<Query extends z.ZodObject> extends
  Pick<
    Declaration<Query, None, undefined>,
    "path" | "right" | "query" | "queryCode" | "describe"
  > {
  /** HTTP method; `get` when omitted. */
  readonly method?: "post";
  /** Media type of the stream that stays open; a socket has none. */
  readonly streams?: string;
  /**
   * Opens it; calls `gate.connection`, and `query` once it may refuse: it
   * throws when an argument is wrong.
   */
  readonly open: (c: Context<Env>, query: () => z.output<Query>) => Handled;
}

/**
 * A route whose answer stays open. `HEAD` gets its headers and opens nothing,
 * since the stream would have no reader.
 *
 * @param declared what it is.
 */
export function connection<Query extends z.ZodObject = None>(
  declared: ConnectionDeclaration<Query>,
): Route {
  const { method = "get" } = declared;
  return {
    ...named({ ...declared, method }),
    async answer(c, { gate }) {
      const { streams } = declared;
      if (streams !== undefined && c.req.raw.method === "HEAD") {
        await gate.request(c, declared.right);
        inputOf(c, declared);
        return c.body(null, 200, { "content-type": streams });
      }
      return await declared.open(c, () => inputOf(c, declared).query);
    },
  };
}

/** Mounts routes; the right is asked before anything else. */
export function mount(
  app: Hono<Env>,
  routes: readonly Route[],
  guards: Guards,
): void {
  for (const { method, path, answer } of routes) {
    app.on(method, path, (c) => answer(c, guards));
  }
}

/** The described ones of some routes. */
export function endpointsOf(routes: readonly Route[]): Endpoint[] {
  return routes.flatMap(({ endpoint }) => endpoint ? [endpoint()] : []);
}

type Named = Pick<
  Declaration<z.ZodObject, z.ZodObject, unknown>,
  "method" | "path" | "right" | "query" | "params" | "describe"
>;

function named(
  declared: Named & { readonly body?: BodyReader<unknown> | undefined },
): Omit<Route, "answer"> {
  const { method, path, right, query, params, body, describe } = declared;
  const { role, isOpen }: Right = RIGHTS[right];
  return {
    method,
    path,
    right,
    endpoint: describe && (() => ({
      ...describe(),
      method,
      path: path.replace(/:(\w+)(\{[^}]*\})?/g, (_, name) => `{${name}}`),
      role,
      isOpen: isOpen === true,
      ...(query ? { query } : {}),
      ...(params ? { params } : {}),
      ...(body
        ? { body: { schema: body.schema(), examples: body.examples() } }
        : {}),
    })),
  };
}

function inputOf<Query extends z.ZodObject, Params extends z.ZodObject>(
  c: Context<Env>,
  { query, queryCode = "INVALID_PAYLOAD", params, right }:
    & Pick<
      Declaration<Query, Params, unknown>,
      "query" | "queryCode" | "params"
    >
    & { readonly right: RightName },
): { query: z.output<Query>; params: z.output<Params> } {
  // The query of a page is read by the page's own script.
  const checked = right === "page" ? {} : queryOf(c.req.url, query, queryCode);
  return {
    query: checked as z.output<Query>,
    params: argumentsOf(c.req.param(), params) as z.output<Params>,
  };
}
