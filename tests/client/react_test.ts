import assert from "node:assert/strict";
import { mock } from "node:test";
import { parseHTML } from "linkedom";
import { createElement, StrictMode, useEffect } from "react";
import type { ReactNode } from "react";
import type { Options, WebSocketHook } from "../../client/react.ts";
import { options, peers } from "./peer.ts";

// React looks for a page when it is loaded, the client when it connects.
const { document, window } = parseHTML(
  "<html><body></body></html>",
) as unknown as {
  document: { createElement(tag: string): unknown };
  window: unknown;
};
Object.assign(globalThis, {
  document,
  window,
  IS_REACT_ACT_ENVIRONMENT: true,
  // No one is asked why a socket does not open.
  fetch: () => new Promise(() => {}),
});
const { act } = await import("react");
const { createRoot } = await import("react-dom/client");
const { renderToString } = await import("react-dom/server");
const { useChannel, useTransaction, useWebSocket } = await import(
  "../../client/react.ts"
);
const { LINGER_MS } = await import("../../client/connections.ts");
const examples = await import("../../docs/examples/react.tsx");

function setup() {
  mock.timers.enable({ apis: ["Date", "setTimeout"] });
  peers.length = 0;
  const page = document.createElement("div") as { textContent: string };
  const root = createRoot(page as never);
  const render = (node: ReactNode) =>
    act(async () => await root.render(createElement(StrictMode, null, node)));
  return {
    page,
    render,
    peer: () => peers.at(-1)!,
    open: () => peers.filter(({ isClosed }) => !isClosed).length,
    async [Symbol.asyncDispose]() {
      await act(() => root.unmount());
      await tick(LINGER_MS);
      mock.timers.reset();
    },
  };
}

const tick = (ms: number) =>
  act(async () => {
    mock.timers.tick(ms);
    await Promise.resolve();
  });

const heights: number[] = [];
let renders = 0;

/** The reference's example, with its best practice of leaving in cleanups. */
function Blocks() {
  const { state, subscribe, joinChannel, leaveChannel } = useWebSocket({
    ...options,
  });
  renders++;
  useEffect(() => {
    const unsubscribe = subscribe("NEW_BLOCK", (message) => {
      heights.push(message.payload.height);
    });
    return () => unsubscribe();
  }, [subscribe]);
  useEffect(() => {
    if (state.isConnected) joinChannel("blocks");
    return () => leaveChannel("blocks");
  }, [state.isConnected, joinChannel, leaveChannel]);
  return createElement("b", null, state.status);
}

Deno.test("under StrictMode components share one connection, one handler each", async () => {
  heights.length = 0;
  await using parts = setup();
  await parts.render([
    createElement(Blocks, { key: 1 }),
    createElement(Blocks, { key: 2 }),
  ]);
  assert.equal(peers.length, 1);
  await act(async () => await parts.peer().welcome());
  assert.equal(parts.peer().of("subscribe").length, 1);
  await tick(0);
  renders = 0;
  await act(() => {
    for (let seq = 1; seq <= 100; seq++) parts.peer().block(seq);
  });
  assert.equal(heights.length, 200);
  assert.equal(renders, 0, "no render for a message");
});

Deno.test("one of two leaves: the channel stays until no component holds it", async () => {
  await using parts = setup();
  await parts.render([
    createElement(Blocks, { key: 1 }),
    createElement(Blocks, { key: 2 }),
  ]);
  await act(async () => await parts.peer().welcome());
  await parts.render([createElement(Blocks, { key: 1 })]);
  await tick(LINGER_MS);
  assert.equal(parts.peer().of("unsubscribe").length, 0);
  await parts.render([createElement(Connected, { key: 3 })]);
  await tick(LINGER_MS);
  assert.equal(parts.peer().of("unsubscribe").length, 1);
  assert.equal(parts.open(), 1);
});

function Connected() {
  useWebSocket(options);
  return null;
}

Deno.test("the connection ends a moment after the last unmount, and starts again", async () => {
  await using parts = setup();
  await parts.render(createElement(Blocks));
  await parts.render(null);
  await tick(LINGER_MS - 1);
  assert.equal(parts.open(), 1);
  await parts.render(createElement(Blocks));
  await tick(LINGER_MS);
  assert.equal(peers.length, 1);
  assert.equal(parts.open(), 1);
  await parts.render(null);
  await tick(LINGER_MS);
  assert.equal(parts.open(), 0);
  await parts.render(createElement(Blocks));
  assert.equal(peers.length, 2);
});

