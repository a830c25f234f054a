import assert from "node:assert/strict";
import { systemClock } from "../../platform/clock.ts";
import type { Clock } from "../../platform/clock.ts";
import { decode } from "../../protocol/decode.ts";
import type {
  AnyEvent,
  AnyMessage,
  PayloadOf,
} from "../../protocol/messages.ts";
import { Refusal } from "../../protocol/refusals.ts";
import { evmSource } from "../../sources/evm.ts";
import { HttpPublisher } from "../../sources/http_publisher.ts";
import { Anvil, anvilTest, Relay } from "./anvil.ts";
import { until } from "../until.ts";
import { keptLog, MemoryPublisher } from "../fakes/publisher.ts";
import { foldBlocks, foldDag, foldTransactions } from "./chain_folds.ts";
import { startGanache } from "./ganache.ts";

/** What a subscriber of `blocks` holds to be the chain; `dag` is the same. */
function viewOf(publisher: MemoryPublisher): string[] {
  return foldBlocks(publisher.of("blocks")).map(({ hash }) => hash);
}

/** Real time, faster for the source by a factor. */
function hurried(times: number): Clock {
  return {
    ...systemClock,
    monotonic: () => systemClock.monotonic() * times,
    after: (ms, work) => systemClock.after(ms / times, work),
  };
}

/** Runs a source for as long as the test has it in scope. */
function follow(
  anvil: { url: string },
  publisher: MemoryPublisher,
  clock: Clock = systemClock,
) {
  const { log, entries } = keptLog();
  const stop = new AbortController();
  const running = evmSource({
    rpcUrl: anvil.url,
    publisher,
    log,
    nodeId: "anvil",
    clock,
    pollMs: 200,
  }).run(stop.signal);
  return {
    entries,
    async [Symbol.asyncDispose]() {
      stop.abort();
      await running;
    },
  };
}

/** Waits until subscribers hold the node's own chain to be the chain. */
async function untilSame(
  anvil: Anvil,
  publisher: MemoryPublisher,
): Promise<string[]> {
  let view: string[] = [];
  await until(async () => {
    const real = await anvil.hashes();
    view = viewOf(publisher);
    const dag = foldDag(publisher.of("dag"));
    if (real.at(-1) !== view.at(-1) || dag.length < view.length) return false;
    assert.deepEqual(view, real.slice(real.length - view.length));
    assert.deepEqual(dag, view);
    return true;
  }, "subscribers hold the node's chain to be the chain");
  return view;
}

function blocksOf(publisher: MemoryPublisher): PayloadOf<"NEW_BLOCK">[] {
  return publisher.of("blocks").flatMap(({ type, payload }) =>
    type === "NEW_BLOCK" ? [payload] : []
  );
}

function transactionsOf(
  publisher: MemoryPublisher,
): PayloadOf<"TX_RECEIVED">[] {
  return publisher.of("transactions").flatMap(({ type, payload }) =>
    type === "TX_RECEIVED" ? [payload] : []
  );
}

