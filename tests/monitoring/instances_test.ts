import assert from "node:assert/strict";
import { GONE_MS, Instances, LOST_MS } from "../../monitoring/instances.ts";
import type { Instance } from "../../monitoring/instances.ts";
import { Metrics } from "../../monitoring/metrics.ts";
import { MetricsHistory } from "../../monitoring/metrics_history.ts";
import { Sessions } from "../../realtime/sessions.ts";
import type { Hub } from "../../realtime/hub.ts";
import type { Clock } from "../../platform/clock.ts";
import { ManualClock, pass } from "../fakes/clock.ts";
import { CALM, MemoryKv } from "../fakes/kv.ts";
import type { Fate } from "../fakes/kv.ts";
import { until } from "../until.ts";
import { openStore } from "../../store/deno_kv.ts";
import { BEAT_MS } from "../../store/in_use.ts";
import type { Store } from "../../store/store.ts";

/** Instances as they know of each other, on one clock and one store. */
class Bench implements AsyncDisposable {
  readonly clock: ManualClock;
  readonly metrics: Metrics[] = [];
  readonly #kv: Store;
  readonly #open: AsyncDisposable[] = [];
  readonly #samples: MetricsHistory[] = [];
  /** When each last began to wait for its next beat. */
  readonly #armedAt = new Map<string, number>();

  constructor(kv: Store, clock = new ManualClock()) {
    this.#kv = kv;
    this.clock = clock;
  }

  instance(id: string, memoryUsage: number): Instances {
    const instances = this.unregistered(id, memoryUsage);
    instances.register();
    return instances;
  }

  unregistered(id: string, memoryUsage = 1): Instances {
    const { clock } = this;
    const sessions = new Sessions();
    const metrics = new Metrics({
      clock,
      sessions,
      behind: () => 1,
      memoryUsage: () => memoryUsage,
    });
    const samples = new MetricsHistory({ clock, metrics });
    const hub = {
      channels: ["blocks"],
      subscribers: () => 3,
    } as unknown as Hub;
    const instances = new Instances({
      kv: this.#kv,
      clock: this.#clockOf(id),
      id,
      sessions,
      hub,
      metrics,
      samples,
    });
    this.metrics.push(metrics);
    this.#open.push(instances);
    this.#samples.push(samples);
    return instances;
  }

  /** Every instance reports its state once more. */
  async beat(): Promise<void> {
    await this.#said();
    this.clock.advance(BEAT_MS);
    await this.#said();
  }

  async #said(): Promise<void> {
    const now = this.clock.now();
    await until(async () => {
      const keys = ["one", "two"].map((id) => ["instance", id]);
      const entries = await this.#kv.getMany<Instance>(keys);
      return entries.every(({ value }) => value?.at === now);
    }, "what everyone says");
    // The answer to a commit comes a moment after its effect.
    const at = this.clock.monotonic();
    await until(
      () => ["one", "two"].every((id) => this.#armedAt.get(id) === at),
      "the next beat of each",
    );
  }

