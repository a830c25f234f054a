import assert from "node:assert/strict";
import fc from "fast-check";
import { asking } from "../asking.ts";
import { idSource } from "../../protocol/envelope.ts";
import { Refusal, REFUSALS } from "../../protocol/refusals.ts";
import type { RefusalCode } from "../../protocol/refusals.ts";
import type { Role } from "../../protocol/channels.ts";
import type { Principal } from "../../security/principal.ts";
import { History } from "../../realtime/history.ts";
import { Hub } from "../../realtime/hub.ts";
import { StoredEventLog } from "../../store/stored_event_log.ts";
import {
  MAX_COMMANDS_IN_FLIGHT,
  MAX_PUBLISHES_IN_FLIGHT,
} from "../../realtime/command_queue.ts";
import { JSON_CODEC } from "../../realtime/json_codec.ts";
import {
  CHANNELS_PER_MESSAGE,
  READ_LENGTH_PER_MESSAGE,
} from "../../realtime/prices.ts";
import { STALL_MS } from "../../realtime/outbox.ts";
import { HIGH_WATER_BYTES } from "../../realtime/sink.ts";
import { TICK_MS } from "../../realtime/pace.ts";
import {
  AUTH_DEADLINE_MS,
  MAX_FAULTS,
  Session,
} from "../../realtime/session.ts";
import { MAX_TIMER_MS, TOKEN_WARNING_MS } from "../../realtime/token_timer.ts";
import { ManualClock, pass } from "../fakes/clock.ts";
import { CALM, MemoryKv } from "../fakes/kv.ts";
import type { Fate } from "../fakes/kv.ts";
import { FakePeer } from "../fakes/peer.ts";

/** A caller as its token names it: `role`, `role:user` or `role:user:ms left`. */
function principalOf(token: string, now: number): Principal {
  const [role, user = null, left] = token.split(":") as [
    Role,
    string?,
    string?,
  ];
  const expiresAt = left === undefined ? undefined : now + Number(left);
  const mayPublish = role === "publisher" || role === "admin";
  return {
    identity: {
      isAuthenticated: role !== "anonymous",
      user,
      role,
      ...(expiresAt ? { expiresAt: new Date(expiresAt).toISOString() } : {}),
    },
    expiresAt,
    isRevoked: () => false,
    mayRead: ({ name }) => role !== "anonymous" || name !== "room:members",
    mayPublish: () => mayPublish,
  };
}

function bench(
  { requireAuth = false, as = "publisher:alice" }: {
    requireAuth?: boolean;
    as?: string;
  } = {},
) {
  const clock = new ManualClock();
  const fate: { now: Fate; admit: number; tokenMs: number } = {
    now: CALM,
    admit: 0,
    tokenMs: 0,
  };
  const spent: number[] = [];
  const kv = new MemoryKv(clock).connect({ weather: () => fate.now });
  const nextId = idSource();
  const retention = () => ({ events: 1_000, ms: 3_600_000 });
  const log = new StoredEventLog({ store: kv, clock, nextId, retention });
  const hub = new Hub({ log, links: [], clock, nextId });
  const peer = new FakePeer();
  const bugs: unknown[] = [];
  const refused: [RefusalCode, boolean][] = [];
  const counted: RefusalCode[] = [];
  let ends = 0;
  const session = new Session(peer, {
    hub,
    history: new History(hub),
    ...asking(hub, clock),
    clock,
    nextId,
    maxMessageBytes: 10_000,
    schema: "hash",
    refused: (code) => counted.push(code),
    requireAuth,
    measure: () => Promise.resolve({ measured: 1 }),
    report: (error) => bugs.push(error),
  }, {
    principal: principalOf(as, clock.now()),
    codec: JSON_CODEC,
    guard: {
      address: "192.0.2.1",
      admit: () => fate.admit,
      spend: (_principal, count) => void spent.push(count),
      authenticate: async (token) => {
        if (fate.tokenMs > 0) {
          await new Promise<void>((resolve) =>
            void clock.after(fate.tokenMs, resolve)
          );
        }
        if (token === "bad") throw new Refusal("UNAUTHENTICATED");
        if (token === "bug") throw new Error("a bug");
        return principalOf(token, clock.now());
      },
      refused: (code, isFinal) => refused.push([code, isFinal]),
    },
  });
  session.onEnd(() => ends++);
  const say = async (frame: unknown) => {
    session.receive(JSON.stringify(frame));
    await pass(clock, 0);
  };
  return {
    clock,
    fate,
    hub,
    peer,
    session,
    say,
    bugs,
    refused,
    counted,
    spent,
    ends: () => ends,
    codes: () => peer.of("error").map(({ payload }) => payload.code),
    [Symbol.dispose]: () => {
      session.end();
      hub[Symbol.dispose]();
    },
  };
}

