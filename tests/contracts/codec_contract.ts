/**
 * What every codec promises, alone and on a live connection.
 *
 * @module
 */
import assert from "node:assert/strict";
import { Hono } from "hono";
import fc from "fast-check";
import { encodeEvent } from "../../protocol/encode.ts";
import { unsoundness } from "../../protocol/json_limits.ts";
import { tagsOf } from "../../protocol/messages.ts";
import { Refusal } from "../../protocol/refusals.ts";
import type { Accepted } from "../../protocol/replies.ts";
import type { Codec, Frame, Marks } from "../../realtime/codec.ts";
import { CODECS } from "../../realtime/codecs.ts";
import { EngineSessions } from "../../realtime/engine_sessions.ts";
import { mount } from "../../routes/route.ts";
import { socketRoutes } from "../../routes/socket.ts";
import type { Env } from "../../routes/http.ts";
import { mountSocketIo } from "../../routes/socket_io.ts";
import { sseRoutes } from "../../routes/sse.ts";
import { Bodies } from "../../routes/bodies.ts";
import { Gzip } from "../../routes/gzip.ts";
import { Unread } from "../../routes/unread.ts";
import type { LoggedEntry } from "../../store/entry.ts";
import { openTestService, tokenOf } from "../test_service.ts";
import type { TestService } from "../test_service.ts";

/** A frame as its client reads it. */
// deno-lint-ignore no-explicit-any -- tests look wherever they like.
export type Received = Record<string, any>;

/** One client on a live connection. */
export interface LiveClient extends AsyncDisposable {
  /** Every frame as it arrived, undecoded. */
  readonly frames: readonly Frame[];
  /** Waits until the frames read fulfil `condition`, and returns them. */
  until(condition: (received: Received[]) => boolean): Promise<Received[]>;
  /** Sends one frame, as {@link CodecBench.write} wrote it. */
  send?(frame: Frame): void;
}

/** How a test meets one codec. */
export interface CodecBench {
  /** The codec as one connection has it. */
  open(): Codec;
  /** Reads one frame as its client does, a batch taken apart. */
  read(frame: Frame): Received[];
  /** Writes a client's frame; absent when the codec goes one way. */
  write?(value: unknown): Frame;
  /** Subscribes to `channel` from `after` on. */
  connect(
    url: string,
    channel: string,
    after: { epoch: string; seq: number },
  ): Promise<LiveClient>;
}

const NOW = Date.UTC(2025, 7, 7, 10);
const ROOM = "room:codec";
const MAX_BYTES = 65_536;
const envelope = { id: "batch", now: NOW };

/** Payloads as the service accepts them. */
const anyPayload = fc.dictionary(
  fc.string({ unit: "grapheme" }).filter((key) => key !== "__proto__"),
  fc.jsonValue({ depthSize: "small" }),
  { noNullPrototype: true },
).map((payload) => JSON.parse(JSON.stringify(payload)) as object)
  .filter((payload) => unsoundness(payload, false) === undefined);

/** Any of the marks; a filtered subscription without a name has no `sub`. */
const anyMarks: fc.Arbitrary<Marks> = fc.record({
  replay: fc.constant<true>(true),
  prev: fc.nat(),
  sub: fc.constantFrom(undefined, "mine", "a:b.c-1_"),
}, { requiredKeys: [] });

function entryOf(seq: number, payload: object): LoggedEntry {
  const type = "ROOM_MESSAGE";
  const position = { channel: ROOM, seq, epoch: "E" };
  return {
    ...position,
    type,
    at: NOW,
    tags: tagsOf(type, payload as never),
    json: encodeEvent(type, JSON.stringify(payload), position, {
      id: `m${seq}`,
      now: NOW,
    }),
  };
}

/** Frames of one type. */
function of(type: string, received: readonly Received[]): Received[] {
  return received.filter((frame) => frame.type === type);
}

