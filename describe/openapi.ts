/**
 * Routes as an OpenAPI document: built from their declarations, and from what
 * all of them share, such as refusals.
 *
 * @see {@link https://spec.openapis.org/oas/v3.1.1.html}
 * @module
 */
import type { z } from "zod";
import { pascal, Schemas } from "./json_schema.ts";
import type { JsonObject } from "./json_schema.ts";
import type { Role } from "../protocol/channels.ts";
import { eventFrame, eventModel } from "./frames.ts";
import { MESSAGES } from "../protocol/messages.ts";
import type { MessageType } from "../protocol/messages.ts";
import { VERSION } from "../protocol/envelope.ts";
import { REPLY_EXAMPLES } from "./examples.ts";
import { REFUSALS } from "../protocol/refusals.ts";
import type { RefusalCode } from "../protocol/refusals.ts";
import { REPLIES } from "../protocol/replies.ts";

/** One answer of a route to an admitted caller. */
export interface Answer {
  /** HTTP status. */
  readonly status: number;
  /** What it means. */
  readonly description: string;
  /** Media type; JSON when omitted. */
  readonly type?: string;
  /** What the body looks like; anything when omitted. */
  readonly schema?: z.ZodType;
}

/** The part of a declaration that only documents need. */
export interface Description {
  /** Under which heading. */
  readonly tag: "events" | "operations" | "admin" | "documents";
  /** What it does. */
  readonly summary: string;
  /** More of it. */
  readonly description?: string;
  /** Headers that it reads. */
  readonly headers?: z.ZodObject;
  /** What it answers. */
  readonly answers: readonly Answer[];
  /** Why it may refuse, besides what every route may. */
  readonly refuses?: readonly RefusalCode[];
}

/** One route. */
export interface Endpoint extends Description {
  /** HTTP method. */
  readonly method: "get" | "post" | "delete";
  /** Path, with `{arguments}`. */
  readonly path: string;
  /** The least role it needs; with `anonymous` no token. */
  readonly role: Role;
  /** Whether it ignores tokens. */
  readonly isOpen: boolean;
  /**
   * Arguments of the query. Each has a description and an example in its
   * metadata, unless its name explains it.
   */
  readonly query?: z.ZodObject;
  /** Arguments of the path. */
  readonly params?: z.ZodObject;
  /** What must be sent. */
  readonly body?: {
    readonly schema: z.ZodType;
    /** Bodies that are accepted, by name. */
    readonly examples: Readonly<Record<string, unknown>>;
  };
}

/** What every route but the open ones may refuse. */
const ANYWHERE: readonly RefusalCode[] = [
  "INVALID_PAYLOAD",
  "INVALID_MESSAGE",
  "IP_BLOCKED",
  "RATE_LIMITED",
  "DRAINING",
  "UNAUTHENTICATED",
  "TOKEN_EXPIRED",
];

/**
 * The routes as OpenAPI 3.1.
 *
 * @param endpoints what to describe.
 * @returns a new document, made of JSON alone.
 */
export function openApi(endpoints: readonly Endpoint[]): JsonObject {
  const schemas = new Schemas("draft-2020-12");
  const paths: Record<string, JsonObject> = {};
  for (const endpoint of endpoints) {
    const operation: JsonObject = {
      operationId: nameOf(endpoint),
      tags: [endpoint.tag],
      summary: endpoint.summary,
      description: [endpoint.description, callersOf(endpoint)]
        .filter(Boolean).join(" "),
      ...rights(endpoint),
      ...parameters(endpoint, schemas),
      ...(endpoint.body
        ? {
          requestBody: {
            required: true,
            content: {
              "application/json": {
                schema: schemas.of(
                  endpoint.body.schema,
                  `${modelOf(endpoint)}Body`,
                ),
                examples: Object.fromEntries(
                  Object.entries(endpoint.body.examples)
                    .map(([name, value]) => [name, { value }]),
                ),
              },
            },
          },
        }
        : {}),
      responses: responses(endpoint, schemas),
    };
    (paths[endpoint.path] ??= {})[endpoint.method] = operation;
  }
  schemas.of(REPLIES.error, "Refusal");
  for (const type of Object.keys(MESSAGES) as MessageType[]) {
    schemas.of(eventFrame(type), eventModel(type));
  }
  schemas.nameEvent((Object.keys(MESSAGES) as MessageType[]).map(eventModel));
  return {
    openapi: "3.1.0",
    info: {
      title: "KALDRIX Realtime",
      version: VERSION,
      description:
        "The HTTP side of KALDRIX Realtime. The WebSocket itself is described by /asyncapi.json. Clients of Socket.IO connect at /socket.io/.",
      license: { name: "MIT", identifier: "MIT" },
    },
    servers: [{ url: "/" }],
    tags: [
      { name: "events", description: "Publish, follow and look back" },
      { name: "operations", description: "How the service is" },
      { name: "admin", description: "For operators: a token of role admin" },
      { name: "documents", description: "What you are reading" },
    ],
    paths,
    components: {
      schemas: schemas.named,
      securitySchemes: {
        token: { type: "http", scheme: "bearer", bearerFormat: "JWT" },
      },
    },
  };
}

