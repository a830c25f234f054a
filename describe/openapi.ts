/**
 * Doors as an OpenAPI document: which they are is in the catalogue, what all
 * of them have in common, such as refusals, is added here.
 *
 * @see {@link https://spec.openapis.org/oas/v3.1.1.html}
 * @module
 */
import { z } from "zod";
import type { JsonObject } from "./asyncapi.ts";
import { VERSION } from "../protocol/envelope.ts";
import { REPLY_EXAMPLES } from "./examples.ts";
import { REFUSALS } from "../protocol/refusals.ts";
import type { RefusalCode } from "../protocol/refusals.ts";
import { REPLIES } from "../protocol/replies.ts";

/** A query or path argument. */
export interface Argument {
  /** Its name. */
  readonly name: string;
  /** Where it stands. */
  readonly in: "query" | "path" | "header";
  /** What it means. */
  readonly description: string;
  /** What it may be. */
  readonly schema: z.ZodType;
  /** Whether it cannot be left out; those in the path never can. */
  readonly required?: boolean;
  /** One that is accepted. */
  readonly example: string | number;
}

/** What a door answers when it lets in. */
export interface Answer {
  /** HTTP status. */
  readonly status: number;
  /** What it means. */
  readonly description: string;
  /** Media type; JSON when omitted. */
  readonly type?: string;
  /** What the body must look like; anything when omitted. */
  readonly schema?: z.ZodType;
}

/** One door. */
export interface Endpoint {
  /** HTTP method. */
  readonly method: "get" | "post" | "delete";
  /** Path, with `{arguments}`. */
  readonly path: string;
  /** Under which heading. */
  readonly tag: "events" | "operations" | "admin" | "documents";
  /** What it does. */
  readonly summary: string;
  /** More of it. */
  readonly description?: string;
  /** The least role it takes a token of; everyone when omitted. */
  readonly role?: "user" | "publisher" | "admin";
  /** Query and path. */
  readonly arguments?: readonly Argument[];
  /** What must be sent. */
  readonly body?: {
    readonly schema: z.ZodType;
    /** Bodies that are accepted, by name. */
    readonly examples: Readonly<Record<string, unknown>>;
  };
  /** What it answers. */
  readonly answers: readonly Answer[];
  /** Why it may refuse, besides what every door may. */
  readonly refuses?: readonly RefusalCode[];
}

/** What every door but the open ones may refuse. */
const ANYWHERE: readonly RefusalCode[] = [
  "IP_BLOCKED",
  "RATE_LIMITED",
  "DRAINING",
];
/** What doors that look at tokens may refuse. */
const WITH_TOKEN: readonly RefusalCode[] = ["UNAUTHENTICATED", "TOKEN_EXPIRED"];
/** Doors that refuse nobody. */
const OPEN: ReadonlySet<string> = new Set(["/health", "/ready"]);

/**
 * The doors as OpenAPI 3.1.
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
      security: endpoint.role ? [{ token: [] }] : [{}, { token: [] }],
      ...(endpoint.role ? { "x-role": endpoint.role } : {}),
      ...(endpoint.arguments
        ? { parameters: endpoint.arguments.map((it) => parameter(it, schemas)) }
        : {}),
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

function parameter(
  { name, in: place, description, schema, required, example }: Argument,
  schemas: JsonObject,
): JsonObject {
  return {
    name,
    in: place,
    description,
    required: place === "path" || required === true,
    schema: jsonSchema(schema, name, schemas),
    ...(example === "" ? {} : { example }),
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
  const codes = OPEN.has(endpoint.path) ? [] : [
    ...ANYWHERE,
    ...(endpoint.tag === "documents" ? [] : WITH_TOKEN),
    ...(endpoint.role === "admin" ? ["FORBIDDEN"] as const : []),
    ...(endpoint.refuses ?? []),
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
      // The format says it, and shorter.
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
