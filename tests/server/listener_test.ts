import assert from "node:assert/strict";
import { keepListening } from "../../server/listener.ts";
import type { ListenOptions } from "../../server/listener.ts";
import { ManualClock, pass } from "../fakes/clock.ts";

const ADDRESS: Deno.NetAddr = {
  transport: "tcp",
  hostname: "127.0.0.1",
  port: 1,
};

/** A server that a test lets fail. */
interface Fake {
  readonly fail: (error: Error) => void;
  readonly end: () => void;
}

function open(
  clock: ManualClock,
  refusals: (Error | undefined)[] = [],
): {
  options: ListenOptions;
  servers: Fake[];
  lines: string[];
  received: number[];
} {
  const servers: Fake[] = [];
  const lines: string[] = [];
  const received: number[] = [];
  const write = (event: string) => void lines.push(event);
  return {
    servers,
    lines,
    received,
    options: {
      hostname: ADDRESS.hostname,
      port: ADDRESS.port,
      isShared: true,
      handler: () => new Response(),
      onListen: ({ port }) => received.push(port),
      clock,
      logger: { error: write, warn: write },
      serve: () => {
        const refusal = refusals.shift();
        if (refusal) throw refusal;
        const { promise, resolve, reject } = Promise.withResolvers<void>();
        servers.push({ fail: reject, end: resolve });
        return { addr: ADDRESS, finished: promise };
      },
    },
  };
}

Deno.test("keepListening() opens a new listener whenever one fails, and reports it", async () => {
  const clock = new ManualClock();
  const out = new Deno.errors.NotCapable("Too many open files");
  const { options, servers, lines, received } = open(clock, [
    undefined,
    // The next attempt cannot even bind.
    out,
  ]);
  keepListening(options);
  assert.deepEqual(received, [1]);
  servers[0]!.fail(out);
  await pass(clock, 60_000);
  assert.equal(servers.length, 2);
  assert.deepEqual(lines, [
    "listener_failed",
    "listener_failed",
    "listening_again",
  ]);
  servers[1]!.fail(out);
  await pass(clock, 60_000);
  assert.equal(servers.length, 3);
  assert.deepEqual(received, [1], "it is registered once");
  servers[2]!.end();
  await pass(clock, 60_000);
  assert.equal(servers.length, 3, "one that was closed stays closed");
  assert.equal(clock.pending, 0);
});

Deno.test("keepListening() throws when the address cannot be bound at first", () => {
  const { options, received } = open(new ManualClock(), [
    new Deno.errors.AddrInUse("taken"),
  ]);
  assert.throws(() => keepListening(options), /taken/);
  assert.deepEqual(received, []);
});

Deno.test("out of descriptors, open sockets stay and new ones are accepted again", async () => {
  const listener = new URL("../../server/listener.ts", import.meta.url).href;
  const clock = new URL("../../platform/clock.ts", import.meta.url).href;
  const program = `
    import { keepListening } from ${JSON.stringify(listener)};
    import { systemClock as clock } from ${JSON.stringify(clock)};
    const write = (event) => console.log(event);
    keepListening({
      hostname: "127.0.0.1", port: 0, isShared: false, clock,
      logger: { error: write, warn: write },
      onListen: ({ port }) => console.log("port", port),
      // The port that was given first, so that clients find it again.
      serve: (options, handler) => {
        const server = Deno.serve({ ...options, port: globalThis.port ?? 0 }, handler);
        globalThis.port = server.addr.port;
        return server;
      },
      handler: (request) => {
        if (!request.headers.has("upgrade")) return new Response("ok");
        const { socket, response } = Deno.upgradeWebSocket(request);
        socket.onmessage = ({ data }) => socket.send(data);
        return response;
      },
    });
  `;
  const child = new Deno.Command("sh", {
    args: [
      "-c",
      `ulimit -n 96; exec "$0" run -q --no-config --no-prompt --allow-net -`,
      Deno.execPath(),
    ],
    stdin: "piped",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode(program));
  await writer.close();
  const lines = child.stdout.pipeThrough(new TextDecoderStream())
    .pipeThrough(linesOf()).getReader();
  const next = async () => (await lines.read()).value ?? "ended";
  const unfinished: Deno.Conn[] = [];
  try {
    const port = Number(/^port (\d+)$/.exec(await next())![1]);
    const socket = new WebSocket(`ws://127.0.0.1:${port}`);
    await new Promise((resolve) => socket.onopen = resolve);
    const begun = new TextEncoder().encode("GET / HTTP/1.1\r\n");
    for (let i = 0; i < 200; i++) {
      try {
        const connection = await Deno.connect({ hostname: "127.0.0.1", port });
        unfinished.push(connection);
        await connection.write(begun);
      } catch {
        break;
      }
    }
    assert.equal(await next(), "listener_failed");
    const echo = new Promise((resolve) => socket.onmessage = resolve);
    socket.send("still here");
    await echo;
    for (const connection of unfinished.splice(0)) connection.close();
    let line;
    do line = await next(); while (line === "listener_failed");
    assert.equal(line, "listening_again");
    const response = await fetch(`http://127.0.0.1:${port}/`);
    assert.equal(await response.text(), "ok");
    const closed = new Promise((resolve) => socket.onclose = resolve);
    socket.close();
    await closed;
  } finally {
    for (const connection of unfinished) connection.close();
    child.kill("SIGKILL");
    await child.status;
    await lines.cancel();
  }
});

function linesOf(): TransformStream<string, string> {
  let rest = "";
  return new TransformStream({
    transform(text, controller) {
      const lines = (rest + text).split("\n");
      rest = lines.pop()!;
      for (const line of lines) controller.enqueue(line);
    },
  });
}