/** Registers the tests that every codec has to pass. */
export function testCodec(name: string, bench: CodecBench): void {
  Deno.test(`${name}: an event is read as its publisher's instance encoded it, its marks beside`, () => {
    fc.assert(
      fc.property(anyPayload, fc.nat(), anyMarks, (payload, seq, marks) => {
        const codec = bench.open();
        const entry = entryOf(seq + 1, payload);
        const event = JSON.parse(entry.json);
        assert.deepEqual(bench.read(codec.event(entry)), [event]);
        const given = Object.entries(marks)
          .filter(([, mark]) => mark !== undefined);
        assert.deepEqual(bench.read(codec.event(entry, marks)), [
          { ...event, ...Object.fromEntries(given) },
        ]);
        assert.deepEqual(bench.read(codec.event(entry)), [event]);
      }),
    );
  });

  Deno.test(`${name}: a batch holds its parts, complete and in order`, () => {
    const anyPart = fc.record({
      payload: anyPayload,
      kind: fc.constantFrom("event", "reply"),
      marks: fc.option(anyMarks, { nil: undefined }),
    });
    const parts = fc.array(anyPart, { minLength: 2, maxLength: 40 });
    fc.assert(fc.property(parts, (drafts) => {
      const codec = bench.open();
      const made = drafts.map(({ payload, kind, marks }, i) =>
        kind === "reply"
          ? { type: "TEST" as const, payload, id: `r${i}`, now: NOW }
          : { entry: entryOf(i + 1, payload), marks }
      );
      const alone = bench.open();
      const expected = made.flatMap((part) =>
        bench.read(
          "entry" in part
            ? alone.event(part.entry, part.marks)
            : alone.reply(part),
        )
      );
      assert.deepEqual(bench.read(codec.batch(made, envelope)), expected);
    }));
  });

  Deno.test(`${name}: a reply is read with its envelope`, () => {
    const codec = bench.open();
    const [pong] = bench.read(codec.reply({
      type: "pong",
      payload: { serverTime: "2025-08-07T10:00:00.000Z" },
      id: "s1",
      now: NOW,
      ref: "p",
    }));
    assert.equal(pong!.type, "pong");
    assert.equal(pong!.ref, "p");
    assert.equal(pong!.timestamp, "2025-08-07T10:00:00.000Z");
    assert.deepEqual(pong!.payload, { serverTime: "2025-08-07T10:00:00.000Z" });
    const plain = codec.reply({
      type: "pong",
      payload: { serverTime: "2025-08-07T10:00:00.000Z" },
      id: "s1",
      now: NOW,
    });
    assert.equal("ref" in bench.read(plain)[0]!, false);
  });

  Deno.test(`${name}: whatever a client sends is decoded or refused`, () => {
    const codec = bench.open();
    const refused = (data: unknown, maxBytes = MAX_BYTES) => {
      try {
        codec.decode(data, maxBytes);
        return undefined;
      } catch (error) {
        assert(error instanceof Refusal, String(error));
        return error.code;
      }
    };
    fc.assert(fc.property(
      fc.oneof(
        fc.string(),
        fc.uint8Array().map(({ buffer }) => buffer),
        fc.constantFrom(undefined, null, 5, {}),
      ),
      (data) => {
        const code = refused(data);
        assert.notEqual(code, "INTERNAL");
        codec.glance(data);
      },
    ));
    const { write } = bench;
    if (!write) {
      assert.equal(refused("{}"), "INVALID_MESSAGE");
      return;
    }
    const wire = (value: unknown) => {
      const frame = write(value);
      return typeof frame === "string" ? frame : frame.slice().buffer;
    };
    const frame = codec.decode(wire({ type: "ping", id: "p" }), MAX_BYTES);
    assert.deepEqual(frame, {
      kind: "command",
      type: "ping",
      id: "p",
      payload: {},
    });
    assert.equal(refused(wire({ type: "nope" })), "UNKNOWN_TYPE");
    const long = wire({ type: "TEST", payload: { a: "x".repeat(200) } });
    assert.equal(refused(long, 100), "MESSAGE_TOO_LARGE");
  });

  Deno.test(`${name}: a live connection resumes from history, marked, and goes on`, async () => {
    await using server = await serve();
    const publish = async (from: number, to: number) => {
      const messages = Array.from({ length: to - from + 1 }, (_, i) => ({
        type: "ROOM_MESSAGE",
        channel: ROOM,
        payload: { event: "e", data: { n: from + i, text: "ü€😀" } },
      }));
      return await server.publish(messages);
    };
    const [first] = await publish(1, 50);
    await using client = await bench.connect(server.url, ROOM, {
      epoch: first!.epoch!,
      seq: 10,
    });
    const replayed = of(
      "ROOM_MESSAGE",
      await client.until((all) => of("ROOM_MESSAGE", all).length >= 40),
    );
    assert.deepEqual(replayed.map(({ seq }) => seq), seqs(11, 50));
    assert(replayed.every(({ replay }) => replay === true));
    await publish(51, 80);
    await publish(81, 90);
    const all = of(
      "ROOM_MESSAGE",
      await client.until((all) => of("ROOM_MESSAGE", all).length >= 80),
    );
    const live = all.slice(40);
    assert.deepEqual(live.map(({ seq }) => seq), seqs(51, 90));
    assert(live.every((event) => !("replay" in event)));
    const bare = all.map(({ replay: _, ...event }) => event);
    assert.deepEqual(bare, (await server.history(ROOM)).slice(10));
    if (!client.send) return;
    assert(client.frames.length < 40, "frames due together are joined");
    client.send(bench.write!({ type: "ping", id: "p" }));
    client.send(bench.write!({ type: "nope", id: "n" }));
    client.send(bench.write!({ type: "ping", id: "q" }));
    const answered = await client.until((all) => of("pong", all).length === 2);
    assert.deepEqual(of("pong", answered).map(({ ref }) => ref), ["p", "q"]);
    const [error] = of("error", answered);
    assert.equal(error!.payload.code, "UNKNOWN_TYPE");
    assert.deepEqual(server.service.bugs, []);
  });
}

