import assert from "node:assert/strict";
import {
  ClusterSessions,
  ROOMS_STAY_MS,
} from "../../monitoring/cluster_sessions.ts";
import { MAX_PAGE, placeIn } from "../../monitoring/paging.ts";
import type { RoomInfo, RoomQuery } from "../../monitoring/room_table.ts";
import { MAX_TOLD_POSITIONS } from "../../monitoring/session_pages.ts";
import type {
  SessionInfo,
  SessionQuery,
} from "../../monitoring/session_pages.ts";
import { Sessions } from "../../realtime/sessions.ts";
import type { Standing } from "../../realtime/streams.ts";
import { systemClock } from "../../platform/clock.ts";
import type { Clock } from "../../platform/clock.ts";
import { encodeHead, headKey, UNBORN } from "../../store/log_heads.ts";
import { closeStore } from "../close_store.ts";
import { ManualClock, settle } from "../fakes/clock.ts";
import { idSource } from "../../protocol/envelope.ts";
import type { Instances } from "../../monitoring/instances.ts";
import { FakeConnection, IP } from "../system/instances.ts";
import { flaky } from "../fakes/security.ts";
import { until } from "../until.ts";
import type { FlakyKv } from "../fakes/security.ts";
import { openStore } from "../../store/deno_kv.ts";
import type { Store } from "../../store/store.ts";

/** All sessions of a page, the furthest behind first. */
const ALL: SessionQuery = {
  search: "",
  sort: "lag",
  isDescending: true,
  limit: MAX_PAGE,
};
/** All rooms of a page, the most followed first. */
const ROOMS: RoomQuery = { ...ALL, sort: "followers" };

