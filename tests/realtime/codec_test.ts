import assert from "node:assert/strict";
import { decode, encode } from "@msgpack/msgpack";
import { dictionary } from "../../describe/dictionary.ts";
import { SUBPROTOCOL } from "../../protocol/envelope.ts";
import type { Frame } from "../../realtime/codec.ts";
import { compressions } from "../../realtime/compression.ts";
import type { CompressionName } from "../../realtime/compression.ts";
import { JSON_CODEC } from "../../realtime/json_codec.ts";
import { SEPARATOR } from "../../realtime/engine_io.ts";
import { SocketIoCodec } from "../../realtime/socket_io_codec.ts";
import { SseCodec } from "../../realtime/sse_codec.ts";
import { SseCursor } from "../../realtime/sse_cursor.ts";
import { testCodec } from "../contracts/codec_contract.ts";
import type {
  CodecBench,
  LiveClient,
  Received,
} from "../contracts/codec_contract.ts";
import { ManualClock } from "../fakes/clock.ts";
import { entryOf } from "../fakes/entry.ts";
import { MSGPACK_CODEC, MSGPACK_SUBPROTOCOL } from "../fakes/msgpack_codec.ts";
import { inflated } from "../inflate.ts";

function unbatched(frame: Received): Received[] {
  return frame.type === "BATCH_UPDATE" ? frame.payload.updates : [frame];
}

/** Collects frames, and wakes who waits for them. */
class Inbox {
  readonly frames: Frame[] = [];
  readonly #read: (frame: Frame) => Received[];
  #wake: () => void = () => {};
  #failure: Error | undefined;

  constructor(read: (frame: Frame) => Received[]) {
    this.#read = read;
  }

  add(frame: Frame): void {
    this.frames.push(frame);
    this.#wake();
  }

  fail(why: string): void {
    this.#failure = new Error(why);
    this.#wake();
  }

