import assert from "node:assert/strict";
import fc from "fast-check";
import { asking } from "../asking.ts";
import { idSource } from "../../protocol/envelope.ts";
import {
  MAX_FILTER_CLAUSES,
  MAX_FILTER_VALUES,
} from "../../protocol/filters.ts";
import {
  FilterBudget,
  FilterShare,
  MAX_ADDRESS_VALUES,
  MAX_CONNECTION_VALUES,
  MAX_FILTERED_SUBSCRIPTIONS,
  MAX_INSTANCE_VALUES,
} from "../../realtime/filter_budget.ts";
import { History } from "../../realtime/history.ts";
import { Hub } from "../../realtime/hub.ts";
import { JSON_CODEC } from "../../realtime/json_codec.ts";
import { Session } from "../../realtime/session.ts";
import { StoredEventLog } from "../../store/stored_event_log.ts";
import { ManualClock, pass } from "../fakes/clock.ts";
import { CALM, MemoryKv } from "../fakes/kv.ts";
import { FakePeer } from "../fakes/peer.ts";
import type { Seen } from "../fakes/peer.ts";
import { txReceived } from "../transactions.ts";

/** A publisher's session on a service of its own. */
function bench({ ringEvents = 1_024 } = {}) {
  const clock = new ManualClock();
  const kv = new MemoryKv(clock).connect({ weather: () => CALM });
  const nextId = idSource();
  const retention = () => ({ events: 10_000, ms: 3_600_000 });
  const log = new StoredEventLog({ store: kv, clock, nextId, retention });
  const delivered: [string, number][] = [];
  const hub = new Hub({
    log,
    links: [],
    clock,
    nextId,
    ringEvents,
    observer: {
      flushed: (channel, deliveries) => delivered.push([channel, deliveries]),
    },
  });
  const bugs: unknown[] = [];
  const parts = {
    hub,
    history: new History(hub),
    ...asking(hub, clock),
    clock,
    nextId,
    maxMessageBytes: 65_536,
    schema: "hash",
    requireAuth: false,
    measure: () => Promise.resolve({}),
    report: (error: unknown) => void bugs.push(error),
  };
  const connect = () => {
    const peer = new FakePeer();
    const session = new Session(peer, parts, {
      principal: {
        identity: { isAuthenticated: true, user: "p", role: "publisher" },
        expiresAt: undefined,
        isRevoked: () => false,
        mayRead: () => true,
        mayPublish: () => true,
      },
      codec: JSON_CODEC,
      guard: {
        address: "192.0.2.1",
        admit: () => 0,
        spend: () => {},
        authenticate: () => Promise.reject(new Error("not asked")),
        refused: () => {},
      },
    });
    session.open();
    return { peer, session };
  };
  const { peer, session } = connect();
  let asked = 0;
  const ask = async (type: string, payload: unknown): Promise<Seen> => {
    const id = `q${asked++}`;
    session.receive(JSON.stringify({ type, id, payload }));
    await pass(clock, 200);
    const answer = peer.seen.find(({ ref }) => ref === id);
    assert(answer, `no answer to ${type}`);
    return answer;
  };
  const subscribe = (...channels: unknown[]) => ask("subscribe", { channels });
  let n = 0;
  const transfer = async (from: string, to = "0xf") => {
    const answer = await ask(
      "TX_RECEIVED",
      txReceived({ txId: `t${n++}`, from, to, status: "pending" }).payload,
    );
    assert.equal(answer.type, "published", JSON.stringify(answer));
  };
  const end = () => {
    session.end();
    hub[Symbol.dispose]();
    assert.deepEqual(bugs, []);
  };
  return {
    hub,
    peer,
    session,
    delivered,
    connect,
    ask,
    subscribe,
    transfer,
    end,
  };
}

type Event = Seen & { prev?: number; sub?: string };

const mine = (filter: unknown, rest: object = {}) => ({
  channel: "transactions",
  as: "mine",
  filter,
  ...rest,
});
const many = (count: number, prefix = "v") =>
  Array.from({ length: count }, (_, i) => `${prefix}${i}`);

