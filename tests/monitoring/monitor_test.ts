import assert from "node:assert/strict";
import {
  END_AFTER_MS,
  FIRE_AFTER_MS,
  SLOW_DELIVERY_MS,
  STALE_HEAD_MS,
} from "../../monitoring/alerts.ts";
import { GONE_MS, LOST_MS } from "../../monitoring/instances.ts";
import type { Instance, Survey } from "../../monitoring/instances.ts";
import { LEASE_TTL_MS } from "../../store/stored_lease.ts";
import { LOOK_MS, Monitor } from "../../monitoring/monitor.ts";
import { Webhook, webhookKey } from "../../monitoring/webhook.ts";
import { decodePublications } from "../../protocol/decode.ts";
import type { Publication } from "../../protocol/decode.ts";
import { Refusal } from "../../protocol/refusals.ts";
import { ManualClock, pass, settle } from "../fakes/clock.ts";
import { CALM, MemoryKv } from "../fakes/kv.ts";
import type { Fate } from "../fakes/kv.ts";
import { openTestService } from "../test_service.ts";
import { until } from "../until.ts";
import { Bench, RULES } from "./alert_bench.ts";

/** An instance as it reports itself. */
function instance(id: string, options: Partial<Instance> = {}): Instance {
  const time = { avg: 1, min: 1, max: 1, p95: 1, p99: 1, total: 1 };
  return {
    id,
    startedAt: 0,
    at: 0,
    uptimeMs: 3_600_000,
    connections: 0,
    subscribers: {},
    totalConnections: 0,
    throughput: {
      messagesPerSecond: 0,
      eventsPerSecond: 0,
      broadcastsPerSecond: 0,
    },
    memoryUsage: 1,
    connectionStats: {
      activeConnections: 0,
      totalConnections: 0,
      failedConnections: 0,
      slowConnections: 0,
      avgConnectionTime: 0,
    },
    eventDeliveryTime: time,
    recentDeliveryTime: time,
    counts: {
      failedConnections: 0,
      failedAuthentications: 0,
      rateViolations: 0,
      storeFailures: 0,
    },
    linkSilentMs: 0,
    ...options,
  };
}

/** A webhook that counts what it is given. */
class CountingWebhook extends Webhook {
  /** Messages given. */
  sent = 0;

  override send(id: string, body: object): void {
    this.sent++;
    super.send(id, body);
  }
}

/** Monitors of two instances on one store, and all that they report. */
class Cluster implements AsyncDisposable {
  readonly clock = new ManualClock();
  readonly store = new MemoryKv(this.clock);
  readonly lines: [string, Readonly<Record<string, unknown>>][] = [];
  readonly events: Publication[] = [];
  readonly posts: { headers: Headers; body: string }[] = [];
  survey: Survey = {
    present: [instance("one"), instance("two")],
    lost: [],
    doubtful: [],
    isSure: true,
  };
  headAgeMs: number | undefined;
  fate: Fate = CALM;
  /** What becomes of commits, where that is something else. */
  commitFate: Fate | undefined;
  /** What a survey waits for. */
  held: Promise<void> = Promise.resolve();
  readonly monitors: Monitor[];
  readonly #webhook: CountingWebhook;
  #ids = 0;

  constructor() {
    this.#webhook = new CountingWebhook({
      url: "https://hooks.example/secret-path",
      key: webhookKey("a secret"),
      clock: this.clock,
      log: (...line) => this.lines.push(line),
      fetch: (_url, init) => {
        const { headers, body } = init as { headers: Headers; body: string };
        this.posts.push({ headers, body });
        return Promise.resolve(new Response(null, { status: 204 }));
      },
    });
    this.monitors = ["one", "two"].map((id) => this.#monitor(id));
    for (const monitor of this.monitors) monitor.begin();
  }

  /** Both looked at least once more. */
  async look(ms = LOOK_MS): Promise<void> {
    await pass(this.clock, ms);
    for (let i = 0; i < 20; i++) await settle();
    // Signing is done elsewhere, and takes a moment.
    await until(() => this.posts.length === this.#webhook.sent, "all posts");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#webhook[Symbol.asyncDispose]();
    for (const monitor of this.monitors) {
      await monitor[Symbol.asyncDispose]();
    }
  }

  #monitor(id: string): Monitor {
    return new Monitor({
      kv: this.store.connect({
        weather: (operation) =>
          operation === "commit" ? this.commitFate ?? this.fate : this.fate,
      }),
      clock: this.clock,
      nextId: () => `alert-${++this.#ids}`,
      id,
      instances: {
        survey: async () => {
          await this.held;
          return await this.#stored(this.survey);
        },
      },
      freshness: {
        look: () => {
          const ageMs = this.headAgeMs;
          return this.#stored(
            ageMs === undefined
              ? undefined
              : { ageMs, unchangedMs: 0, atMostMs: Infinity },
          );
        },
      },
      hub: {
        publish: async (publications) => {
          await this.#stored(undefined);
          this.events.push(...publications);
          return [];
        },
      },
      webhook: this.#webhook,
      rules: RULES,
      warn: (...line) => this.lines.push(line),
      info: (...line) => this.lines.push(line),
    });
  }

  #stored<T>(value: T): Promise<T> {
    return this.fate.end === "ok"
      ? Promise.resolve(value)
      : Promise.reject(new Refusal("STORE_UNAVAILABLE"));
  }
}

