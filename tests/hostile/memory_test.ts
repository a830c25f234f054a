import assert from "node:assert/strict";
import { TestServer } from "../server.ts";
import { until } from "../until.ts";

/** Bytes of a frame that each client sends; the frame's header announces more. */
const SENT_BYTES = 40 * 2 ** 20;
const CLIENTS = 10;
/** What the service may hold: twice this, and 64 KiB a connection. */
const ALERT_MEMORY_MB = 150;

/** A socket that is open, and on which a frame of 63 MiB has begun. */
async function beginFrame(port: number): Promise<Deno.Conn> {
  const connection = await Deno.connect({ hostname: "127.0.0.1", port });
  const encoder = new TextEncoder();
  await connection.write(encoder.encode(
    "GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n" +
      "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n" +
      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
  ));
  await connection.read(new Uint8Array(4_096));
  const header = new Uint8Array(14);
  header.set([0x82, 0xff]);
  new DataView(header.buffer).setBigUint64(2, BigInt(63 * 2 ** 20));
  await connection.write(header);
  return connection;
}

async function send(connection: Deno.Conn): Promise<void> {
  const part = new Uint8Array(2 ** 20);
  for (let sent = 0; sent < SENT_BYTES;) {
    sent += await connection.write(part);
  }
}

/** Whether a client without a token is let in. */
async function isAdmitted(server: TestServer): Promise<boolean> {
  const socket = new WebSocket(server.socketUrl);
  const isOpen = await new Promise<boolean>((resolve) => {
    socket.onopen = () => resolve(true);
    socket.onerror = () => resolve(false);
  });
  if (!isOpen) return false;
  const closed = new Promise((resolve) => socket.onclose = resolve);
  socket.close();
  await closed;
  return true;
}

Deno.test("unfinished frames make the service refuse more clients without a token, until memory is free", async () => {
  await using server = await TestServer.start({
    settings: { ALERT_MEMORY_MB: String(ALERT_MEMORY_MB) },
  });
  assert(await isAdmitted(server));
  const attackers: Deno.Conn[] = [];
  try {
    for (let i = 0; i < CLIENTS; i++) {
      attackers.push(await beginFrame(server.port));
    }
    await Promise.all(attackers.map(send));
    await until(() => server.log.includes('"memory_full"'), "the warning");
    assert.equal(await isAdmitted(server), false);
    const token = await server.token("user");
    const response = await fetch(`${server.url}/sse?channels=blocks`, {
      headers: {
        authorization: `Bearer ${token}`,
        accept: "text/event-stream",
      },
    });
    const reader = response.body!.pipeThrough(new TextDecoderStream())
      .getReader();
    let text = "";
    while (!text.includes("event: subscribed")) {
      const { value, done } = await reader.read();
      assert(!done, text);
      text += value;
    }
    await reader.cancel();
    const ready = await fetch(`${server.url}/ready`);
    await ready.body?.cancel();
    assert.equal(ready.status, 200);
  } finally {
    for (const attacker of attackers) attacker.close();
  }
  await until(
    () => server.log.includes('"memory_recovered"'),
    "memory is free again",
  );
  assert(await isAdmitted(server));
});
