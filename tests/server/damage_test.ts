import assert from "node:assert/strict";
import { until } from "../until.ts";
import { openTestService, tokenOf } from "../test_service.ts";

Deno.test("damaged events are skipped, and alerted and logged once", async () => {
  await using service = await openTestService();
  const authorization = `Bearer ${await tokenOf("publisher")}`;
  for (const height of [1, 2, 3]) {
    const payload = {
      blockId: `b${height}`,
      height,
      timestamp: "2025-08-07T10:00:00Z",
    };
    const response = await service.request("/api/publish", {
      method: "POST",
      headers: { authorization },
      body: JSON.stringify({ type: "NEW_BLOCK", payload }),
    });
    assert.equal(response.status, 200, await response.text());
  }
  const key = ["log", "blocks", 2, 0];
  const { value } = await service.kv.get<Uint8Array>(key);
  const damaged = value!.slice();
  damaged[60]! ^= 1;
  await service.kv.set(key, damaged);

  const history = async (channel: string) => {
    const path = `/api/channels/${channel}/history`;
    return (await (await service.request(path)).json()).events;
  };
  for (let i = 0; i < 2; i++) {
    const blocks = await history("blocks");
    assert.deepEqual(blocks.map(({ seq }: { seq: number }) => seq), [1, 3]);
  }
  await until(
    async () => (await history("alerts")).length > 0,
    "the damage is alerted",
  );
  const alerts = await history("alerts");
  assert.equal(alerts.length, 1);
  const { type, subject, value: lost } = alerts[0].payload;
  assert.deepEqual([type, subject, lost], ["unreadable", "blocks", 1]);
  assert.deepEqual(service.bugs, [{ channel: "blocks", from: 2, to: 2 }]);
});