function nameOf({ method, path }: Endpoint): string {
  const words = path.split(/[^A-Za-z]+/).filter(Boolean);
  return [method, ...words.map((it) => it[0]!.toUpperCase() + it.slice(1))]
    .join("");
}

/** How the schemas of an endpoint are named. */
function modelOf(endpoint: Endpoint): string {
  return pascal(nameOf(endpoint).replace("Api", ""));
}

/** Who may call it, in a sentence. */
function callersOf({ role, isOpen }: Endpoint): string {
  if (role !== "anonymous") return `Needs a token of role ${role} or above.`;
  return isOpen
    ? "Needs no token."
    : "Needs a token only where the service requires one of every client.";
}

function rights({ role }: Endpoint): JsonObject {
  if (role === "anonymous") return { security: [{}, { token: [] }] };
  return { security: [{ token: [] }], "x-role": role };
}

function parameters(
  { params, query, headers }: Endpoint,
  schemas: Schemas,
): JsonObject {
  const all = Object.entries({ path: params, query, header: headers })
    .flatMap(([place, object]) =>
      Object.entries(object?.shape ?? {}).map(([name, schema]) =>
        parameter(name, place, schema as z.ZodType, schemas)
      )
    );
  return all.length > 0 ? { parameters: all } : {};
}

function parameter(
  name: string,
  place: string,
  schema: z.ZodType,
  schemas: Schemas,
): JsonObject {
  const { description, example, ...json } = schemas.bare(schema, pascal(name));
  // Parsing nothing shows whether it is optional, and its default.
  const omitted = schema.safeParse(undefined);
  const byDefault = omitted.data === undefined ? {} : { default: omitted.data };
  return {
    name,
    in: place,
    description,
    required: !omitted.success,
    schema: { ...json, ...byDefault },
    ...(example === undefined ? {} : { example }),
  };
}

function responses(endpoint: Endpoint, schemas: Schemas): JsonObject {
  const answers: JsonObject = {};
  for (const { status, description, type, schema } of endpoint.answers) {
    const media = type ?? (schema ? "application/json" : undefined);
    answers[status] = {
      description,
      ...(media
        ? {
          content: {
            [media]: schema
              ? {
                schema: schemas.of(
                  schema,
                  `${modelOf(endpoint)}${status < 300 ? "" : status}`,
                ),
              }
              : {},
          },
        }
        : {}),
    };
  }
  const codes = endpoint.isOpen && endpoint.tag === "operations" ? [] : [
    ...(endpoint.refuses ?? []),
    ...(endpoint.role === "anonymous" ? [] : ["FORBIDDEN"] as const),
    ...ANYWHERE,
  ];
  const byStatus = Map.groupBy(new Set(codes), (code) => REFUSALS[code].http);
  for (const [status, refused] of byStatus) {
    if (answers[status]) continue;
    answers[status] = {
      description: refused.join(", "),
      content: {
        "application/json": {
          schema: { $ref: "#/components/schemas/Refusal" },
          example: {
            ...REPLY_EXAMPLES.error,
            code: refused[0],
            message: REFUSALS[refused[0]!].text,
          },
        },
      },
    };
  }
  return answers;
}