Deno.test("effects that leave on a loss and join again lose no position", async () => {
  heights.length = 0;
  await using parts = setup();
  await parts.render(createElement(Blocks));
  await act(async () => await parts.peer().welcome());
  await tick(0);
  await act(() => parts.peer().block(1));
  await act(() => parts.peer().onclose?.({ code: 1006, reason: "" }));
  await tick(10_000);
  assert.equal(peers.length, 2);
  await act(async () => await parts.peer().welcome());
  assert.deepEqual(parts.peer().of("subscribe")[0]!.payload.channels, [
    { channel: "blocks", after: { epoch: "e", seq: 1 } },
  ]);
  await tick(0);
  await act(() => parts.peer().block(2));
  await tick(LINGER_MS);
  assert.equal(parts.peer().of("unsubscribe").length, 0);
  assert.deepEqual(heights, [1, 2]);
});

/** What a component under test may do. */
let hook: WebSocketHook;

/** A component that joins blocks and shows what it was rendered with. */
function Chosen({ of = {} }: { of?: Options }) {
  const used = hook = useWebSocket({ ...options, ...of });
  const { subscribe, joinChannel } = used;
  useEffect(
    () =>
      subscribe("NEW_BLOCK", (message) => {
        heights.push(message.payload.height);
      }),
    [subscribe],
  );
  useEffect(() => joinChannel("blocks"), [joinChannel]);
  return createElement("i", null, used.state.status);
}

/** A token as a server would read it, unsigned. */
const token = (sub: string, serial: number) =>
  `h.${btoa(JSON.stringify({ sub, serial })).replace(/=+$/, "")}.s`;

Deno.test("options that mean the same make one connection, pace and queue make none", async () => {
  await using parts = setup();
  const variants: Options[] = [
    {},
    { autoReconnect: true, reconnectInterval: 5_000 },
    { reconnectInterval: 5_000, autoReconnect: true, batch: true },
    { enableThrottle: true, throttleTime: 50 },
    { enableDebounce: true, offlineQueue: "refuse" },
    { url: "http://server/ws" },
  ];
  await parts.render(
    variants.map((of, key) => createElement(Chosen, { key, of })),
  );
  assert.equal(peers.length, 1);
});

Deno.test("pace and queue are each component's own", async () => {
  await using parts = setup();
  const hooks: WebSocketHook[] = [];
  const Sender = ({ of }: { of: Options }) => {
    hooks.push(useWebSocket({ ...options, ...of }));
    return null;
  };
  await parts.render([
    createElement(Sender, { key: 1, of: { offlineQueue: "refuse" } }),
    createElement(Sender, { key: 2, of: { enableThrottle: true } }),
  ]);
  const [refusing, throttled] = [hooks.at(0)!, hooks.at(-1)!];
  const message = { type: "TEST", payload: {} } as const;
  await assert.rejects(refusing.sendMessage(message), { code: "OFFLINE" });
  await assert.rejects(refusing.request("ping"), { code: "OFFLINE" });
  await act(async () => await parts.peer().welcome());
  for (let i = 0; i < 3; i++) {
    refusing.sendMessage(message);
    throttled.sendMessage(message);
  }
  assert.equal(parts.peer().of("TEST").length, 4);
});

Deno.test("another token of the same user is a refresh on the same connection", async () => {
  heights.length = 0;
  await using parts = setup();
  const show = (serial: number) =>
    parts.render(
      createElement(Chosen, {
        of: { auth: { token: token("alice", serial) } },
      }),
    );
  await show(1);
  await tick(0);
  await act(async () => await parts.peer().welcome());
  await tick(0);
  await act(() => parts.peer().block(1));
  await show(2);
  await show(2);
  await tick(0);
  assert.equal(peers.length, 1);
  assert.deepEqual(
    parts.peer().sent.filter(({ type }) => type === "refresh")
      .map(({ payload }) => payload),
    [{ token: token("alice", 2) }],
  );
  await act(() => parts.peer().block(2));
  assert.deepEqual(heights, [1, 2]);
  await act(() => parts.peer().onclose?.({ code: 1006, reason: "" }));
  await tick(10_000);
  await act(async () => await parts.peer().welcome());
  assert.equal(
    parts.peer().sent[0].payload.auth.token,
    token("alice", 2),
    "the new token counts for later connections",
  );
});

