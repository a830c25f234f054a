/** The frames that the API page lists, and its description of each. */
import assert from "node:assert/strict";
import { Frames, gistOf, MAX_FRAMES } from "../../../client/docs/frames.tsx";

const frame = (seq: number) => ({
  direction: "in" as const,
  frame: { type: "NEW_BLOCK", seq },
  at: 0,
  length: 10,
});

Deno.test("the newest frames are kept, up to the bound, the newest first", () => {
  const frames = new Frames();
  for (let seq = 1; seq <= MAX_FRAMES; seq++) frames.take(frame(seq));
  assert.equal(frames.kept.length, MAX_FRAMES);
  assert.equal(frames.kept.at(-1)!.key, 1);
  frames.take(frame(MAX_FRAMES + 1));
  assert.equal(frames.kept.length, MAX_FRAMES);
  assert.deepEqual(
    [frames.kept[0]!.key, frames.kept.at(-1)!.key],
    [MAX_FRAMES + 1, 2],
  );
  frames.clear();
  assert.deepEqual([frames.kept.length, frames.passed], [0, MAX_FRAMES + 1]);
  frames.take(frame(1));
  assert.equal(frames.kept[0]!.key, MAX_FRAMES + 2, "a key was used twice");
});

Deno.test("a frame is summed up by what it is about", () => {
  const gists = [
    { type: "NEW_BLOCK", channel: "blocks", seq: 7 },
    { type: "TX_RECEIVED", channel: "transactions", sub: "w1", seq: 7 },
    { type: "subscribe", payload: { channels: ["dag", { channel: "nodes" }] } },
    { type: "subscribed", payload: { channels: [{ channel: "x", as: "w1" }] } },
    { type: "error", payload: { code: "FORBIDDEN" } },
    { type: "BATCH_UPDATE", payload: { updates: [{}, {}] } },
    { type: "ping", payload: {} },
    { type: "odd" },
  ].map(gistOf);
  assert.deepEqual(gists, [
    "blocks #7",
    "transactions w1 #7",
    "dag, nodes",
    "w1",
    "FORBIDDEN",
    "2 events",
    "",
    "",
  ]);
});
