import assert from "node:assert/strict";
import { failingStart, SECRET } from "../server.ts";

Deno.test("a store at a KV Connect service is reached with the rights of the process", async () => {
  const calls: { path: string; authorization: string | null }[] = [];
  // Speaks the handshake, and fails whatever is asked for afterwards.
  await using endpoint: Deno.HttpServer<Deno.NetAddr> = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    async (request) => {
      const path = new URL(request.url).pathname;
      const authorization = request.headers.get("authorization");
      calls.push({ path, authorization });
      await request.body?.cancel();
      if (path !== "/") return new Response("nothing here", { status: 400 });
      return Response.json({
        version: 3,
        databaseId: "11111111-1111-4111-8111-111111111111",
        endpoints: [{ url: "/data", consistency: "strong" }],
        token: "for the data",
        expiresAt: new Date(Date.now() + 3_600_000).toISOString(),
      });
    },
  );
  const url = `http://127.0.0.1:${endpoint.addr.port}`;
  const { code, text } = await failingStart({
    KV_PATH: `${url}/`,
    DENO_KV_ACCESS_TOKEN: "a secret of the operator",
    JWT_SECRET: SECRET,
    PORT: "0",
  });
  assert.notEqual(code, 0);
  assert.doesNotMatch(text, /Requires \w+ access/);
  const [handshake, ...others] = calls;
  assert.deepEqual(handshake, {
    path: "/",
    authorization: "Bearer a secret of the operator",
  }, text);
  assert(
    others.some(({ path, authorization }) =>
      path.startsWith("/data/") && authorization === "Bearer for the data"
    ),
    `the store was asked: ${JSON.stringify(others)} ${text}`,
  );
});
