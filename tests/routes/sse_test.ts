import assert from "node:assert/strict";
import { checkServerFrame } from "../frames.ts";
import { openTestService, tokenOf } from "../test_service.ts";
import { accepted, block, publish, refusedWith } from "./publishing.ts";

Deno.test("a listener over HTTP gets the stream, and resumes where it stood", async () => {
  await using service = await openTestService();
  const token = await tokenOf("publisher");
  const messages = [1, 2, 3].map(block);
  await accepted(await publish(service, { messages }, token));

  /** Reads until that many events arrived, then leaves. */
  async function listen(
    query: string,
    count: number,
    headers: Record<string, string> = {},
  ): Promise<{ named: string[]; seqs: number[]; lastId: string }> {
    const response = await service.request(`/sse?channels=${query}`, {
      headers,
    });
    assert.equal(response.status, 200);
    assert.match(response.headers.get("content-type")!, /^text\/event-stream/);
    const received = {
      named: [] as string[],
      seqs: [] as number[],
      lastId: "",
    };
    let text = "";
    for await (
      const chunk of response.body!.pipeThrough(new TextDecoderStream())
    ) {
      text += chunk;
      for (let at = text.indexOf("\n\n"); at >= 0; at = text.indexOf("\n\n")) {
        const lines = new Map(
          text.slice(0, at).split("\n").map((line) => {
            const colon = line.indexOf(": ");
            return [line.slice(0, colon), line.slice(colon + 2)];
          }),
        );
        text = text.slice(at + 2);
        received.lastId = lines.get("id") ?? received.lastId;
        const data = lines.get("data");
        if (data === undefined) continue;
        const frame = JSON.parse(data);
        checkServerFrame(frame);
        const name = lines.get("event");
        if (name !== undefined) received.named.push(name);
        else received.seqs.push(frame.seq);
      }
      if (received.seqs.length >= count) break;
    }
    return received;
  }

  const first = await listen("blocks&last=2", 2);
  assert.deepEqual(first.named, ["subscribed"]);
  assert.deepEqual(first.seqs, [2, 3]);
  assert.match(first.lastId, /^\w+:3$/);

  await accepted(await publish(service, block(4), token));
  const headers = { "last-event-id": first.lastId };
  assert.deepEqual((await listen("blocks", 1, headers)).seqs, [4]);
  const asked = await listen(`blocks&lastEventId=${first.lastId}`, 1);
  assert.deepEqual(asked.seqs, [4]);

  const lost = await listen("blocks&lastEventId=other:1", 4);
  assert.deepEqual(lost.named, ["subscribed", "gap"]);
  assert.deepEqual(lost.seqs, [1, 2, 3, 4]);

  const both = await listen(`dag,blocks&lastEventId=blocks=${first.lastId}`, 1);
  assert.match(both.lastId, /^dag=0:0,blocks=\w+:4$/);
  assert.equal(service.sessions.size, 0);
});

Deno.test("an EventSource resumes in many channels, by a short id", async () => {
  await using service = await openTestService();
  const token = await tokenOf("user");
  const names = Array.from({ length: 150 }, (_, i) => `room:some-name-${i}`);
  const post = (name: string, event: string) =>
    publish(service, {
      type: "ROOM_MESSAGE",
      channel: name,
      payload: { event },
    }, token).then(accepted);
  const listen = async (
    channels: readonly string[],
    count: number,
    lastEventId: string | undefined,
  ) => {
    const response = await service.request(
      `/sse?channels=${channels.join(",")}`,
      { headers: lastEventId ? { "last-event-id": lastEventId } : {} },
    );
    assert.equal(response.status, 200);
    const events: string[] = [];
    const gaps: unknown[] = [];
    let id = "";
    let text = "";
    for await (
      const chunk of response.body!.pipeThrough(new TextDecoderStream())
    ) {
      text += chunk;
      const blocks = text.split("\n\n");
      text = blocks.pop()!;
      for (const block of blocks) {
        id = /^id: (.*)$/m.exec(block)?.[1] ?? id;
        const data = /^data: (.*)$/m.exec(block)?.[1];
        if (data === undefined) continue;
        const frame = JSON.parse(data);
        if (frame.type === "gap") gaps.push(frame.payload);
        if (frame.type === "ROOM_MESSAGE") events.push(frame.payload.event);
      }
      if (events.length >= count && id) break;
    }
    return { events, gaps, id };
  };

  await post(names[3]!, "before");
  const first = await listen(names, 0, undefined);
  assert(first.id.length < 2_048, `${first.id.length} characters`);
  await post(names[3]!, "one");
  await post(names[149]!, "two");
  const again = await listen([...names].reverse(), 2, first.id);
  assert.deepEqual(again.events.toSorted(), ["one", "two"]);
  assert.deepEqual(again.gaps, []);
  await post(names[149]!, "three");
  assert.deepEqual((await listen(names, 1, again.id)).events, ["three"]);
});

Deno.test("an EventSource gets a temporary refusal as a stream that ends, others get a status", async () => {
  await using service = await openTestService({
    env: { MAX_CONNECTIONS: "1" },
  });
  const path = "/sse?channels=blocks";
  const headers = { accept: "text/event-stream" };
  const admitted = await service.request(path, { headers });
  const refused = await service.request(path, { headers });
  assert.equal(refused.status, 200);
  assert.match(refused.headers.get("cache-control")!, /no-transform/);
  const text = await refused.text();
  assert.match(text, /^retry: \d{4,}\nevent: error\ndata: \{.*\}\n\n$/);
  const data = /data: (.*)/.exec(text)![1]!;
  assert.equal(JSON.parse(data).code, "TOO_MANY_CONNECTIONS");
  await refusedWith(await service.request(path), "TOO_MANY_CONNECTIONS");
  const unknown = await service.request("/sse?channels=nope", { headers });
  await unknown.body?.cancel();
  await admitted.body!.cancel();
  const final = await service.request("/sse?channels=nope", { headers });
  await refusedWith(final, "UNKNOWN_CHANNEL");
  const ended = service.drain.begin();
  const draining = await service.request(path, { headers });
  assert.match(await draining.text(), /event: error\ndata: .*"DRAINING"/);
  await ended;
});

Deno.test("a listener's arguments are checked", async () => {
  await using service = await openTestService();
  for (
    const query of [
      "",
      "?channels=",
      "?channels=blocks&last=many",
      "?channels=blocks&last=1001",
      "?channels=blocks&lastEventId=nonsense",
      "?channels=blocks,dag&lastEventId=e:1",
      `?channels=${Array.from({ length: 257 }, (_, i) => `room:${i}`)}`,
    ]
  ) {
    await refusedWith(
      await service.request(`/sse${query}`),
      "INVALID_SUBSCRIPTION",
    );
  }
  await refusedWith(
    await service.request("/sse?channels=nope"),
    "UNKNOWN_CHANNEL",
  );
  assert.equal(service.sessions.size, 0);
});