anvilTest(
  "evmSource() publishes a real node's blocks, transactions and state",
  async () => {
    await using anvil = await Anvil.start();
    const publisher = new MemoryPublisher();
    const [alice, bob] = await anvil.ask("eth_accounts");
    await anvil.mine(2);
    await using _source = follow(anvil, publisher);
    await untilSame(anvil, publisher);

    const gas = "0x186a0";
    const value = "0xde0b6b3a7640001";
    const paid = await anvil.ask("eth_sendTransaction", {
      from: alice,
      to: bob,
      value,
      gas,
    });
    // Its code is `INVALID`: creating it fails, though it is in a block.
    const failed = await anvil.ask("eth_sendTransaction", {
      from: bob,
      data: "0xfe",
      gas,
    });
    const created = await anvil.ask("eth_sendTransaction", {
      from: alice,
      data: "0x600a600c600039600a6000f3602a60005260206000f3",
      gas,
    });
    await until(
      () => transactionsOf(publisher).length === 3,
      "the source published it",
    );
    await anvil.mine();
    await untilSame(anvil, publisher);

    const reported = transactionsOf(publisher);
    assert.deepEqual(
      reported.slice(0, 3).map(({ status }) => status),
      ["pending", "pending", "pending"],
    );
    const end = new Map(reported.slice(3).map((tx) => [tx.txId, tx]));
    assert.equal(end.get(paid)!.status, "confirmed");
    assert.equal(end.get(paid)!.amount, "1000000000000000001");
    assert.equal(end.get(paid)!.to, bob);
    assert.equal(end.get(paid)!["gasUsed"], 21_000);
    assert.equal(end.get(failed)!.status, "failed");
    const receipt = await anvil.ask("eth_getTransactionReceipt", created);
    const pending = reported.find(({ txId }) => txId === created)!;
    const contract = receipt.contractAddress.toLowerCase();
    assert.equal(pending.to, contract, "it is known before it is there");
    assert.equal(pending.creates, contract);
    assert.equal(end.get(created)!.to, contract);
    assert.equal(end.get(created)!.creates, contract);
    assert.equal("creates" in end.get(paid)!, false);
    assert.deepEqual(end.get(paid)!.transfers, [
      { asset: "native", from: alice, to: bob, amount: "1000000000000000001" },
    ]);
    const block = blocksOf(publisher).at(-1)!;
    assert.equal(block.height, 3);
    assert.deepEqual(block.transactions, reported.slice(3));
    assert.equal(block.gasLimit, 30_000_000);
    assert.ok(block.size! > 500);
    assert.ok(block.gasUsed! > 21_000);
    await until(
      () => publisher.of("nodes").length > 0,
      "the source published it",
    );
    const status = publisher.of("nodes")[0]!.payload as PayloadOf<
      "NODE_STATUS"
    >;
    assert.equal(status.status, "ONLINE");
    assert.equal(status.nodeId, "anvil");
    assert.match(status.version!, /^anvil/);
    assert.equal("peers" in status, false, "anvil does not tell its peers");
    for (const { type, id, payload } of publisher.events) {
      decode(JSON.stringify({ type, id, payload }), 65_536);
    }
  },
);

