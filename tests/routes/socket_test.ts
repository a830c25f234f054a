import assert from "node:assert/strict";
import { connect } from "node:net";
import { OPEN_DEADLINE_MS } from "../../routes/socket.ts";
import { ManualClock } from "../fakes/clock.ts";
import { openTestService } from "../test_service.ts";
import type { TestService } from "../test_service.ts";
import { until } from "../until.ts";

/** Requests that ask for a connection that stays. */
const REQUESTS = {
  handshakes: [
    "GET /ws HTTP/1.1",
    "Host: 127.0.0.1",
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    "",
    "",
  ].join("\r\n"),
  "event streams": [
    "GET /sse?channels=blocks HTTP/1.1",
    "Host: 127.0.0.1",
    "",
    "",
  ].join("\r\n"),
};

/** A socket as the platform gives it when the peer has reset: no event, ever. */
class MuteSocket extends EventTarget {
  readonly protocol = "";
  readonly bufferedAmount = 0;
  binaryType = "blob";
  closed: number | undefined;
  send(): void {
    throw new Error("'readyState' not OPEN");
  }
  close(code?: number): void {
    this.closed ??= code;
  }
}

async function upgraded(
  service: TestService,
): Promise<{ socket: MuteSocket; status: number }> {
  const socket = new MuteSocket();
  const { upgradeWebSocket } = Deno;
  Object.assign(Deno, {
    upgradeWebSocket: () => ({ socket, response: new Response(null) }),
  });
  try {
    const { status } = await service.request("/ws", {
      headers: { upgrade: "websocket" },
    });
    return { socket, status };
  } finally {
    Object.assign(Deno, { upgradeWebSocket });
  }
}

Deno.test("a socket whose handshake never ends is released after its deadline", async () => {
  const clock = new ManualClock();
  await using service = await openTestService({ clock });
  const { socket } = await upgraded(service);
  const { sessions } = service;
  clock.advance(OPEN_DEADLINE_MS - 1);
  assert.deepEqual([sessions.size, sessions.sockets], [1, 1]);
  clock.advance(1);
  assert.deepEqual([sessions.size, sessions.sockets], [0, 0]);
  socket.dispatchEvent(new Event("open"));
  assert.equal(socket.closed, 4008, "one that opens after all is closed");
  socket.dispatchEvent(new CloseEvent("close"));
  assert.deepEqual([sessions.size, sessions.sockets], [0, 0]);
});

Deno.test("a socket that opens in time, or fails, has no deadline", async () => {
  const clock = new ManualClock();
  await using service = await openTestService({ clock });
  const pending = clock.pending;
  const failed = await upgraded(service);
  failed.socket.dispatchEvent(new Event("error"));
  failed.socket.dispatchEvent(new CloseEvent("close"));
  assert.equal(clock.pending, pending);
  const { socket } = await upgraded(service);
  socket.send = () => {};
  socket.dispatchEvent(new Event("open"));
  clock.advance(2 * OPEN_DEADLINE_MS);
  assert.equal(service.sessions.size, 1);
  socket.dispatchEvent(new CloseEvent("close"));
  assert.equal(service.sessions.size, 0);
});

for (const [what, request] of Object.entries(REQUESTS)) {
  Deno.test(`${what} that are reset at once leave nothing behind`, async () => {
    const clock = new ManualClock();
    await using service = await openTestService({ clock });
    await using server = Deno.serve({
      port: 0,
      hostname: "127.0.0.1",
      onListen: () => {},
    }, service.app.fetch as Deno.ServeHandler<Deno.NetAddr>);
    const { port } = server.addr;
    for (let i = 0; i < 50; i++) {
      await new Promise<void>((resolve) => {
        const socket = connect(port, "127.0.0.1", () => {
          socket.write(
            request,
            () => setTimeout(() => socket.resetAndDestroy(), i % 3),
          );
        });
        socket.on("error", () => {});
        socket.on("close", () => resolve());
      });
    }
    await until(
      () => service.sessions.sockets === 0,
      "the last of 50 sockets to be released",
      clock,
    );
    assert.equal(service.sessions.size, 0);
    assert.deepEqual(service.bugs, []);
  });
}