const connect = (token: string, id?: string) => ({
  type: "connect",
  ...(id ? { id } : {}),
  payload: { auth: { token } },
});
const room = (event: string, name = "lobby") => ({
  type: "ROOM_MESSAGE",
  channel: `room:${name}`,
  id: event,
  payload: { event },
});
const subscribe = (...channels: unknown[]) => ({
  type: "subscribe",
  id: "s",
  payload: { channels },
});

Deno.test("a session greets, answers by ref, and serves what is published", async () => {
  using at = bench();
  at.session.open();
  const [hello] = at.peer.of("connected");
  assert.equal(hello!.payload.sessionId, at.session.id);
  assert.equal(hello!.payload.identity.user, "alice");
  await at.say({ type: "ping", id: "p" });
  assert.equal(at.peer.of("pong")[0]!.ref, "p");
  await at.say(subscribe("room:lobby"));
  await at.say(room("one"));
  assert.deepEqual(
    at.peer.seen.slice(-2).map(({ type }) => type).sort(),
    ["ROOM_MESSAGE", "published"],
  );
  assert.equal(at.peer.of("published")[0]!.payload.accepted[0].seq, 1);
  await at.say({ type: "unsubscribe", payload: { channels: ["room:lobby"] } });
  await at.say(room("two"));
  assert.equal(at.peer.of("ROOM_MESSAGE").length, 1);
  await at.say({ type: "query", payload: { channel: "room:lobby" } });
  assert.equal(at.peer.of("query_result")[0]!.payload.events.length, 2);
  await at.say({
    type: "request_data",
    payload: { key: "channel:room:lobby" },
  });
  assert.equal(at.peer.of("data_response")[0]!.payload.data.seq, 2);
  await at.say({ type: "request_metrics" });
  assert.equal(at.peer.of("metrics_response")[0]!.payload.metrics.measured, 1);
  await at.say({ type: "TEST", id: "t", payload: { any: 1 } });
  assert.deepEqual(at.peer.of("TEST")[0]!.payload, { any: 1 });
});

Deno.test("a session reads the client program from `client`, or from a header", async () => {
  using at = bench();
  at.session.open();
  const headers = { "X-Other": "1", "x-client-version": "1.0.0" };
  const auth = { token: "user:alice", headers };
  await at.say({ type: "connect", payload: { auth } });
  assert.equal(at.session.client, "1.0.0");
  await at.say({ type: "connect", payload: { batch: true } });
  assert.equal(at.session.client, "1.0.0");
  await at.say({ type: "connect", payload: { auth, client: "dashboard/2" } });
  assert.equal(at.session.client, "dashboard/2");
  const long = {
    token: "user:alice",
    headers: { "X-Client-Version": "v".repeat(200) },
  };
  await at.say({ type: "connect", payload: { auth: long } });
  const { client } = at.session as { client?: string };
  assert.equal(client, "v".repeat(128));
});