anvilTest("evmSource() misses no block while the node restarts", async () => {
  const folder = await Deno.makeTempDir();
  const state = `${folder}/chain.json`;
  const publisher = new MemoryPublisher();
  try {
    await using relay = new Relay();
    await using first = await Anvil.start({ state, blockTime: 1 });
    relay.target = first;
    await using source = follow(relay, publisher);
    await first.mine(3);
    await untilSame(first, publisher);
    await until(
      () => publisher.of("nodes").length > 0,
      "the source published it",
    );
    relay.target = undefined;
    await first.stop();
    {
      // Blocks that are made while no source runs.
      await using hidden = await Anvil.start({ state });
      await hidden.mine(5);
      await hidden.stop();
    }
    await using second = await Anvil.start({ state, blockTime: 1 });
    relay.target = second;
    await second.mine();

    const view = await untilSame(second, publisher);

    assert.ok(view.length >= 9);
    const heights = blocksOf(publisher).map(({ height }) => height);
    assert.deepEqual(heights, heights.map((_, index) => index + 1));
    const states = publisher.of("nodes").map(({ payload }) =>
      (payload as PayloadOf<"NODE_STATUS">).status
    );
    assert.deepEqual(states.slice(0, 2), ["ONLINE", "OFFLINE"]);
    assert.ok(
      source.entries.some(({ event }) => event === "source_node_lost"),
    );
    assert.ok(
      !JSON.stringify(source.entries).includes("ws://"),
      "an address may hold a provider's key",
    );
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

anvilTest(
  "evmSource() reverts the blocks of a reorganisation, newest first",
  async () => {
    await using anvil = await Anvil.start();
    const publisher = new MemoryPublisher();
    const [alice, bob] = await anvil.ask("eth_accounts");
    await anvil.mine(6);
    await using source = follow(anvil, publisher);
    const before = await untilSame(anvil, publisher);

    await anvil.ask("anvil_reorg", 3, [
      [{ from: alice, to: bob, value: "0x1" }, 0],
    ]);
    await anvil.mine();
    const after = await untilSame(anvil, publisher);

    assert.deepEqual(after.slice(0, 3), before.slice(0, 3));
    assert.notEqual(after[3], before[3]);
    const removed = publisher.of("dag").filter(({ payload }) =>
      (payload as PayloadOf<"DAG_UPDATE">).updateType === "NODE_REMOVED"
    );
    assert.deepEqual(
      removed.map(({ payload }) => (payload as PayloadOf<"DAG_UPDATE">).nodeId),
      before.slice(3).reverse(),
    );
    assert.deepEqual(
      source.entries.filter(({ event }) => event === "source_reorg").map((
        { fields },
      ) => fields),
      [{ depth: 3, from: 4 }],
    );
  },
);

anvilTest(
  "evmSource() resumes after a restart, through a reorganisation meanwhile",
  async () => {
    await using anvil = await Anvil.start();
    const publisher = new MemoryPublisher();
    await anvil.mine(5);
    {
      await using _source = follow(anvil, publisher);
      await untilSame(anvil, publisher);
    }
    const published = publisher.events.length;
    {
      await anvil.mine(20);
      await using _source = follow(anvil, publisher);
      await untilSame(anvil, publisher);
    }
    const heights = blocksOf(publisher).map(({ height }) => height);
    assert.deepEqual(heights, heights.map((_, index) => index + 1));
    assert.ok(publisher.events.length > published);

    await anvil.ask("anvil_reorg", 3, []);
    await anvil.mine(2);
    await using _source = follow(anvil, publisher);
    const view = await untilSame(anvil, publisher);

    assert.equal(view.length, 27);
  },
);

anvilTest(
  "evmSource() loses nothing while the server fails, and publishes nothing twice",
  async () => {
    await using anvil = await Anvil.start();
    const publisher = new MemoryPublisher();
    publisher.faults.push(
      { error: new Refusal("STORE_UNAVAILABLE") },
      { error: new Error("connection reset"), kept: true },
      { error: new Refusal("RATE_LIMITED", undefined, { retryAfterMs: 10 }) },
    );
    await anvil.mine(4);

    await using source = follow(anvil, publisher);
    const view = await untilSame(anvil, publisher);

    assert.equal(view.length, 4);
    assert.equal(
      source.entries.filter(({ event }) => event === "source_publish_failed")
        .length,
      3,
    );
  },
);

anvilTest(
  "evmSource() starts again with a chain that was started again",
  async () => {
    const publisher = new MemoryPublisher();
    await using relay = new Relay();
    await using first = await Anvil.start({ genesisSeconds: 1_700_000_000 });
    relay.target = first;
    await first.mine(9);
    await using source = follow(relay, publisher);
    await untilSame(first, publisher);
    await first.stop();
    // Its blocks have another time, so other hashes.
    await using second = await Anvil.start({ genesisSeconds: 1_700_000_001 });
    relay.target = second;
    await second.mine();

    const view = await untilSame(second, publisher);

    assert.equal(view.length, 1);
    const resets = publisher.of("blocks").filter(({ type }) =>
      type === "CHAIN_RESET"
    );
    assert.deepEqual(
      resets.map(({ payload }) => [payload["keeps"], payload["reason"]]),
      [[null, "deeper_than_kept"]],
    );
    assert.ok(
      source.entries.some(({ event }) => event === "source_chain_reset"),
    );
  },
);

anvilTest(
  "evmSource() publishes a block that is too large with less in it, and all its transactions",
  async () => {
    await using anvil = await Anvil.start();
    const publisher = new MemoryPublisher();
    const [alice, bob] = await anvil.ask("eth_accounts");
    await using source = follow(anvil, publisher);
    await untilSame(anvil, publisher);
    const count = 260;
    const hashes = await Promise.all(
      Array.from(
        { length: count },
        (_, nonce) =>
          anvil.ask("eth_sendTransaction", {
            nonce: `0x${nonce.toString(16)}`,
            from: alice,
            to: bob,
            value: "0x1",
            data: "0x01020304",
          }),
      ),
    );
    await anvil.mine();

    await untilSame(anvil, publisher);

    const block = blocksOf(publisher).at(-1)!;
    assert.equal(block.transactionIds!.length, count);
    const confirmed = transactionsOf(publisher).filter(({ status }) =>
      status === "confirmed"
    );
    const reported = new Set(confirmed.map(({ txId }) => txId));
    assert.equal(confirmed.length, count);
    assert.deepEqual(new Set(hashes), reported);
    assert.equal(confirmed[0]!.data, "0x01020304");
    assert.ok(
      source.entries.some(({ event }) => event === "source_message_shortened"),
    );
  },
);

/** Whether `transactions` alone matches the node's state of each. */
async function isTruth(
  anvil: Anvil,
  publisher: MemoryPublisher,
  hashes: readonly string[],
): Promise<boolean> {
  const reported = foldTransactions(publisher.of("transactions"));
  for (const hash of hashes) {
    const status = reported.get(hash);
    const receipt = await anvil.ask("eth_getTransactionReceipt", hash);
    const found = await anvil.ask("eth_getTransactionByHash", hash);
    if (receipt) {
      const expected = receipt.status === "0x1" ? "confirmed" : "failed";
      if (status?.status !== expected) return false;
      if (status.blockId !== receipt.blockHash) return false;
    } else if (found) {
      if (status?.status !== "pending") return false;
    } else if (status?.status !== "dropped" && status?.status !== "replaced") {
      return false;
    }
  }
  return true;
}

anvilTest(
  "evmSource() publishes the true state of every transaction of a real node after reorganisations of any depth",
  async () => {
    await using anvil = await Anvil.start({ slotsInEpoch: 600 });
    const publisher = new MemoryPublisher();
    const [alice, bob, carol] = await anvil.ask("eth_accounts");
    const hashes: string[] = [];
    const send = async (from: string) =>
      hashes.push(
        await anvil.ask("eth_sendTransaction", {
          from,
          to: carol,
          value: "0x1",
          gas: "0x5208",
        }),
      );
    await anvil.mine(1);
    await using _source = follow(anvil, publisher, hurried(10));
    for (let made = 0; made < 30; made++) {
      await send(alice);
      await send(bob);
      await anvil.mine(20);
    }
    await untilSame(anvil, publisher);
    for (const depth of [1, 3, 20, 100, 128, 129, 500]) {
      // One that the other branch holds, with a nonce taken before.
      await anvil.ask("anvil_reorg", depth, [
        [{ from: alice, to: bob, value: "0x2" }, 0],
      ]);
      await send(bob);
      await anvil.mine();

      await untilSame(anvil, publisher);
      await until(
        () => isTruth(anvil, publisher, hashes),
        `the truth about all transactions after a reorganisation of ${depth}`,
      );
    }
    assert.ok(!publisher.events.some(({ type }) => type === "CHAIN_RESET"));
  },
);

anvilTest(
  "evmSource() publishes a real node's rollback, replaced and dropped transactions, and finality",
  async () => {
    await using anvil = await Anvil.start({ slotsInEpoch: 4 });
    const publisher = new MemoryPublisher();
    const [alice, bob] = await anvil.ask("eth_accounts");
    await anvil.mine(20);
    await using _source = follow(anvil, publisher, hurried(10));
    await untilSame(anvil, publisher);
    await until(
      () =>
        publisher.of("blocks").some(({ type, payload }) =>
          type === "FINALITY" && payload.level === "final" &&
          payload.height === 12
        ),
      "block 12 is final",
    );
    const pay = (gasPrice: string, nonce: string) =>
      anvil.ask("eth_sendTransaction", {
        ...{ from: alice, to: bob, value: "0x1", gasPrice, nonce },
        gas: "0x5208",
      });
    const cheap = await pay("0x77359400", "0x0");
    await until(
      () => transactionsOf(publisher).length === 1,
      "the first is pending",
    );
    const costly = await pay("0x87359400", "0x0");
    const next = await pay("0x77359400", "0x1");
    await until(
      () => transactionsOf(publisher).length === 4,
      "the others are pending",
    );
    await anvil.ask("anvil_dropTransaction", next);
    const all = [cheap, costly, next];
    await until(
      () => isTruth(anvil, publisher, all),
      "one is replaced, one dropped",
    );
    const reported = foldTransactions(publisher.of("transactions"));
    assert.equal(reported.get(cheap)!.replacedBy, costly);
    assert.equal(reported.get(next)!.status, "dropped");

    await anvil.mine();
    await untilSame(anvil, publisher);
    await anvil.ask("anvil_rollback", 1);
    await untilSame(anvil, publisher);

    await until(
      () => isTruth(anvil, publisher, all),
      "the mined one is no longer confirmed",
    );
  },
);

Deno.test("evmSource() follows another kind of node, which gives receipts one by one", async () => {
  await using ganache = await startGanache();
  const publisher = new MemoryPublisher();
  const [alice, bob] = await ganache.ask("eth_accounts");
  await ganache.ask("evm_mine");
  await using _source = follow(ganache, publisher);
  const hash = await ganache.ask("eth_sendTransaction", {
    from: alice,
    to: bob,
    value: "0x1",
  });
  await ganache.ask("evm_mine");
  await until(
    () => transactionsOf(publisher).at(-1)?.status === "confirmed",
    "the transaction is confirmed",
  );

  const mined = transactionsOf(publisher).at(-1)!;
  assert.equal(mined.txId, hash);
  assert.equal(mined.status, "confirmed");
  assert.equal(mined.to, bob);
  assert.equal(mined["missing"], undefined);
});

/** A node that offers no subscriptions, and no receipts but one by one. */
function plain(anvil: Anvil) {
  const lacks = new Set(["eth_subscribe", "eth_getBlockReceipts"]);
  const server = Deno.serve(
    { port: 0, hostname: "127.0.0.1", onListen() {} },
    (request) => {
      const { socket, response } = Deno.upgradeWebSocket(request);
      socket.onmessage = async ({ data }) => {
        const { id, method, params } = JSON.parse(data);
        const answer =
          await (lacks.has(method)
            ? Promise.reject(new Error("Method not found"))
            : anvil.ask(method, ...params)).then(
              (result) => ({ result }),
              ({ message }) => ({ error: { code: -32601, message } }),
            );
        if (socket.readyState !== WebSocket.OPEN) return;
        socket.send(JSON.stringify({ jsonrpc: "2.0", id, ...answer }));
      };
      return response;
    },
  );
  return Object.assign(server, { url: `ws://127.0.0.1:${server.addr.port}` });
}

anvilTest("evmSource() follows a node that offers only the least", async () => {
  await using anvil = await Anvil.start();
  await using node = plain(anvil);
  const publisher = new MemoryPublisher();
  const [alice, bob] = await anvil.ask("eth_accounts");
  await using _source = follow(node, publisher);
  await untilSame(anvil, publisher);
  const hash = await anvil.ask("eth_sendTransaction", {
    from: alice,
    to: bob,
    value: "0x1",
  });
  await anvil.mine(2);

  await untilSame(anvil, publisher);

  assert.deepEqual(
    transactionsOf(publisher).map(({ txId, status }) => [txId, status]),
    [[hash, "confirmed"]],
  );
});

Deno.test("evmSource() retries an unreachable node, and stops on request", async () => {
  const publisher = new MemoryPublisher();
  {
    await using source = follow({ url: "ws://127.0.0.1:9" }, publisher);
    await until(() => source.entries.length >= 3, "the source published it");
    assert.ok(
      source.entries.every(({ event }) => event === "source_node_lost"),
    );
  }

  assert.deepEqual(
    publisher.events.map(({ type, payload }) => [type, payload["status"]]),
    [["NODE_STATUS", "OFFLINE"]],
  );
});

Deno.test("evmSource() refuses an address that is none", () => {
  const publisher = new MemoryPublisher();
  for (const rpcUrl of ["ftp://127.0.0.1", "nowhere", "", "ws://a,ftp://b"]) {
    assert.throws(
      () => evmSource({ rpcUrl, publisher, log: () => {} }),
      TypeError,
    );
  }
});

/** A server's HTTP side over a store in memory. */
function served(publisher: MemoryPublisher, token: string) {
  return Deno.serve({ port: 0, hostname: "127.0.0.1", onListen() {} }, async (
    request,
  ) => {
    try {
      if (request.headers.get("authorization") !== `Bearer ${token}`) {
        throw new Refusal("UNAUTHENTICATED");
      }
      const url = new URL(request.url);
      if (url.pathname === "/api/publish") {
        const { messages }: { messages: AnyMessage[] } = await request.json();
        await publisher.publish(messages);
        return Response.json({ accepted: [] });
      }
      const channel = /^\/api\/channels\/(\w+)\/history$/.exec(url.pathname);
      const limit = Number(url.searchParams.get("limit"));
      const seq = url.searchParams.get("before")?.split(":")[1];
      const before = seq ? { seq: Number(seq) } as AnyEvent : undefined;
      const events = await publisher.page(channel![1]!, { limit, before });
      return Response.json({ channel: channel![1], events, more: false });
    } catch (error) {
      const refusal = Refusal.of(error);
      return Response.json(refusal, { status: refusal.kind.http });
    }
  });
}

/** Runs the command as a person would. */
function command(args: string[], env: Record<string, string>) {
  return new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "--allow-net",
      "--allow-env=PUBLISH_TOKEN",
      new URL("../../sources/evm_main.ts", import.meta.url).pathname,
      ...args,
    ],
    env,
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  });
}