Deno.test("subscribe answers a filtered subscription with its name and size; addresses match in any case", async () => {
  const { peer, subscribe, ask, transfer, end } = bench();
  const { payload } = await subscribe(
    mine({
      any: [{ address: ["0xA", "0xa", "0xB"] }, {
        from: "0xC",
        status: "pending",
      }],
    }),
    { channel: "transactions", filter: { txId: "t2" } },
  );
  assert.deepEqual(
    payload.channels.map((
      it: Record<string, unknown>,
    ) => [it["channel"], it["as"], it["filtered"]]),
    [
      ["transactions", "mine", { values: 4 }],
      ["transactions", undefined, { values: 1 }],
    ],
  );
  for (const from of ["0xa", "0xd", "0xc", "0xAb"]) await transfer(from);
  const events = peer.of("TX_RECEIVED") as Event[];
  assert.deepEqual(
    events.map(({ seq, prev, sub }) => [seq, prev, sub]),
    [[1, 0, "mine"], [3, 1, "mine"], [3, 0, undefined]],
  );
  const left = await ask("unsubscribe", { channels: ["mine", "transactions"] });
  assert.deepEqual(left.payload.channels, ["mine", "transactions"]);
  await transfer("0xa");
  assert.equal(peer.of("TX_RECEIVED").length, 3);
  end();
});

Deno.test("what is wrong with a filter is refused with its place and what there is", async () => {
  const { subscribe, ask, end } = bench();
  const issuesOf = async (entry: object) => {
    const { type, payload } = await subscribe(entry);
    assert.equal(type, "error");
    assert.equal(payload.code, "INVALID_SUBSCRIPTION");
    return payload.issues.map((it: { path: string; message: string }) =>
      `${it.path}: ${it.message}`
    );
  };
  assert.deepEqual(
    await issuesOf(mine({ any: [{ to: "a" }, { height: "1" }] })),
    [
      "payload.channels.0.filter.any.1.height: transactions can be filtered by address, from, to, token, txId, status",
    ],
  );
  assert.deepEqual(
    await issuesOf({ channel: "metrics", filter: { a: "b" } }),
    ["payload.channels.0.filter.a: metrics cannot be filtered"],
  );
  assert.match((await issuesOf(mine({})))[0]!, /expected a field: address/);
  assert.match(
    (await issuesOf({ channel: "blocks", as: "mine" }))[0]!,
    /channels\.0\.as: names a filtered/,
  );
  assert.match(
    (await issuesOf(mine({ to: "a" }, { as: "room:a" })))[0]!,
    /name of a channel/,
  );
  const values = (count: number) => mine({ to: many(count) });
  assert.equal((await subscribe(values(MAX_FILTER_VALUES))).type, "subscribed");
  await issuesOf(values(MAX_FILTER_VALUES + 1));
  assert.match(
    (await issuesOf(mine({ to: many(MAX_FILTER_VALUES), from: "a" })))[0]!,
    /at most 1000 values/,
  );
  const clauses = (count: number) => ({
    any: many(count).map((to) => ({ to })),
  });
  const fits = await subscribe(mine(clauses(MAX_FILTER_CLAUSES)));
  assert.equal(fits.type, "subscribed");
  await issuesOf(mine(clauses(MAX_FILTER_CLAUSES + 1)));
  const unknown = await ask("watch", { as: "other", add: ["a"] });
  assert.equal(unknown.payload.code, "INVALID_SUBSCRIPTION");
  const clause = await ask("watch", { as: "mine", add: ["a"] });
  assert.match(clause.payload.issues[0].message, /several clauses/);
  await subscribe(mine({ to: "a", status: "pending" }));
  const field = await ask("watch", { as: "mine", add: ["a"] });
  assert.deepEqual(field.payload.issues, [
    { path: "payload.field", message: "expected one of to, status" },
  ]);
  end();
});

