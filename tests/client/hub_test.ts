/**
 * The hub of several tabs at its bounds, and where tabs come and go while the
 * server's answers are on their way. Its socket never answers by itself: what
 * the service answers is held in `shared_test.ts`.
 */
import assert from "node:assert/strict";
import { Hub, MAX_ASKED, MAX_TABS, MOVED } from "../../client/hub.ts";
import type { Notice } from "../../client/hub.ts";
import { MAX_UNREAD_CHARS, MAX_UNREAD_FRAMES } from "../../client/hub_tab.ts";

// deno-lint-ignore no-explicit-any -- frames of the protocol
type Frame = any;

/** A hub, what it sent to the server, and what to each tab. */
function setup() {
  const sent: Frame[] = [];
  const notices = new Map<string, Notice[]>();
  const socket = {
    onopen: (): void => {},
    onmessage: (_: { data: string }): void => {},
    onclose: (_: { code: number; reason: string }): void => {},
    onerror: null,
    isClosed: false,
    send: (text: string) => void sent.push(JSON.parse(text)),
    close() {
      this.isClosed = true;
    },
  };
  let ends = 0;
  const hub = new Hub({
    open: () => socket,
    post(tab, notice) {
      notices.set(tab, [...notices.get(tab) ?? [], notice]);
    },
    ended: () => ends++,
  });
  const receive = (frame: Frame) =>
    socket.onmessage({ data: JSON.stringify(frame) });
  const framesOf = (tab: string): Frame[] =>
    (notices.get(tab) ?? []).flatMap((it) =>
      it.kind === "frame" ? [JSON.parse(it.text)] : []
    );
  return {
    hub,
    sent,
    socket,
    receive,
    framesOf,
    ends: () => ends,
    lastOf: (tab: string) => notices.get(tab)?.at(-1),
    /** What the server was sent of a type. */
    ofType: (type: string) => sent.filter((it) => it.type === type),
    /** Answers the newest command of a type. */
    answer(asked: string, type: string, payload: Frame): void {
      const { id } = sent.findLast((it) => it.type === asked);
      receive({ type, ref: id, payload });
    },
    join(tab: string, token?: string): void {
      const payload = token === undefined ? {} : { auth: { token } };
      hub.join(
        tab,
        JSON.stringify({ type: "connect", id: `c-${tab}`, payload }),
      );
    },
    send(tab: string, type: string, id: string, payload: Frame): void {
      hub.send(tab, JSON.stringify({ type, id, payload }));
    },
    event(channel: string, seq: number, payload: Frame = {}): void {
      receive({ type: "NEW_BLOCK", channel, epoch: "e", seq, payload });
    },
  };
}

/** With tabs `t0`, `t1` and so on, that are connected. */
function connected(tabs: number) {
  const it = setup();
  for (let i = 0; i < tabs; i++) it.join(`t${i}`);
  it.socket.onopen();
  it.answer("connect", "connected", {
    sessionId: "s",
    serverTime: "2026-01-01T00:00:00.000Z",
    identity: { user: null },
    limits: { maxCommandsInFlight: 64 },
  });
  return it;
}

/** The answer to a subscription to channels that have `seq` events. */
const joined = (seq: number, ...channels: string[]) => ({
  channels: channels.map((channel) => ({
    channel,
    epoch: "e",
    seq,
    recovered: true,
  })),
  rejected: [],
});

Deno.test("one connect serves up to MAX_TABS tabs, each with its share of the commands; one more is alone", () => {
  const { ofType, framesOf, join, lastOf, hub } = connected(MAX_TABS);
  assert.equal(ofType("connect").length, 1);
  for (let i = 0; i < MAX_TABS; i++) {
    const [{ type, ref, payload }] = framesOf(`t${i}`);
    assert.deepEqual([type, ref], ["connected", `c-t${i}`]);
    assert.equal(payload.limits.maxCommandsInFlight, 64 / MAX_TABS);
  }
  join("more");
  assert.deepEqual(lastOf("more"), { kind: "alone" });
  assert.equal(hub.has("more"), false);
  // A place is free again.
  hub.leave("t3");
  join("more");
  assert.equal(framesOf("more").length, 1);
});

