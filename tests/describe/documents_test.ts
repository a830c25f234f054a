/**
 * The documents: valid, complete, and true of the service that serves them.
 */
import { Parser } from "@asyncapi/parser";
import { Validator } from "@seriousme/openapi-schema-validator";
import { Ajv } from "ajv";
import assert from "node:assert/strict";
import { z } from "zod";
import { asyncApi } from "../../describe/asyncapi.ts";
import { Schemas } from "../../describe/json_schema.ts";
import type { JsonObject } from "../../describe/json_schema.ts";
import { CHANNELS } from "../../protocol/channels.ts";
import { COMMANDS } from "../../protocol/commands.ts";
import { decode, decodePublications } from "../../protocol/decode.ts";
import { publishExample, replyExample } from "../../describe/examples.ts";
import { MESSAGES } from "../../protocol/messages.ts";
import type { MessageKind, MessageType } from "../../protocol/messages.ts";
import { REFUSALS } from "../../protocol/refusals.ts";
import { REPLIES } from "../../protocol/replies.ts";
import type { ReplyType } from "../../protocol/replies.ts";
import { openApi } from "../../describe/openapi.ts";
import type { Endpoint } from "../../describe/openapi.ts";
import { openTestService, tokenOf } from "../test_service.ts";
import type { TestService } from "../test_service.ts";

const MAX_BYTES = 65_536;
const TYPES = Object.keys(MESSAGES) as MessageType[];

interface Described {
  readonly name: string;
  readonly examples: readonly { readonly payload: { type: string } }[];
}

function messagesOf(document: JsonObject): Map<string, Described> {
  const { messages } = document["components"] as {
    messages: Record<string, Described>;
  };
  return new Map(Object.entries(messages));
}

Deno.test("the AsyncAPI document passes the parser without a word", async () => {
  const { document, diagnostics } = await new Parser().parse(
    JSON.stringify(asyncApi("api.example.com")),
  );
  // Generators do not know the latest version yet.
  const faults = diagnostics.filter(({ code }) =>
    code !== "asyncapi-latest-version"
  );
  assert.deepEqual(faults, []);
  assert.equal(document?.version(), "3.0.0");
});

Deno.test("the AsyncAPI parser would have reported a fault", async () => {
  const broken = asyncApi("api.example.com");
  const { subscribe } = broken["operations"] as Record<string, JsonObject>;
  subscribe!["messages"] = [{ $ref: "#/channels/socket/messages/nothing" }];
  const { diagnostics } = await new Parser().parse(JSON.stringify(broken));
  assert(diagnostics.length > 0, "a message that is not there went unseen");
});

Deno.test("every example of a frame fits the JSON Schema beside it", () => {
  const document = asyncApi("api.example.com");
  const ajv = new Ajv({ strict: false, validateFormats: false });
  ajv.addSchema(document, "wire");
  for (const [key, { examples }] of messagesOf(document)) {
    const fits = ajv.compile({
      $ref: `wire#/components/messages/${key}/payload`,
    });
    assert(examples.length > 0, key);
    for (const { payload } of examples) {
      assert(fits(payload), `${key}: ${ajv.errorsText(fits.errors)}`);
      assert(!fits({ ...payload, more: 1 }), `${key} takes unknown fields`);
    }
  }
});

Deno.test("the AsyncAPI document describes everything in the registries", () => {
  const document = asyncApi("api.example.com");
  const messages = messagesOf(document);
  const operations = Object.keys(document["operations"] as JsonObject);
  for (const type of [...Object.keys(COMMANDS), ...Object.keys(REPLIES)]) {
    assert(messages.has(type), type);
    assert(
      operations.includes(type) ||
        operations.some((it) => it === `tell.${type}` || type in REPLIES),
    );
  }
  for (const type of TYPES) {
    assert(messages.has(type), type);
    assert(messages.has(`publish.${type}`), type);
  }
  for (const kind of Object.keys(CHANNELS)) {
    assert(operations.includes(`follow.${kind}`), kind);
    assert(operations.includes(`publish.${kind}`), kind);
  }
  assert.deepEqual(document["x-refusals"], REFUSALS);
});

/** Everything in a document that has fields or names its values. */
function* shapesIn(
  part: unknown,
  path: string,
): Generator<{ path: string; shape: JsonObject }> {
  if (typeof part !== "object" || part === null) return;
  const shape = part as JsonObject;
  if (typeof shape["properties"] === "object" || Array.isArray(shape["enum"])) {
    yield { path, shape };
  }
  for (const [name, inner] of Object.entries(shape)) {
    if (name === "example" || name === "examples") continue;
    yield* shapesIn(inner, `${path}/${name}`);
  }
}