Deno.test("another user is another connection, which continues where the component stood", async () => {
  heights.length = 0;
  await using parts = setup();
  const show = (user: string) =>
    parts.render(
      createElement(Chosen, { of: { auth: { token: token(user, 1) } } }),
    );
  await show("alice");
  await tick(0);
  await act(async () => await parts.peer().welcome());
  await tick(0);
  await act(() => parts.peer().block(1));
  await show("bob");
  await tick(0);
  assert.equal(peers.length, 2);
  assert.equal(parts.page.textContent, "connecting");
  // Lost to alice's connection: nothing listens to it any more.
  await act(() => peers[0]!.block(2));
  await act(async () => await parts.peer().welcome());
  assert.deepEqual(parts.peer().of("subscribe")[0]!.payload.channels, [
    { channel: "blocks", after: { epoch: "e", seq: 1 } },
  ]);
  await tick(0);
  await act(() => parts.peer().block(2));
  assert.deepEqual(heights, [1, 2]);
  await tick(LINGER_MS);
  assert.equal(parts.open(), 1);
});

Deno.test("positions are handed over once, and only of channels that the component joined", async () => {
  await using parts = setup();
  const Other = ({ user }: { user: string }) => {
    const { joinChannel } = hook = useWebSocket({
      ...options,
      auth: { token: token(user, 1) },
    });
    useEffect(() => joinChannel("nodes"), [joinChannel]);
    return null;
  };
  const all = (user: string) => [
    createElement(Chosen, {
      key: 1,
      of: { auth: { token: token("alice", 1) } },
    }),
    createElement(Other, { key: 2, user }),
  ];
  await parts.render(all("alice"));
  await tick(0);
  await act(async () => await parts.peer().welcome());
  await tick(0);
  await act(() => parts.peer().block(1));
  await parts.render(all("bob"));
  await tick(0);
  await act(async () => await parts.peer().welcome());
  await tick(0);
  const asked = () =>
    parts.peer().of("subscribe").map(({ payload }) => payload.channels);
  const nodes = { channel: "nodes", after: { epoch: "e", seq: 0 } };
  assert.deepEqual(asked(), [[nodes]]);
  await act(async () => await hook.joinChannel("blocks"));
  await act(() => hook.leaveChannel("nodes"));
  await tick(LINGER_MS);
  await act(async () => await hook.joinChannel("nodes"));
  await tick(0);
  assert.deepEqual(asked(), [[nodes], ["blocks"], ["nodes"]]);
});

Deno.test("a component that mounts while all others are disconnected connects", async () => {
  await using parts = setup();
  await parts.render([createElement(Chosen, { key: 1 })]);
  await act(async () => await parts.peer().welcome());
  await act(() => hook.disconnect());
  assert.equal(parts.open(), 0);
  await parts.render([
    createElement(Chosen, { key: 1 }),
    createElement(Connected, { key: 2 }),
  ]);
  await tick(0);
  assert.equal(parts.open(), 1);
});

Deno.test("two users on one page have two connections", async () => {
  await using parts = setup();
  await parts.render(["alice", "bob"].map((user) =>
    createElement(Chosen, {
      key: user,
      of: { auth: { token: token(user, 1) } },
    })
  ));
  await tick(0);
  assert.equal(peers.length, 2);
});

Deno.test("disconnect() is counted: the last component ends the connection", async () => {
  await using parts = setup();
  const hooks = new Map<string, WebSocketHook>();
  const Named = ({ name }: { name: string }) => {
    hooks.set(name, useWebSocket(options));
    return null;
  };
  const all = ["a", "b"].map((name) =>
    createElement(Named, { key: name, name })
  );
  await parts.render(all);
  await act(async () => await parts.peer().welcome());
  await act(() => hooks.get("a")!.disconnect());
  await act(() => hooks.get("a")!.disconnect());
  assert.equal(parts.open(), 1);
  await act(() => hooks.get("a")!.connect());
  await act(() => hooks.get("b")!.disconnect());
  assert.equal(parts.open(), 1);
  await act(() => hooks.get("a")!.disconnect());
  assert.equal(parts.open(), 0);
  assert.equal(hooks.get("a")!.state.status, "closed");
  await act(() => hooks.get("b")!.connect());
  await tick(0);
  assert.equal(parts.open(), 1);
  // The only other one is away: nothing is left that wants a connection.
  await parts.render(all[0]);
  assert.equal(parts.open(), 0);
});

