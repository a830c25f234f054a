/**
 * Routes as an OpenAPI document: made of their declarations, and of what all of
 * them have in common, such as refusals.
 *
 * @see {@link https://spec.openapis.org/oas/v3.1.1.html}
 * @module
 */
import { z } from "zod";
import type { JsonObject } from "./asyncapi.ts";
import type { Role } from "../protocol/channels.ts";
import { VERSION } from "../protocol/envelope.ts";
import { REPLY_EXAMPLES } from "./examples.ts";
import { REFUSALS } from "../protocol/refusals.ts";
import type { RefusalCode } from "../protocol/refusals.ts";
import { REPLIES } from "../protocol/replies.ts";

/** One answer of a route that lets its caller in. */
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
  /** Whether it looks at no token at all. */
  readonly isOpen: boolean;
  /**
   * Arguments of the query. Each has a description and an example in its
   * metadata, unless it stands for itself.
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
  const schemas: JsonObject = {};
  const paths: Record<string, JsonObject> = {};
  for (const endpoint of endpoints) {
    const operation: JsonObject = {
      operationId: nameOf(endpoint),
      tags: [endpoint.tag],
      summary: endpoint.summary,
      ...(endpoint.description ? { description: endpoint.description } : {}),
      ...rights(endpoint),
      ...parameters(endpoint, schemas),
      ...(endpoint.body
        ? {
          requestBody: {
            required: true,
            content: {
              "application/json": {
                schema: jsonSchema(
                  endpoint.body.schema,
                  nameOf(endpoint),
                  schemas,
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
  schemas["Refusal"] = jsonSchema(REPLIES.error, "Refusal", schemas);
  return {
    openapi: "3.1.0",
    info: {
      title: "KALDRIX Realtime",
      version: VERSION,
      description:
        "The HTTP side of KALDRIX Realtime. The WebSocket itself is described by /asyncapi.json.",
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
      schemas,
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

function rights({ role }: Endpoint): JsonObject {
  if (role === "anonymous") return { security: [{}, { token: [] }] };
  return { security: [{ token: [] }], "x-role": role };
}

function parameters(
  { params, query, headers }: Endpoint,
  schemas: JsonObject,
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
  schemas: JsonObject,
): JsonObject {
  const { description, example, ...json } = jsonSchema(schema, name, schemas);
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

function responses(endpoint: Endpoint, schemas: JsonObject): JsonObject {
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
                schema: jsonSchema(
                  schema,
                  `${nameOf(endpoint)}Answer${status}`,
                  schemas,
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

/** A schema as JSON Schema; its named parts go to `schemas`. */
function jsonSchema(
  schema: z.ZodType,
  key: string,
  schemas: JsonObject,
): JsonObject {
  const { $schema: _, $defs = {}, ...json } = z.toJSONSchema(schema, {
    io: "input",
    unrepresentable: "any",
    override: ({ jsonSchema }) => {
      // The format says the same.
      if (jsonSchema.format === "date-time") delete jsonSchema.pattern;
    },
  }) as JsonObject;
  const named = (name: string) =>
    name.startsWith("__") ? `${key}.${name.slice(2)}` : name;
  const moved = (part: unknown): unknown => {
    if (Array.isArray(part)) return part.map(moved);
    if (typeof part !== "object" || part === null) return part;
    return Object.fromEntries(
      Object.entries(part).filter(([name]) => name !== "id" || part !== json)
        .map(([name, value]) =>
          name === "$ref" && typeof value === "string"
            ? [
              name,
              `#/components/schemas/${named(value.replace("#/$defs/", ""))}`,
            ]
            : [name, moved(value)]
        ),
    );
  };
  for (const [name, part] of Object.entries($defs as JsonObject)) {
    const { id: _id, ...rest } = part as JsonObject;
    schemas[named(name)] = moved(rest);
  }
  return moved(json) as JsonObject;
}