Deno.test("both documents name every shape and describe every field", async () => {
  await using service = await openTestService();
  const documents = {
    asyncapi: asyncApi("h"),
    openapi: openApi(service.endpoints()),
  };
  for (const [name, document] of Object.entries(documents)) {
    let fields = 0;
    for (const { path, shape } of shapesIn(document, "")) {
      const { properties = {}, enum: values = [] } = shape as {
        properties?: Record<string, JsonObject>;
        enum?: unknown[];
      };
      for (const [field, { description }] of Object.entries(properties)) {
        assert(description, `${name}${path}.${field} is not described`);
        fields++;
      }
      const isShape = Object.keys(properties).length > 0 || values.length > 1;
      // An argument of a request has the name of the argument.
      if (!isShape || /\/parameters\/\d+\/schema$/.test(path)) continue;
      assert.match(
        path,
        /^\/components\/schemas\/[A-Z][A-Za-z0-9]*$/,
        `${name}: a shape without a name`,
      );
    }
    assert(fields > 300, `${fields} fields`);
  }
});

Deno.test("both documents describe every operation: who may call it, what answers it", async () => {
  await using service = await openTestService();
  const paths = openApi(service.endpoints())["paths"] as Record<
    string,
    Record<string, { description: string; "x-role"?: string }>
  >;
  for (const [path, methods] of Object.entries(paths)) {
    for (const [method, operation] of Object.entries(methods)) {
      const role = operation["x-role"];
      const who = role ? `Needs a token of role ${role} or above.` : "Needs ";
      assert(operation.description.includes(who), `${method} ${path}`);
    }
  }
  const operations = asyncApi("h")["operations"] as Record<
    string,
    { description?: string; reply?: unknown }
  >;
  for (const [name, { description, reply }] of Object.entries(operations)) {
    assert(description, name);
    if (reply && !name.startsWith("echo.")) {
      assert.match(description, /^Answered by \w+, or by error/, name);
    }
  }
});

Deno.test("two schemas never share a name", () => {
  const schemas = new Schemas("draft-7");
  schemas.of(z.object({ a: z.string() }), "Thing");
  schemas.of(z.object({ a: z.string() }), "Thing");
  assert.throws(
    () => schemas.of(z.object({ b: z.string() }), "Thing"),
    /named Thing/,
  );
});

Deno.test("every example of a client's frame is understood", () => {
  for (const [key, { examples }] of messagesOf(asyncApi("h"))) {
    if (!key.startsWith("publish.") && !(key in COMMANDS)) continue;
    for (const { payload } of examples) {
      const frame = decode(JSON.stringify(payload), MAX_BYTES);
      assert.equal(frame.id, payload.type === "BATCH_UPDATE" ? undefined : "1");
    }
  }
});

Deno.test("every example of a reply is one", () => {
  for (const type of Object.keys(REPLIES) as ReplyType[]) {
    const { payload } = replyExample(type);
    assert.deepEqual(REPLIES[type].parse(payload), payload);
  }
});

Deno.test("a message type without an example of its own gets one that is accepted", () => {
  const registry = MESSAGES as unknown as Record<string, MessageKind>;
  registry["BRIDGE_TRANSFER"] = {
    summary: "Tokens crossed to another chain",
    channel: "transactions",
    stamp: null,
    about: null,
    payload: z.looseObject({
      transferId: z.string().min(3),
      amount: z.string().regex(/^\d+$/),
      seenAt: z.iso.datetime({ offset: true }),
      status: z.enum(["sent", "arrived"]),
      hops: z.array(z.int().positive()).min(2),
      fee: z.union([z.number(), z.string()]),
      isFinal: z.boolean(),
      proof: z.looseObject({ root: z.string() }),
      memo: z.string().optional(),
    }),
  };
  try {
    const type = "BRIDGE_TRANSFER" as MessageType;
    const { payload } = publishExample(type);
    registry[type]!.payload.parse(payload);
    const document = asyncApi("h");
    assert(messagesOf(document).has("publish.BRIDGE_TRANSFER"));
    assert.match(
      JSON.stringify(
        (document["operations"] as JsonObject)["follow.transactions"],
      ),
      /BRIDGE_TRANSFER/,
    );
  } finally {
    delete registry["BRIDGE_TRANSFER"];
  }
});

Deno.test("the OpenAPI document is valid", async () => {
  await using service = await openTestService();
  const endpoints = service.endpoints();
  const validator = new Validator();
  const { valid, errors } = await validator.validate(openApi(endpoints));
  assert(valid, JSON.stringify(errors));
  assert.equal(validator.version, "3.1");
  const broken = openApi(endpoints);
  delete broken["info"];
  assert(!(await validator.validate(broken)).valid);
});

/** Pages, and what speaks a protocol of its own. */
const UNDESCRIBED = [
  "/",
  "/docs",
  "/admin",
  "/socket.io/",
  ...["block", "tx", "address"].map((kind) => `/${kind}/{id}`),
];

