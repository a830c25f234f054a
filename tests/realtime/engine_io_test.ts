import assert from "node:assert/strict";
import fc from "fast-check";
import { Refusal } from "../../protocol/refusals.ts";
import {
  EngineConnection,
  LINGER_MS,
  MAX_PACKETS,
  MAX_PROBES,
  PING_INTERVAL_MS,
  PING_TIMEOUT_MS,
  PROBE_DEADLINE_MS,
  SEPARATOR,
} from "../../realtime/engine_io.ts";
import { MAX_REPLY_BACKLOG_BYTES } from "../../realtime/outbox.ts";
import { Session } from "../../realtime/session.ts";
import { RESUME, SocketIoCodec } from "../../realtime/socket_io_codec.ts";
import { ANONYMOUS_PRINCIPAL } from "../../security/identity.ts";
import { ManualClock } from "../fakes/clock.ts";
import { FakePeer } from "../fakes/peer.ts";
import { openTestService } from "../test_service.ts";

/** One connection, with all that it reports. */
function connect(socket?: FakePeer) {
  const clock = new ManualClock();
  const messages: unknown[] = [];
  const closes: (number | undefined)[] = [];
  const engine = new EngineConnection(
    clock,
    { sid: "i.s", maxPayload: 1_000, ...(socket ? { socket } : {}) },
    {
      message: (data) => void messages.push(data),
      closed: (code) => void closes.push(code),
    },
  );
  engine.open();
  return { clock, engine, messages, closes };
}

/** Opens, and fetches the handshake. */
async function polling() {
  const bench = connect();
  const opened = await bench.engine.poll();
  assert.equal(opened[0], "0");
  return bench;
}

function refused(work: () => unknown): void {
  assert.throws(work, { name: "Refusal", code: "INVALID_MESSAGE" });
}

Deno.test("a poll waits, and returns the packets of one turn together", async () => {
  const { clock, engine } = await polling();
  let body: string | undefined;
  engine.poll().then((text) => body = text);
  engine.send("4a");
  engine.send(`4b${SEPARATOR}4c`);
  await Promise.resolve();
  assert.equal(body, undefined);
  assert.equal(engine.bufferedAmount, 9);
  clock.advance(0);
  await Promise.resolve();
  assert.equal(body, ["4a", "4b", "4c"].join(SEPARATOR));
  assert.equal(engine.bufferedAmount, 0);
});

Deno.test("a client that has left closes its transport, or is closed after a while", async () => {
  for (const socket of [undefined, new FakePeer()]) {
    const { clock, engine, closes } = connect(socket);
    if (!socket) await engine.poll();
    engine.leave();
    clock.advance(LINGER_MS - 1);
    engine.send("4a");
    assert.equal(socket?.texts.at(-1) ?? await engine.poll(), "4a");
    clock.advance(1);
    if (socket) assert.notEqual(socket.closed, undefined);
    else assert.equal(await engine.poll(), "1");
    clock.advance(LINGER_MS);
    assert.equal(closes.length, socket ? 0 : 1);
  }
  const { clock, engine, closes } = connect();
  engine.leave();
  await engine.poll();
  engine.post("1");
  clock.advance(LINGER_MS);
  assert.equal(closes.length, 1);
});

Deno.test("pings are answered or the connection ends", async () => {
  for (const socket of [undefined, new FakePeer()]) {
    const { clock, engine, closes } = connect(socket);
    if (!socket) await engine.poll();
    for (let i = 0; i < 3; i++) {
      clock.advance(PING_INTERVAL_MS);
      if (socket) {
        assert.equal(socket.texts.at(-1), "2");
        engine.receive(socket, "3");
      } else {
        assert.equal(await engine.poll(), "2");
        engine.post("3");
      }
    }
    clock.advance(PING_INTERVAL_MS + PING_TIMEOUT_MS - 1);
    assert.deepEqual(closes, []);
    clock.advance(1);
    assert.deepEqual(closes, [undefined]);
    if (socket) assert(socket.closed);
    else refused(() => engine.poll());
  }
});

