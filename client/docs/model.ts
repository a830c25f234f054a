/**
 * The two documents as one list of things to read about.
 *
 * @module
 */
import type {
  AsyncDocument,
  ChannelRow,
  HttpOperation,
  OpenDocument,
  Operation,
  Ref,
  RefusalRow,
} from "./documents.ts";
import type { Schema } from "./schema.ts";

/** Something sent or received, with its shape. */
export interface Part {
  /** What it is, such as `Send` or `200`. */
  readonly title: string;
  /** What it means. */
  readonly note?: string | undefined;
  /** Its shape; none when there is none to show. */
  readonly schema?: Schema | undefined;
  /** Texts to copy, by name. */
  readonly examples: readonly {
    readonly name: string;
    readonly text: string;
  }[];
}

/** One thing to read about. */
export interface Entry {
  /** Its anchor. */
  readonly id: string;
  /** Short word in front, such as `GET` or `send`. */
  readonly badge: string;
  /** Its name, in code. */
  readonly name: string;
  /** What it does. */
  readonly summary: string;
  /** More of it. */
  readonly description?: string | undefined;
  /** What it consists of. */
  readonly parts: readonly Part[];
}

/** Things of a kind. */
export interface Section {
  /** Its anchor. */
  readonly id: string;
  /** Its heading. */
  readonly title: string;
  /** What they have in common. */
  readonly note: string;
  /** In the order of the document. */
  readonly entries: readonly Entry[];
}

/** Everything the page shows. */
export interface Reference {
  /** Version of the protocol. */
  readonly version: string;
  /** What the service is. */
  readonly description: string;
  /** Where the WebSocket is. */
  readonly socket: string;
  readonly sections: readonly Section[];
  readonly channels: Readonly<Record<string, ChannelRow>>;
  readonly refusals: Readonly<Record<string, RefusalRow>>;
  /** Follows a reference into either document. */
  readonly resolve: (schema: Schema) => Schema;
}

/** Messages that every operation may mean; shown once, not everywhere. */
const EVERYWHERE: ReadonlySet<string> = new Set([
  "error",
  "BATCH_UPDATE",
  "publish.BATCH_UPDATE",
]);

/**
 * Reads both documents.
 *
 * @param asyncapi the AsyncAPI document.
 * @param openapi the OpenAPI document.
 * @param origin of their server, such as `https://api.example.com`.
 */
export function referenceOf(
  asyncapi: AsyncDocument,
  openapi: OpenDocument,
  origin: string,
): Reference {
  const socket = `${origin.replace(/^http/, "ws")}/ws`;
  const schemas = {
    ...asyncapi.components.schemas,
    ...openapi.components.schemas,
  };
  const operations = Object.entries(asyncapi.operations);
  const tagged = (tag: string) =>
    operations.filter(([, { tags }]) => tags[0]?.name === tag)
      .map(([id, operation]) => frameEntry(id, operation, asyncapi));
  const channels = operations.filter(([id]) => /^(follow|publish)\./.test(id))
    .map(([id, operation]) => frameEntry(id, operation, asyncapi));
  const http = Object.entries(openapi.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({
      tag: operation.tags[0]!,
      entry: endpointEntry(method, path, operation, origin),
    }))
  );
  return {
    version: asyncapi.info.version,
    description: asyncapi.info.description,
    socket,
    channels: asyncapi["x-channels"],
    refusals: asyncapi["x-refusals"],
    resolve: (schema) =>
      schema.$ref === undefined
        ? schema
        : schemas[schema.$ref.replace("#/components/schemas/", "")] ?? {},
    sections: [
      {
        id: "verbs",
        title: "Verbs",
        note: "What a client asks over the WebSocket, and what answers it.",
        entries: [...tagged("verbs"), ...tagged("test")],
      },
      {
        id: "events",
        title: "Channels and events",
        note:
          "What each channel carries, as subscribers receive it and as publishers send it. Clients that connect with batch: true receive events that are due together as one BATCH_UPDATE.",
        entries: channels,
      },
      {
        id: "answers",
        title: "Notices of the server",
        note: "Unasked, or when something went wrong.",
        entries: tagged("answers"),
      },
      ...openapi.tags.map(({ name, description }) => ({
        id: `http-${name}`,
        title: `HTTP: ${name}`,
        note: `${description}.`,
        entries: http.filter(({ tag }) => tag === name)
          .map(({ entry }) => entry),
      })),
    ].filter(({ entries }) => entries.length > 0),
  };
}