Deno.test("every door is in the OpenAPI document, and no other", async () => {
  await using service = await openTestService();
  const described = service.endpoints().map(({ method, path }) =>
    `${method} ${path}`
  );
  const doors = service.app.routes
    .filter(({ method }) => method !== "ALL")
    .map(({ method, path }) =>
      `${method.toLowerCase()} ${
        path.replace(/:(\w+)(\{[^}]*\})?/g, (_, name) => `{${name}}`)
      }`
    )
    .filter((door) => !UNDESCRIBED.includes(door.split(" ")[1]!));
  assert(doors.length > 20, doors.join());
  assert.deepEqual(described.toSorted(), [...new Set(doors)].toSorted());
});

function exampleOf(schema: unknown): unknown {
  return (schema as z.ZodType).meta()?.["example"];
}

/** Requests an endpoint with its own example. */
async function ask(
  service: TestService,
  endpoint: Endpoint,
  body: unknown,
  token: string | undefined,
): Promise<Response> {
  let path = endpoint.path;
  const query = new URLSearchParams();
  for (const [name, schema] of Object.entries(endpoint.params?.shape ?? {})) {
    path = path.replace(`{${name}}`, String(exampleOf(schema)));
  }
  for (const [name, schema] of Object.entries(endpoint.query?.shape ?? {})) {
    const example = exampleOf(schema);
    if (example !== undefined) query.set(name, String(example));
  }
  return await service.request(`${path}?${query}`, {
    method: endpoint.method.toUpperCase(),
    headers: token ? { authorization: `Bearer ${token}` } : {},
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
}

Deno.test("every endpoint accepts its examples and answers as described", async (t) => {
  await using service = await openTestService();
  const token = await tokenOf("admin");
  const first = JSON.stringify(publishExample("NEW_BLOCK"));
  await service.hub.publish(decodePublications(first, MAX_BYTES));
  for (const endpoint of service.endpoints()) {
    const { method, path, answers } = endpoint;
    const role = endpoint.role === "anonymous" ? undefined : endpoint.role;
    // No client polls without a session of its own.
    if (path === "/ws") continue;
    await t.step(`${method} ${path}`, async () => {
      const bodies = Object.values(
        endpoint.body?.examples ?? { none: undefined },
      );
      for (const body of bodies) {
        const response = await ask(service, endpoint, body, role && token);
        const answer = answers.find(({ status }) => status === response.status);
        const type = response.headers.get("content-type") ?? "";
        if (type.startsWith("text/")) {
          assert.equal(type.split(";")[0], answer?.type);
          await response.body?.cancel();
          continue;
        }
        const said = await response.json();
        assert(answer, `${response.status} ${JSON.stringify(said)}`);
        answer.schema?.parse(said);
      }
      if (!role) return;
      const anonymous = await ask(service, endpoint, bodies[0], undefined);
      assert.equal(anonymous.status, 401);
      assert.equal((await anonymous.json()).code, "UNAUTHENTICATED");
    });
  }
  assert.deepEqual(service.bugs, []);
});

Deno.test("documents are served as generated, with the requested host", async () => {
  await using service = await openTestService();
  const asked = await service.request(
    "http://rt.example.com:8443/asyncapi.json",
  );
  assert.equal(asked.headers.get("content-type"), "application/json");
  assert.equal(asked.headers.get("access-control-allow-origin"), "*");
  assert.deepEqual(await asked.json(), asyncApi("rt.example.com:8443"));
  const other = await service.request("http://[::1]:3000/asyncapi.json");
  assert.deepEqual(await other.json(), asyncApi("[::1]:3000"));
  const open = await service.request("/openapi.json");
  assert.deepEqual(
    await open.json(),
    JSON.parse(JSON.stringify(openApi(service.endpoints()))),
  );
});

Deno.test("pages have a policy that allows nothing from other origins", async () => {
  const body = new TextEncoder().encode("<!DOCTYPE html>");
  const asset = { body, type: "text/html; charset=utf-8", etag: '"1"' };
  await using service = await openTestService({
    assets: new Map([["/docs.html", asset], ["/admin.html", asset]]),
  });
  for (const path of ["/docs", "/admin"]) {
    const page = await service.request(path);
    assert.equal(await page.text(), "<!DOCTYPE html>");
    const policy = page.headers.get("content-security-policy")!;
    assert.match(policy, /default-src 'self'/);
    assert.match(policy, /frame-ancestors 'none'/);
    assert.doesNotMatch(policy, /unsafe|https?:|\*/);
    const again = await service.request(path, {
      headers: { "if-none-match": '"1"' },
    });
    assert.equal(again.status, 304);
  }
  await using bare = await openTestService();
  assert.equal((await bare.request("/docs")).status, 503);
});
