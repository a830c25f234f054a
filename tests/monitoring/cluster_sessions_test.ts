import assert from "node:assert/strict";
import {
  MAX_TOLD_POSITIONS,
  MAX_TOLD_SESSIONS,
} from "../../monitoring/cluster_sessions.ts";
import { ClusterSessions } from "../../monitoring/cluster_sessions.ts";
import { Sessions } from "../../realtime/sessions.ts";
import { systemClock } from "../../platform/clock.ts";
import type { Clock } from "../../platform/clock.ts";
import { idSource } from "../../protocol/envelope.ts";
import type { Instances } from "../../monitoring/instances.ts";
import { FakeConnection, IP } from "../system/isolates.ts";
import { flaky } from "../fakes/security.ts";
import { until } from "../until.ts";
import type { FlakyKv } from "../fakes/security.ts";
import { openStore } from "../../store/deno_kv.ts";
import type { Store } from "../../store/store.ts";

/** Isolates that know of each other by name. */
class Cluster implements AsyncDisposable {
  readonly rosters: ClusterSessions[] = [];
  readonly sessions: Sessions[] = [];
  /** Names of those that are taken for being there. */
  readonly names: string[] = [];
  readonly store: FlakyKv;
  readonly #kv: Store;

  private constructor(kv: Store) {
    this.#kv = kv;
    this.store = flaky(kv);
  }

  static async open(
    count: number,
    clocks: readonly Clock[] = [],
  ): Promise<Cluster> {
    const cluster = new Cluster(await openStore(":memory:"));
    for (let i = 0; i < count; i++) cluster.join(clocks[i]);
    return cluster;
  }

  /** One more instance begins. */
  join(clock: Clock = systemClock): void {
    const sessions = new Sessions();
    const id = `isolate${this.names.length}`;
    const { kv } = this.store;
    const nextId = idSource();
    const instances = {
      list: () => Promise.resolve(this.names.map((id) => ({ id }))),
    } as unknown as Instances;
    this.names.push(id);
    this.sessions.push(sessions);
    this.rosters.push(
      new ClusterSessions({ kv, clock, id, nextId, sessions, instances }),
    );
  }

  add(
    at: number,
    connection: FakeConnection = new FakeConnection(),
  ): FakeConnection {
    this.sessions[at]!.add(connection, { ip: IP, bucket: IP });
    return connection;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.store.isAway = false;
    for (const clusterSessions of this.rosters) {
      await clusterSessions[Symbol.asyncDispose]();
    }
    this.#kv.close();
  }
}

Deno.test("whoever is connected anywhere is listed, with what an operator wants to know", async () => {
  await using cluster = await Cluster.open(2);
  const alice = cluster.add(0, new FakeConnection("alice", "bot/1.0"));
  const stranger = cluster.add(1);
  stranger.positions = [{ channel: "blocks", seq: 7, lag: 2 }];
  const { sessions, complete } = await cluster.rosters[0]!.list();
  assert.equal(complete, true);
  assert.deepEqual(sessions, [{
    id: alice.id,
    instance: "isolate0",
    ip: IP,
    user: "alice",
    role: "user",
    client: "bot/1.0",
    since: alice.since,
    channels: [],
  }, {
    id: stranger.id,
    instance: "isolate1",
    ip: IP,
    user: null,
    role: "anonymous",
    client: null,
    since: stranger.since,
    channels: [{ channel: "blocks", seq: 7, lag: 2 }],
  }]);
});

Deno.test("all that an isolate may tell arrives, however much it is", async () => {
  await using cluster = await Cluster.open(2);
  const positions = Array.from({ length: MAX_TOLD_POSITIONS + 1 }, (_, i) => ({
    channel: `room:${"x".repeat(62)}${i}`,
    seq: Number.MAX_SAFE_INTEGER,
    lag: Number.MAX_SAFE_INTEGER,
  }));
  const add = () => {
    // Texts beyond Latin take two bytes a letter.
    const one = new FakeConnection("ж".repeat(256), "ж".repeat(128));
    one.positions = positions;
    cluster.add(1, one);
  };
  for (let i = 0; i < MAX_TOLD_SESSIONS; i++) add();
  const whole = await cluster.rosters[0]!.list();
  assert.equal(whole.sessions.length, MAX_TOLD_SESSIONS);
  assert.equal(whole.complete, true);
  for (const { channels } of whole.sessions) {
    assert.equal(channels.length, MAX_TOLD_POSITIONS);
  }
  add();
  const cut = await cluster.rosters[0]!.list();
  assert.equal(cut.sessions.length, MAX_TOLD_SESSIONS);
  assert.equal(cut.complete, false, "one was left out in silence");
});