Deno.test("a selector decides what renders", async () => {
  await using parts = setup();
  const counts = { all: 0, chosen: 0, made: 0 };
  const All = () => {
    counts.all++;
    useWebSocket(options);
    return null;
  };
  const Chosen = () => {
    counts.chosen++;
    const { state } = useWebSocket(options, (state) => state.isConnected);
    return createElement("i", null, String(state));
  };
  const Made = () => {
    counts.made++;
    const { state } = useWebSocket(
      options,
      ({ status, channels }) => ({
        status,
        joined: channels["blocks"]?.status,
      }),
    );
    return createElement("i", null, state.joined);
  };
  const Joined = () => {
    useChannel("blocks", () => {}, options);
    return null;
  };
  await parts.render(
    [All, Chosen, Made, Joined].map((it, key) => createElement(it, { key })),
  );
  await act(async () => await parts.peer().welcome());
  await tick(100);
  assert.match(parts.page.textContent, /^truejoined$/);
  Object.assign(counts, { all: 0, chosen: 0, made: 0 });
  for (let seq = 1; seq <= 10; seq++) {
    await act(() => parts.peer().block(seq));
    await tick(1_000);
  }
  assert.deepEqual({ ...counts, all: counts.all >= 10 }, {
    all: true,
    chosen: 0,
    made: 0,
  });
  await act(() => parts.peer().onclose?.({ code: 1006, reason: "" }));
  assert.match(parts.page.textContent, /^falsejoining$/);
});

Deno.test("useChannel() receives each event once, renders for none, and leaves at last", async () => {
  await using parts = setup();
  const seen: number[] = [];
  let rendered = 0;
  const Follower = ({ add }: { add: number }) => {
    rendered++;
    const state = useChannel(
      "blocks",
      ({ payload }) => seen.push((payload as { height: number }).height + add),
      options,
    );
    return createElement("i", null, state?.status);
  };
  await parts.render(createElement(Follower, { add: 0 }));
  await tick(0);
  await act(async () => await parts.peer().welcome());
  await tick(LINGER_MS);
  assert.equal(parts.page.textContent, "joined");
  assert.equal(parts.peer().of("subscribe").length, 1);
  assert.equal(parts.peer().of("unsubscribe").length, 0);
  rendered = 0;
  await act(() => parts.peer().block(1));
  await act(() => parts.peer().block(2));
  assert.equal(rendered, 0);
  await parts.render(createElement(Follower, { add: 100 }));
  await act(() => parts.peer().block(3));
  assert.deepEqual(seen, [1, 2, 103], "the latest handler");
  await parts.render(createElement(Connected));
  await tick(LINGER_MS);
  assert.equal(parts.peer().of("unsubscribe").length, 1);
});

Deno.test("useChannel() continues from its position when another user takes over", async () => {
  await using parts = setup();
  const seen: number[] = [];
  const Follower = ({ user }: { user: string }) => {
    useChannel(
      "blocks",
      ({ payload }) => seen.push((payload as { height: number }).height),
      { ...options, auth: { token: token(user, 1) } },
    );
    return null;
  };
  await parts.render(createElement(Follower, { user: "alice" }));
  await tick(0);
  await act(async () => await parts.peer().welcome());
  await tick(0);
  await act(() => parts.peer().block(1));
  await parts.render(createElement(Follower, { user: "bob" }));
  await tick(0);
  await act(async () => await parts.peer().welcome());
  await tick(0);
  assert.deepEqual(parts.peer().of("subscribe")[0]!.payload.channels, [
    { channel: "blocks", after: { epoch: "e", seq: 1 } },
  ]);
  await act(() => parts.peer().block(2));
  assert.deepEqual(seen, [1, 2]);
});