Deno.test("an alert is reported once for all instances: as event, line and signed post", async () => {
  await using cluster = new Cluster();
  await cluster.look();
  assert.equal(cluster.monitors.filter((it) => it.isOnWatch).length, 1);
  const idle = cluster.monitors.find((it) => !it.isOnWatch)!;

  cluster.headAgeMs = STALE_HEAD_MS + 1;
  await cluster.look(3 * LOOK_MS);
  assert.deepEqual(cluster.lines.map(([event]) => event), ["alert"]);
  assert.equal(cluster.events.length, 1);
  // The signature is made elsewhere, and takes as long as it does.
  await until(() => cluster.posts.length === 1, "a post");
  const [known] = await idle.alerts();
  assert.equal(known!.type, "stale_head");
  const event = cluster.events[0]!;
  assert.equal(event.channel.name, "alerts");
  // It is what a publisher could have sent.
  const frame = { type: event.type, payload: event.payload };
  decodePublications(JSON.stringify(frame), 65_536);
  assert.equal(event.payload["alertId"], known!.id);
  assert.equal(event.payload["status"], "firing");
  assert.equal(event.payload["severity"], "critical");
  assert.equal(event.payload["value"], STALE_HEAD_MS + 1);

  const { headers, body } = cluster.posts[0]!;
  assert.deepEqual(JSON.parse(body), event.payload);
  const key = await crypto.subtle.importKey(
    "raw",
    new TextEncoder().encode(await webhookKey("a secret")),
    { name: "HMAC", hash: "SHA-256" },
    false,
    ["verify"],
  );
  const signature = headers.get("x-kaldrix-signature")!;
  assert.match(signature, /^v1=[0-9a-f]{64}$/);
  const signed = `${headers.get("x-kaldrix-timestamp")}.${body}`;
  assert(
    await crypto.subtle.verify(
      "HMAC",
      key,
      Uint8Array.fromHex(signature.slice(3)),
      new TextEncoder().encode(signed),
    ),
  );

  cluster.headAgeMs = 0;
  await cluster.look(2 * LOOK_MS);
  assert.deepEqual(cluster.lines.map(([event]) => event), [
    "alert",
    "alert_ended",
  ]);
  assert.equal(cluster.events[1]!.payload["status"], "resolved");
  await until(() => cluster.posts.length === 2, "a post");
  assert.deepEqual(await idle.alerts(), []);
});

Deno.test("the next watching instance continues where the last one stopped", async () => {
  await using cluster = new Cluster();
  cluster.headAgeMs = STALE_HEAD_MS + 1;
  await cluster.look();
  const first = cluster.monitors.find((it) => it.isOnWatch)!;
  const second = cluster.monitors.find((it) => !it.isOnWatch)!;
  await first[Symbol.asyncDispose]();
  await cluster.look(2 * LOOK_MS);
  assert(second.isOnWatch);
  assert.equal(cluster.events.length, 1, "not reported again");
  cluster.headAgeMs = 0;
  await cluster.look(2 * LOOK_MS);
  assert.equal(cluster.events[1]!.payload["status"], "resolved");
});

Deno.test("what happened in a minute is counted over instances, from the first look on", async () => {
  await using cluster = new Cluster();
  const failing = (one: number, two: number) => {
    const counts = (failedConnections: number) => ({
      counts: { ...instance("").counts, failedConnections },
    });
    cluster.survey = {
      present: [instance("one", counts(one)), instance("two", counts(two))],
      lost: [],
      doubtful: [],
      isSure: true,
    };
  };
  failing(1_000, 1_000);
  await cluster.look();
  failing(1_005, 1_005);
  await cluster.look();
  assert.equal(cluster.lines.length, 0);
  failing(1_006, 1_005);
  await cluster.look();
  assert.deepEqual(cluster.lines.map(([event]) => event), ["alert"]);
  assert.equal(cluster.lines[0]![1]["value"], 11);
  // It ends when the minute has passed.
  await cluster.look(50_000);
  assert.equal(cluster.lines.length, 1);
  await cluster.look(60_000);
  assert.deepEqual(cluster.lines.map(([event]) => event), [
    "alert",
    "alert_ended",
  ]);
});