anvilTest(
  "source:evm follows over HTTP, is killed, and resumes without a block twice",
  async () => {
    await using anvil = await Anvil.start();
    const publisher = new MemoryPublisher();
    await using server = served(publisher, "let-me");
    const args = [
      ...["--rpc", anvil.url],
      ...["--publish", `http://127.0.0.1:${server.addr.port}/`],
    ];
    await anvil.mine(3);

    const killed = command(args, { PUBLISH_TOKEN: "let-me" }).spawn();
    await untilSame(anvil, publisher);
    killed.kill("SIGKILL");
    await killed.output();
    await anvil.mine(4);
    await anvil.ask("anvil_reorg", 3, []);
    const ended = command(args, { PUBLISH_TOKEN: "let-me" }).spawn();
    const view = await untilSame(anvil, publisher);
    ended.kill("SIGTERM");
    const { code, stderr } = await ended.output();

    assert.equal(view.length, 7);
    assert.equal(code, 0, new TextDecoder().decode(stderr));
    assert.match(new TextDecoder().decode(stderr), /"source_stopped"/);
  },
);

Deno.test("source:evm reports the errors of its command line", async () => {
  const rpc = ["--rpc", "ws://127.0.0.1:9"];
  const publish = ["--publish", "http://127.0.0.1:9"];
  const token = { PUBLISH_TOKEN: "secret-token" };
  const wrong: [string[], Record<string, string>, RegExp][] = [
    [publish, token, /--rpc is missing/],
    [["--rpc", "ftp://x", ...publish], token, /--rpc must be one URL or/],
    [[...rpc, ...publish, "--from", "-1"], token, /--from/],
    [[...rpc, ...publish, "--final-after", "x"], token, /--final-after must/],
    [[...rpc, "--publish", "nowhere"], token, /--publish must be a URL: http/],
    [[...rpc, ...publish], {}, /PUBLISH_TOKEN is missing/],
    [[...rpc, ...publish, "--token", "x"], token, /Unknown option/],
    [[...rpc, ...publish, "--max-message-bytes", "9"], token, /from 1024 to/],
  ];
  const results = await Promise.all(wrong.map(async ([args, env, said]) => {
    const { code, stderr } = await command(args, env).output();
    return { code, said, text: new TextDecoder().decode(stderr) };
  }));
  for (const { code, said, text } of results) {
    assert.equal(code, 2);
    assert.match(text, said);
    assert.doesNotMatch(text, /secret-token|\bat file:/);
  }
});

