import assert from "node:assert/strict";
import { fixedChannels } from "../../protocol/channels.ts";
import type { RefusalCode } from "../../protocol/refusals.ts";
import type { Accepted } from "../../protocol/replies.ts";
import { openTestService, SECRET, tokenOf } from "../test_service.ts";
import { generateWebSocketToken } from "../../security/tokens.ts";
import {
  accepted,
  block,
  history,
  publish,
  refusedWith,
} from "./publishing.ts";

Deno.test("history is read in pages, forwards and backwards", async () => {
  await using service = await openTestService();
  const messages = [1, 2, 3, 4, 5].map(block);
  const [{ epoch }] = await accepted(
    await publish(service, { messages }, await tokenOf("publisher")),
  ) as [Accepted];
  assert.deepEqual(await history(service, ""), {
    seqs: [1, 2, 3, 4, 5],
    more: false,
  });
  assert.deepEqual(await history(service, "?limit=2"), {
    seqs: [4, 5],
    more: true,
  });
  assert.deepEqual(await history(service, "?after=2&limit=2"), {
    seqs: [3, 4],
    more: true,
  });
  assert.deepEqual(await history(service, `?after=${epoch}:4`), {
    seqs: [5],
    more: false,
  });
  assert.deepEqual(await history(service, "?before=3&limit=1"), {
    seqs: [2],
    more: true,
  });
  assert.deepEqual(await history(service, "?after=5"), {
    seqs: [],
    more: false,
  });
});

Deno.test("history reports the issues of its arguments", async () => {
  await using service = await openTestService();
  await accepted(await publish(service, block(1), await tokenOf("publisher")));
  const cases: [string, RefusalCode, RegExp][] = [
    ["blocks/history?limit=0", "INVALID_PAYLOAD", /limit.*1 to 1000/],
    ["blocks/history?limit=1001", "INVALID_PAYLOAD", /limit/],
    ["blocks/history?limit=ten", "INVALID_PAYLOAD", /limit/],
    ["blocks/history?after=-1", "INVALID_PAYLOAD", /after.*epoch:seq/],
    ["blocks/history?after=a:b", "INVALID_PAYLOAD", /after/],
    ["blocks/history?before=1:2:3", "INVALID_PAYLOAD", /before/],
    ["blocks/history?after=other:1", "INVALID_PAYLOAD", /epoch/],
    ["metrics/history", "INVALID_PAYLOAD", /no history/],
    ["nope/history", "UNKNOWN_CHANNEL", /nope/],
    ["room:a%2Fb/history", "UNKNOWN_CHANNEL", /room/],
  ];
  for (const [path, code, message] of cases) {
    const response = await service.request(`/api/channels/${path}`);
    assert.match((await refusedWith(response, code)).message, message);
  }
  const room = await service.request("/api/channels/room:empty/history");
  assert.deepEqual(await room.json(), {
    channel: "room:empty",
    epoch: null,
    seq: 0,
    events: [],
    more: false,
  });
  const alias = await service.request(
    "/api/channels/validator_updates/history",
  );
  assert.equal((await alias.json()).channel, "validators");
  assert.deepEqual(service.bugs, []);
});

Deno.test("history needs the right to read", async () => {
  await using service = await openTestService();
  const token = await generateWebSocketToken(
    { userId: "u", role: "user", read: ["dag"] },
    SECRET,
    "1h",
  );
  const ask = (channel: string) =>
    service.request(`/api/channels/${channel}/history`, {
      headers: { authorization: `Bearer ${token}` },
    });
  await refusedWith(await ask("blocks"), "FORBIDDEN");
  assert.equal((await ask("dag")).status, 200);
});

Deno.test("the catalogue names where every channel's log ends", async () => {
  await using service = await openTestService();
  await accepted(await publish(service, block(1), await tokenOf("publisher")));
  const { channels } = await (await service.request("/api/channels")).json();
  assert.deepEqual(
    channels.map(({ channel }: { channel: string }) => channel),
    fixedChannels().map(({ name }) => name),
  );
  const of = (name: string) =>
    channels.find(({ channel }: { channel: string }) => channel === name);
  assert.equal(of("blocks").seq, 1);
  assert.equal(of("dag").seq, 0);
  assert.equal(of("metrics").seq, null);
});