Deno.test("receive() never throws, for any input", async () => {
  using at = bench();
  at.session.open();
  const words = fc.constantFrom(
    "connect",
    "subscribe",
    "unsubscribe",
    "refresh",
    "query",
    "request_data",
    "request_metrics",
    "ping",
    "TEST",
    "BATCH_UPDATE",
    "NEW_BLOCK",
    "ROOM_MESSAGE",
    "toString",
    "__proto__",
  );
  const frame = fc.record({
    type: fc.oneof(words, fc.anything()),
    payload: fc.oneof(
      fc.anything(),
      fc.record({
        channels: fc.array(fc.oneof(fc.string(), fc.anything())),
        channel: fc.string(),
        key: fc.string(),
        token: fc.string(),
        updates: fc.array(fc.anything()),
      }, { requiredKeys: [] }),
    ),
    id: fc.oneof(fc.string(), fc.anything()),
  }, { requiredKeys: [] });
  const text = fc.oneof(fc.string(), fc.json(), frame.map(stringified));
  await fc.assert(
    fc.asyncProperty(fc.oneof(fc.anything(), text), async (data) => {
      at.session.receive(data);
      await pass(at.clock, 0);
      assert.deepEqual(at.bugs, []);
      if (at.peer.closed) {
        assert.equal(at.peer.closed.reason?.length! > 0, true);
      }
    }),
    { numRuns: 500 },
  );
});

function stringified(value: unknown): string {
  try {
    return JSON.stringify(value) ?? "";
  } catch {
    return "";
  }
}

Deno.test("a bad frame costs an error, and too many cost the connection", async () => {
  using at = bench();
  at.session.open();
  await at.say({ type: "nonsense", id: "n" });
  assert.deepEqual(at.codes(), ["UNKNOWN_TYPE"]);
  assert.equal(at.peer.of("error")[0]!.ref, "n");
  // A good one makes up for a bad one.
  await at.say({ type: "ping" });
  for (let i = 0; i < MAX_FAULTS - 1; i++) at.session.receive("{");
  assert.equal(at.peer.closed, undefined);
  at.session.receive("{");
  assert.deepEqual(at.peer.closed, { code: 4500, reason: "INVALID_JSON" });
  assert.deepEqual(at.refused.at(-1), ["INVALID_JSON", true]);
  assert.equal(at.ends(), 1);
  at.session.receive("{");
  assert.equal(at.codes().length, MAX_FAULTS + 1, "said nothing more");
});

Deno.test("frames beyond the rate are refused with the time to wait", async () => {
  using at = bench();
  at.session.open();
  at.fate.admit = 250;
  await at.say({ type: "ping" });
  assert.equal(at.peer.of("error")[0]!.payload.retryAfterMs, 250);
  assert.deepEqual(at.peer.of("pong"), []);
});

Deno.test("publishing needs the right", async () => {
  using at = bench({ as: "anonymous" });
  at.session.open();
  await at.say(room("one"));
  assert.deepEqual(at.codes(), ["FORBIDDEN"]);
  assert.equal(at.peer.of("error")[0]!.ref, "one");
});

Deno.test("rights are checked before content, as of a frame's own turn", async () => {
  using at = bench({ as: "anonymous" });
  at.session.open();
  const bad = (id: string) => ({ ...room(id), payload: { event: 5 } });
  await at.say(bad("stranger"));
  assert.deepEqual(at.codes(), ["FORBIDDEN"]);
  assert.equal(at.peer.of("error")[0]!.ref, "stranger");

  at.fate.tokenMs = 100;
  const auth = { token: "publisher:bob" };
  at.session.receive(JSON.stringify({ type: "connect", payload: { auth } }));
  at.session.receive(JSON.stringify(bad("bob")));
  at.session.receive(JSON.stringify(room("kept")));
  await pass(at.clock, 200);
  assert.deepEqual(at.codes(), ["FORBIDDEN", "INVALID_PAYLOAD"]);
  assert.equal(at.peer.of("published")[0]!.ref, "kept");
});

