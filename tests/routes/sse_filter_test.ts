import assert from "node:assert/strict";
import { openTestService, tokenOf } from "../test_service.ts";
import type { TestService } from "../test_service.ts";
import { until } from "../until.ts";
import { txReceived } from "../transactions.ts";

const URL = "/sse?channels=transactions&filter=";
const filterOf = (filter: unknown) =>
  encodeURIComponent(JSON.stringify(filter));

async function transfer(service: TestService, from: string): Promise<void> {
  const response = await service.request("/api/publish", {
    method: "POST",
    headers: {
      authorization: `Bearer ${await tokenOf("publisher")}`,
      "content-type": "application/json",
    },
    body: JSON.stringify(
      txReceived({ txId: crypto.randomUUID(), from, status: "pending" }),
    ),
  });
  assert.equal(response.status, 200, await response.text());
}

/** Reads an event stream into its messages: name, id and data. */
function reading(response: Response) {
  const messages: { event?: string; id?: string; data: string }[] = [];
  const reader = response.body!.pipeThrough(new TextDecoderStream())
    .getReader();
  let text = "";
  const done = (async () => {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      text += value;
      const parts = text.split("\n\n");
      text = parts.pop()!;
      for (const part of parts) {
        const fields = Object.fromEntries(
          part.split("\n").map((line) => line.split(/: (.*)/s).slice(0, 2)),
        );
        if (fields.data !== undefined) messages.push(fields);
      }
    }
  })();
  return {
    messages,
    async [Symbol.asyncDispose]() {
      await reader.cancel();
      await done;
    },
  };
}

Deno.test("an event stream may be filtered, and resumes by its id", async () => {
  await using service = await openTestService();
  let id: string;
  {
    const response = await service.request(
      `${URL}${filterOf({ from: ["0xA"] })}`,
    );
    assert.equal(response.status, 200);
    await using stream = reading(response);
    const { messages } = stream;
    await until(() => messages.length > 0, "it begins");
    const [begun] = messages;
    assert.equal(begun!.event, "subscribed");
    const { channels } = JSON.parse(begun!.data).payload;
    assert.deepEqual(channels[0].filtered, { values: 1 });
    for (const from of ["0xb", "0xa", "0xb"]) await transfer(service, from);
    await until(() => messages.length > 1, "an event");
    const event = JSON.parse(messages[1]!.data);
    assert.deepEqual([event.seq, event.prev, event.sub], [2, 0, undefined]);
    id = messages[1]!.id!;
  }
  await transfer(service, "0xA");
  const again = await service.request(`${URL}${filterOf({ from: "0xa" })}`, {
    headers: { "last-event-id": id },
  });
  await using stream = reading(again);
  await until(() => stream.messages.length >= 3, "the rest");
  const [begun, event, progress] = stream.messages;
  assert.equal(JSON.parse(begun!.data).payload.channels[0].recovered, true);
  const { seq, prev, replay } = JSON.parse(event!.data);
  assert.deepEqual([seq, prev, replay], [4, 2, true]);
  assert.equal(progress!.event, "progress");
  assert.match(progress!.id!, /:4$/);
  assert.deepEqual(service.bugs, []);
});

Deno.test("a filter that an event stream cannot have is refused with its place", async () => {
  await using service = await openTestService();
  const refusal = async (channels: string, filter: string) => {
    const response = await service.request(
      `/sse?channels=${channels}&filter=${filter}`,
    );
    assert.equal(response.status, 400);
    const { code, issues } = await response.json();
    assert.equal(code, "INVALID_SUBSCRIPTION");
    return issues[0];
  };
  assert.deepEqual(await refusal("transactions", filterOf({ adress: "0xa" })), {
    path: "filter.adress",
    message:
      "transactions can be filtered by address, from, to, token, txId, status",
  });
  const { path } = await refusal("logs,nodes", filterOf({ txId: "t" }));
  assert.equal(path, "filter.txId");
  for (const text of ["{", "[]", "1", '{"any":[]}', '{"to":[1]}', ""]) {
    const issue = await refusal("transactions", encodeURIComponent(text));
    assert.equal(issue.path, "filter", text);
  }
});
