import assert from "node:assert/strict";
import fc from "fast-check";
import { Decoder, Encoder, PacketType } from "socket.io-parser";
import {
  eventPacket,
  MAX_NAMESPACE_LENGTH,
  parsePacket,
} from "../../realtime/socket_io_packet.ts";
import {
  entriesOf,
  MAX_OFFSET_LENGTH,
  NO_OFFSET,
  SocketIoCursor,
} from "../../realtime/socket_io_cursor.ts";

/** A packet as the reference parser understands it. */
interface Reference {
  readonly type: number;
  readonly nsp: string;
  readonly id?: number;
  readonly data?: unknown;
}

/** What the reference parser makes of a text; nothing when it refuses. */
function referenceOf(text: string): Reference | undefined {
  const decoder = new Decoder();
  let decoded: Reference | undefined;
  decoder.on("decoded", (packet: Reference) => decoded = packet);
  try {
    decoder.add(text);
  } catch {
    return undefined;
  }
  // It lets events and acks without any data pass.
  const isBare = decoded?.type === PacketType.EVENT ||
    decoded?.type === PacketType.ACK;
  return isBare && decoded?.data === undefined ? undefined : decoded;
}

/** Texts that are packets, and texts that are nearly. */
const texts = fc.oneof(
  fc.string({ maxLength: 40 }),
  fc.tuple(
    fc.constantFrom("0", "1", "2", "3", "4", "7", "9", ""),
    fc.constantFrom("", "/,", "/admin,", "/a?b=1,", "/admin"),
    fc.constantFrom("", "0", "7", "12345"),
    fc.oneof(
      fc.constantFrom("", "[", "{}", "[]", "null", "1", '"x"', '["connect"]'),
      fc.json(),
      fc.array(fc.jsonValue()).map((args) => JSON.stringify(args)),
      fc.tuple(fc.string(), fc.jsonValue()).map((args) => JSON.stringify(args)),
    ),
  ).map((parts) => parts.join("")),
);

const KINDS: Readonly<Record<number, string>> = {
  [PacketType.CONNECT]: "connect",
  [PacketType.DISCONNECT]: "disconnect",
  [PacketType.EVENT]: "event",
  [PacketType.ACK]: "ack",
};

Deno.test("packets are read as the reference parser reads them", () => {
  let read = 0;
  fc.assert(
    fc.property(texts, (text) => {
      // For the reference parser, a blank before the data is the digit 0.
      fc.pre(/^\d[^\s[{"]*($|[[{"])/.test(text));
      // Longer numbers of acknowledgements are refused, since they are not exact.
      fc.pre(!/^[^[{"]*\d{14}/.test(text));
      const packet = parsePacket(text);
      const reference = referenceOf(text);
      // CONNECT_ERROR is not accepted from a client.
      const kind = reference && KINDS[reference.type];
      // A binary packet is refused by its type: what follows is not read.
      if (packet?.kind === "binary" && !reference) return;
      assert.equal(packet?.kind, kind, text);
      if (!packet || !reference) return;
      read++;
      assert.equal(packet.namespace, reference.nsp);
      if (packet.kind === "event") {
        assert.deepEqual([packet.name, ...packet.args], reference.data);
        assert.equal(packet.ack, reference.id);
      }
      if (packet.kind === "connect") {
        assert.deepEqual(packet.auth, reference.data ?? {});
      }
    }),
    { numRuns: 3_000 },
  );
  assert(read > 300, `${read} were packets`);
});

Deno.test("events are written as the reference parser writes them", () => {
  fc.assert(
    fc.property(fc.array(fc.jsonValue(), { minLength: 1 }), (args) => {
      const [expected] = new Encoder().encode({
        type: PacketType.EVENT,
        nsp: "/",
        data: ["NEW_BLOCK", ...args],
      } as never);
      const written = args.map((arg) => JSON.stringify(arg));
      assert.equal(eventPacket("NEW_BLOCK", ...written), expected);
    }),
  );
});

Deno.test("binary packets are recognised, not read", () => {
  const binary = '51-7["a",{"_placeholder":true,"num":0}]';
  assert.deepEqual(parsePacket(binary), {
    kind: "binary",
    namespace: "/",
    ack: 7,
  });
  assert.equal(parsePacket("61-[]")?.kind, "binary");
  assert.equal(parsePacket('5["a"]'), undefined);
  assert.equal(parsePacket('21-["a"]'), undefined);
});

Deno.test("a namespace's name is bounded", () => {
  const name = (length: number) => `0/${"a".repeat(length - 1)},`;
  assert.equal(parsePacket(name(MAX_NAMESPACE_LENGTH))?.kind, "connect");
  assert.equal(parsePacket(name(MAX_NAMESPACE_LENGTH + 1)), undefined);
});

const channels = fc.uniqueArray(
  fc.record({
    channel: fc.constantFrom("blocks", "dag", "metrics", "room:a", "room:b.c"),
    epoch: fc.option(fc.constantFrom("0", "01M8BF1X8CTN3ARGK300000004")),
    seq: fc.nat(),
  }),
  { selector: ({ channel }) => channel },
);

Deno.test("an offset is read back as it was written", () => {
  fc.assert(
    fc.property(channels, (all) => {
      const cursor = new SocketIoCursor();
      cursor.begin(all.map((each) => ({
        ...each,
        seq: each.epoch === null ? null : each.seq,
        recovered: true,
      })));
      const entries = entriesOf(cursor.offset());
      assert.deepEqual(
        entries,
        all.map(({ channel, epoch, seq }) =>
          epoch === null ? { channel } : { channel, after: { epoch, seq } }
        ),
      );
      cursor.leave(all.map(({ channel }) => channel));
      assert.equal(cursor.offset(), "");
    }),
  );
});

Deno.test("a client with a filter has no offset until it leaves that", () => {
  const cursor = new SocketIoCursor();
  const at = { channel: "blocks", epoch: "e", seq: 7, recovered: true };
  cursor.begin([at]);
  cursor.begin([{ ...at, as: "mine", filtered: { values: 1 } }]);
  assert.equal(cursor.offset(), NO_OFFSET);
  assert(!cursor.isCommon);
  cursor.leave(["mine"]);
  assert.equal(cursor.offset(), "blocks=e:7");
  cursor.begin([{ ...at, filtered: { values: 1 } }]);
  cursor.move("blocks", "e", 9);
  assert.equal(cursor.offset(), NO_OFFSET);
  cursor.begin([at]);
  assert.equal(cursor.offset(), "blocks=e:7");
  assert(cursor.isCommon);
});

Deno.test("an offset that would be too long is none, and none is understood", () => {
  const cursor = new SocketIoCursor();
  let longest = "";
  for (let i = 0; cursor.offset() !== NO_OFFSET; i++) {
    longest = cursor.offset();
    const channel = `room:${i}`;
    cursor.begin([{ channel, epoch: "e", seq: i, recovered: true }]);
  }
  assert(longest.length <= MAX_OFFSET_LENGTH);
  assert(longest.length > MAX_OFFSET_LENGTH - 20);
  assert(entriesOf(longest));
  for (const bad of [NO_OFFSET, "x", "blocks=a:b", ",", "a=b:1,", "é=e:1"]) {
    assert.equal(entriesOf(bad), undefined, bad);
  }
  assert.equal(entriesOf(`${longest}${",blocks=e:1".repeat(20)}`), undefined);
});