Deno.test("commands are answered in order, and a bounded number may wait", async () => {
  using at = bench();
  at.session.open();
  at.fate.now = { ...CALM, afterMs: 100 };
  at.session.receive(JSON.stringify(subscribe("room:lobby")));
  const ping = (id: number) => JSON.stringify({ type: "ping", id: `${id}` });
  for (let i = 0; i < MAX_COMMANDS_IN_FLIGHT; i++) at.session.receive(ping(i));
  assert.deepEqual(at.codes(), []);
  at.session.receive(ping(-1));
  assert.deepEqual(at.codes(), ["RATE_LIMITED"]);
  await pass(at.clock, 1_000);
  const refs = at.peer.seen.map(({ ref }) => ref).filter((ref) => ref);
  assert.deepEqual(refs, [
    "-1",
    "s",
    ...Array.from({ length: MAX_COMMANDS_IN_FLIGHT }, (_, i) => `${i}`),
  ]);
  await at.say({ type: "ping", id: "after" });
  assert.equal(at.peer.seen.at(-1)!.ref, "after");
});

Deno.test("a bounded number of publishes may wait for the store", async () => {
  using at = bench();
  at.session.open();
  at.fate.now = { ...CALM, end: "hung" };
  for (let i = 0; i < MAX_PUBLISHES_IN_FLIGHT; i++) {
    at.session.receive(JSON.stringify(room(`m${i}`)));
  }
  assert.deepEqual(at.codes(), []);
  at.session.receive(JSON.stringify(room("more")));
  assert.deepEqual(at.codes(), ["RATE_LIMITED"]);
  at.fate.now = CALM;
  await pass(at.clock, 10_000);
  const said = at.peer.of("published").length + at.codes().length;
  assert.equal(said, MAX_PUBLISHES_IN_FLIGHT + 1, "each got its answer");
});

Deno.test("where clients must authenticate, others may only connect, and soon", async () => {
  using at = bench({ requireAuth: true, as: "anonymous" });
  at.session.open();
  assert.deepEqual(at.peer.texts, []);
  await at.say(subscribe("blocks"));
  await at.say({ type: "ping" });
  assert.deepEqual(
    at.peer.seen.map(({ type, payload }) => payload.code ?? type),
    ["UNAUTHENTICATED", "pong"],
  );
  await at.say(connect("bad"));
  await pass(at.clock, AUTH_DEADLINE_MS - 1);
  assert.equal(at.peer.closed, undefined);
  await pass(at.clock, 1);
  assert.deepEqual(at.peer.closed, { code: 4501, reason: "UNAUTHENTICATED" });
});

Deno.test("a token in time opens the session, without a deadline", async () => {
  using at = bench({ requireAuth: true, as: "anonymous" });
  at.session.open();
  await at.say(connect("user:bob", "c"));
  const [hello] = at.peer.of("connected");
  assert.deepEqual([hello!.ref, hello!.payload.identity.user], ["c", "bob"]);
  await pass(at.clock, 2 * AUTH_DEADLINE_MS);
  assert.equal(at.peer.closed, undefined);
});

for (const id of ["c", undefined]) {
  Deno.test(`a token's end is warned of once, and closes (connect ${id ? "with" : "without"} an id)`, async () => {
    using at = bench({ as: "anonymous" });
    at.session.open();
    await at.say(connect(`user:bob:${2 * TOKEN_WARNING_MS}`, id));
    await pass(at.clock, TOKEN_WARNING_MS - 1);
    assert.deepEqual(at.peer.of("token_expiring"), []);
    await pass(at.clock, 1);
    assert.equal(
      at.peer.of("token_expiring")[0]!.payload.inMs,
      TOKEN_WARNING_MS,
    );
    await pass(at.clock, TOKEN_WARNING_MS - 1);
    assert.equal(at.peer.closed, undefined);
    await pass(at.clock, 1);
    assert.deepEqual(at.codes(), ["TOKEN_EXPIRED"]);
    assert.equal(at.peer.closed!.code, 4401);
    assert.equal(at.peer.of("token_expiring").length, 1);
  });

  Deno.test(`a token that ends soon is warned of at once, once (connect ${id ? "with" : "without"} an id)`, async () => {
    using at = bench({ as: "anonymous" });
    at.session.open();
    await at.say(connect("user:bob:5000", id));
    assert.equal(at.peer.of("token_expiring").length, 1);
  });
}