  /** The clock, which notes when an instance waits for its next beat. */
  #clockOf(id: string): Clock {
    const { clock } = this;
    return {
      now: () => clock.now(),
      monotonic: () => clock.monotonic(),
      soon: (work) => clock.soon(work),
      after: (ms, work) => {
        if (ms === BEAT_MS) this.#armedAt.set(id, clock.monotonic());
        return clock.after(ms, work);
      },
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const samples of this.#samples) samples[Symbol.dispose]();
    for (const each of this.#open) await each[Symbol.asyncDispose]();
    this.#kv.close();
  }
}

Deno.test("what instances count adds up, and times are those of the worst", async () => {
  await using bench = new Bench(await openStore(":memory:"));
  const one = bench.instance("one", 100);
  const two = bench.instance("two", 300);
  const [fast, slow] = bench.metrics;
  fast!.hub.delivered!(3, 3, 10);
  slow!.hub.delivered!(1, 1, 50);
  slow!.connectionFailed();
  slow!.connectionFailed();
  await bench.beat();
  await bench.beat();
  for (const asked of [one, two]) {
    const report = await asked.report();
    assert.equal(report.instances, 2);
    assert.equal(report.uptime, 10);
    assert.deepEqual(report.subscribers, { blocks: 6 });
    assert.equal(report.connectionStats.failedConnections, 2);
    assert.equal(report.connectionStats.slowConnections, 2);
    assert.equal(report.resourceUsage.memoryUsage, 300, "the largest process");
    const { avg, min, max, p99, total } = report.eventDeliveryTime;
    assert.equal(total, 4);
    assert(Math.abs(avg - 20) < 0.5, `${avg}`);
    assert(Math.abs(min - 10) < 0.2 && Math.abs(max - 50) < 0.5);
    assert(Math.abs(p99 - 50) < 0.5);
  }
});

Deno.test("an instance is lost when its heartbeat stays unchanged, by the observer's own clock", async () => {
  const clock = new ManualClock();
  const kv = new MemoryKv(clock).connect({ weather: () => CALM });
  await using bench = new Bench(kv, clock);
  const one = bench.instance("one", 1);
  await pass(clock, 0);
  const { value } = await kv.get<Instance>(["instance", "one"]);
  const write = (id: string, at: number) =>
    kv.set(["instance", id], { ...value, id, at });
  const names = async () => {
    const { present, lost, doubtful } = await one.survey();
    return [present, lost, doubtful]
      .map((some) => some.map(({ id }) => id).join());
  };
  await write("fresh", clock.now());
  await write("old", clock.now() - LOST_MS);
  await write("ahead", clock.now() + 3_600_000);
  assert.deepEqual(await names(), ["one,fresh", "", "ahead,old"]);
  await pass(clock, 1_000);
  await write("ahead", clock.now() + 3_600_000);
  assert.deepEqual(await names(), ["one,ahead,fresh", "", "old"]);
  clock.stepWall(-3_600_000);
  await pass(clock, LOST_MS - 1_001);
  assert.deepEqual(await names(), ["one,ahead,fresh", "", "old"]);
  await pass(clock, 1);
  assert.deepEqual(await names(), ["one,ahead", "fresh,old", ""]);
  await pass(clock, 1_000);
  assert.deepEqual(await names(), ["one", "ahead,fresh,old", ""]);
  assert.equal((await one.report()).instances, 1);
  await pass(clock, GONE_MS - LOST_MS);
  assert.deepEqual(await names(), ["one", "", ""]);

  // An earlier version of this program may be beside this one.
  await kv.set(["instance", "older"], { id: "older", at: clock.now() });
  assert.deepEqual(await names(), ["one", "", ""]);
});

for (const stepMs of [-3_600_000, 3_600_000]) {
  Deno.test(`a step of the wall clock by ${stepMs} ms makes no instance lost`, async () => {
    const clock = new ManualClock();
    const kv = new MemoryKv(clock).connect({ weather: () => CALM });
    await using bench = new Bench(kv, clock);
    const one = bench.instance("one", 1);
    const two = bench.instance("two", 1);
    await pass(clock, LOST_MS);
    clock.stepWall(stepMs);
    // A step forward also makes the store delete what expires by its clock.
    await pass(clock, BEAT_MS);
    for (let ms = BEAT_MS; ms < 4 * BEAT_MS; ms += 1_000) {
      await pass(clock, 1_000);
      for (const seen of [one, two]) {
        const { present, lost, isSure } = await seen.survey();
        assert.deepEqual([present.length, lost.length, isSure], [2, 0, true]);
      }
    }
    assert.equal((await one.report()).uptime, (LOST_MS + 4 * BEAT_MS) / 1_000);
  });
}

Deno.test("an instance that never registered is not listed by others, and leaves nothing", async () => {
  const clock = new ManualClock();
  const kv = new MemoryKv(clock).connect({ weather: () => CALM });
  await using bench = new Bench(kv, clock);
  const one = bench.instance("one", 1);
  const other = bench.unregistered("two");
  await pass(clock, 2 * BEAT_MS);
  assert.deepEqual((await one.list()).map(({ id }) => id), ["one"]);
  assert.deepEqual((await other.list()).map(({ id }) => id), ["two", "one"]);
  await other[Symbol.asyncDispose]();
  other.register();
  await pass(clock, BEAT_MS);
  assert.equal((await kv.get(["instance", "two"])).value, null);
});

for (const end of ["failed", "hung"] as const) {
  Deno.test(
    `a store whose commits ${
      end === "hung" ? "hang" : "fail"
    } makes no instance lost for sure, until it took beats for long enough`,
    async () => {
      const clock = new ManualClock();
      let fate: Fate = CALM;
      const kv = new MemoryKv(clock).connect({ weather: () => fate });
      await using bench = new Bench(kv, clock);
      const one = bench.instance("one", 1);
      bench.instance("two", 1);
      const three = bench.instance("three", 1);
      const seen = async () => {
        const { lost, isSure } = await one.survey();
        return [lost.map(({ id }) => id), isSure];
      };
      await pass(clock, LOST_MS - 1);
      assert.deepEqual(await seen(), [[], false], "too young to judge others");
      await pass(clock, 1);
      assert.deepEqual(await seen(), [[], true]);

      fate = { ...CALM, end: "failed" };
      await three[Symbol.asyncDispose]();
      if (end === "hung") fate = { ...CALM, beforeMs: LOST_MS };
      await pass(clock, LOST_MS);
      fate = CALM;
      assert.deepEqual(await seen(), [["three", "two"], false]);
      await pass(clock, LOST_MS);
      const [lost] = await seen();
      assert.deepEqual(lost, ["three"]);
      await pass(clock, BEAT_MS);
      assert.deepEqual(await seen(), [["three"], true]);
    },
  );
}

Deno.test("one beat that the store did not take is a break", async () => {
  const clock = new ManualClock();
  let fate: Fate = CALM;
  const kv = new MemoryKv(clock).connect({ weather: () => fate });
  await using bench = new Bench(kv, clock);
  const one = bench.instance("one", 1);
  const isSure = async () => (await one.survey()).isSure;
  await pass(clock, LOST_MS);
  assert(await isSure());

  fate = { ...CALM, end: "failed" };
  await pass(clock, BEAT_MS);
  fate = CALM;
  assert(await isSure(), "a beat late is no beat missed");
  await pass(clock, BEAT_MS);
  assert(!await isSure());
  await pass(clock, LOST_MS - 1);
  assert(!await isSure());
  await pass(clock, 1);
  assert(await isSure());
});
