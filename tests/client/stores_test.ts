/**
 * The stores for Svelte and Vue, used by the libraries themselves.
 */
import assert from "node:assert/strict";
import { mock } from "node:test";
import { derived, get } from "svelte/store";
import { effectScope, watchSyncEffect } from "vue";
import { LINGER_MS } from "../../client/connections.ts";
import { channelStore, webSocketStore } from "../../client/svelte.ts";
import { useChannel, useWebSocket } from "../../client/vue.ts";
import { options, peers } from "./peer.ts";

/** A page, as far as the client asks for one; and a clock. */
function setup(isPage = true) {
  mock.timers.enable({ apis: ["Date", "setTimeout"] });
  peers.length = 0;
  if (isPage) Object.assign(globalThis, { document: {} });
  return {
    peer: () => peers.at(-1)!,
    open: () => peers.filter(({ isClosed }) => !isClosed).length,
    async [Symbol.asyncDispose]() {
      mock.timers.tick(LINGER_MS);
      await Promise.resolve();
      mock.timers.reset();
      delete (globalThis as { document?: unknown }).document;
    },
  };
}

const settle = async () => {
  mock.timers.tick(0);
  for (let i = 0; i < 10; i++) await Promise.resolve();
};

Deno.test("webSocketStore() is a store of Svelte's: it calls for what was selected, and for nothing else", async () => {
  await using parts = setup();
  const whole = webSocketStore(options);
  const status = webSocketStore(options, (state) => state.status);
  const shout = derived(status, (it) => it.toUpperCase());
  const seen: string[] = [];
  const undo = shout.subscribe((value) => seen.push(value));
  const undoWhole = whole.subscribe(() => {});
  await settle();
  assert.equal(peers.length, 1, "one connection for both");
  parts.peer().welcome();
  assert.equal(get(whole).isConnected, true);
  whole.client.joinChannel("blocks");
  await settle();
  for (let seq = 1; seq <= 5; seq++) {
    parts.peer().block(seq);
    mock.timers.tick(1_000);
  }
  assert.equal(get(whole).received, 5);
  assert.deepEqual(seen, ["CONNECTING", "CONNECTED"]);
  undo();
  undoWhole();
  mock.timers.tick(LINGER_MS);
  assert.equal(parts.open(), 0);
});

Deno.test("channelStore() holds the newest events while it is subscribed to", async () => {
  await using parts = setup();
  const store = channelStore("blocks", { ...options, keep: 3 });
  const heights = derived(
    store,
    (events) =>
      events.map(({ payload }) => (payload as { height: number }).height),
  );
  let latest: number[] = [];
  const undo = heights.subscribe((value) => latest = value);
  await settle();
  parts.peer().welcome();
  await settle();
  for (let seq = 1; seq <= 5; seq++) parts.peer().block(seq);
  assert.deepEqual(latest, [3, 4, 5]);
  undo();
  await settle();
  assert.equal(parts.peer().of("unsubscribe").length, 1);
  mock.timers.tick(LINGER_MS);
  assert.equal(parts.open(), 0);
});

Deno.test("Vue's useWebSocket() updates for what was selected, and ends with its scope", async () => {
  await using parts = setup();
  const scope = effectScope();
  const seen: boolean[] = [];
  const heights: number[] = [];
  const { client, joined } = scope.run(() => {
    const { client, state } = useWebSocket(options, (it) => it.isConnected);
    watchSyncEffect(() => void seen.push(state.value));
    const joined = useChannel("blocks", (event) => {
      if (event.type === "NEW_BLOCK") heights.push(event.payload.height);
    }, options);
    return { client, joined };
  })!;
  await settle();
  assert.equal(peers.length, 1);
  parts.peer().welcome();
  await settle();
  for (let seq = 1; seq <= 5; seq++) parts.peer().block(seq);
  mock.timers.tick(1_000);
  assert.deepEqual(heights, [1, 2, 3, 4, 5]);
  assert.deepEqual(seen, [false, true]);
  assert.deepEqual(joined.value?.status, "joined");
  assert.equal(client.state.received, 5);
  scope.stop();
  await settle();
  assert.equal(parts.peer().of("unsubscribe").length, 1);
  mock.timers.tick(LINGER_MS);
  assert.equal(parts.open(), 0);
});

Deno.test("on a server that renders, stores connect nothing", async () => {
  await using _parts = setup(false);
  assert.equal(get(webSocketStore(options)).status, "connecting");
  assert.deepEqual(get(channelStore("blocks", options)), []);
  effectScope().run(() => {
    assert.equal(useWebSocket(options).state.value.status, "connecting");
    assert.equal(useChannel("blocks", () => {}, options).value, undefined);
  });
  await settle();
  assert.equal(peers.length, 0);
});