Deno.test("a token ends by the wall clock, soon after that was stepped", async () => {
  for (const stepMs of [-1_800_000, 7_200_000]) {
    using at = bench({ as: "user:bob:3600000" });
    at.session.open();
    at.clock.stepWall(stepMs);
    await pass(at.clock, MAX_TIMER_MS);
    const isOver = stepMs > 3_600_000;
    assert.equal(at.peer.closed !== undefined, isOver);
    if (isOver) continue;
    await pass(at.clock, 3_600_000 - MAX_TIMER_MS);
    assert.equal(
      at.peer.closed,
      undefined,
      "the end is half an hour later now",
    );
    await pass(at.clock, 1_800_000);
    assert.equal(at.peer.closed!.reason, "TOKEN_EXPIRED");
  }
});

Deno.test("a token is refreshed in place, by the same user only", async () => {
  using at = bench({ as: "anonymous" });
  at.session.open();
  await at.say(connect("user:bob:100000", "c"));
  await at.say({ type: "refresh", id: "r", payload: { token: "user:eve:9" } });
  assert.deepEqual(at.codes(), ["FORBIDDEN"]);
  await at.say({
    type: "refresh",
    id: "r",
    payload: { token: "user:bob:500000" },
  });
  assert.equal(at.peer.of("refreshed")[0]!.ref, "r");
  await pass(at.clock, 200_000);
  assert.equal(at.peer.closed, undefined, "the old end has passed");
});

Deno.test("a token that allows less ends what it does not allow", async () => {
  using at = bench();
  at.session.open();
  await at.say(subscribe("room:members", "blocks"));
  await at.say(connect("anonymous", "c"));
  assert.deepEqual(at.peer.of("unsubscribed")[0]!.payload.channels, [
    "room:members",
  ]);
  assert.equal(at.hub.subscribers("room:members"), 0);
});

Deno.test("a refresh with a token that allows less ends what it does not allow", async () => {
  using at = bench();
  at.session.open();
  await at.say(subscribe("room:members", "blocks"));
  await at.say({
    type: "refresh",
    id: "r",
    payload: { token: "anonymous:alice:100000" },
  });
  assert.equal(at.peer.of("refreshed")[0]!.ref, "r");
  assert.deepEqual(at.peer.of("unsubscribed")[0]!.payload.channels, [
    "room:members",
  ]);
  assert.equal(at.hub.subscribers("room:members"), 0);
  assert.equal(at.hub.subscribers("blocks"), 1);
});

Deno.test("a reply after the end of a session has no effect", async () => {
  for (
    const frame of [
      connect("user:bob:100000"),
      { type: "refresh", payload: { token: "publisher:alice:100000" } },
      subscribe("room:lobby"),
      { type: "query", payload: { channel: "blocks" } },
      room("one"),
    ]
  ) {
    using at = bench();
    at.session.open();
    at.fate.tokenMs = 50;
    at.fate.now = { ...CALM, afterMs: 50 };
    await at.say(frame);
    const before = at.peer.texts.length;
    at.session.end();
    await pass(at.clock, 500);
    at.session.receive('{"type":"ping"}');
    assert.equal(at.peer.texts.length, before, frame.type);
    assert.equal(at.ends(), 1);
    assert.equal(at.hub.subscribers("room:lobby"), 0);
    at.hub[Symbol.dispose]();
    assert.equal(at.clock.pending, 0, `${frame.type} left a timer behind`);
  }
});

Deno.test("a bug is reported, ends one client, and its details are not sent", async () => {
  using at = bench();
  at.session.open();
  await at.say(connect("bug"));
  assert.equal((at.bugs[0] as Error).message, "a bug");
  assert.equal(at.peer.closed!.code, 1011);
  assert(!at.peer.texts.at(-1)!.includes("a bug"));
});

