import assert from "node:assert/strict";
import { lineOf } from "../../cli/line.ts";
import { SECRET, TestServer } from "../server.ts";
import { txReceived } from "../transactions.ts";
import { until } from "../until.ts";
import { kaldrix, spawn } from "./kaldrix.ts";

const message = (event: string) => ({
  type: "ROOM_MESSAGE" as const,
  channel: "room:lobby",
  payload: { event },
});

/** Collects what a process writes to both of its outputs. */
function collect(process: Deno.ChildProcess) {
  const texts = { out: "", err: "" };
  const keep = async (
    name: "out" | "err",
    stream: ReadableStream<Uint8Array<ArrayBuffer>>,
  ) => {
    for await (const text of stream.pipeThrough(new TextDecoderStream())) {
      texts[name] += text;
    }
  };
  const done = Promise.all([
    keep("out", process.stdout),
    keep("err", process.stderr),
  ]);
  return { texts, done };
}

Deno.test("tail writes a line an event, names a dead server and continues after it", async () => {
  await using server = await TestServer.start();
  const positions = await server.publish([message("a"), message("b\u001b[2J")]);
  const env = { KALDRIX_URL: server.url };
  const args = ["tail", "room:lobby", "--last", "2", "--count", "3"];
  const process = spawn(args, { env });
  const { texts, done } = collect(process);
  await until(() => texts.out.includes("#2 "), "the second event");
  await server.stop("SIGKILL");
  await until(
    () => /nothing listens there; trying again/.test(texts.err),
    "a word about the dead server",
  );
  await server.begin();
  await until(() => texts.err.includes("connected again"), "a connection");
  await server.publish([message("c")]);
  const { code } = await process.status;
  await done;
  assert.equal(code, 0, texts.err);
  const time = /\d\d:\d\d:\d\d\.\d{3}Z/.source;
  assert.match(
    texts.out,
    new RegExp(
      `^${time} room:lobby#1 ROOM_MESSAGE \\(replay\\) event=a\n` +
        `${time} room:lobby#2 ROOM_MESSAGE \\(replay\\) event="b\\\\u001b\\[2J"\n` +
        `${time} room:lobby#3 ROOM_MESSAGE( \\(replay\\))? event=c\n$`,
    ),
  );

  const { epoch } = positions[0]!;
  const json = await kaldrix(
    ["tail", "room:lobby", "--json", "--count", "1", "--after", `${epoch}:2`],
    { env },
  );
  const event = JSON.parse(json.out);
  assert.equal(event.seq, 3);
  assert.deepEqual(event.payload, { event: "c" });

  const cases: [string[], number, RegExp][] = [
    [
      ["tail", "nope"],
      1,
      /nope: refused \(UNKNOWN_CHANNEL\); .*\nerror: no channel/,
    ],
    [["tail", "--last", "1001"], 2, /expected a number from 0 to 1000/],
    [["tail", "--last", "1", "--after", "e:1"], 2, /not with --last/],
    [["tail", "--url", "ftp://x"], 2, /begins with http/],
    [["tail", "--colour"], 2, /unknown option/],
  ];
  for (const [args, code, text] of cases) {
    const ended = await kaldrix(args, { env });
    assert.equal(ended.code, code, ended.err);
    assert.match(ended.err, text);
    assert.equal(ended.out, "");
  }
  const refused = await kaldrix(["tail"], {
    env: { ...env, KALDRIX_TOKEN: "no.token.here" },
  });
  assert.equal(refused.code, 1);
  assert.match(refused.err, /UNAUTHENTICATED/);
});

Deno.test("tail reports a restart in one sentence with the time to reconnect, and continues after it", async () => {
  await using server = await TestServer.start();
  const env = { KALDRIX_URL: server.url };
  await server.publish([message("a")]);
  const args = ["tail", "room:lobby", "--last", "1"];
  await using process = spawn([...args, "--count", "2"], { env });
  await using other = spawn([...args, "--no-retry"], { env });
  const [{ texts, done }, ended] = [collect(process), collect(other)];
  await until(
    () => [texts, ended.texts].every(({ out }) => /event=a/.test(out)),
    "the first event",
  );

  await server.stop("SIGTERM");
  await ended.done;
  assert.equal((await other.status).code, 1);
  assert.equal(ended.texts.err, `error: ${server.url} restarts\n`);
  await until(() => texts.err.includes("\n"), "a notice");
  await server.begin();
  await until(() => texts.err.includes("connected again"), "a connection");
  await server.publish([message("b")]);
  assert.equal((await process.status).code, 0);
  await done;
  assert.match(
    texts.err,
    /^\S+ restarts; connecting again in \d+\.\d s\n\S+: connected again\n$/,
  );
});