/** Instances that know of each other by name. */
class Cluster implements AsyncDisposable {
  readonly rosters: ClusterSessions[] = [];
  readonly sessions: Sessions[] = [];
  /** What each knows of its streams. */
  readonly standings: Standing[][] = [];
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
    const id = `instance${this.names.length}`;
    const { kv } = this.store;
    const nextId = idSource();
    const instances = {
      list: () => Promise.resolve(this.names.map((id) => ({ id }))),
    } as unknown as Instances;
    this.names.push(id);
    const standings: Standing[] = [];
    const hub = { standings: () => standings.values() };
    this.sessions.push(sessions);
    this.standings.push(standings);
    this.rosters.push(
      new ClusterSessions({ kv, clock, id, nextId, sessions, instances, hub }),
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
    await closeStore(this.#kv);
  }
}

Deno.test("sessions of every instance are listed, with what an operator wants to know", async () => {
  await using cluster = await Cluster.open(2);
  const alice = cluster.add(0, new FakeConnection("alice", "bot/1.0"));
  const foreign = cluster.add(1);
  foreign.positions = [{ channel: "blocks", seq: 7, lag: 2 }];
  cluster.standings[1]!.push(standing("blocks", { lag: 2 }));
  const page = await cluster.rosters[0]!.list(ALL);
  assert.deepEqual(page, {
    sessions: [{
      id: foreign.id,
      instance: "instance1",
      ip: IP,
      user: null,
      role: "anonymous",
      client: null,
      since: foreign.since,
      channels: [{ channel: "blocks", seq: 7, lag: 2 }],
      subscriptions: 1,
      lag: 2,
    }, {
      id: alice.id,
      instance: "instance0",
      ip: IP,
      user: "alice",
      role: "user",
      client: "bot/1.0",
      since: alice.since,
      channels: [],
      subscriptions: 0,
      lag: 0,
    }],
    next: null,
    connected: 2,
    matched: 2,
    behind: 0,
    lags: { blocks: 2 },
    complete: true,
  });
});

function standing(
  channel: string,
  { subscribers = 1, seq = 1, lag = 0 } = {},
): Standing {
  return { channel, seq, logged: true, subscribers, lag };
}

/** Turns pages until the last. */
async function turn<Row>(
  page: (after: string | null) => Promise<{ rows: Row[]; next: string | null }>,
): Promise<Row[]> {
  const all: Row[] = [];
  let after: string | null = null;
  do {
    const { rows, next }: { rows: Row[]; next: string | null } = await page(
      after,
    );
    all.push(...rows);
    after = next;
  } while (after !== null);
  return all;
}

Deno.test("10,000 sessions of two instances are searched, sorted and paged, each listed once", async () => {
  await using cluster = await Cluster.open(2);
  for (let i = 0; i < 10_000; i++) {
    const one = cluster.add(i % 2, new FakeConnection(`user${i}`, "bot/1"));
    one.positions = [{ channel: "blocks", seq: i, lag: i % 250 }];
  }
  const page =
    (query: Partial<SessionQuery>) => async (after: string | null) => {
      const { sessions, ...sums } = await cluster.rosters[0]!.list({
        ...ALL,
        ...query,
        after: after === null ? undefined : placeIn(after),
      });
      assert.equal(sums.complete, true);
      assert.equal(sums.connected, 10_000);
      assert.equal(sums.behind, 6_000);
      return { ...sums, rows: sessions as SessionInfo[] };
    };
  const all = await turn(page({ limit: 1_000 }));
  assert.equal(new Set(all.map(({ id }) => id)).size, 10_000);
  assert(all.every(({ lag }, i) => i === 0 || lag <= all[i - 1]!.lag));
  const first = await page({ limit: 50 })(null);
  assert.equal(first.rows.length, 50);
  const found = await page({ search: "USER123 blocks" })(null);
  assert.equal(found.matched, 11, "user123 and user1230 to user1239");
  assert.deepEqual(
    await cluster.rosters[0]!.reach({ user: "user7" }),
    { sessions: 1, complete: true },
  );
  assert.deepEqual(
    await cluster.rosters[1]!.reach({ ip: `${IP}/24` }),
    { sessions: 10_000, complete: true },
  );
  assert.deepEqual(
    await cluster.rosters[1]!.reach({ tokenId: "none" }),
    { sessions: 0, complete: true },
  );
});

Deno.test("20,000 rooms are searched, sorted and paged: followed, stored, or both", async () => {
  const clock = new ManualClock();
  await using cluster = await Cluster.open(1, [clock]);
  const { kv } = cluster.store;
  const name = (i: number) => `room:r${String(i).padStart(5, "0")}`;
  const [standings] = cluster.standings;
  for (let i = 0; i < 10_000; i++) {
    standings!.push(standing(name(i), { subscribers: 1 + i % 7, lag: i % 3 }));
  }
  standings!.push(standing("blocks"), standing(name(15_000)));
  for (let i = 10_000; i < 20_000;) {
    let commit = kv.atomic();
    for (const end = i + 500; i < end; i++) {
      commit = commit.set(
        headKey(name(i)),
        encodeHead({ ...UNBORN, epoch: "e", seq: i, at: 1_000 + i }),
      );
    }
    await commit.commit();
  }
  const page = (query: Partial<RoomQuery>) => async (after: string | null) => {
    const { rooms, ...sums } = await cluster.rosters[0]!.rooms({
      ...ROOMS,
      ...query,
      after: after === null ? undefined : placeIn(after),
    });
    assert.deepEqual([sums.total, sums.complete], [20_000, true]);
    return { ...sums, rows: rooms as RoomInfo[] };
  };
  const all = await turn(page({}));
  assert.equal(new Set(all.map(({ room }) => room)).size, 20_000);
  assert(
    all.every(({ followers }, i) => !i || followers <= all[i - 1]!.followers),
  );
  assert.deepEqual(all.find(({ room }) => room === name(15_000)), {
    room: name(15_000),
    followers: 1,
    lag: 0,
    seq: 15_000,
    lastEventAt: 16_000,
  });
  const [newest] = (await page({ sort: "seq" })(null)).rows;
  assert.equal(newest!.room, name(19_999));
  const found = await page({ search: "R1999" })(null);
  assert.equal(found.matched, 10);

  standings!.length = 0;
  const again = () => cluster.rosters[0]!.rooms(ROOMS);
  assert.equal((await again()).rooms[0]!.followers, 7, "the table is kept");
  clock.advance(ROOMS_STAY_MS);
  const [most] = (await again()).rooms;
  assert.equal(most!.followers, 0, "and made again");
});

Deno.test("a page of the largest sessions arrives whole", async () => {
  await using cluster = await Cluster.open(2);
  const positions = Array.from({ length: MAX_TOLD_POSITIONS + 1 }, (_, i) => ({
    channel: `room:${"x".repeat(62)}${i}`,
    seq: Number.MAX_SAFE_INTEGER,
    lag: Number.MAX_SAFE_INTEGER,
  }));
  for (let i = 0; i < MAX_PAGE; i++) {
    // Texts beyond Latin take two bytes a letter.
    const one = new FakeConnection("ж".repeat(256), "ж".repeat(128));
    one.positions = positions;
    cluster.add(1, one);
  }
  const { sessions, complete } = await cluster.rosters[0]!.list(ALL);
  assert.deepEqual([sessions.length, complete], [MAX_PAGE, true]);
  for (const { channels, subscriptions } of sessions) {
    assert.equal(channels.length, MAX_TOLD_POSITIONS);
    assert.equal(subscriptions, MAX_TOLD_POSITIONS + 1);
  }
});

Deno.test("a single instance sends no requests to others", async () => {
  await using cluster = await Cluster.open(1, [new ManualClock()]);
  // It looks when it begins, and when its watch does.
  await until(() => cluster.store.operations >= 2, "both looks");
  await settle();
  const { operations } = cluster.store;
  cluster.add(0);
  const { sessions, complete } = await cluster.rosters[0]!.list(ALL);
  assert.deepEqual([sessions.length, complete], [1, true]);
  assert.equal(cluster.store.operations, operations);
});

Deno.test("an instance that does not answer in time is missed, not waited for", async () => {
  await using cluster = await Cluster.open(2);
  cluster.add(1);
  cluster.names.push("gone");
  const { sessions, complete } = await cluster.rosters[0]!.list(ALL);
  assert.deepEqual([sessions.length, complete], [1, false]);
});

Deno.test("everyone may ask at once, and each gets a whole answer", async () => {
  await using cluster = await Cluster.open(3);
  for (const at of [0, 1, 1, 2]) cluster.add(at);
  const answers = await Promise.all(
    [0, 1, 2, 0, 1, 2].map((at) => cluster.rosters[at]!.list(ALL)),
  );
  for (const { sessions, complete } of answers) {
    assert.deepEqual([sessions.length, complete], [4, true]);
  }
});

Deno.test("a client is disconnected wherever it is, with the reason; the others stay", async () => {
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

Deno.test("a file that another instance holds delays an order, and loses none", async () => {
  await using cluster = await Cluster.open(2);
  const client = cluster.add(1);
  cluster.store.lockedFor = 4;
  await cluster.rosters[0]!.disconnect(client.id);
  await until(() => client.ended !== undefined, "the order arrives");
});

Deno.test("while the store is down an order is refused; afterwards the next one applies", async () => {
  await using cluster = await Cluster.open(2);
  const client = cluster.add(1);
  cluster.store.isAway = true;
  await assert.rejects(cluster.rosters[0]!.disconnect(client.id), /away/);
  await assert.rejects(cluster.rosters[0]!.list(ALL), /away/);
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
      const { sessions, complete } = await roster.list(ALL);
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
  await cluster.rosters[0]!.list(ALL);
  assert.equal(await callsAnsweredBy("instance1"), 1);
  cluster.join();
  // Its first look is over when it answers what is asked after that.
  await until(
    async () => (await cluster.rosters[0]!.list(ALL)).complete,
    "the newcomer answers",
  );
  const asked = await callsAnsweredBy("instance1");
  assert(await callsAnsweredBy("instance2") < asked);
});