Deno.test("a client that stops reading is closed in time, is removed from every index, and can resume", async () => {
  using at = bench();
  at.session.open();
  await at.say(subscribe("room:lobby"));
  at.peer.bufferedAmount = HIGH_WATER_BYTES;
  const { seq } = at.peer.of("subscribed")[0]!.payload.channels[0];
  assert.equal(seq, 0);
  await at.say(room("one"));
  assert.deepEqual([...at.session.positions].map(({ lag }) => lag), [1]);
  await pass(at.clock, STALL_MS + 2 * TICK_MS);
  assert.deepEqual(at.peer.closed, { code: 4008, reason: "SLOW_CONSUMER" });
  assert.deepEqual(at.counted, ["SLOW_CONSUMER"]);
  assert.equal(at.hub.subscribers("room:lobby"), 0);
  assert.equal(at.hub.pace.size, 0);
  assert.equal(at.ends(), 1);
  const sent = at.peer.texts.length;
  await at.say(room("two"));
  assert.equal(at.peer.texts.length, sent);
});

Deno.test("drain() and disconnect() send the client when and why", async () => {
  using at = bench();
  at.session.open();
  await at.say({ type: "connect", payload: { batch: true } });
  at.session.drain(1_500);
  at.session.disconnect("DRAINING");
  at.session.disconnect("DRAINING");
  assert.deepEqual(at.counted, ["DRAINING"]);
  assert.equal(at.peer.of("draining")[0]!.payload.retryInMs, 1_500);
  assert.deepEqual(at.peer.closed, { code: 1012, reason: "DRAINING" });
});

Deno.test("reject() sends the reason, and ends", () => {
  using at = bench();
  at.session.reject(new Refusal("IP_BLOCKED"));
  assert.deepEqual(at.codes(), ["IP_BLOCKED"]);
  assert.equal(at.peer.closed!.code, 4510);
  at.session.open();
  assert.deepEqual(at.peer.of("connected"), []);
});

Deno.test("a session whose handshake is under way is sent nothing, and closed as soon as it is over", () => {
  for (const opens of [true, false]) {
    using b = bench();
    const { session, peer, ends } = b;
    peer.opening = true;
    session.drain(1_000);
    session.disconnect("IP_BLOCKED", "This address is blocked");
    assert.equal(ends(), 1, "its place is free at once");
    assert.deepEqual(peer.texts, []);
    peer.opening = false;
    if (opens) session.open();
    else session.reject(new Refusal("UNAUTHENTICATED"));
    assert.deepEqual(peer.texts, []);
    assert.deepEqual(peer.closed, {
      code: REFUSALS.IP_BLOCKED.close,
      reason: "IP_BLOCKED",
    });
  }
});

Deno.test("a subscription costs by its channels, and reading by its length", async () => {
  using at = bench();
  at.session.open();
  const rooms = Array.from({ length: 12 }, (_, i) => `room:${i}`);
  await at.say({ type: "subscribe", payload: { channels: rooms } });
  assert.deepEqual(at.spent.splice(0), [12 / CHANNELS_PER_MESSAGE]);
  // What is refused is not looked at.
  await at.say({ type: "subscribe", payload: { channels: ["nope", "no"] } });
  assert.deepEqual(at.spent.splice(0), [0]);

  const data = "x".repeat(8_000);
  for (let i = 0; i < 9; i++) {
    await at.say({
      type: "ROOM_MESSAGE",
      channel: "room:1",
      payload: { event: "e", data },
    });
  }
  await pass(at.clock, 100);
  at.spent.splice(0);
  const query = { type: "query", id: "q", payload: { channel: "room:1" } };
  await at.say(query);
  await pass(at.clock, 100);
  const [price] = at.spent;
  assert.equal(at.peer.of("query_result").length, 1);
  assert.equal(price, Math.floor(9 * 8_200 / READ_LENGTH_PER_MESSAGE));
});

Deno.test("a read waits its turn, and is refused if earlier ones are to be paid by then", async () => {
  using at = bench();
  at.session.open();
  at.fate.now = { ...CALM, afterMs: 100 };
  at.session.receive(JSON.stringify(subscribe("room:lobby")));
  const ask = { type: "query", id: "q", payload: { channel: "blocks" } };
  at.session.receive(JSON.stringify(ask));
  at.fate.admit = 700;
  await pass(at.clock, 1_000);
  const [error] = at.peer.of("error");
  assert.equal(error!.ref, "q");
  assert.equal(error!.payload.code, "RATE_LIMITED");
  assert.equal(error!.payload.retryAfterMs, 700);
});