Deno.test("tail follows only what matches a filter", async () => {
  await using server = await TestServer.start();
  await server.publish(["a", "b", "a", "c"].map(message));
  const env = { KALDRIX_URL: server.url };
  const found = async (filter: string) => {
    const { code, out, err } = await kaldrix(
      ["tail", "room:lobby", "--last", "4", "--count", "2", "--filter", filter],
      { env },
    );
    assert.equal(code, 0, err);
    return [...out.matchAll(/event=(\w)/g)].map(([, event]) => event);
  };
  assert.deepEqual(await found("event=a"), ["a", "a"]);
  assert.deepEqual(await found('{"event":["b","c"]}'), ["b", "c"]);
  const unknown = await kaldrix(
    ["tail", "room:lobby", "--filter", "colour=red"],
    { env },
  );
  assert.equal(unknown.code, 1);
  assert.match(unknown.err, /^error: INVALID_\w+: filter\.colour: /m);
  const malformed = await kaldrix(["tail", "--filter", "{"], { env });
  assert.deepEqual([malformed.code, malformed.out], [2, ""]);
});

Deno.test("with a filter, tail writes marks that pass it for programs only", async () => {
  await using server = await TestServer.start();
  const payload = {
    chain: "c",
    blockId: "0xb1",
    height: 1,
    transactions: 1,
    failed: 0,
    timestamp: new Date().toISOString(),
  };
  await server.publish([
    { type: "BLOCK_COMPLETE", channel: "transactions", payload },
    {
      ...txReceived({ txId: "0x1", from: "0xa1", status: "pending" }),
      channel: "transactions",
    },
  ]);
  const types = async (...more: string[]) => {
    const { out } = await kaldrix(
      ["tail", "transactions", "--last", "2", "--filter", "from=0xa1", ...more],
      { env: { KALDRIX_URL: server.url } },
    );
    return [...out.matchAll(/BLOCK_COMPLETE|TX_RECEIVED/g)].map(([it]) => it);
  };
  assert.deepEqual(await types("--count", "1"), ["TX_RECEIVED"]);
  assert.deepEqual(await types("--count", "2", "--json"), [
    "BLOCK_COMPLETE",
    "TX_RECEIVED",
  ]);
});

Deno.test("tail ends with 1 when nothing listens and it may not retry", async () => {
  const { code, err } = await kaldrix(
    ["tail", "--no-retry", "--url", "http://127.0.0.1:1"],
  );
  assert.equal(code, 1);
  assert.match(err, /^error: http:\/\/127\.0\.0\.1:1 cannot be reached: /);
});

