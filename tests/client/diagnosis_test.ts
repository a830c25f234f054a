/**
 * Why a socket does not open, as the client reports it: each cause with a real
 * server, or none.
 */
import assert from "node:assert/strict";
import { connect } from "../../client/client.ts";
import type { ClientState } from "../../client/client.ts";
import { diagnose } from "../../client/diagnosis.ts";
import { openTestService } from "../test_service.ts";

/** A server that answers every request alike. */
function serve(handler: (request: Request) => Response | Promise<Response>) {
  return Deno.serve(
    { port: 0, hostname: "127.0.0.1", onListen() {} },
    handler,
  );
}

/** Waits until a client reports why it does not connect, and closes it. */
async function reasonOf(
  address: string,
  options: object = {},
): Promise<ClientState> {
  const client = connect(address, options);
  const known = new Promise<ClientState>((resolve) => {
    client.onState((state) => {
      const { connectionError } = state;
      if (connectionError && connectionError.code !== "CONNECT_FAILED") {
        resolve(state);
      }
    });
  });
  const state = await known;
  client.disconnect();
  return state;
}

const page = () =>
  new Response("<!doctype html><title>Welcome</title>", {
    headers: { "content-type": "text/html" },
  });

const CAUSES = {
  "nothing at the path": {
    answer: () => new Response(null, { status: 404 }),
    path: "/wss",
    code: "NOT_FOUND",
    says: /\/wss: nothing is there \(HTTP 404\)$/,
  },
  "a slash too many": {
    answer: () => new Response(null, { status: 404 }),
    path: "/ws/",
    code: "NOT_FOUND",
    says: /without the \/ at its end/,
  },
  "a page": {
    answer: page,
    path: "/ws",
    code: "NOT_A_SERVICE",
    says: /no KALDRIX service \(HTTP 200\); is the path right\?/,
  },
  "a proxy whose server is away": {
    answer: () => new Response("Bad gateway", { status: 502 }),
    path: "/ws",
    code: "SERVER_ERROR",
    says: /not ready \(HTTP 502\)/,
  },
  "a service that is full": {
    answer: () =>
      Response.json({
        code: "TOO_MANY_CONNECTIONS",
        message: "Too many connections",
      }, { status: 503, headers: { "retry-after": "7" } }),
    path: "/ws",
    code: "TOO_MANY_CONNECTIONS",
    says: /Too many connections/,
  },
} as const;

for (const [cause, { answer, path, code, says }] of Object.entries(CAUSES)) {
  Deno.test(`a client that finds ${cause} reports it, and retries`, async () => {
    await using server = serve(answer);
    const address = `ws://127.0.0.1:${server.addr.port}${path}`;
    const { connectionError, status, nextRetryAt } = await reasonOf(address);
    assert.equal(connectionError!.code, code);
    assert.match(connectionError!.message, says);
    assert.ok(connectionError!.message.startsWith(address));
    assert.equal(status, "reconnecting");
    if (code === "TOO_MANY_CONNECTIONS") {
      assert.equal(connectionError!.retryAfterMs, 7_000);
      assert.ok(nextRetryAt! - Date.now() > 5_000);
    }
  });
}

Deno.test("a refused port is distinguished from a wrong scheme", async () => {
  const { port } = await (async () => {
    await using server = serve(page);
    return server.addr;
  })();
  const refused = await reasonOf(`ws://127.0.0.1:${port}/ws`);
  assert.equal(refused.connectionError!.code, "NO_ANSWER");
  assert.match(
    refused.connectionError!.message,
    new RegExp(`nothing answers at 127.0.0.1:${port}; is the server running`),
  );
  await using server = serve(page);
  const plain = await reasonOf(`wss://127.0.0.1:${server.addr.port}/ws`);
  assert.equal(plain.connectionError!.code, "WRONG_SCHEME");
  assert.match(
    plain.connectionError!.message,
    /does not speak wss:\/\/.*ws:\/\//,
  );
});

Deno.test("a blocked address learns why, and does not reconnect", async () => {
  await using server = serve(() =>
    Response.json({ code: "IP_BLOCKED", message: "Address is blocked" }, {
      status: 403,
    })
  );
  const address = `ws://127.0.0.1:${server.addr.port}/ws`;
  const { connectionError, status } = await reasonOf(address);
  assert.equal(connectionError!.code, "IP_BLOCKED");
  assert.equal(status, "closed");
});

Deno.test("a client that does not retry reports the reason too", async () => {
  await using server = serve(page);
  const address = `ws://127.0.0.1:${server.addr.port}/ws`;
  const { connectionError, status } = await reasonOf(address, {
    autoReconnect: false,
  });
  assert.equal(connectionError!.code, "NOT_A_SERVICE");
  assert.equal(status, "closed");
});

Deno.test("where the service answers there is no reason but the sockets", async () => {
  await using service = await openTestService();
  await using server = serve((request) =>
    service.app.fetch(
      request,
      { remoteAddr: { hostname: "127.0.0.1" } } as never,
    )
  );
  const base = `ws://127.0.0.1:${server.addr.port}`;
  assert.equal(await diagnose(`${base}/ws`), undefined);
  assert.equal((await diagnose(`${base}/nowhere`))!.code, "NOT_FOUND");
});

for (const held of ["the first question", "a socket that is tried"] as const) {
  Deno.test(`a client that is disconnected looks no more why it did not connect, though ${held} is not answered`, async () => {
    const isHeld = Promise.withResolvers<void>();
    const answer = Promise.withResolvers<Response>();
    const sockets: WebSocket[] = [];
    class Kept extends WebSocket {
      constructor(url: string) {
        super(url);
        sockets.push(this);
      }
    }
    const signals: (AbortSignal | null | undefined)[] = [];
    const { fetch } = globalThis;
    globalThis.fetch = (input, init) => {
      signals.push(init?.signal);
      return fetch(input, init);
    };
    await using server = serve(async (request) => {
      const isUpgrade = request.headers.has("upgrade");
      if (isUpgrade && sockets.length === 1) {
        return new Response(null, { status: 503 });
      }
      if (!isUpgrade && held !== "the first question") {
        return Response.json({ channels: [] });
      }
      isHeld.resolve();
      return (await answer.promise).clone();
    });
    try {
      const address = `ws://127.0.0.1:${server.addr.port}/ws`;
      const client = connect(address, { WebSocket: Kept });
      await isHeld.promise;
      client.disconnect();
      assert.deepEqual(signals.map((it) => it?.aborted), [true]);
      for (const { readyState } of sockets) {
        assert(readyState >= WebSocket.CLOSING, `${readyState}`);
      }
      assert.equal(client.state.connectionError, null);
    } finally {
      globalThis.fetch = fetch;
      answer.resolve(new Response(null, { status: 503 }));
    }
  });
}
