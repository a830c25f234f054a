/**
 * What single steps of an event's way cost; `deno task bench:micro` compares
 * them with a baseline.
 *
 * @module
 */
import { decode, decodePublications } from "../../protocol/decode.ts";
import {
  encodeBatch,
  encodeEvent,
  encodeReply,
  instantText,
} from "../../protocol/encode.ts";
import { systemClock } from "../../platform/clock.ts";
import { JSON_CODEC } from "../../realtime/json_codec.ts";
import type { Stream } from "../../realtime/stream.ts";
import type { LoggedEntry } from "../../store/entry.ts";
import { Budget } from "../../security/budget.ts";
import { RateLimit } from "../../security/rate_limit.ts";
import {
  createTokens,
  generateWebSocketToken,
  MAX_KNOWN_TOKENS,
} from "../../security/tokens.ts";
import { openStore } from "../../store/deno_kv.ts";
import { emptyStream, envelope, EPOCH, outbox } from "../fakes/outboxes.ts";

/** Longest frame accepted here, in bytes. */
const MAX_BYTES = 65_536;
/** Subscribers of the fan-out. */
const SUBSCRIBERS = 500;
/** Events of one turn. */
const EVENTS = 20;
const SECRET = "a secret of the benchmarks, long enough";

const payload = {
  blockId: "block_123",
  height: 15_420,
  timestamp: "2025-08-07T10:00:00Z",
  hash: `0x${"a1".repeat(32)}`,
  previousHash: `0x${"b2".repeat(32)}`,
  validator: "validator_1",
  signature: `0x${"c3".repeat(64)}`,
  size: 1_024,
  gasUsed: 50_000,
  gasLimit: 100_000,
};
const block = JSON.stringify({ type: "NEW_BLOCK", id: "b-1", payload });
const body = JSON.stringify({
  messages: Array.from({ length: 100 }, (_, i) => ({
    type: "NEW_BLOCK",
    payload: { ...payload, height: i },
  })),
});
const payloadText = JSON.stringify(payload);
let seq = 0;

function eventText(): string {
  return encodeEvent(
    "NEW_BLOCK",
    payloadText,
    { channel: "blocks", seq: ++seq, epoch: EPOCH },
    envelope(),
  );
}

// Others are compared with this one, which is none of ours.
Deno.bench("calibration: parse 600 bytes", () => {
  JSON.parse(block);
});

Deno.bench("decode: ping", () => {
  decode('{"type":"ping","id":"42"}', MAX_BYTES);
});

Deno.bench("decode: subscribe", () => {
  decode(
    '{"type":"subscribe","id":"1","payload":{"channels":["blocks","dag"]}}',
    MAX_BYTES,
  );
});

Deno.bench("decode: a block of 600 bytes", () => {
  decode(block, MAX_BYTES);
});

Deno.bench("decode: 100 blocks over HTTP", () => {
  decodePublications(body, MAX_BYTES);
});

Deno.bench("encode: an event", () => {
  eventText();
});

Deno.bench("encode: a pong", () => {
  encodeReply({
    ...envelope(),
    type: "pong",
    payload: { serverTime: instantText(Date.now()) },
    ref: "42",
  });
});

const texts = Array.from({ length: EVENTS }, eventText);
const encoder = new TextEncoder();
const frame = new Uint8Array(MAX_BYTES);
Deno.bench(`encode: ${EVENTS} events as one frame`, () => {
  // As a socket takes it: until then it is only a promise of a text.
  encoder.encodeInto(encodeBatch(texts, envelope()), frame);
});

const text = eventText();
const tags = {};

/** A block as its publisher's instance makes it, in one piece. */
function blockEntry(seq: number): LoggedEntry {
  const type = "NEW_BLOCK";
  return {
    channel: "blocks",
    type,
    at: 0,
    tags,
    epoch: EPOCH,
    seq,
    json: text,
  };
}

const ring = emptyStream("blocks");
Deno.bench("ring: take an event and read it", () => {
  const at = ring.seq + 1;
  ring.offer(blockEntry(at));
  JSON_CODEC.event(ring.entryAt(at));
});

/** Sockets that take everything at once. */
function audience(batch: boolean): Stream {
  const followed = emptyStream("blocks");
  for (let i = 0; i < SUBSCRIBERS; i++) {
    const own = outbox();
    own.batch = batch;
    own.attach(followed, { epoch: EPOCH, seq: 0 });
  }
  return followed;
}

for (const batch of [true, false]) {
  const followed = audience(batch);
  const how = batch ? "joined" : "one by one";
  Deno.bench(`fan out: an event to ${SUBSCRIBERS}, ${how}`, () => {
    followed.offer(blockEntry(followed.seq + 1));
    followed.flush();
  });
  Deno.bench(`fan out: ${EVENTS} events to ${SUBSCRIBERS}, ${how}`, () => {
    for (let i = 0; i < EVENTS; i++) {
      followed.offer(blockEntry(followed.seq + 1));
    }
    followed.flush();
  });
}

const budget = new Budget({ burst: 1e9, perSecond: 1e9, now: Date.now });
Deno.bench("budget: of one connection", () => {
  budget.take();
});

const kv = await openStore(":memory:");
const limit = new RateLimit({
  kv,
  clock: systemClock,
  name: "bench",
  limit: 1e9,
  windowMs: 60_000,
  maxUnshared: 1e9,
});
Deno.bench("limiter: of one address", () => {
  limit.take("192.0.2.1");
});

const tokens = createTokens({ secrets: [SECRET] });
// One more than are known at a time: none of them still is when it comes again.
const strange = await Promise.all(
  Array.from({ length: MAX_KNOWN_TOKENS + 1 }, (_, i) =>
    generateWebSocketToken(
      { userId: `user-${i}`, role: "user" },
      SECRET,
      "1h",
    )),
);
let shown = 0;
Deno.bench("token: verify", async () => {
  await tokens.verify(strange[shown++ % strange.length]!);
});

const known = await generateWebSocketToken(
  { userId: "alice", role: "user" },
  SECRET,
  "1h",
);
Deno.bench("token: verify one that is known", async () => {
  await tokens.verify(known);
});