function frameEntry(
  id: string,
  operation: Operation,
  asyncapi: AsyncDocument,
): Entry {
  const { action, title, summary, description, messages, reply } = operation;
  const part = (word: string) => ({ $ref }: Ref): Part[] => {
    const key = $ref.slice($ref.lastIndexOf("/") + 1);
    const message = asyncapi.components.messages[key];
    if (!message || EVERYWHERE.has(key) && messages.length > 1) return [];
    if (word === "Receive" && key === "error" && reply) return [];
    return [{
      title: `${word} ${message.name}`,
      note: message.summary === summary ? undefined : message.summary,
      schema: message.payload,
      examples: message.examples.map(({ payload }) => ({
        name: message.name,
        text: pretty(payload),
      })),
    }];
  };
  const isSent = action === "receive";
  return {
    id,
    badge: isSent ? "send" : "receive",
    name: title,
    summary,
    description,
    parts: [
      ...messages.flatMap(part(isSent ? "Send" : "Receive")),
      ...(reply?.messages ?? []).flatMap(part("Receive")),
    ],
  };
}

function endpointEntry(
  method: string,
  path: string,
  operation: HttpOperation,
  origin: string,
): Entry {
  const { parameters = [], requestBody, responses } = operation;
  const body = requestBody?.content["application/json"];
  const examples = Object.entries(body?.examples ?? {})
    .map(([name, { value }]) => ({ name, value }));
  const calls = examples.length > 0
    ? examples.map(({ name, value }) => ({
      name,
      text: curl(method, path, operation, origin, value),
    }))
    : [{ name: "curl", text: curl(method, path, operation, origin) }];
  return {
    id: operation.operationId,
    badge: method.toUpperCase(),
    name: path,
    summary: operation.summary,
    description: operation.description,
    parts: [
      ...(parameters.length > 0
        ? [{
          title: "Arguments",
          schema: {
            type: "object",
            properties: Object.fromEntries(
              parameters.map(({ name, schema, description }) => [
                name,
                { ...schema, description: `${description}.` },
              ]),
            ),
            required: parameters.filter(({ required }) => required)
              .map(({ name }) => name),
          },
          examples: [],
        }]
        : []),
      {
        title: body ? "Send" : "Call",
        schema: body?.schema,
        examples: calls,
      },
      ...Object.entries(responses).map(([status, { description, content }]) => {
        const [type, media] = Object.entries(content ?? {})[0] ?? [];
        return {
          title: type && type !== "application/json"
            ? `${status} ${type}`
            : status,
          note: description,
          schema: Number(status) < 400 ? media?.schema : undefined,
          examples: [],
        };
      }),
    ],
  };
}

function curl(
  method: string,
  path: string,
  { parameters = [], "x-role": role }: HttpOperation,
  origin: string,
  body?: unknown,
): string {
  const filled = parameters.filter((it) => it.in === "path").reduce(
    (text, { name, example }) => text.replace(`{${name}}`, String(example)),
    path,
  );
  const query = parameters.filter(({ required, in: place }) =>
    required && place === "query"
  ).map(({ name, example }) => `${name}=${example}`).join("&");
  const lines = [
    `curl ${
      method === "get" ? "" : `-X ${method.toUpperCase()} `
    }'${origin}${filled}${query && `?${query}`}'`,
    ...(role ? [`-H "authorization: Bearer $TOKEN"`] : []),
    ...(body === undefined ? [] : [
      `-H 'content-type: application/json'`,
      `-d '${JSON.stringify(body)}'`,
    ]),
  ];
  return lines.join(" \\\n  ");
}

function pretty(value: unknown): string {
  return JSON.stringify(value, null, 2);
}

/** Deepest nesting of a shape that is searched. */
const MAX_DEPTH = 6;

/**
 * All words by which an entry can be found, in lower case.
 *
 * @param resolve follows a reference into either document.
 */
export function wordsOf(
  entry: Entry,
  resolve: Reference["resolve"],
): string {
  const fields = (schema: Schema | undefined, depth = 0): string[] => {
    if (!schema || depth > MAX_DEPTH) return [];
    const { properties = {}, items } = resolve(schema);
    return [
      ...Object.entries(properties).flatMap(([name, inner]) => [
        name,
        ...fields(inner, depth + 1),
      ]),
      ...fields(items, depth + 1),
    ];
  };
  return [
    entry.badge,
    entry.name,
    entry.id,
    entry.summary,
    entry.description ?? "",
    ...entry.parts.flatMap(({ title, note, schema }) => [
      title,
      note ?? "",
      ...fields(schema),
    ]),
  ].join(" ").toLowerCase();
}