Deno.test("an answer to no ping ends the connection: it would be free to send", async () => {
  const { clock, engine, closes } = await polling();
  clock.advance(PING_INTERVAL_MS);
  engine.post("3");
  assert.deepEqual(closes, []);
  refused(() => engine.post("3"));
  assert.deepEqual(closes, [undefined]);
});

Deno.test("a body holds a bounded number of packets", async () => {
  const all = await polling();
  all.engine.post(Array(MAX_PACKETS).fill("4x").join(SEPARATOR));
  assert.equal(all.messages.length, MAX_PACKETS);
  refused(() =>
    all.engine.post(Array(MAX_PACKETS + 1).fill("4x").join(SEPARATOR))
  );
  assert.equal(all.messages.length, MAX_PACKETS);
  assert.deepEqual(all.closes, [undefined]);
});

Deno.test("a WebSocket replaces polling, in order", async () => {
  const { engine, messages, closes } = await polling();
  const socket = new FakePeer();
  const waiting = engine.poll();
  assert(engine.canUpgrade);
  engine.upgrade(socket);
  assert(!engine.canUpgrade);
  engine.receive(socket, "2probe");
  assert.deepEqual(socket.texts, ["3probe"]);
  assert.equal(await waiting, "6");
  engine.send("4a");
  engine.send("4b");
  engine.receive(socket, "5");
  engine.send("4c");
  assert.deepEqual(socket.texts, ["3probe", "4a", "4b", "4c"]);
  engine.receive(socket, "4hello");
  assert.deepEqual(messages, ["hello"]);
  refused(() => engine.poll());
  refused(() => engine.post("4x"));
  assert(!engine.canUpgrade);
  engine.lost(socket, 1001);
  assert.deepEqual(closes, [1001]);
});

Deno.test("a poll during the change is answered at once", async () => {
  const { engine } = await polling();
  const socket = new FakePeer();
  engine.upgrade(socket);
  engine.receive(socket, "2probe");
  assert.equal(await engine.poll(), "6");
  engine.send("4a");
  assert.equal(await engine.poll(), "4a");
});

Deno.test("a WebSocket that does not replace polling leaves it as it is", async () => {
  const { clock, engine, closes } = await polling();
  const endings: ((socket: FakePeer) => void)[] = [
    (socket) => engine.lost(socket, 1006),
    (socket) => engine.receive(socket, "5"),
    (socket) => engine.receive(socket, "4x"),
    () => clock.advance(PROBE_DEADLINE_MS),
  ];
  assert.equal(endings.length, MAX_PROBES);
  for (const end of endings) {
    const socket = new FakePeer();
    engine.upgrade(socket);
    end(socket);
    assert(socket.closed);
    engine.send("4a");
    assert.equal(await engine.poll(), "4a");
  }
  assert(!engine.canUpgrade, "it has had its tries");
  assert.deepEqual(closes, []);
});

Deno.test("a closed connection lingers for its last packets", async () => {
  const polled = await polling();
  polled.engine.send("4last");
  polled.engine.close();
  polled.engine.send("4later");
  assert.equal(await polled.engine.poll(), "4last");
  assert.deepEqual(polled.closes, []);
  assert.equal(await polled.engine.poll(), "1");
  assert.deepEqual(polled.closes, [undefined]);

  const left = await polling();
  left.engine.close();
  left.clock.advance(LINGER_MS);
  assert.deepEqual(left.closes, [undefined]);

  const waiting = await polling();
  const poll = waiting.engine.poll();
  waiting.engine.close();
  assert.equal(await poll, "1");

  const socket = new FakePeer();
  const direct = connect(socket);
  direct.engine.close(4510, "IP_BLOCKED");
  assert.deepEqual(socket.closed, { code: 4510, reason: "IP_BLOCKED" });
  direct.engine.lost(socket, 4510);
  assert.deepEqual(direct.closes, [4510]);
});

/** What a client may do to its connection. */
type Step =
  | { readonly do: "post" | "frame" | "probe"; readonly text: string }
  | { readonly do: "poll" | "abandon" | "upgrade" | "lose" | "binary" }
  | { readonly do: "wait"; readonly ms: number };