Deno.test("an instance that reports again did not do everything in a minute", async () => {
  await using cluster = new Cluster();
  const failed = (failedConnections: number) => ({
    counts: { ...instance("").counts, failedConnections },
  });
  const one = instance("one");
  const survey = (...present: Instance[]) =>
    cluster.survey = {
      present: [one, ...present],
      lost: [],
      doubtful: [],
      isSure: true,
    };
  survey();
  await cluster.look();
  survey(instance("two", failed(1_000)));
  await cluster.look();
  assert.equal(cluster.lines.length, 0, "what it counted before is old");
  survey(instance("two", failed(1_011)));
  await cluster.look();
  assert.deepEqual(cluster.lines.map(([, { value }]) => value), [11]);
});

Deno.test("an instance that started since the last look is counted from its start", async () => {
  await using cluster = new Cluster();
  const one = instance("one");
  cluster.survey = { present: [one], lost: [], doubtful: [], isSure: true };
  await cluster.look();
  const counts = { ...instance("").counts, failedConnections: 11 };
  const young = instance("two", { uptimeMs: LOOK_MS - 1, counts });
  cluster.survey = {
    present: [one, young],
    lost: [],
    doubtful: [],
    isSure: true,
  };
  await cluster.look();
  assert.deepEqual(cluster.lines.map(([, { value }]) => value), [11]);
});

Deno.test("an instance is reported as lost only by one that is sure, and stays lost meanwhile", async () => {
  await using cluster = new Cluster();
  const present = [instance("one")];
  const lost = [instance("two")];
  const reported = () =>
    cluster.lines.map(([event, { subject }]) => `${event} ${subject}`);
  cluster.survey = { present, lost, doubtful: [], isSure: false };
  await cluster.look(2 * LOOK_MS);
  assert.deepEqual(reported(), []);
  cluster.survey = { present, lost, doubtful: [], isSure: true };
  await cluster.look();
  assert.deepEqual(reported(), ["alert two"]);

  cluster.survey = {
    present,
    lost: [...lost, instance("three")],
    doubtful: [],
    isSure: false,
  };
  await cluster.look(2 * LOOK_MS);
  assert.deepEqual(reported(), ["alert two"]);
  cluster.survey = { present, lost: [], doubtful: [], isSure: false };
  await cluster.look();
  assert.deepEqual(reported(), ["alert two", "alert_ended two"]);
});

Deno.test("looks that the store held up report an alert once, and of its end", async () => {
  await using cluster = new Cluster();
  await cluster.look();
  const { promise, resolve } = Promise.withResolvers<void>();
  cluster.held = promise;
  cluster.headAgeMs = STALE_HEAD_MS + 1;
  await cluster.look(4 * LOOK_MS);
  resolve();
  await cluster.look();
  assert.deepEqual(cluster.lines.map(([event]) => event), ["alert"]);
  await until(() => cluster.posts.length === 1, "a post");
  cluster.headAgeMs = 0;
  await cluster.look(2 * LOOK_MS);
  assert.deepEqual(cluster.events.map(({ id }) => id), [
    "alert-1-firing",
    "alert-1-resolved",
  ]);
});

for (const stepMs of [-3_600_000, 3_600_000]) {
  Deno.test(`an alert is raised and ended in its time while the wall clock steps by ${stepMs} ms`, async () => {
    const bench = new Bench();
    const bad = { deliveryMs: { value: SLOW_DELIVERY_MS + 1 } };
    bench.see(bad);
    bench.clock.stepWall(stepMs);
    assert.deepEqual(bench.see(bad, FIRE_AFTER_MS - 1), []);
    const [raised] = bench.see(bad, 1);
    assert.equal(raised!.alert.startedAt, bench.clock.now());
    bench.see({});
    bench.clock.stepWall(-stepMs);
    assert.deepEqual(bench.see({}, END_AFTER_MS - 1), []);
    assert.equal(bench.see({}, 1).length, 1);

    await using cluster = new Cluster();
    await cluster.look();
    cluster.clock.stepWall(stepMs);
    await cluster.look();
    const counts = { ...instance("").counts, failedConnections: 11 };
    const one = instance("one", { counts });
    cluster.survey = { ...cluster.survey, present: [one] };
    await cluster.look();
    cluster.clock.stepWall(-stepMs);
    await cluster.look();
    assert.deepEqual(cluster.lines.map(([event]) => event), ["alert"]);
    await cluster.look(120_000);
    assert.deepEqual(cluster.lines.map(([event]) => event), [
      "alert",
      "alert_ended",
    ]);
  });
}