Deno.test("watch edits values in place, from the position it answers", async () => {
  const { peer, subscribe, ask, transfer, end } = bench();
  await subscribe(mine({ address: ["0xa", "0xb"] }));
  await transfer("0xc");
  await transfer("0xb");
  const { payload } = await ask("watch", {
    as: "mine",
    add: ["0xC", "0xa", ""],
    remove: ["0xB", "0xd"],
  });
  assert.equal(payload.from.seq, 2);
  assert.deepEqual(
    { ...payload, from: undefined },
    {
      as: "mine",
      field: "address",
      from: undefined,
      added: ["0xc"],
      removed: ["0xb"],
      rejected: [{ item: "", code: "INVALID_PAYLOAD" }],
      size: 2,
    },
  );
  for (const from of ["0xb", "0xc", "0xa"]) await transfer(from);
  const events = peer.of("TX_RECEIVED") as Event[];
  assert.deepEqual(events.map(({ seq, prev }) => [seq, prev]), [
    [2, 0],
    [4, 2],
    [5, 4],
  ]);
  end();
});

Deno.test("with after, events missed by the added items precede the reply, from the log and the ring", async () => {
  for (const ringEvents of [4, 1_024]) {
    const { peer, subscribe, ask, transfer, end } = bench({ ringEvents });
    const { payload } = await subscribe(mine({ address: "0xa" }));
    const { epoch } = payload.channels[0];
    for (let i = 0; i < 4; i++) {
      for (const from of ["0xa", "0xb", "0xc"]) await transfer(from);
    }
    const head = { epoch: peer.of("TX_RECEIVED")[0]!.epoch ?? epoch, seq: 4 };
    const before = peer.seen.length;
    const answer = await ask("watch", {
      as: "mine",
      add: ["0xB"],
      after: head,
    });
    assert.equal(answer.payload.from.seq, 12);
    const frames = peer.seen.slice(before) as Event[];
    const at = frames.findIndex(({ type }) => type === "watched");
    assert.deepEqual(
      frames.slice(0, at).map((
        { seq, replay, sub, prev },
      ) => [seq, replay, sub, prev]),
      [5, 8, 11].map((seq) => [seq, true, "mine", undefined]),
    );
    await transfer("0xb");
    const last = peer.of("TX_RECEIVED").at(-1) as Event;
    assert.deepEqual([last.seq, last.prev, last.replay], [13, 10, undefined]);
    end();
  }
});

Deno.test("deliveries are counted as they are, whether filtered or not", async () => {
  const { subscribe, transfer, delivered, hub, end } = bench();
  await subscribe(
    mine({ address: ["0xa", "0xb"] }),
    { channel: "transactions", as: "other", filter: { address: "0xb" } },
  );
  assert.equal(hub.subscribers("transactions"), 2);
  for (const from of ["0xa", "0xb", "0xc"]) await transfer(from);
  await subscribe("transactions");
  await transfer("0xa");
  assert.deepEqual(delivered.map(([, count]) => count), [1, 2, 2]);
  end();
});

Deno.test("a ping is answered with where quiet subscriptions are", async () => {
  const { peer, subscribe, ask, transfer, end } = bench();
  await subscribe(mine({ address: "0xa" }));
  await transfer("0xb");
  await ask("ping", {});
  assert.deepEqual(peer.seen.slice(-2).map(({ type }) => type), [
    "pong",
    "progress",
  ]);
  const [position] = peer.of("progress")[0]!.payload.positions;
  assert.deepEqual([position.as, position.seq], ["mine", 1]);
  end();
});

