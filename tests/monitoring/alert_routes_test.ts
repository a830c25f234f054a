import assert from "node:assert/strict";
import { openTestService, tokenOf } from "../test_service.ts";
import { RULES } from "./alert_bench.ts";

Deno.test("operators see alerts and silence them; others may not", async () => {
  await using service = await openTestService();
  const ask = async (
    method: string,
    path: string,
    role: "admin" | "publisher" | undefined,
    body?: unknown,
  ) => {
    const headers: Record<string, string> = role
      ? { authorization: `Bearer ${await tokenOf(role)}` }
      : {};
    return await service.request(`/api/admin/alerts${path}`, {
      method,
      headers,
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
  };
  assert.equal((await ask("GET", "", undefined)).status, 401);
  assert.equal((await ask("GET", "", "publisher")).status, 403);
  const order = { type: "memory", forMs: 60_000, reason: "known" };
  assert.equal(
    (await ask("POST", "/silences", "publisher", order)).status,
    403,
  );
  const made = await ask("POST", "/silences", "admin", order);
  assert.equal(made.status, 201);
  const { silence } = await made.json();
  assert.equal(silence.by, "admin");
  const seen = await (await ask("GET", "", "admin")).json();
  assert.deepEqual(seen.alerts, []);
  assert.deepEqual(seen.silences, [silence]);
  assert.equal(seen.rules.length, RULES.length);
  for (
    const wrong of [{ type: "no_such", forMs: 1 }, { type: "memory" }, {
      type: "memory",
      forMs: 0,
    }, []]
  ) {
    const refused = await ask("POST", "/silences", "admin", wrong);
    assert.equal(refused.status, 400);
    assert.equal((await refused.json()).code, "INVALID_PAYLOAD");
  }
  assert.equal((await ask("DELETE", "/silences/memory", "admin")).status, 200);
  assert.equal((await ask("DELETE", "/silences/memory", "admin")).status, 404);
  assert.deepEqual(service.bugs, []);
});
