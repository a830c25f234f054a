/**
 * Filtered subscriptions of the client before the real service, over real
 * sockets.
 */
import assert from "node:assert/strict";
import { connect } from "../../client/client.ts";
import type { Client, Options } from "../../client/client.ts";
import { watch } from "../../client/watch.ts";
import type { Watch, WatchOptions } from "../../client/watch.ts";
import { listen, openTestService, tokenOf } from "../test_service.ts";
import { until } from "../until.ts";
import { txReceived } from "../transactions.ts";

/** A service behind a port, a publisher, and clients that end with the test. */
async function setup() {
  const stack = new AsyncDisposableStack();
  const service = stack.use(await openTestService());
  const listener = stack.use(listen(service));
  const clients: Client[] = [];
  const client = async (options: Options = {}) => {
    const url = `ws://127.0.0.1:${listener.addr.port}/ws`;
    const made = connect(url, options);
    clients.push(made);
    await until(() => made.state.isConnected, "connected");
    return made;
  };
  const publisher = await client({
    auth: { token: await tokenOf("publisher") },
  });
  let serial = 0;
  return {
    client,
    /** Publishes one transaction after the other. */
    async transfers(...senders: string[]) {
      for (const from of senders) {
        await publisher.sendMessage(
          txReceived({ txId: `t${serial++}`, from, status: "pending" }),
        );
      }
    },
    async [Symbol.asyncDispose]() {
      for (const each of clients) each.disconnect();
      await stack.disposeAsync();
      assert.deepEqual(service.bugs, []);
    },
  };
}

/** Watches, and collects the numbers of what arrives. */
async function watched(
  client: Client,
  options: WatchOptions,
): Promise<{ list: Watch; seqs: number[]; gaps: unknown[] }> {
  const list = await client.watch("transactions", options);
  const seqs: number[] = [];
  const gaps: unknown[] = [];
  list.on("TX_RECEIVED", ({ seq }) => seqs.push(seq!));
  list.onGap((gap) => gaps.push(gap));
  await until(() => list.status === "joined", "joined");
  return { list, seqs, gaps };
}

/** Everything sent before has arrived when it is answered. */
async function ping(client: Client): Promise<void> {
  await client.request("ping");
}

Deno.test("a watch receives what matches, beside the whole channel, with and without batches", async () => {
  for (const batch of [true, false]) {
    await using parts = await setup();
    const client = await parts.client({ batch });
    const all: number[] = [];
    client.on("TX_RECEIVED", ({ seq }) => all.push(seq!));
    client.joinChannel("transactions");
    const one = await watched(client, { filter: { address: "0xA" } });
    const two = await watched(client, {
      filter: { any: [{ from: "0xb" }, { from: "0xa" }] },
      as: "two",
    });
    await parts.transfers("0xa", "0xc", "0xb", "0xc", "0xa");
    await until(() => all.length === 5 && two.seqs.length === 3, "all events");
    await ping(client);
    assert.deepEqual(all, [1, 2, 3, 4, 5]);
    assert.deepEqual(one.seqs, [1, 5]);
    assert.deepEqual(two.seqs, [1, 3, 5]);
    assert.deepEqual([one.list.position!.seq, client.state.gaps], [5, 0]);
    two.list.close();
    await parts.transfers("0xb", "0xa");
    await until(() => one.seqs.length === 3, "the next");
    assert.equal(two.seqs.length, 3);
  }
});

Deno.test("a watch resumes after a lost connection, with its edits, also when nothing matched", async () => {
  await using parts = await setup();
  const client = await parts.client();
  const { list, seqs, gaps } = await watched(client, {
    filter: { address: ["0xA", "0xB"] },
  });
  await parts.transfers("0xa", "0xc");
  const { from, added, removed } = await list.edit({
    add: ["0xD"],
    remove: ["0xB"],
  });
  assert.deepEqual([from.seq, added, removed], [2, ["0xd"], ["0xb"]]);
  await parts.transfers("0xc");
  // Each pong reports the position of a quiet subscription.
  await ping(client);
  await until(() => list.position?.seq === 3, "progress");
  client.disconnect();
  await parts.transfers("0xb", "0xd", "0xa", "0xc");
  client.connect();
  await until(() => seqs.length === 3, "what was missed");
  await until(() => list.position?.seq === 7, "the end of the catch-up");
  assert.deepEqual(seqs, [1, 5, 6]);
  assert.deepEqual(gaps, []);
});

Deno.test("an edit fetches what its values missed, and waits until the watch is joined", async () => {
  await using parts = await setup();
  await parts.transfers("0xa", "0xb", "0xa", "0xb");
  const client = await parts.client();
  const list = watch(client, "transactions", {
    filter: { address: [] },
    last: 4,
  });
  const seqs: [number, boolean][] = [];
  list.on("TX_RECEIVED", ({ seq, replay }) => {
    seqs.push([seq!, replay ?? false]);
  });
  await until(() => list.position !== undefined, "joined");
  const { epoch } = list.position!;
  const edit = list.edit({ add: ["0xb"], after: { epoch, seq: 2 } });
  assert.equal((await edit).from.seq, 4);
  await parts.transfers("0xb");
  await until(() => seqs.length === 2, "both");
  assert.deepEqual(seqs, [[4, true], [5, false]]);
});