Deno.test("useTransaction() shows every move, and ends with the component", async () => {
  await using parts = setup();
  const Shown = ({ txId }: { txId?: string }) => {
    const { state, error } = useTransaction(txId, options);
    return createElement("i", null, `${state?.state} ${error?.code}`);
  };
  // What is loaded when asked for.
  await import("../../client/track.ts");
  await import("../../client/sending.ts");
  const turn = async () => {
    for (let i = 0; i < 20; i++) await tick(0);
  };
  await parts.render(createElement(Shown, {}));
  await turn();
  await act(async () => await parts.peer().welcome());
  assert.equal(parts.page.textContent, "undefined undefined");
  await parts.render(createElement(Shown, { txId: "0x1" }));
  await turn();
  const [asked] = parts.peer().of("track") as unknown as {
    id: string;
    payload: object;
  }[];
  assert.deepEqual(asked!.payload, { txId: "0x1", until: "final" });
  const say = async (type: string, state: string, ref?: string) => {
    await act(() => parts.peer().say(type, { txId: "0x1", state }, ref));
    await turn();
  };
  await say("tracked", "seen", asked!.id);
  assert.equal(parts.page.textContent, "seen undefined");
  await say("tx_state", "included");
  assert.equal(parts.page.textContent, "included undefined");
  await parts.render(createElement(Shown, {}));
  await turn();
  assert.equal(parts.page.textContent, "undefined undefined");
});

Deno.test("the hook gives the client that it uses", async () => {
  await using parts = setup();
  await parts.render(createElement(Chosen));
  await act(async () => await parts.peer().welcome());
  assert.equal(hook.client.state.sessionId, "s");
  assert.equal(peers.length, 1);
});

Deno.test("another server is another connection, and the old one ends", async () => {
  await using parts = setup();
  await parts.render(createElement(Chosen, { of: { url: "ws://one/ws" } }));
  await parts.render(createElement(Chosen, { of: { url: "ws://two/ws" } }));
  assert.equal(parts.open(), 2);
  await tick(LINGER_MS);
  assert.equal(parts.open(), 1);
});

Deno.test("a new token function each render keeps the connection", async () => {
  await using parts = setup();
  const Authenticated = ({ name }: { name: string }) => {
    useWebSocket({ ...options, auth: { token: () => name } });
    return null;
  };
  await parts.render(createElement(Authenticated, { name: "a" }));
  await parts.render(createElement(Authenticated, { name: "b" }));
  assert.equal(peers.length, 1);
  await act(() => parts.peer().onclose?.({ code: 4401, reason: "" }));
  await tick(500);
  parts.peer().onopen?.();
  assert.equal(parts.peer().sent[0].payload.auth.token, "b");
});

Deno.test("rendered on a server, the hook is connecting and opens nothing", () => {
  peers.length = 0;
  const Status = () => useWebSocket(options).state.status;
  mock.timers.enable({ apis: ["setTimeout"] });
  assert.equal(renderToString(createElement(Status)), "connecting");
  mock.timers.tick(LINGER_MS);
  mock.timers.reset();
  assert.equal(peers.length, 0);
});

Deno.test("the documented examples connect, follow blocks and show errors", async () => {
  await using parts = setup();
  const { Advanced, Basic, BestPractices, ErrorHandling } = examples;
  const show = async (example: typeof Basic) => {
    // Each with a connection of its own.
    await parts.render(null);
    await tick(LINGER_MS);
    await parts.render(createElement(example, { options }));
    await tick(0);
    return parts.peer();
  };
  let peer = await show(Basic);
  assert.match(parts.page.textContent, /Disconnected/);
  await act(async () => await peer.welcome());
  await tick(0);
  await act(() => peer.block(1));
  assert.match(parts.page.textContent, /Status: Connected.*Height: 1/);
  peer = await show(BestPractices);
  await act(async () => await peer.welcome());
  await tick(0);
  await act(() => peer.block(1));
  await act(() => peer.block(2));
  assert.equal(parts.page.textContent, "1 2");
  peer = await show(ErrorHandling);
  await act(() => peer.onclose?.({ code: 4510, reason: "IP_BLOCKED" }));
  assert.match(parts.page.textContent, /WebSocket error: Closed 4510/);
  peer = await show(Advanced);
  await act(async () => await peer.welcome());
  assert.deepEqual(peer.sent[0].payload.auth, {
    token: "your-jwt-token",
    headers: { "X-Client-Version": "1.0.0" },
  });
});
