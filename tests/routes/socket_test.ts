import assert from "node:assert/strict";
import { OPEN_DEADLINE_MS } from "../../routes/socket.ts";
import { ManualClock } from "../fakes/clock.ts";
import { openTestService } from "../test_service.ts";
import type { TestService } from "../test_service.ts";

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
  const failed = await upgraded(service);
  failed.socket.dispatchEvent(new Event("error"));
  failed.socket.dispatchEvent(new CloseEvent("close"));
  assert.deepEqual([service.sessions.size, service.sessions.sockets], [0, 0]);
  const { socket } = await upgraded(service);
  socket.send = () => {};
  socket.dispatchEvent(new Event("open"));
  clock.advance(2 * OPEN_DEADLINE_MS);
  assert.equal(service.sessions.size, 1);
  socket.dispatchEvent(new CloseEvent("close"));
  assert.equal(service.sessions.size, 0);
});