Deno.test("a lost instance stays lost while the next watcher cannot know better", async () => {
  await using cluster = new Cluster();
  const present = [instance("one")];
  const two = [instance("two")];
  const seen = () =>
    cluster.lines.map(([event, { subject }]) => `${event} ${subject}`);
  cluster.survey = { present, lost: two, doubtful: [], isSure: true };
  await cluster.look(2 * LOOK_MS);
  assert.deepEqual(seen(), ["alert two"]);
  cluster.survey = { present, lost: [], doubtful: two, isSure: true };
  await cluster.look(2 * LOOK_MS);
  assert.deepEqual(seen(), ["alert two"]);
  const three = [instance("three")];
  cluster.survey = { present, lost: [], doubtful: three, isSure: true };
  await cluster.look();
  assert.deepEqual(seen(), ["alert two", "alert_ended two"]);
});

Deno.test("when the store is down, the watching instance reports it, and the events follow", async () => {
  await using cluster = new Cluster();
  await cluster.look();
  cluster.fate = { ...CALM, end: "failed" };
  await cluster.look(LEASE_TTL_MS + FIRE_AFTER_MS + 3 * LOOK_MS);
  assert.deepEqual(
    cluster.lines.map(([event, { type }]) => [event, type]),
    [["alert", "store_unreachable"]],
  );
  await until(() => cluster.posts.length === 1, "a post");
  assert.equal(cluster.events.length, 0);

  cluster.fate = CALM;
  await cluster.look(3 * LOOK_MS);
  assert.deepEqual(cluster.lines.map(([event]) => event), [
    "alert",
    "alert_ended",
  ]);
  assert.deepEqual(
    cluster.events.map(({ payload }) => payload["status"]),
    ["firing", "resolved"],
  );
  assert.equal(
    cluster.monitors.filter((it) => it.isOnWatch).length,
    1,
    "somebody is on watch again",
  );
});

Deno.test("a read-only store is reported as one that is down", async () => {
  await using cluster = new Cluster();
  await cluster.look();
  cluster.commitFate = { ...CALM, end: "failed" };
  await cluster.look(LEASE_TTL_MS + FIRE_AFTER_MS + 3 * LOOK_MS);
  const types = () => cluster.lines.map(([event, { type }]) => [event, type]);
  assert.deepEqual(types(), [["alert", "store_unreachable"]]);
  cluster.commitFate = undefined;
  await cluster.look(3 * LOOK_MS);
  assert.deepEqual(types(), [
    ["alert", "store_unreachable"],
    ["alert_ended", "store_unreachable"],
  ]);
});

Deno.test("a short pause of the store raises no alert", async () => {
  await using cluster = new Cluster();
  await cluster.look();
  cluster.fate = { ...CALM, end: "failed" };
  await cluster.look(FIRE_AFTER_MS - 1_000);
  cluster.fate = CALM;
  await cluster.look(5 * LOOK_MS);
  assert.deepEqual(cluster.lines, []);
});

Deno.test("an instance that leaves is not lost, one that does not is, for a while", async () => {
  const clock = new ManualClock();
  await using service = await openTestService({ clock });
  const { kv, isolate, instances } = service;
  const own = ["instance", isolate];
  await until(
    async () => (await kv.get(own)).value !== null,
    "its heartbeat",
  );
  const { value } = await kv.get<Instance>(own);
  await kv.set(["instance", "x"], { ...value, id: "x" });
  const seen = async () => {
    const { present, lost } = await instances.survey();
    return [present, lost].map((some) => some.map(({ id }) => id));
  };
  assert.deepEqual(await seen(), [[isolate, "x"], []]);
  await pass(clock, LOST_MS);
  assert.deepEqual(await seen(), [[isolate], ["x"]]);
  await pass(clock, GONE_MS - LOST_MS);
  assert.deepEqual(await seen(), [[isolate], []]);
  await service.leave();
  assert.equal((await kv.get(own)).value, null);
});