Deno.test("publish sends one message, lines in order, and names the line that is refused", async () => {
  await using server = await TestServer.start();
  const made = await kaldrix(
    ["token", "make", "--user", "p", "--role", "publisher"],
    { env: { JWT_SECRET: SECRET } },
  );
  const env = { KALDRIX_URL: server.url, KALDRIX_TOKEN: made.out.trim() };
  const checked = await kaldrix(["token", "check"], {
    env: { ...env, JWT_SECRET: SECRET },
  });
  assert.match(checked.out, /^user +p\nrole +publisher\n/);
  const rotated = await kaldrix(["token", "check"], {
    env: {
      ...env,
      JWT_SECRET: `another secret, long enough to be one of them,${SECRET}`,
    },
  });
  assert.equal(rotated.code, 0, "one of the secrets is right");
  const forged = await kaldrix(["token", "check", `${env.KALDRIX_TOKEN}x`], {
    env: { ...env, JWT_SECRET: SECRET },
  });
  assert.equal(forged.code, 1);
  assert.match(forged.err, /^error: UNAUTHENTICATED/);

  const one = await kaldrix(
    ["publish", "ROOM_MESSAGE", '{"event":"a"}', "--channel", "room:lobby"],
    { env },
  );
  assert.deepEqual([one.code, one.out], [0, "room:lobby#1\n"], one.err);

  const events = Array.from({ length: 250 }, (_, i) => `e${i}`);
  const input = events.map((it) => `${JSON.stringify(message(it))}\n`).join(
    "\n",
  );
  const many = await kaldrix(["publish", "--json"], { env, input });
  assert.equal(many.code, 0, many.err);
  assert.match(many.err, /^250 published in /);
  const seqs = many.out.trim().split("\n").map((it) => JSON.parse(it).seq);
  assert.deepEqual(seqs, events.map((_, i) => i + 2));
  const { events: kept } = await server.json(
    "/api/channels/room:lobby/history?after=1&limit=1000",
  );
  assert.deepEqual(
    kept.map((it: { payload: { event: string } }) => it.payload.event),
    events,
  );

  const bad = await kaldrix(["publish"], {
    env,
    input: `${JSON.stringify(message("x"))}\nnot JSON`,
  });
  assert.equal(bad.code, 1);
  assert.match(
    bad.err,
    /^error: line 2 is not JSON\nNothing from line \d on is published; \d lines before it are$/m,
  );
  const refused = await kaldrix(["publish"], {
    env,
    input: [message("x"), { ...message("y"), payload: { evnt: "y" } }]
      .map((it) => JSON.stringify(it)).join("\n"),
  });
  assert.match(refused.err, /^ {2}line 2: payload\.event: /m);
  const cases: [string[], number, RegExp][] = [
    [["publish", "NOPE"], 1, /^error: UNKNOWN_TYPE/],
    [["publish", "TEST", "[]"], 1, /the payload is not a JSON object/],
    [["publish", "TEST", "--file", "x"], 2, /not both/],
    [["publish", "--file", "/none"], 1, /\/none cannot be read/],
    [["publish", "--file", "/"], 1, /^error: the lines cannot be read: /],
    [["publish", "ROOM_MESSAGE", "{}"], 1, /^error: .*\n {2}payload\.event: /],
  ];
  for (const [args, code, text] of cases) {
    const ended = await kaldrix(args, { env });
    assert.equal(ended.code, code, ended.err);
    assert.match(ended.err, text);
  }
});

Deno.test("publish reports what it waits for, and continues after it", async () => {
  await using server = await TestServer.start();
  const token = await server.token("publisher");
  const away = `${server.kvPath}.away`;
  await Deno.rename(server.kvPath, away);
  await using publisher = spawn(
    ["publish", "ROOM_MESSAGE", '{"event":"e"}', "--channel", "room:lobby"],
    { env: { KALDRIX_URL: server.url, KALDRIX_TOKEN: token } },
  );
  const { texts, done } = collect(publisher);
  await until(() => /^STORE_UNAVAILABLE: /m.test(texts.err), "the reason");
  await Deno.rename(away, server.kvPath);
  const { code } = await publisher.status;
  await done;
  assert.equal(code, 0, texts.err);
  assert.equal(texts.out, "room:lobby#1\n");
  assert.equal(texts.err.match(/trying again/g)?.length, 1, texts.err);
});

Deno.test("a line holds nested fields and lists, shortens them, and is cut at the width", () => {
  const event = {
    type: "DAG_UPDATE",
    channel: "dag",
    timestamp: "2026-01-02T03:04:05.678Z",
    payload: {
      nodeId: "n1",
      relatedNodes: ["a", "b", "c", "d", "e"],
      metadata: { layer: 3, deep: { x: 1 } },
      list: [{}, {}],
      none: null,
      text: "two words",
      hidden: "a\u202eb",
    },
  };
  assert.equal(
    lineOf(event),
    "03:04:05.678Z dag DAG_UPDATE nodeId=n1 relatedNodes=[a,b,c,+2] " +
      'metadata.layer=3 metadata.deep={"x":1} list=[2] none=null ' +
      'text="two words" hidden="a\\u202eb"',
  );
  assert.equal(lineOf(event, 20).length, 20);
  const status = "pending";
  const moved = { ...event, payload: { txId: "0xa", to: "0xb", status } };
  assert.match(lineOf(moved), / status=pending txId=0xa to=0xb$/);
});
