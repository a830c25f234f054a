import assert from "node:assert/strict";
import { systemClock as clock } from "../../platform/clock.ts";
import { NodeFault } from "../../sources/evm_view.ts";
import {
  ANSWER_TIMEOUT_MS,
  CONNECT_TIMEOUT_MS,
  MAX_ANSWER_BYTES,
  MAX_OUTSTANDING,
  openRpc,
} from "../../sources/json_rpc.ts";
import { ManualClock } from "../fakes/clock.ts";
import { until } from "../until.ts";
import { RpcError, ScriptedNode } from "./scripted_node.ts";

function quiet(url: string, signal = new AbortController().signal) {
  return { url, clock, signal, onNotice: () => {}, onClosed: () => {} };
}

Deno.test("openRpc() answers alike over sockets and HTTP", async () => {
  const node = new ScriptedNode();
  await using server = node.serve();
  for (const url of [server.ws, server.http]) {
    const rpc = await openRpc(quiet(url));
    node.odd.clear();
    assert.equal(await rpc.ask("eth_chainId"), "0x7");
    assert.equal(await rpc.ask("eth_getTransactionByHash", "0x0"), null);
    node.odd.set("eth_chainId", () => {
      throw new RpcError(-32005, "too fast");
    });
    await assert.rejects(
      rpc.ask("eth_chainId"),
      (error) =>
        error instanceof NodeFault && error.code === -32005 &&
        /eth_chainId: too fast/.test(error.message),
    );
    await rpc.close();
    await assert.rejects(rpc.ask("eth_chainId"));
  }
});

Deno.test("openRpc() bounds the requests that wait, and each of them in time", async () => {
  const node = new ScriptedNode();
  await using server = node.serve();
  node.odd.set("eth_chainId", () => new Promise(() => {}));
  for (const url of [server.ws, server.http]) {
    const clock = new ManualClock();
    const stop = new AbortController();
    const rpc = await openRpc({ ...quiet(url, stop.signal), clock });
    const waiting = url === server.ws
      ? Array.from({ length: MAX_OUTSTANDING }, () => rpc.ask("eth_chainId"))
      : [rpc.ask("eth_chainId")];
    waiting.forEach((it) => it.catch(() => {}));
    if (url === server.ws) {
      await assert.rejects(rpc.ask("eth_chainId"), /too many requests/);
    }
    clock.advance(ANSWER_TIMEOUT_MS);
    await assert.rejects(waiting[0]!, NodeFault);
    const last = rpc.ask("eth_chainId");
    stop.abort(new Error("enough"));
    await assert.rejects(last, /enough/);
    await rpc.close();
  }
});

Deno.test("openRpc() gives up a node that does not open its socket", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  const accepted: Deno.Conn[] = [];
  const accepting = (async () => {
    try {
      for await (const connection of listener) accepted.push(connection);
    } catch {
      // Closed.
    }
  })();
  const clock = new ManualClock();
  const opening = openRpc({ ...quiet(`ws://127.0.0.1:${port}`), clock });
  opening.catch(() => {});
  await until(() => accepted.length > 0, "it connects");
  clock.advance(CONNECT_TIMEOUT_MS);
  await assert.rejects(opening, /did not answer/);
  for (const connection of accepted) connection.close();
  listener.close();
  await accepting;
});

Deno.test("openRpc() over HTTP accepts answers of any shape, up to their bound", async () => {
  const answers = [
    "",
    "<h1>Bad gateway</h1>",
    "[]",
    "null",
    '{"id":"x"}',
    '{"id":1,"error":5}',
    '{"id":1,"error":{"message":{}}}',
  ];
  let next = "";
  let isEndless = false;
  await using server = Deno.serve(
    { port: 0, hostname: "127.0.0.1", onListen() {} },
    () => {
      if (!isEndless) return new Response(next);
      const chunk = new Uint8Array(1024 * 1024).fill(32);
      return new Response(
        new ReadableStream({ pull: (it) => it.enqueue(chunk) }),
      );
    },
  );
  const rpc = await openRpc(quiet(`http://127.0.0.1:${server.addr.port}/key`));
  for (next of answers) {
    await assert.rejects(rpc.ask("eth_chainId"), NodeFault, next);
  }
  isEndless = true;
  await assert.rejects(
    rpc.ask("eth_chainId"),
    new RegExp(`longer than ${MAX_ANSWER_BYTES}`),
  );
  await rpc.close();
});

Deno.test("openRpc() keeps the node's address, which may hold a key, out of errors", async () => {
  const rpc = await openRpc(quiet("http://127.0.0.1:9/secret-key"));
  await assert.rejects(
    rpc.ask("eth_chainId"),
    (error) => !/secret-key/.test(String(error)),
  );
  await rpc.close();
  await assert.rejects(
    openRpc(quiet("ws://127.0.0.1:9/secret-key")),
    (error) => !/secret-key/.test(String(error)),
  );
});
