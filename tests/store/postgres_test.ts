import assert from "node:assert/strict";
import { pause } from "../../platform/pause.ts";
import { type Clock, systemClock } from "../../platform/clock.ts";
import { TimedOut } from "../../platform/deadline.ts";
import { openPostgres } from "../../store/postgres.ts";
import { connect, NewerStore } from "../../store/postgres_connection.ts";
import { MIGRATIONS } from "../../store/postgres_schema.ts";
import {
  SWEEP_AGAIN_MS,
  SWEEP_MS,
  SWEEP_ROWS,
} from "../../store/postgres_sweep.ts";
import { CALL_DEADLINE_MS, isBusy } from "../../store/store.ts";
import { testStore } from "../contracts/store_contract.ts";
import { ManualClock } from "../fakes/clock.ts";
import { TestPostgres } from "../postgres.ts";
import { BlackHole } from "../faults/black_hole.ts";
import { until } from "../until.ts";
import { nextSchema, openTogether, serverOf, versions } from "./databases.ts";

Deno.test({
  name: "PostgreSQL comes with npm on this platform, or is installed",
  ignore: versions.length > 0,
  fn: () => {},
});

Deno.test("of several hosts PostgreSQL's primary is used, from the URL or the environment", () => {
  // Nothing connects before something is asked.
  const asksFor = (url: string) => {
    const { reads, commits } = connect(url, true);
    const asked = reads.options.target_session_attrs;
    assert.equal(commits.options.target_session_attrs, asked);
    return asked;
  };
  assert.equal(asksFor("postgres://u@a,b:5433/d"), "primary");
  assert.equal(asksFor("postgres://u@a/d"), undefined);
  const before = Deno.env.get("PGHOST");
  try {
    Deno.env.set("PGHOST", "a,b");
    assert.equal(asksFor("postgres:"), "primary");
    Deno.env.set("PGHOST", "a");
    assert.equal(asksFor("postgres:"), undefined);
  } finally {
    if (before === undefined) Deno.env.delete("PGHOST");
    else Deno.env.set("PGHOST", before);
  }
});