anvilTest(
  "source:evm ends when the server does not take its token",
  async () => {
    await using anvil = await Anvil.start();
    await using server = served(new MemoryPublisher(), "another");

    const { code, stderr } = await command([
      ...["--rpc", anvil.url],
      ...["--publish", `http://127.0.0.1:${server.addr.port}`],
    ], { PUBLISH_TOKEN: "wrong-token" }).output();

    const text = new TextDecoder().decode(stderr);
    assert.equal(code, 1, text);
    assert.match(text, /UNAUTHENTICATED/);
    assert.doesNotMatch(text, /wrong-token/);
  },
);

Deno.test("HttpPublisher throws what the server refused, and an error for the rest", async () => {
  const answers: [Response, (error: unknown) => boolean][] = [
    [
      Response.json(
        new Refusal("RATE_LIMITED", "Slower", { retryAfterMs: 42 }),
        { status: 429 },
      ),
      (error) => error instanceof Refusal && error.retryAfterMs === 42,
    ],
    [
      new Response("<h1>Bad gateway</h1>", { status: 502 }),
      (error) => !(error instanceof Refusal) && /HTTP 502/.test(String(error)),
    ],
    [
      Response.json({ code: "toString" }, { status: 500 }),
      (error) => !(error instanceof Refusal),
    ],
    [
      new Response(null, { status: 302, headers: { location: "/" } }),
      (error) => /HTTP 302/.test(String(error)),
    ],
  ];
  for (const [answer, right] of answers) {
    using publisher = new HttpPublisher({
      base: "http://server.test/behind/",
      token: "t",
      fetch: (input) => {
        assert.equal(String(input), "http://server.test/behind/api/publish");
        return Promise.resolve(answer);
      },
    });
    await assert.rejects(publisher.publish([]), right);
  }
});