const packet = fc.oneof(
  fc.constantFrom(
    "1",
    "2",
    "3",
    "5",
    "6",
    "2probe",
    "40",
    '40{"token":"x"}',
    '40{"pid":"p","offset":"blocks=0:0"}',
    '40{"pid":"p","offset":"blocks=e:7,metrics="}',
    '40{"pid":"p","offset":"-"}',
    "40/admin,",
    "41",
    '42["subscribe","blocks"]',
    '4212["subscribe",{"channels":["blocks","room:a"]}]',
    '42["TEST",{}]',
    '4299["request_metrics",{}]',
    '42["ping"]',
    '42["message",{"type":"connect","payload":{"batch":true}}]',
    '43["x"]',
    '451-["a",{"_placeholder":true,"num":0}]',
    "bAAAA",
    "b%%%",
  ),
  fc.string({ maxLength: 30 }),
  fc.tuple(fc.constantFrom("40", "42", "427", "43", "44"), fc.json()).map(
    (parts) => parts.join(""),
  ),
);
const body = fc.array(packet, { maxLength: 5 }).map((all) =>
  all.join(SEPARATOR)
);
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ do: fc.constant("post" as const), text: body }),
  fc.record({
    do: fc.constantFrom("frame", "probe"),
    text: packet,
  }) as fc.Arbitrary<Step>,
  fc.record({
    do: fc.constantFrom("poll", "abandon", "upgrade", "lose", "binary"),
  }) as fc.Arbitrary<Step>,
  fc.record({ do: fc.constant("wait" as const), ms: fc.nat(50_000) }),
);

Deno.test("whatever a client does, nothing is thrown but refusals, and bounds hold", async () => {
  await using service = await openTestService({
    env: { RATE_LIMIT_MAX: "100000000" },
  });
  await fc.assert(
    fc.asyncProperty(
      fc.boolean(),
      fc.array(step, { maxLength: 30 }),
      async (isDirect, steps) => {
        const clock = new ManualClock();
        const socket = new FakePeer();
        const probe = new FakePeer();
        let closes = 0;
        const engine = new EngineConnection(clock, {
          sid: "i.s",
          maxPayload: 1_000,
          ...(isDirect ? { socket } : {}),
        }, {
          message: (data) => session.receive(data),
          closed(code) {
            closes++;
            session.end(code);
          },
        });
        const codec = new SocketIoCodec({
          newPid: () => "new",
          resume: () => session.receive(RESUME),
        });
        const guard = service.gate.guard({
          ip: "192.0.2.9",
          bucket: "192.0.2.9",
          isCrossSite: false,
        });
        const session = new Session(engine, { ...service.session, clock }, {
          principal: ANONYMOUS_PRINCIPAL,
          guard,
          codec,
        });
        engine.open();
        session.open({ awaitsConnect: true });
        const attempt = (work: () => unknown) => {
          try {
            work();
          } catch (error) {
            assert(
              error instanceof Refusal && error.code !== "INTERNAL",
              String(error),
            );
          }
        };
        for (const each of steps) {
          switch (each.do) {
            case "post":
              attempt(() => engine.post(each.text));
              break;
            case "frame":
              if (isDirect) engine.receive(socket, each.text);
              break;
            case "probe":
              engine.receive(probe, each.text);
              break;
            case "binary":
              if (isDirect) engine.receive(socket, new ArrayBuffer(3));
              break;
            case "poll":
              attempt(() => void engine.poll());
              break;
            case "abandon":
              engine.abandon();
              break;
            case "upgrade":
              if (engine.canUpgrade) engine.upgrade(probe);
              break;
            case "lose":
              engine.lost(isDirect ? socket : probe, 1006);
              break;
            case "wait":
              clock.advance(each.ms);
          }
          await new Promise<void>((turn) => setTimeout(turn, 0));
          assert(engine.bufferedAmount <= MAX_REPLY_BACKLOG_BYTES + 65_536);
          assert(closes <= 1);
        }
        engine.abandon();
        session.end();
        assert.equal(closes, 1);
        assert.equal(engine.bufferedAmount, 0);
      },
    ),
    { numRuns: 150 },
  );
  assert.deepEqual(service.bugs, []);
});