  async until(
    condition: (received: Received[]) => boolean,
  ): Promise<Received[]> {
    for (;;) {
      const received = this.frames.flatMap(this.#read);
      if (condition(received)) return received;
      if (this.#failure) throw this.#failure;
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
  }
}

/** Connects a WebSocket that speaks one subprotocol. */
function onSocket(
  subprotocol: string,
  { read, write }: Required<Pick<CodecBench, "read" | "write">>,
  compress?: CompressionName,
): CodecBench["connect"] {
  return async (url, channel, after): Promise<LiveClient> => {
    const inbox = new Inbox(read);
    const socket = new WebSocket(`${url.replace("http", "ws")}/ws`, [
      subprotocol,
    ]);
    socket.binaryType = "arraybuffer";
    const closed = new Promise((resolve) => socket.onclose = resolve);
    socket.onmessage = ({ data }) =>
      inbox.add(typeof data === "string" ? data : new Uint8Array(data));
    closed.then(() => inbox.fail("closed"));
    await new Promise((resolve) => socket.onopen = resolve);
    assert.equal(socket.protocol, subprotocol);
    const send = (frame: Frame) => socket.send(frame);
    send(
      write({
        type: "connect",
        payload: { batch: true, ...(compress ? { compress } : {}) },
      }),
    );
    const channels = [{ channel, after }];
    send(write({ type: "subscribe", payload: { channels } }));
    return {
      frames: inbox.frames,
      until: (condition) => inbox.until(condition),
      send,
      async [Symbol.asyncDispose]() {
        socket.close();
        await closed;
      },
    };
  };
}

const json = {
  read: (frame: Frame) => unbatched(JSON.parse(frame as string)),
  write: (value: unknown) => JSON.stringify(value),
};
testCodec("the JSON codec", {
  ...json,
  open: () => JSON_CODEC,
  connect: onSocket(SUBPROTOCOL, json),
});

const msgpack = {
  read: (frame: Frame) =>
    unbatched(decode(frame as Uint8Array<ArrayBuffer>) as Received),
  write: (value: unknown) => encode(value) as Uint8Array<ArrayBuffer>,
};
testCodec("a MessagePack codec", {
  ...msgpack,
  open: () => MSGPACK_CODEC,
  connect: onSocket(MSGPACK_SUBPROTOCOL, msgpack),
});

const known = await dictionary();
const COMPRESSIONS = compressions(known, new ManualClock());

for (const name of ["deflate", "deflate-plain"] as const) {
  const { codec, terms } = COMPRESSIONS[name];
  const bytes = terms.dictionary === null ? undefined : known.bytes;
  const deflated = {
    ...json,
    read: (frame: Frame) => json.read(inflated(frame, bytes)),
  };
  testCodec(`the codec "${name}"`, {
    ...deflated,
    open: () => codec,
    connect: onSocket(SUBPROTOCOL, deflated, name),
  });
}

function eventsIn(text: string): Received[] {
  const field = "data: ";
  return text.split("\n").filter((line) => line.startsWith(field))
    .map((line) => JSON.parse(line.slice(field.length)));
}

testCodec("the SSE codec", {
  open: () => new SseCodec(new SseCursor(["room:codec"])),
  read: (frame) => eventsIn(frame as string),
  async connect(url, channel, { epoch, seq }) {
    const inbox = new Inbox((frame) => eventsIn(frame as string));
    const abort = new AbortController();
    const response = await fetch(`${url}/sse?channels=${channel}`, {
      headers: { "last-event-id": `${epoch}:${seq}` },
      signal: abort.signal,
    });
    const reading = (async () => {
      let text = "";
      const chunks = response.body!.pipeThrough(new TextDecoderStream());
      for await (const chunk of chunks) {
        const blocks = (text + chunk).split("\n\n");
        text = blocks.pop()!;
        for (const block of blocks) inbox.add(`${block}\n\n`);
      }
    })().catch(() => {});
    return {
      frames: inbox.frames,
      until: (condition) => inbox.until(condition),
      async [Symbol.asyncDispose]() {
        abort.abort();
        await reading;
      },
    };
  },
});

Deno.test("the JSON codec hands an event on as it is, and encodes nothing", () => {
  const entry = entryOf("E", 1, "{}");
  assert.equal(JSON_CODEC.event(entry), entry.json);
});

Deno.test("a codec that encodes does so once for all subscribers", () => {
  const entry = entryOf("E", 1, '{"type":"NEW_BLOCK"}');
  assert.equal(MSGPACK_CODEC.event(entry), MSGPACK_CODEC.event(entry));
});

/** Frames in a text of packets, as a client's handlers get them. */
function framesIn(text: string): Received[] {
  return text.split(SEPARATOR).filter((packet) => packet.startsWith("42"))
    .map((packet) => JSON.parse(packet.slice(2))[1]);
}

testCodec("the Socket.IO codec", {
  open() {
    const codec = new SocketIoCodec({ newPid: () => "pid", resume() {} });
    codec.decode("0", 100);
    codec.reply({
      type: "connected",
      payload: { sessionId: "s" } as never,
      id: "c",
      now: 0,
    });
    return codec;
  },
  read: (frame) => framesIn(frame as string),
  write(value) {
    const { type, ...rest } = value as Received;
    return `2${JSON.stringify([type, { payload: {}, ...rest, type }])}`;
  },
  async connect(url, channel, after) {
    const inbox = new Inbox((frame) => framesIn(frame as string));
    const socket = new WebSocket(
      `${url.replace("http", "ws")}/socket.io/?EIO=4&transport=websocket`,
    );
    const closed = new Promise((resolve) => socket.onclose = resolve);
    socket.onmessage = ({ data }) => inbox.add(data);
    await new Promise((resolve) => socket.onopen = resolve);
    socket.send("40");
    const channels = [{ channel, after }];
    socket.send(`42${JSON.stringify(["subscribe", { channels }])}`);
    return {
      frames: inbox.frames,
      until: (condition) => inbox.until(condition),
      async [Symbol.asyncDispose]() {
        socket.close();
        await closed;
      },
    };
  },
});