Deno.test("an isolate alone asks nobody, and says when it leaves some out", async () => {
  await using cluster = await Cluster.open(1);
  await new Promise((turn) => setTimeout(turn, 5));
  const { operations } = cluster.store;
  for (let i = 0; i < MAX_TOLD_SESSIONS; i++) cluster.add(0);
  const [clusterSessions] = cluster.rosters;
  assert.equal((await clusterSessions!.list()).complete, true);
  cluster.add(0);
  const { sessions, complete } = await clusterSessions!.list();
  assert.deepEqual([sessions.length, complete], [MAX_TOLD_SESSIONS, false]);
  assert.equal(cluster.store.operations, operations);
});

Deno.test("an isolate that does not answer in time is missed, not waited for", async () => {
  await using cluster = await Cluster.open(2);
  cluster.add(1);
  cluster.names.push("gone");
  const { sessions, complete } = await cluster.rosters[0]!.list();
  assert.deepEqual([sessions.length, complete], [1, false]);
});

Deno.test("everyone may ask at once, and each gets a whole answer", async () => {
  await using cluster = await Cluster.open(3);
  for (const at of [0, 1, 1, 2]) cluster.add(at);
  const answers = await Promise.all(
    [0, 1, 2, 0, 1, 2].map((at) => cluster.rosters[at]!.list()),
  );
  for (const { sessions, complete } of answers) {
    assert.deepEqual([sessions.length, complete], [4, true]);
  }
});

Deno.test("a client is sent away wherever it is, and told why; the others stay", async () => {
  await using cluster = await Cluster.open(2);
  const clients = [0, 1, 1, 1].map((at) => cluster.add(at));
  const [near, far, second, other] = clients;
  await cluster.rosters[0]!.disconnect(near!.id);
  assert.deepEqual(near!.ended, {
    code: "FORBIDDEN",
    why: "Disconnected by an operator",
  });
  await Promise.all(
    [far, second].map((it) => cluster.rosters[0]!.disconnect(it!.id)),
  );
  await until(
    () => far!.ended !== undefined && second!.ended !== undefined,
    "both are sent away",
  );
  assert.equal(other!.ended, undefined);
  await cluster.rosters[0]!.disconnect("nobody");
});

Deno.test("a file that another isolate holds delays an order, and loses none", async () => {
  await using cluster = await Cluster.open(2);
  const client = cluster.add(1);
  cluster.store.lockedFor = 4;
  await cluster.rosters[0]!.disconnect(client.id);
  await until(() => client.ended !== undefined, "the order arrives");
});

Deno.test("while the store is away an order is refused; afterwards the next one holds", async () => {
  await using cluster = await Cluster.open(2);
  const client = cluster.add(1);
  cluster.store.isAway = true;
  await assert.rejects(cluster.rosters[0]!.disconnect(client.id), /away/);
  await assert.rejects(cluster.rosters[0]!.list(), /away/);
  cluster.store.isAway = false;
  await cluster.rosters[0]!.disconnect(client.id);
  await until(() => client.ended !== undefined, "the order arrives");
});

for (const [name, stepMs] of [["behind", -3.6e6], ["ahead", 3.6e6]] as const) {
  Deno.test(`calls and orders reach an instance whose clock is an hour ${name}`, async () => {
    const other = { ...systemClock, now: () => systemClock.now() + stepMs };
    await using cluster = await Cluster.open(2, [systemClock, other]);
    cluster.add(0);
    const far = cluster.add(1);
    for (const roster of cluster.rosters) {
      const { sessions, complete } = await roster.list();
      assert.deepEqual([sessions.length, complete], [2, true]);
    }
    await cluster.rosters[0]!.disconnect(far.id);
    await until(() => far.ended !== undefined, "the order arrives");
  });
}

Deno.test("an instance that starts answers no call of before its start", async () => {
  await using cluster = await Cluster.open(2);
  const callsAnsweredBy = async (id: string) => {
    const rows = cluster.store.kv.list({ prefix: ["roster", "done"] });
    const keys = await Array.fromAsync(rows, ({ key }) => key);
    return keys.filter((key) => key.at(-1) === id).length;
  };
  await cluster.rosters[0]!.list();
  assert.equal(await callsAnsweredBy("isolate1"), 1);
  cluster.join();
  // Its first look is over when it answers what is asked after that.
  await until(
    async () => (await cluster.rosters[0]!.list()).complete,
    "the newcomer answers",
  );
  const asked = await callsAnsweredBy("isolate1");
  assert(await callsAnsweredBy("isolate2") < asked);
});