function seqs(from: number, to: number): number[] {
  return Array.from({ length: to - from + 1 }, (_, i) => from + i);
}

/** A service on a port, that knows the codecs of the tests too. */
async function serve() {
  const { MSGPACK_CODEC, MSGPACK_SUBPROTOCOL } = await import(
    "../fakes/msgpack_codec.ts"
  );
  const service = await openTestService();
  const codecs = new Map([...CODECS, [MSGPACK_SUBPROTOCOL, MSGPACK_CODEC]]);
  const parts = { ...service, codecs };
  const app = new Hono<Env>();
  const { clock } = service.session;
  const engines = new EngineSessions({
    instance: service.isolate,
    clock,
    instances: 1,
  });
  mountSocketIo(app, { ...parts, engines });
  mount(app, [...socketRoutes(parts), ...sseRoutes(parts)], {
    gate: service.gate,
    unread: new Unread(clock),
    bodies: new Bodies(),
    gzip: new Gzip(clock),
  });
  const server = Deno.serve({
    port: 0,
    hostname: "127.0.0.1",
    onListen: () => {},
  }, (request, info) => app.fetch(request, info as Env["Bindings"]));
  const token = await tokenOf("user");
  return {
    service: service as TestService,
    url: `http://127.0.0.1:${server.addr.port}`,
    async publish(messages: unknown[]): Promise<Accepted[]> {
      const response = await service.request("/api/publish", {
        method: "POST",
        headers: { authorization: `Bearer ${token}` },
        body: JSON.stringify({ messages }),
      });
      assert.equal(response.status, 200);
      return (await response.json()).accepted;
    },
    async history(channel: string): Promise<Received[]> {
      const response = await service.request(
        `/api/channels/${encodeURIComponent(channel)}/history?limit=1000`,
      );
      return (await response.json()).events;
    },
    async [Symbol.asyncDispose]() {
      await server.shutdown();
      await service[Symbol.asyncDispose]();
    },
  };
}
