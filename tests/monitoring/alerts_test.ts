import assert from "node:assert/strict";
import {
  END_AFTER_MS,
  FIRE_AFTER_MS,
  HYSTERESIS,
  MAX_FAILED_AUTHENTICATIONS,
  MAX_FAILED_CONNECTIONS,
  MAX_RATE_VIOLATIONS,
  MAX_STORE_FAILURES,
  MAX_SUBJECTS,
  NO_ALERTS,
  SILENT_LINK_MS,
  SLOW_DELIVERY_MS,
  STALE_HEAD_MS,
} from "../../monitoring/alerts.ts";
import type { AlertType, Rule, Signs } from "../../monitoring/alerts.ts";
import { Bench, MEMORY_BYTES, RULES } from "./alert_bench.ts";

function ruleNamed(type: AlertType): Rule {
  return RULES.find((rule) => rule.type === type)!;
}

/** Each rule: where the edge lies, and how it is measured. */
const EDGES: readonly (readonly [
  type: AlertType,
  edge: number,
  sign: Exclude<keyof Signs, "lostInstances">,
])[] = [
  ["delivery_time", SLOW_DELIVERY_MS, "deliveryMs"],
  ["failed_connections", MAX_FAILED_CONNECTIONS, "failedConnections"],
  [
    "failed_authentications",
    MAX_FAILED_AUTHENTICATIONS,
    "failedAuthentications",
  ],
  ["rate_violations", MAX_RATE_VIOLATIONS, "rateViolations"],
  ["store_failures", MAX_STORE_FAILURES, "storeFailures"],
  ["stale_head", STALE_HEAD_MS, "headAgeMs"],
  ["link_silent", SILENT_LINK_MS, "linkSilentMs"],
  ["memory", MEMORY_BYTES, "memoryBytes"],
];

for (const [type, edge, sign] of EDGES) {
  Deno.test(`${type} is raised beyond ${edge} for long enough, and ends well below`, () => {
    const bench = new Bench();
    const { fireAfterMs, endAfterMs, severity } = ruleNamed(type);
    assert.deepEqual(bench.see({ [sign]: { value: edge } }), []);
    assert.deepEqual(bench.see({ [sign]: { value: edge } }, 1e9), []);

    const bad = { [sign]: { value: edge + 1 } };
    if (fireAfterMs > 0) {
      assert.deepEqual(bench.see(bad), []);
      assert.deepEqual(bench.see(bad, fireAfterMs - 1), []);
    }
    const [raised, ...more] = bench.see(bad, fireAfterMs > 0 ? 1 : 0);
    assert.deepEqual(more, []);
    assert.equal(raised!.status, "firing");
    assert.equal(raised!.alert.type, type);
    assert.equal(raised!.alert.severity, severity);
    assert.equal(raised!.alert.value, edge + 1);
    assert.equal(raised!.alert.threshold, edge);
    assert.match(raised!.alert.message, /\d/);
    assert.deepEqual(bench.see(bad, 1_000), [], "reported once");

    // Between the two bounds nothing changes, however long.
    const between = { [sign]: { value: edge * HYSTERESIS + 0.5 } };
    assert.deepEqual(bench.see(between, 1e9), []);

    const good = { [sign]: { value: edge * HYSTERESIS } };
    if (endAfterMs > 0) {
      assert.deepEqual(bench.see(good), []);
      assert.deepEqual(bench.see(good, endAfterMs - 1), []);
    }
    const [ended] = bench.see(good, endAfterMs > 0 ? 1 : 0);
    assert.equal(ended!.status, "resolved");
    assert.equal(ended!.alert.id, raised!.alert.id);
    assert.deepEqual(bench.memory, NO_ALERTS);
  });
}

Deno.test("isolate_lost is one alert each, and ends when it reports again or is forgotten", () => {
  const bench = new Bench();
  const raised = bench.see({ lostInstances: ["one", "two"] });
  assert.deepEqual(
    raised.map(({ alert }) => [alert.type, alert.subject]),
    [["isolate_lost", "one"], ["isolate_lost", "two"]],
  );
  assert.match(raised[0]!.alert.message, /one stopped reporting/);
  assert.deepEqual(bench.see({ lostInstances: ["one", "two"] }), []);
  const [ended, ...more] = bench.see({ lostInstances: ["two"] });
  assert.deepEqual(more, []);
  assert.equal(ended!.status, "resolved");
  assert.equal(ended!.alert.id, raised[0]!.alert.id);
  assert.equal(bench.see({ lostInstances: [] }).length, 1);
  assert.deepEqual(bench.memory, NO_ALERTS);

  const many = Array.from({ length: MAX_SUBJECTS + 1 }, (_, i) => `i${i}`);
  assert.equal(bench.see({ lostInstances: many }).length, MAX_SUBJECTS);
});

Deno.test("a measure that turns back in time raises nothing, and a wait starts again", () => {
  const bench = new Bench();
  const bad = { deliveryMs: { value: SLOW_DELIVERY_MS + 1 } };
  bench.see(bad);
  assert.deepEqual(bench.see({}, FIRE_AFTER_MS - 1), []);
  assert.deepEqual(bench.see(bad, 1), []);
  assert.deepEqual(bench.see(bad, FIRE_AFTER_MS - 1), []);
  assert.equal(bench.see(bad, 1).length, 1);
  bench.see({});
  assert.deepEqual(bench.see(bad, END_AFTER_MS - 1), []);
  assert.deepEqual(bench.see({}, 1), []);
});

Deno.test("an alert is one although another instance becomes the worst", () => {
  const bench = new Bench();
  const [raised] = bench.see({ linkSilentMs: { value: 70_000, subject: "a" } });
  assert.equal(raised!.alert.subject, "a");
  assert.deepEqual(
    bench.see({ linkSilentMs: { value: 99_000, subject: "b" } }),
    [],
  );
  const [alert] = Object.values(bench.memory.active);
  assert.deepEqual([alert!.value, alert!.subject], [99_000, "b"]);
});

Deno.test("a silenced alert is listed but not reported, until the silence ends", () => {
  const bench = new Bench();
  const bad = { failedConnections: { value: MAX_FAILED_CONNECTIONS + 1 } };
  bench.silenced.add("failed_connections");
  assert.deepEqual(bench.see(bad), []);
  assert.equal(Object.values(bench.memory.active)[0]!.told, false);
  bench.silenced.clear();
  assert.deepEqual(bench.see(bad).map(({ status }) => status), ["firing"]);

  bench.silenced.add("failed_connections");
  bench.see({});
  const [ended] = bench.see({}, END_AFTER_MS);
  assert.equal(
    ended!.status,
    "resolved",
    "what was reported is followed to its end",
  );

  bench.see(bad);
  bench.see({});
  assert.deepEqual(
    bench.see({}, END_AFTER_MS),
    [],
    "its beginning was not reported",
  );
});