for (const version of versions) {
  const { name } = version;
  const urlOf = () => serverOf(name).url;

  testStore({
    name: `PostgreSQL ${name}`,
    async open() {
      const [store, other] = await openTogether(name, 2);
      return {
        store: store!,
        other: other!,
        async [Symbol.asyncDispose]() {
          await store!.close();
          await other!.close();
        },
      };
    },
  });

  Deno.test(`PostgreSQL ${name} makes its tables once, however many start together`, async () => {
    const schema = nextSchema();
    const stores = await Promise.all(
      Array.from({ length: 6 }, () => openPostgres(urlOf(), { schema })),
    );
    await stores[0]!.set(["a"], 1);
    assert.equal((await stores[5]!.get(["a"])).value, 1);
    for (const store of stores) await store.close();
  });

  Deno.test(`PostgreSQL ${name} refuses tables of a later version, and reports it`, async () => {
    const schema = nextSchema();
    await (await openPostgres(urlOf(), { schema })).close();
    const later = MIGRATIONS.length + 1;
    await serverOf(name).query(
      `update ${schema}.version set made = ${later}`,
    );
    await assert.rejects(
      openPostgres(urlOf(), { schema }),
      (error) =>
        error instanceof NewerStore &&
        error.message.includes(`version ${later}`),
    );
  });

  Deno.test(`PostgreSQL ${name} orders a set without a check against a check of the same key`, async () => {
    const schema = nextSchema();
    const store = await openPostgres(urlOf(), { schema });
    const other = await openPostgres(urlOf(), { schema });
    const tried = async <T>(work: () => Promise<T>): Promise<T> => {
      for (;;) {
        try {
          return await work();
        } catch (error) {
          if (!isBusy(error)) throw error;
        }
      }
    };
    for (let round = 0; round < 200; round++) {
      const key = ["race", round % 2 ? "there" : round];
      const seen = await store.get(key);
      const [checked] = await Promise.all([
        tried(() => store.atomic().check(seen).set(key, "checked").commit()),
        tried(() => other.set(key, "unchecked")),
      ]);
      // Either the check came first, and its write was overwritten, or it
      // failed: what was written without a check is never lost.
      const { value } = await store.get(key);
      assert.equal(value, "unchecked", `round ${round}, ok ${checked.ok}`);
    }
    await store.close();
    await other.close();
  });

  Deno.test(`PostgreSQL ${name} announces what was committed, and nothing else`, async () => {
    const schema = nextSchema();
    const store = await openPostgres(urlOf(), { schema });
    const other = await openPostgres(urlOf(), { schema });
    const received: string[] = [];
    const { promise, resolve } = Promise.withResolvers<void>();
    const ready = Promise.withResolvers<void>();
    other.announcements.listen((text) => {
      if (text === undefined) return ready.resolve();
      received.push(text);
      if (text === "last") resolve();
    });
    await ready.promise;
    const absent = await store.get(["a"]);
    await store.set(["a"], 1);
    const announced = (text: string) => {
      const commit = store.atomic().set(["a"], 2);
      store.announcements.attach(commit, text);
      return commit;
    };
    await announced("lost").check(absent).commit();
    await announced("first").commit();
    await announced("last").commit();
    await promise;
    assert.deepEqual(received, ["first", "last"]);
    await store.close();
    await other.close();
  });

  Deno.test(`PostgreSQL ${name} reports its state`, async () => {
    const store = await openPostgres(urlOf(), { schema: nextSchema() });
    const state = await store.state();
    assert.deepEqual([state.isPrimary, state.isSynchronous], [true, false]);
    assert(state.bytes > 0);
    await store.close();
  });

  Deno.test(`PostgreSQL ${name} deletes what has expired as fast as it is written`, async () => {
    const manual = new ManualClock();
    let again = 0;
    const clock: Pick<Clock, "after" | "monotonic"> = {
      monotonic: () => manual.monotonic(),
      after(ms, work) {
        if (ms === SWEEP_AGAIN_MS) again++;
        else if (ms !== CALL_DEADLINE_MS) return manual.after(ms, work);
        return systemClock.after(ms, work);
      },
    };
    const schema = nextSchema();
    await using store = await openPostgres(urlOf(), { schema, clock });
    for (let commit = 0; commit < 5; commit++) {
      const rows = store.atomic();
      for (let i = 0; i < SWEEP_ROWS / 2; i++) {
        rows.set(["short", commit, i], i, { expireIn: 1 });
      }
      await rows.commit();
    }
    await store.set(["long"], 1, { expireIn: 3_600_000 });
    await store.set(["for good"], 1);
    const rows = async () => {
      const [row] = await serverOf(name).query(
        `select count(*) from ${schema}.kv`,
      );
      return Number(row!["count"]);
    };
    manual.advance(SWEEP_MS * 1.5);
    await until(
      async () => await rows() === 2,
      "only what has not expired is left",
    );
    assert.equal(again, 2, "two statements left some");
  });

  Deno.test(`PostgreSQL ${name} acknowledges nothing that its standby lacks, and reads on while commits wait`, async () => {
    await using server = await TestPostgres.start(version);
    await using standby = await server.standby("b");
    await using store = await openPostgres(server.url);
    await server.synchronize("ANY 1 (b)");
    await until(
      async () => (await store.state()).standbys === 1,
      "the standby is there",
    );
    await store.set(["before"], 1);
    await standby.stop("SIGKILL");
    await until(
      async () => (await store.state()).standbys === 0,
      "the standby is gone",
    );
    // More than there are connections for.
    const waiting = Array.from(
      { length: 8 },
      (_, i) => assert.rejects(store.set(["waiting", i], i), TimedOut),
    );
    await Promise.all(waiting);
    assert.equal((await store.get(["before"])).value, 1);
    const seen = await Array.fromAsync(store.list({ prefix: ["waiting"] }));
    assert.deepEqual(seen, [], "what only the primary has is not shown");

    await standby.begin();
    await until(
      () => store.set(["after"], 1).then(() => true, () => false),
      "commits go on",
    );
    const kept = await Array.fromAsync(store.list({ prefix: ["waiting"] }));
    assert(kept.length < waiting.length, "what was not sent was withdrawn");
  });

  Deno.test({
    name: `PostgreSQL ${name} connects again where its connections fell silent`,
    // What the client asked to cancel on the dead line waits for an answer.
    sanitizeOps: false,
    sanitizeResources: false,
    async fn() {
      await using network = new BlackHole(serverOf(name).port);
      const { pathname, username } = new URL(urlOf());
      const url = `postgres://${username}@127.0.0.1:${network.port}${pathname}`;
      await using store = await openPostgres(url, { schema: nextSchema() });
      const { promise: announced, resolve } = Promise.withResolvers<void>();
      store.announcements.listen((text) => text === "announced" && resolve());
      await store.set(["a"], 1);
      network.cut();
      await assert.rejects(store.get(["a"]), TimedOut);
      await assert.rejects(store.set(["a"], 2), TimedOut);
      network.forget();
      const answers = () => store.get(["a"]).then(() => true, () => false);
      await until(answers, "the store answers");
      const commit = store.atomic().set(["a"], 3);
      store.announcements.attach(commit, "announced");
      await commit.commit();
      assert.equal((await store.get(["a"])).value, 3);
      // It listens again, too.
      await until(async () => {
        const again = store.atomic().set(["b"], 1);
        store.announcements.attach(again, "announced");
        await again.commit();
        return await Promise.race([
          announced.then(() => true),
          pause(systemClock, 50),
        ]) ===
          true;
      }, "an announcement");
    },
  });

  Deno.test(`PostgreSQL ${name} gives no read the answer of one whose deadline was over`, async () => {
    await using network = new BlackHole(serverOf(name).port);
    const { pathname, username } = new URL(urlOf());
    const url = `postgres://${username}@127.0.0.1:${network.port}${pathname}`;
    await using store = await openPostgres(url, { schema: nextSchema() });
    const commit = store.atomic();
    for (let i = 0; i < 100; i++) commit.set(["n", i], i);
    await commit.commit();
    network.cut();
    const late = Array.from(
      { length: 20 },
      (_, i) => assert.rejects(store.get(["n", i]), TimedOut),
    );
    await Promise.all(late);
    const begun = Array.from(
      { length: 20 },
      (_, i) => store.get(["n", 50 + i]),
    );
    network.mend();
    for (const [i, found] of (await Promise.allSettled(begun)).entries()) {
      if (found.status === "fulfilled") assert.equal(found.value.value, 50 + i);
    }
    for (let i = 0; i < 100; i++) {
      const found = await store.get(["n", i]).catch((error) => error);
      if (!isBusy(found)) assert.equal(found.value, i);
    }
  });

  Deno.test(`PostgreSQL ${name} comes back after it was killed, and answers in time meanwhile`, async () => {
    await using server = await TestPostgres.start(version);
    const store = await openPostgres(server.url, { schema: nextSchema() });
    await store.set(["a"], 1);
    await server.stop("SIGKILL");
    const answers = () => store.get(["a"]).then(() => true, () => false);
    const takes = (_: unknown, i: number) =>
      store.set(["b", i], 1).then(() => true, () => false);
    // Its children may live a moment longer: every connection is asked.
    const all = () =>
      Promise.all([
        ...Array.from({ length: 20 }, answers),
        ...Array.from({ length: 20 }, takes),
      ]);
    await until(
      async () => !(await all()).includes(true),
      "the server is gone",
    );
    await assert.rejects(store.set(["a"], 2));
    await server.begin();
    await until(
      async () => !(await all()).includes(false),
      "the server is back",
    );
    assert.equal((await store.get(["a"])).value, 1);
    await store.set(["a"], 3);
    assert.equal((await store.get(["a"])).value, 3);
    await store.close();
  });
}