Deno.test("a connection holds a bounded number of filtered subscriptions and values", async () => {
  const { hub, subscribe, ask, connect, session, end } = bench();
  const { filters } = hub.outboxParts;
  const entry = (i: number, count: number) => ({
    channel: "transactions",
    as: `s${i}`,
    filter: { to: many(count) },
  });
  for (let i = 0; i < 10; i++) {
    const { payload } = await subscribe(entry(i, MAX_CONNECTION_VALUES / 10));
    assert.deepEqual(payload.rejected, []);
  }
  assert.equal(filters.total, MAX_CONNECTION_VALUES);
  const { payload } = await subscribe(entry(10, 1));
  assert.deepEqual(payload, {
    channels: [],
    rejected: [
      { channel: "transactions", as: "s10", code: "TOO_MANY_SUBSCRIPTIONS" },
    ],
  });
  const full = await ask("watch", { as: "s0", add: ["more"] });
  assert.deepEqual(
    [full.payload.added, full.payload.rejected, full.payload.size],
    [[], [{ item: "more", code: "TOO_MANY_SUBSCRIPTIONS" }], MAX_FILTER_VALUES],
  );
  await ask("watch", { as: "s0", remove: many(100) });
  const fits = await ask("watch", { as: "s1", remove: ["v0"], add: ["more"] });
  assert.deepEqual(fits.payload.added, ["more"]);
  for (let i = 10; i < MAX_FILTERED_SUBSCRIPTIONS; i++) {
    assert.equal((await subscribe(entry(i, 1))).payload.channels.length, 1);
  }
  const more = await subscribe(entry(MAX_FILTERED_SUBSCRIPTIONS, 1));
  assert.equal(more.payload.rejected[0].code, "TOO_MANY_SUBSCRIPTIONS");
  // The same name again replaces; unfiltered ones are not counted.
  assert.equal(
    (await subscribe(entry(3, 2), "blocks")).payload.channels.length,
    2,
  );
  const other = connect();
  other.session.end();
  await ask("unsubscribe", { channels: ["s1"] });
  assert.equal(
    filters.total,
    MAX_CONNECTION_VALUES - 100 - 2 * 1_000 + 2 + 6,
  );
  session.end();
  assert.equal(filters.total, 0);
  assert.equal(filters.of("192.0.2.1"), 0);
  end();
});

Deno.test("addresses and the instance hold a bounded number of values, and connections give back what they held", () => {
  const budget = new FilterBudget({ address: 10, instance: 15 });
  const one = new FilterShare(budget, "a");
  const two = new FilterShare(budget, "a");
  const three = new FilterShare(budget, "b");
  assert(one.set("x", 6));
  assert(!two.set("x", 5), "the share of the address");
  assert(two.set("x", 4));
  assert(!three.set("x", 6), "the bound of the instance");
  assert(three.set("x", 5));
  assert(!one.set("x", 7));
  assert(one.set("x", 2));
  assert(two.set("x", 8));
  one.clear();
  two.delete("x");
  two.delete("x");
  assert.deepEqual([budget.total, budget.of("a"), budget.of("b")], [5, 0, 5]);
  const own = new FilterBudget();
  assert(own.change("a", MAX_ADDRESS_VALUES));
  assert(!own.change("a", 1));
  for (let i = 1; i < MAX_INSTANCE_VALUES / MAX_ADDRESS_VALUES; i++) {
    assert(own.change(`a${i}`, MAX_ADDRESS_VALUES));
  }
  assert(!own.change("z", 1));
});

Deno.test("a FilterBudget always holds what its connections hold", () => {
  const name = fc.constantFrom("x", "y", "z");
  const change = fc.tuple(fc.nat(3), name, fc.option(fc.nat(8)));
  fc.assert(
    fc.property(fc.array(change), (changes) => {
      const budget = new FilterBudget({ address: 20, instance: 30 });
      const addresses = ["a", "a", "b", "c"];
      const shares = addresses.map((it) => new FilterShare(budget, it));
      const held = shares.map(() => new Map<string, number>());
      for (const [i, name, values] of changes) {
        if (values === null) {
          shares[i]!.delete(name);
          held[i]!.delete(name);
        } else if (shares[i]!.set(name, values)) held[i]!.set(name, values);
        const sums = held.map((it) =>
          [...it.values()].reduce((a, b) => a + b, 0)
        );
        assert.equal(budget.total, sums.reduce((a, b) => a + b, 0));
        assert.equal(budget.of("a"), sums[0]! + sums[1]!);
        assert(budget.total <= 30 && budget.of("a") <= 20);
      }
    }),
  );
});
