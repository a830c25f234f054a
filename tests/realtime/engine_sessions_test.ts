import assert from "node:assert/strict";
import { EngineConnection } from "../../realtime/engine_io.ts";
import {
  EngineSessions,
  FORWARD_MS,
  MAX_FORWARDS,
  MAX_FORWARDS_PER_ADDRESS,
  TAKEN_MS,
} from "../../realtime/engine_sessions.ts";
import { ManualClock } from "../fakes/clock.ts";
import { until } from "../until.ts";

/** Instances on a channel of their own. */
function cluster(...names: readonly string[]) {
  const clock = new ManualClock();
  const channel = crypto.randomUUID();
  const all = names.map((instance) =>
    new EngineSessions({ instance, clock, instances: names.length, channel })
  );
  return {
    clock,
    channel,
    all,
    [Symbol.dispose]() {
      for (const each of all) each[Symbol.dispose]();
    },
  };
}

/** A connection that polls, held by `sessions`. */
async function polled(sessions: EngineSessions, clock: ManualClock) {
  const messages: unknown[] = [];
  const state = { closed: false };
  const engine = new EngineConnection(
    clock,
    { sid: sessions.newSid(), maxPayload: 1_000 },
    {
      message: (data) => void messages.push(data),
      closed: () => {
        state.closed = true;
        sessions.remove(engine);
      },
    },
  );
  sessions.add(engine);
  engine.open();
  await engine.poll();
  return { engine, messages, state };
}

const from = (address: string, signal = new AbortController().signal) => ({
  address,
  signal,
});
const POLL = { kind: "poll" } as const;

Deno.test("names are secrets, and hold their owner", () => {
  using here = cluster("one");
  const names = new Set(
    Array.from({ length: 100 }, () => here.all[0]!.newSid()),
  );
  assert.equal(names.size, 100);
  for (const name of names) assert.match(name, /^one\.[\w-]{24}$/);
});

Deno.test("a request is answered by the instance that owns its name", async () => {
  using group = cluster("one", "two", "three");
  const [one, two] = group.all as [EngineSessions, EngineSessions];
  const { engine, messages } = await polled(one, group.clock);

  const answer = two.ask(engine.sid, POLL, from("a"));
  assert.equal(
    await two.ask(engine.sid, { kind: "post", body: "4hello" }, from("a")),
    "ok",
  );
  assert.deepEqual(messages, ["hello"]);
  engine.send("4back");
  group.clock.advance(0);
  assert.equal(await answer, "4back");
  await assert.rejects(
    two.ask(engine.sid, { kind: "post", body: "garbage" }, from("a")),
    { code: "INVALID_MESSAGE", message: "Body does not match Engine.IO" },
  );
  await assert.rejects(two.ask(engine.sid, POLL, from("a")), {
    message: "This session is not known",
  });
});

Deno.test("a client that gives up its poll gives up its session, wherever it is", async () => {
  using group = cluster("one", "two");
  const [one, two] = group.all as [EngineSessions, EngineSessions];
  for (const asked of [one, two]) {
    const { engine, state } = await polled(one, group.clock);
    const client = new AbortController();
    const answer = asked.ask(engine.sid, POLL, from("a", client.signal));
    answer.catch(() => {});
    // The other instance has taken it once it refuses a second one.
    await asked.ask(engine.sid, { kind: "post", body: "4x" }, from("a"));
    client.abort();
    await until(() => state.closed, "the session ends");
    assert.equal(one.size, 0);
  }
});

Deno.test("an instance that does not answer costs its deadline, no more", async () => {
  using group = cluster("one", "two");
  const [one, two] = group.all as [EngineSessions, EngineSessions];
  const unknown = { code: "INVALID_MESSAGE", message: /not known/ };
  const gone = two.ask(`gone.${"x".repeat(24)}`, POLL, from("a"));
  group.clock.advance(TAKEN_MS);
  await assert.rejects(gone, unknown);

  const { engine } = await polled(one, group.clock);
  const taken = two.ask(engine.sid, POLL, from("a"));
  await two.ask(engine.sid, { kind: "post", body: "4x" }, from("a"));
  let isOver = false;
  taken.catch(() => {}).finally(() => isOver = true);
  group.clock.advance(TAKEN_MS);
  await Promise.resolve();
  assert(!isOver, "it was taken: a poll may wait");
  // The ping of the connection answers it well before.
  group.clock.advance(FORWARD_MS / 2);
  assert.equal(await taken, "2");

  for (
    const bad of ["", "x", `two.${"x".repeat(24)}`, `../.${"x".repeat(24)}`]
  ) {
    await assert.rejects(two.ask(bad, POLL, from("a")), unknown);
  }
});

Deno.test("a single instance of a process sends no requests to others", async () => {
  using group = cluster("one");
  await assert.rejects(
    group.all[0]!.ask(`two.${"x".repeat(24)}`, POLL, from("a")),
    { message: "This session is not known" },
  );
});

Deno.test("what is forwarded is bounded, with a share for each address", async () => {
  using group = cluster("one", "two");
  const [one] = group.all as [EngineSessions];
  const sid = `two.${"x".repeat(24)}`;
  const pending: Promise<unknown>[] = [];
  const ask = (address: string) => one.ask(sid, POLL, from(address));
  const fill = (address: string, count: number) => {
    for (let i = 0; i < count; i++) {
      const answer = ask(address);
      pending.push(answer.catch(() => {}));
    }
  };
  fill("a", MAX_FORWARDS_PER_ADDRESS);
  await assert.rejects(ask("a"), { code: "RATE_LIMITED" });
  // Half is anybody's, the rest for addresses that forward nothing.
  const half = MAX_FORWARDS / 2;
  fill("b", 1);
  for (let n = 2; n < half / MAX_FORWARDS_PER_ADDRESS; n++) {
    fill(`b${n}`, MAX_FORWARDS_PER_ADDRESS);
  }
  fill("c", MAX_FORWARDS_PER_ADDRESS - 1);
  await assert.rejects(ask("b"), { code: "RATE_LIMITED" });
  for (let n = 0; n < half; n++) fill(`d${n}`, 1);
  await assert.rejects(ask("e"), { code: "RATE_LIMITED" });
  group.clock.advance(TAKEN_MS);
  await Promise.all(pending);
  const again = ask("a");
  group.clock.advance(TAKEN_MS);
  await assert.rejects(again, { code: "INVALID_MESSAGE" });
});

Deno.test("posts of other programs on the channel are ignored", async () => {
  using group = cluster("one", "two");
  const [one, two] = group.all as [EngineSessions, EngineSessions];
  const { engine, messages } = await polled(one, group.clock);
  await two.ask(engine.sid, { kind: "post", body: "4first" }, from("a"));
  const other = new BroadcastChannel(group.channel);
  for (
    const post of [
      null,
      7,
      {},
      { to: "one", from: "x", number: 1, kind: "poll" },
      {
        to: "one",
        from: "x",
        number: "1",
        kind: "post",
        sid: engine.sid,
        body: "4x",
      },
      { to: "two", from: "x", number: 1, kind: "refusal", code: "toString" },
      { to: "two", from: "x", number: 99, kind: "answer", body: "4x" },
      { to: "one", from: "x", number: 1, kind: "unknown", sid: engine.sid },
    ]
  ) other.postMessage(post);
  await two.ask(engine.sid, { kind: "post", body: "4last" }, from("a"));
  assert.deepEqual(messages, ["first", "last"]);
  other.close();
});