Deno.test("a tab that takes nothing connects again after MAX_UNREAD_FRAMES; the others go on", () => {
  const { hub, send, answer, event, framesOf, lastOf } = connected(2);
  for (const tab of ["t0", "t1"]) {
    send(tab, "subscribe", `s-${tab}`, { channels: ["blocks"] });
    if (tab === "t0") answer("subscribe", "subscribed", joined(0, "blocks"));
  }
  // Both have two frames: that they are connected, and that they follow.
  const most = MAX_UNREAD_FRAMES - 2;
  for (let seq = 1; seq <= most; seq++) {
    event("blocks", seq);
    hub.took("t1", 1);
  }
  assert.equal(framesOf("t0").length, MAX_UNREAD_FRAMES);
  assert.equal(hub.has("t0"), true);
  event("blocks", most + 1);
  assert.deepEqual(lastOf("t0"), MOVED);
  assert.equal(hub.has("t0"), false);
  event("blocks", most + 2);
  assert.equal(framesOf("t0").length, MAX_UNREAD_FRAMES);
  assert.equal(framesOf("t1").at(-1).seq, most + 2);
});

Deno.test("a tab that takes nothing connects again after MAX_UNREAD_CHARS", () => {
  const { hub, send, answer, event, lastOf } = connected(1);
  send("t0", "subscribe", "s", { channels: ["blocks"] });
  answer("subscribe", "subscribed", joined(0, "blocks"));
  const text = "x".repeat(MAX_UNREAD_CHARS / 8);
  for (let seq = 1; seq <= 7; seq++) event("blocks", seq, { text });
  hub.took("t0", 3);
  event("blocks", 8, { text });
  assert.equal(hub.has("t0"), true);
  event("blocks", 9, { text });
  assert.equal(hub.has("t0"), false);
  assert.deepEqual(lastOf("t0"), MOVED);
});

Deno.test("a server that leaves MAX_ASKED commands unanswered is given up", () => {
  const { send, socket, lastOf, ends, ofType } = connected(2);
  for (let i = 0; i < MAX_ASKED; i++) send(`t${i % 2}`, "ping", `p${i}`, {});
  assert.equal(ofType("ping").length, MAX_ASKED);
  assert.equal(socket.isClosed, false);
  send("t0", "ping", "more", {});
  assert.equal(socket.isClosed, true);
  assert.equal(ends(), 1);
  for (const tab of ["t0", "t1"]) {
    assert.deepEqual(lastOf(tab), { ...MOVED, isMoved: false });
  }
});

Deno.test("a server that leaves MAX_ASKED changes of subscriptions waiting is given up", () => {
  const { send, socket, ofType } = connected(1);
  send("t0", "subscribe", "s", { channels: ["blocks"] });
  for (let i = 0; i < MAX_ASKED; i++) {
    send("t0", "unsubscribe", `u${i}`, { channels: ["blocks"] });
  }
  assert.equal(socket.isClosed, false);
  send("t0", "unsubscribe", "more", { channels: ["blocks"] });
  assert.equal(socket.isClosed, true);
  assert.equal(ofType("unsubscribe").length, 0);
});

Deno.test("a tab that leaves does not end what another is about to have", () => {
  const { hub, send, answer, event, framesOf, ofType } = connected(2);
  send("t0", "subscribe", "s0", { channels: ["blocks"] });
  answer("subscribe", "subscribed", joined(9, "blocks"));
  // Stands further back, so that the server is asked.
  const after = { epoch: "e", seq: 5 };
  send("t1", "subscribe", "s1", { channels: [{ channel: "blocks", after }] });
  hub.leave("t0");
  assert.equal(ofType("unsubscribe").length, 0);
  answer("subscribe", "subscribed", joined(5, "blocks"));
  for (let seq = 6; seq <= 10; seq++) event("blocks", seq);
  assert.equal(ofType("unsubscribe").length, 0);
  const seqs = framesOf("t1").flatMap(({ seq }) => seq ?? []);
  assert.deepEqual(seqs, [6, 7, 8, 9, 10]);
  hub.leave("t1");
  assert.deepEqual(ofType("unsubscribe")[0].payload, { channels: ["blocks"] });
});

Deno.test("a tab that is gone is sent nothing, and what it was about to have is left", () => {
  const { hub, send, answer, ofType, framesOf } = connected(1);
  send("t0", "subscribe", "s", { channels: ["blocks"] });
  hub.leave("t0");
  answer("subscribe", "subscribed", joined(5, "blocks"));
  assert.equal(framesOf("t0").length, 1);
  assert.deepEqual(ofType("unsubscribe")[0].payload, { channels: ["blocks"] });
});

