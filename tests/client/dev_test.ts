import assert from "node:assert/strict";
import { mock } from "node:test";
import { connect } from "../../client/dev.ts";
import type { Options } from "../../client/dev.ts";

/** A client that never connects, and what it warned of. */
function setup(options: object = {}) {
  const warn = mock.method(console, "warn", () => {});
  const client = connect("ws://127.0.0.1:9/ws", {
    WebSocket: Mute as unknown as NonNullable<Options["WebSocket"]>,
    ...options,
  });
  return {
    client,
    warnings: () => warn.mock.calls.map(({ arguments: [text] }) => text),
    [Symbol.dispose]() {
      client.disconnect();
      warn.mock.restore();
    },
  };
}

/** A socket that never opens. */
class Mute {
  close(): void {}
}

const block = {
  type: "NEW_BLOCK",
  payload: { blockId: "b", height: 1, timestamp: "2025-08-07T10:00:00Z" },
} as const;

const MISTAKES: Record<
  string,
  (client: ReturnType<typeof connect>) => void
> = {
  'KALDRIX: subscribe("blocks") never fires: it takes a type such as NEW_BLOCK. To join the channel, call joinChannel("blocks")':
    (client) => client.subscribe("blocks" as never, () => {}),
  'KALDRIX: no message has the type "NEW_BLOK": did you mean "NEW_BLOCK"?': (
    client,
  ) => client.on("NEW_BLOK" as never, () => {}),
  'KALDRIX: there is no channel "blokcs": did you mean "blocks"?': (client) =>
    client.joinChannel("blokcs" as string),
  'KALDRIX: there is no channel "NEW_BLOCK": it is a type of message, for subscribe("NEW_BLOCK")':
    (client) => client.channel("NEW_BLOCK" as string),
};

for (const [warning, mistake] of Object.entries(MISTAKES)) {
  Deno.test(`a development build warns once: ${warning}`, () => {
    using parts = setup();
    mistake(parts.client);
    mistake(parts.client);
    assert.deepEqual(parts.warnings(), [warning]);
  });
}

Deno.test("a development build warns of an option that does not exist", () => {
  using parts = setup({ autoReconect: true });
  assert.deepEqual(parts.warnings(), [
    'KALDRIX: there is no option "autoReconect": did you mean "autoReconnect"?',
  ]);
});

Deno.test("a refusal that nothing awaits is warned of, one that is caught is not", async () => {
  using parts = setup({ offlineQueue: "refuse" });
  const { client } = parts;
  await client.sendMessage(block).catch(() => {});
  await assert.rejects(client.request("ping"), { code: "OFFLINE" });
  await assert.rejects(async () => await client.sendBatch([block]), {
    code: "OFFLINE",
  });
  await new Promise((resolve) => setTimeout(resolve));
  assert.deepEqual(parts.warnings(), []);
  void client.sendMessage(block);
  for (let i = 0; i < 3; i++) {
    await new Promise((resolve) => setTimeout(resolve));
  }
  assert.deepEqual(parts.warnings(), [
    "KALDRIX: sendMessage() was refused with OFFLINE (OFFLINE), and nothing handles it: await it, or add .catch()",
  ]);
});

Deno.test("what is right is not warned of, and works as without", () => {
  using parts = setup({ fallback: false, reconnectInterval: 100 });
  const { client } = parts;
  client.subscribe("NEW_BLOCK", () => {});
  client.on("TX_RECEIVED", () => {});
  client.subscribe("published" as never, () => {});
  client.joinChannel("room:a");
  client.joinChannel("validator_updates");
  assert.equal(client.channel("blocks").state?.status, "joining");
  assert.equal(client.state.status, "connecting");
  assert.deepEqual(parts.warnings(), []);
});
