import assert from "node:assert/strict";
import { ALARM_EVERY_MS, ChainAlarm } from "../../monitoring/chain_alarm.ts";
import type { AnyMessage } from "../../protocol/messages.ts";
import { ManualClock } from "../fakes/clock.ts";
import { openTestService } from "../test_service.ts";
import { until } from "../until.ts";

Deno.test("a fault of a chain is reported once a minute, each of its own", () => {
  const clock = new ManualClock();
  const alerts: AnyMessage[] = [];
  const warned: string[] = [];
  const alarm = new ChainAlarm({
    clock,
    warn: (event) => warned.push(event),
    publish: (alert) => Promise.resolve(alerts.push(alert)),
  });
  const fault = { blockId: "b", height: 9 };
  const missing = { from: 3, to: 8 };
  alarm.report({ ...fault, type: "blocks_missing", chain: "", missing });
  alarm.report({ ...fault, type: "blocks_missing", chain: "", missing });
  alarm.report({ ...fault, type: "blocks_missing", chain: "x", missing });
  alarm.report({ ...fault, type: "finality_broken", chain: "" });
  clock.advance(ALARM_EVERY_MS);
  alarm.report({ ...fault, type: "blocks_missing", chain: "", missing });
  const types = [
    "blocks_missing",
    "blocks_missing",
    "finality_broken",
    "blocks_missing",
  ];
  assert.deepEqual(warned, types);
  assert.deepEqual(
    alerts.map(({ payload }) => {
      const { type, severity, subject } = payload as Record<string, unknown>;
      return [type, severity, subject];
    }),
    [
      ["blocks_missing", "warning", "blocks"],
      ["blocks_missing", "warning", "x"],
      ["finality_broken", "critical", "blocks"],
      ["blocks_missing", "warning", "blocks"],
    ],
  );
});

Deno.test("subscribers of alerts are notified of missing blocks", async () => {
  await using service = await openTestService();
  const block = (blockId: string, height: number): AnyMessage => ({
    type: "NEW_BLOCK",
    payload: {
      blockId,
      height,
      previousHash: `p${blockId}`,
      timestamp: "2026-01-01T00:00:00.000Z",
    },
  });
  await service.publisher.publish([block("a", 1), block("b", 9)]);
  const alerts = () => service.publisher.page("alerts", { limit: 10 });
  await until(async () => (await alerts()).length > 0, "an alert");
  const [alert] = await alerts();
  assert.equal(
    (alert!.payload as Record<string, unknown>)["message"],
    "Blocks 2 to 8 were not published",
  );
  assert.deepEqual(service.bugs, []);
});
