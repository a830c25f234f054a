import assert from "node:assert/strict";
import fc from "fast-check";
import {
  Durations,
  Rate,
  RATE_SECONDS,
  Spread,
  Tally,
} from "../../monitoring/counters.ts";

Deno.test("Durations are within two significant digits of what was measured", () => {
  fc.assert(
    fc.property(
      fc.array(fc.double({ min: 0.001, max: 60_000, noNaN: true }), {
        minLength: 1,
        maxLength: 200,
      }),
      (measured) => {
        const durations = new Durations();
        for (const ms of measured) durations.add(ms, 1);
        const sorted = measured.toSorted((a, b) => a - b);
        const at = (percentile: number) =>
          sorted[Math.ceil(sorted.length * percentile / 100) - 1]!;
        const near = (value: number, wanted: number, what: string) =>
          assert(
            Math.abs(value - wanted) <= wanted * 0.02 + 0.001,
            `${what}: ${value} ~ ${wanted}`,
          );
        const summary = durations.summary();
        assert.equal(summary.total, measured.length);
        near(summary.min, sorted[0]!, "min");
        near(summary.max, sorted.at(-1)!, "max");
        near(summary.p95, at(95), "p95");
        near(summary.p99, at(99), "p99");
        const sum = measured.reduce((a, b) => a + b, 0);
        near(summary.avg, sum / measured.length, "avg");
        assert(summary.avg <= summary.max && summary.p99 <= summary.max);
      },
    ),
  );
});

Deno.test("Durations count beyond what 32 bits hold, and a minute at most", () => {
  const durations = new Durations();
  for (let i = 0; i < 3; i++) durations.add(1, 2 ** 31 - 1);
  durations.add(1e9, 1);
  const { total, p99, max } = durations.summary();
  assert.equal(total, 3 * (2 ** 31 - 1) + 1);
  assert(Math.abs(p99 - 1) < 0.02, `${p99}`);
  assert(Math.abs(max - 60_000) < 600, `${max}`);
  durations.reset();
  assert.deepEqual(durations.summary(), {
    avg: 0,
    min: 0,
    max: 0,
    p95: 0,
    p99: 0,
    total: 0,
  });
});

Deno.test("a Rate counts whole seconds only, wherever its clock starts", () => {
  for (const start of [0, 123_456, 2 ** 40]) {
    const rate = new Rate();
    rate.add(start, 5);
    assert.equal(rate.perSecond(start), 0, "the second is not over");
    assert.equal(rate.perSecond(start + 1_000), 5 / RATE_SECONDS);
    assert.equal(
      rate.perSecond(start + RATE_SECONDS * 1_000),
      5 / RATE_SECONDS,
    );
    assert.equal(rate.perSecond(start + (RATE_SECONDS + 1) * 1_000), 0);
  }
});

Deno.test("a Spread has cumulative buckets with inclusive bounds", () => {
  const spread = new Spread([1, 2]);
  assert.equal(spread.average, 0);
  spread.add(1, 3);
  spread.add(1.5, 1);
  spread.add(7, 1);
  assert.deepEqual(spread.reading("kaldrix_commit_events"), {
    name: "kaldrix_commit_events",
    labels: {},
    value: 11.5,
    count: 5,
    buckets: [[1, 3], [2, 4]],
  });
  assert.equal(spread.average, 2.3);
});

Deno.test("a Tally keeps its labels apart", () => {
  const tally = new Tally<string>();
  tally.add("a");
  tally.add("b", 2);
  assert.equal(tally.total, 3);
  assert.deepEqual(tally.toJSON(), { a: 1, b: 2 });
  assert.deepEqual([...tally.readings("kaldrix_refusals_total", "code")], [
    { name: "kaldrix_refusals_total", labels: { code: "a" }, value: 1 },
    { name: "kaldrix_refusals_total", labels: { code: "b" }, value: 2 },
  ]);
});