Deno.test("a refused watch reports the reason", async () => {
  await using parts = await setup();
  const client = await parts.client();
  const list = watch(client, "transactions", { filter: { adress: "0xa" } });
  await until(() => list.status === "rejected", "refused");
  assert.equal(list.code, "INVALID_SUBSCRIPTION");
  await assert.rejects(list.edit({ add: ["0xa"] }), {
    code: "INVALID_SUBSCRIPTION",
  });
});

/** A socket whose server is the test. */
class Scripted {
  static last: Scripted;
  onopen: (() => void) | null = null;
  onmessage: ((event: { data: string }) => void) | null = null;
  onclose: (() => void) | null = null;
  readonly sent: { type: string; id: string; payload: never }[] = [];
  constructor() {
    Scripted.last = this;
  }
  send(text: string) {
    this.sent.push(JSON.parse(text));
  }
  close() {}
  say(type: string, rest: object) {
    this.onmessage?.({ data: JSON.stringify({ type, payload: {}, ...rest }) });
  }
  reply(type: string, payload: object) {
    this.say(type, { payload, ref: this.sent.at(-1)!.id });
  }
  subscriptions() {
    return this.sent.filter(({ type }) => type === "subscribe");
  }
}

/** A client whose server is the test. */
async function dialled(): Promise<{ client: Client; server: Scripted }> {
  const client = connect("ws://example.test", {
    WebSocket: Scripted as never,
  });
  await until(() => Scripted.last?.onopen != null, "dialled");
  const server = Scripted.last;
  server.onopen!();
  server.reply("connected", {
    sessionId: "s",
    serverTime: new Date().toISOString(),
    identity: { isAuthenticated: false, user: null, role: "anonymous" },
    heartbeatMs: 25_000,
    limits: {
      maxMessageBytes: 65_536,
      maxSubscriptions: 256,
      maxCommandsInFlight: 256,
    },
    schema: "s",
  });
  // What sends is loaded with the first request.
  const signal = AbortSignal.abort();
  await assert.rejects(client.request("ping", {}, { signal }));
  return { client, server };
}

Deno.test("a watch of a closed client sends no more, and its edits report it", async () => {
  const { client, server } = await dialled();
  const list = watch(client, "transactions", { filter: { from: "0xa" } });
  await until(() => server.subscriptions().length === 1, "asked");
  const waiting = list.edit({ add: ["0xb"] });
  client.disconnect();
  await assert.rejects(waiting, { code: "CLOSED" });
  await assert.rejects(list.edit({ add: ["0xb"] }), { code: "CLOSED" });
});

Deno.test("a watch closed before its reply leaves, its edits report it, and its refusal is not followed", async () => {
  const { client, server } = await dialled();
  const list = watch(client, "transactions", {
    filter: { from: "0xa" },
    as: "mine",
  });
  await until(() => server.subscriptions().length === 1, "asked");
  const { id } = server.sent.at(-1)!;
  const waits = list.edit({ add: ["0xb"] });
  list.close();
  await assert.rejects(waits, { code: "CLOSED" });
  await assert.rejects(list.edit({ add: ["0xb"] }), { code: "CLOSED" });
  await until(() => server.sent.at(-1)!.type === "unsubscribe", "left");
  assert.deepEqual(server.sent.at(-1)!.payload, { channels: ["mine"] });
  server.say("error", { payload: { code: "BUSY", message: "" }, ref: id });
  // A refusal that was followed would leave a timer behind.
  client.disconnect();
});

Deno.test("a hole in the chain of prev is asked for again, and no progress passes it", async () => {
  const { client, server } = await dialled();
  const list = watch(client, "transactions", {
    filter: { from: "0xa" },
    as: "mine",
  });
  const seqs: number[] = [];
  list.on("TX_RECEIVED", ({ seq }) => seqs.push(seq!));
  const subscribed = (seq: number) =>
    server.reply("subscribed", {
      channels: [{
        channel: "transactions",
        as: "mine",
        epoch: "e",
        seq,
        recovered: true,
      }],
      rejected: [],
    });
  const event = (prev: number, seq: number) =>
    server.say("TX_RECEIVED", {
      channel: "transactions",
      sub: "mine",
      epoch: "e",
      prev,
      seq,
    });
  const progress = (seq: number) =>
    server.say("progress", {
      payload: {
        positions: [{
          channel: "transactions",
          as: "mine",
          epoch: "e",
          seq,
        }],
      },
    });
  const gap = (from: number, to: number) =>
    server.say("gap", {
      payload: {
        channel: "transactions",
        as: "mine",
        epoch: "e",
        from,
        to,
        reason: "retention",
      },
    });
  subscribed(10);
  event(10, 12);
  event(10, 12);
  assert.deepEqual(seqs, [12], "known");
  progress(15);
  event(15, 16);
  assert.equal(server.subscriptions().length, 1);
  event(18, 20);
  event(20, 21);
  progress(30);
  assert.deepEqual([seqs, list.position!.seq], [[12, 16], 16]);
  assert.equal(server.subscriptions().length, 2, "asked once");
  const { payload } = server.subscriptions()[1]!;
  assert.deepEqual(payload["channels"], [{
    channel: "transactions",
    as: "mine",
    filter: { from: "0xa" },
    after: { epoch: "e", seq: 16 },
  }]);
  subscribed(16);
  event(16, 18);
  event(18, 20);
  gap(21, 40);
  event(40, 41);
  gap(1, 30);
  event(41, 42);
  assert.deepEqual(seqs, [12, 16, 18, 20, 41, 42]);
  client.disconnect();
});
