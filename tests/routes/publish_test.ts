import assert from "node:assert/strict";
import { builders, buildNewBlockMessage } from "../../protocol/builders.ts";
import type { RefusalCode } from "../../protocol/refusals.ts";
import { REPLIES } from "../../protocol/replies.ts";
import { MAX_BODY_BYTES } from "../../routes/publish.ts";
import { openTestService, SECRET, tokenOf } from "../test_service.ts";
import { generateWebSocketToken } from "../../security/tokens.ts";
import {
  accepted,
  block,
  history,
  publish,
  refusedWith,
} from "./publishing.ts";

const HOUR_MS = 3_600_000;

const room = (event: string) => ({
  type: "ROOM_MESSAGE",
  channel: "room:lobby",
  payload: { event },
});

Deno.test("one message is published with a publisher's token", async () => {
  await using service = await openTestService();
  const token = await tokenOf("publisher");
  const message = { ...block(1), id: "mine" };
  const [first] = await accepted(await publish(service, message, token));
  assert(first);
  assert.deepEqual([first.id, first.channel, first.seq], ["mine", "blocks", 1]);
  // The same id again is the same event.
  assert.deepEqual(await accepted(await publish(service, message, token)), [
    first,
  ]);
  const [second] = await accepted(await publish(service, block(2), token));
  assert.equal(second?.seq, 2);
  assert.equal(second?.epoch, first.epoch);
  assert.deepEqual(service.bugs, []);
});

Deno.test("an id is its publisher's own, and stands for one message", async () => {
  await using service = await openTestService();
  const message = (text: string) => ({ ...room(text), id: "1" });
  const tokenFor = (userId: string) =>
    generateWebSocketToken({ userId, role: "user" }, SECRET, "1h");
  const [alice, bob] = [await tokenFor("alice"), await tokenFor("bob")];
  const [first] = await accepted(await publish(service, message("A"), alice));
  const [second] = await accepted(await publish(service, message("B"), bob));
  assert.deepEqual([first!.seq, second!.seq], [1, 2]);
  for (const body of [message("C"), { messages: [room("x"), message("C")] }]) {
    const refused = await publish(service, body, alice);
    assert.equal(refused.status, 409);
    assert.equal((await refused.json()).code, "ID_CONFLICT");
  }
  const twice = {
    messages: [{ ...room("D"), id: "2" }, { ...room("E"), id: "2" }],
  };
  assert.equal((await publish(service, twice, alice)).status, 409);
  const [last] = await accepted(await publish(service, room("F"), alice));
  assert.equal(last!.seq, 3);
});

Deno.test("many messages are published together, in their order", async () => {
  await using service = await openTestService();
  const messages = [
    block(1),
    { ...room("hello") },
    block(2),
    builders.buildMetricsUpdateMessage({}),
  ];
  const places = await accepted(
    await publish(service, { messages }, await tokenOf("admin")),
  );
  assert.deepEqual(places.map(({ channel, seq }) => [channel, seq]), [
    ["blocks", 1],
    ["room:lobby", 1],
    ["blocks", 2],
    ["metrics", undefined],
  ]);
});

Deno.test("of many messages one bad one refuses all", async () => {
  await using service = await openTestService();
  const token = await tokenOf("publisher");
  const { issues } = await refusedWith(
    await publish(service, { messages: [block(1), block(-1)] }, token),
    "INVALID_PAYLOAD",
  );
  assert.deepEqual(issues?.map(({ path }) => path), [
    "messages.1.payload.height",
  ]);
  assert.deepEqual((await history(service, "")).seqs, []);
});

Deno.test("publishing needs a token that is good and allows it", async () => {
  await using service = await openTestService();
  const refused = async (
    code: RefusalCode,
    token?: string,
    body: unknown = block(1),
  ) => await refusedWith(await publish(service, body, token), code);

  await refused("UNAUTHENTICATED");
  await refused("UNAUTHENTICATED", "not.a.token");
  await refused(
    "UNAUTHENTICATED",
    await generateWebSocketToken(
      { userId: "eve", role: "admin" },
      SECRET.toUpperCase(),
      "1h",
    ),
  );
  await refused(
    "TOKEN_EXPIRED",
    await tokenOf("publisher", "1h", () => Date.now() - 2 * HOUR_MS),
  );
  await refused("FORBIDDEN", await tokenOf("user"));
  await refused(
    "FORBIDDEN",
    await tokenOf("publisher"),
    builders.buildMetricsUpdateMessage({}),
  );
  // One forbidden message among allowed ones refuses all.
  await refused("FORBIDDEN", await tokenOf("user"), {
    messages: [room("a"), block(1)],
  });
  await accepted(await publish(service, room("a"), await tokenOf("user")));
  const narrow = await generateWebSocketToken(
    { userId: "p", role: "publisher", publish: ["dag"] },
    SECRET,
    "1h",
  );
  await refused("FORBIDDEN", narrow);
  assert.deepEqual((await history(service, "")).seqs, []);
});