Deno.test("a tab that leaves a channel before it has it leaves it once it has", () => {
  const { send, answer, event, framesOf, ofType } = connected(1);
  send("t0", "subscribe", "s", {
    channels: ["blocks", { channel: "transactions", as: "mine" }],
  });
  send("t0", "unsubscribe", "u", { channels: ["blocks", "mine"] });
  send("t0", "subscribe", "again", { channels: ["dag"] });
  assert.equal(ofType("subscribe").length, 1);
  const [{ payload: { channels: [, { as }] } }] = ofType("subscribe");
  answer("subscribe", "subscribed", {
    channels: [
      ...joined(1, "blocks").channels,
      { ...joined(1, "transactions").channels[0], as },
    ],
    rejected: [],
  });
  assert.deepEqual(ofType("unsubscribe")[0].payload.channels, ["blocks", as]);
  assert.deepEqual(ofType("subscribe")[1].payload.channels, ["dag"]);
  event("blocks", 2);
  const types = framesOf("t0").map(({ type, ref }) => [type, ref]);
  assert.deepEqual(types, [
    ["connected", "c-t0"],
    ["subscribed", "s"],
    ["unsubscribed", "u"],
  ]);
});

Deno.test("rights that a token no longer gives end channels and filters of all tabs", () => {
  const { send, answer, receive, event, framesOf } = connected(2);
  send("t0", "subscribe", "s0", { channels: ["blocks"] });
  answer("subscribe", "subscribed", joined(1, "blocks"));
  send("t1", "subscribe", "s1", { channels: ["blocks"] });
  receive({ type: "unsubscribed", payload: { channels: ["blocks"] } });
  event("blocks", 2);
  for (const tab of ["t0", "t1"]) {
    assert.deepEqual(framesOf(tab).at(-1), {
      type: "unsubscribed",
      payload: { channels: ["blocks"] },
    });
  }
});

Deno.test("a refused token leaves its tab out, and the next in line connects", () => {
  const { join, socket, answer, ofType, framesOf, hub, lastOf } = setup();
  join("bad", "b");
  join("good", "g");
  socket.onopen();
  answer("connect", "error", { code: "UNAUTHENTICATED" });
  assert.equal(framesOf("bad")[0].payload.code, "UNAUTHENTICATED");
  assert.equal(hub.has("bad"), false);
  assert.equal(ofType("connect")[1].payload.auth.token, "g");
  answer("connect", "connected", {
    serverTime: "2026-01-01T00:00:00.000Z",
    limits: { maxCommandsInFlight: 4 },
  });
  assert.equal(framesOf("good")[0].payload.limits.maxCommandsInFlight, 2);
  // Once connected, another token is checked without another connection.
  join("third", "other");
  assert.equal(framesOf("third").length, 0);
  answer("refresh", "error", { code: "FORBIDDEN" });
  assert.deepEqual(lastOf("third"), { kind: "alone" });
  join("fourth", "bad too");
  answer("refresh", "error", { code: "UNAUTHENTICATED" });
  assert.equal(framesOf("fourth")[0].ref, "c-fourth");
  assert.equal(ofType("connect").length, 2);
});

Deno.test("only a token that the server accepted lets a tab in without asking", () => {
  const { join, socket, answer, ofType, send, framesOf } = setup();
  join("t0", "first");
  socket.onopen();
  answer("connect", "connected", {
    serverTime: "2026-01-01T00:00:00.000Z",
    limits: { maxCommandsInFlight: 64 },
  });
  join("t1", "first");
  assert.equal(framesOf("t1")[0].type, "connected");
  for (const reply of ["error", "refreshed"]) {
    send("t0", "refresh", `r-${reply}`, { token: "next" });
    answer("refresh", reply, { role: "user" });
    const asked = ofType("refresh").length;
    join(reply, "next");
    const isAsked = ofType("refresh").length > asked;
    assert.equal(isAsked, reply === "error");
    assert.equal(framesOf(reply).length, isAsked ? 0 : 1);
  }
  assert.equal(framesOf("refreshed")[0].payload.identity.role, "user");
});