Deno.test("a refused token is asked for, and never repeated", async () => {
  await using service = await openTestService();
  const response = await publish(service, block(1), "secret.looking.token");
  assert.equal(response.headers.get("www-authenticate"), "Bearer");
  assert(!(await response.text()).includes("secret.looking"));
});

Deno.test("a revoked token publishes no more", async () => {
  await using service = await openTestService();
  const token = await generateWebSocketToken(
    { userId: "p", role: "publisher" },
    SECRET,
    "1h",
    { tokenId: "t1" },
  );
  await accepted(await publish(service, block(1), token));
  await service.revocations.revokeToken("t1", { by: "test" });
  await refusedWith(await publish(service, block(2), token), "UNAUTHENTICATED");
});

Deno.test("a body that is no message is refused", async () => {
  await using service = await openTestService();
  const token = await tokenOf("publisher");
  const cases: [BodyInit | undefined, RefusalCode][] = [
    [undefined, "INVALID_JSON"],
    ["", "INVALID_JSON"],
    ["{", "INVALID_JSON"],
    [new Uint8Array([0xff, 0xfe, 0x7b]), "INVALID_JSON"],
    ["[]", "INVALID_MESSAGE"],
    ['{"messages":[]}', "INVALID_MESSAGE"],
    ['{"type":"NOPE","payload":{}}', "UNKNOWN_TYPE"],
    ['{"type":"subscribe","payload":{"channels":["blocks"]}}', "UNKNOWN_TYPE"],
    ['{"type":"TEST","payload":{}}', "INVALID_MESSAGE"],
  ];
  for (const [body, code] of cases) {
    const response = await service.request("/api/publish", {
      method: "POST",
      headers: { authorization: `Bearer ${token}` },
      ...(body === undefined ? {} : { body }),
    });
    await refusedWith(response, code);
  }
  assert.deepEqual(service.bugs, []);
});

Deno.test("a body is accepted up to exactly its bound in bytes", async () => {
  await using service = await openTestService();
  const token = await tokenOf("publisher");
  const body = (bytes: number) => {
    const text = JSON.stringify(block(1));
    return text + " ".repeat(bytes - text.length);
  };
  // Judged by the message's own bound, having passed the body's.
  const within = await publish(service, body(MAX_BODY_BYTES), token);
  assert.match(
    (await refusedWith(within, "MESSAGE_TOO_LARGE")).message,
    /65536/,
  );
  const beyond = await publish(service, body(MAX_BODY_BYTES + 1), token);
  assert.match(
    (await refusedWith(beyond, "MESSAGE_TOO_LARGE")).message,
    new RegExp(String(MAX_BODY_BYTES)),
  );
});

Deno.test("a body without a length is given up as soon as it is too long", async () => {
  await using service = await openTestService();
  let pulled = 0;
  const endless = new ReadableStream({
    pull(controller) {
      pulled++;
      controller.enqueue(new Uint8Array(64 * 1024).fill(0x20));
    },
  });
  const response = await service.request("/api/publish", {
    method: "POST",
    headers: { authorization: `Bearer ${await tokenOf("publisher")}` },
    body: endless,
  });
  await refusedWith(response, "MESSAGE_TOO_LARGE");
  assert(pulled < 32, `read ${pulled} chunks`);
});

Deno.test("a block of 1,000 transactions passes where messages may be longer, whole", async () => {
  const transactions = Array.from({ length: 1_000 }, (_, nonce) => ({
    txId: `0x${nonce.toString(16).padStart(64, "0")}`,
    from: `0x${"a1".repeat(20)}`,
    to: `0x${"b2".repeat(20)}`,
    amount: `${nonce}.000000000000000001`,
    gasPrice: "10",
    gasLimit: 21_000,
    nonce,
    status: "confirmed" as const,
    timestamp: "2025-08-07T10:00:00Z",
  }));
  const message = buildNewBlockMessage(
    { blockId: "big", height: 1, transactions },
    { id: "big" },
  );
  const token = await tokenOf("publisher");
  {
    await using narrow = await openTestService();
    await refusedWith(
      await publish(narrow, message, token),
      "MESSAGE_TOO_LARGE",
    );
    assert.deepEqual((await history(narrow, "")).seqs, []);
  }
  await using wide = await openTestService({
    env: { MAX_MESSAGE_BYTES: "524288" },
  });
  await accepted(await publish(wide, message, token));
  const response = await wide.request("/api/channels/blocks/history");
  const { events } = REPLIES.query_result.parse(await response.json());
  assert.deepEqual(events[0]!["payload"], message.payload);
});
