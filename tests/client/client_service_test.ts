/**
 * The client before the real service, over real sockets: what tokens, users
 * and limits do to it.
 */
import assert from "node:assert/strict";
import { connect } from "../../client/client.ts";
import type { Client, Options } from "../../client/client.ts";
import { generateWebSocketToken } from "../../security/tokens.ts";
import { listen, openTestService, SECRET } from "../test_service.ts";
import { until } from "../until.ts";

let serial = 0;

/** Another token of a user each time. */
const tokenFor = (userId: string) =>
  generateWebSocketToken({ userId, role: "publisher" }, SECRET, "1h", {
    tokenId: `token-${++serial}`,
  });

/** A service behind a port, and clients of it that end with the test. */
async function setup(env: Readonly<Record<string, string>> = {}) {
  const stack = new AsyncDisposableStack();
  const service = stack.use(await openTestService({ env }));
  const listener = stack.use(listen(service));
  const clients: Client[] = [];
  return {
    service,
    /** Connects, and waits until that is done. */
    async client(options: Options = {}) {
      const url = `ws://127.0.0.1:${listener.addr.port}/ws`;
      const client = connect(url, options);
      clients.push(client);
      await until(() => client.state.isConnected, "connected");
      return client;
    },
    async [Symbol.asyncDispose]() {
      for (const client of clients) client.disconnect();
      await stack.disposeAsync();
    },
  };
}

const message = (event: string, data?: string) =>
  ({
    type: "ROOM_MESSAGE",
    channel: "room:a",
    payload: { event, ...(data === undefined ? {} : { data }) },
  }) as const;

/** Joins the room, and collects what arrives. */
async function follow(client: Client): Promise<string[]> {
  const events: string[] = [];
  client.subscribe("ROOM_MESSAGE", ({ payload }) => events.push(payload.event));
  client.joinChannel("room:a");
  await until(
    () => client.state.channels["room:a"]?.status === "joined",
    "joined",
  );
  return events;
}

Deno.test("another token of the same user is a refresh: same session, new end", async () => {
  await using parts = await setup();
  let token = await tokenFor("alice");
  const client = await parts.client({ auth: { token: () => token } });
  const { sessionId, identity } = client.state;
  token = await generateWebSocketToken(
    { userId: "alice", role: "publisher" },
    SECRET,
    "9h",
  );
  client.refresh();
  await until(
    () => client.state.identity?.expiresAt !== identity?.expiresAt,
    "refreshed",
  );
  assert.equal(client.state.sessionId, sessionId);
  assert.equal(client.state.reconnects, 0);
});

Deno.test("another user, and a user after none, get connections that miss nothing", async () => {
  await using parts = await setup();
  let token = "";
  const client = await parts.client({ auth: { token: () => token } });
  const publisher = await parts.client({
    auth: { token: await tokenFor("publisher") },
  });
  const events = await follow(client);
  assert.equal(client.state.identity?.role, "anonymous");
  const sent: string[] = [];
  const publish = async (event: string) => {
    sent.push(event);
    await publisher.sendMessage(message(event));
  };
  for (const user of ["alice", "bob"]) {
    await publish(`before ${user}`);
    token = await tokenFor(user);
    client.refresh();
    // While the connections change, too.
    await publish(`meanwhile ${user}`);
    await until(() => client.state.identity?.user === user, user);
    await publish(`after ${user}`);
  }
  await until(() => events.length >= sent.length, "all events");
  assert.deepEqual(events, sent);
  assert.equal(client.state.gaps, 0);
  assert.equal(client.state.reconnects, 2);
});

Deno.test("what the server would close for is refused before it is sent", async () => {
  await using parts = await setup({ MAX_MESSAGE_BYTES: "1024" });
  const client = await parts.client({
    auth: { token: await tokenFor("alice") },
  });
  await assert.rejects(
    client.sendMessage(message("long", "x".repeat(1_024))),
    { code: "MESSAGE_TOO_LARGE" },
  );
  const names = Array.from(
    { length: 60 },
    (_, n) => `room:${n}-${"y".repeat(40)}`,
  );
  for (const name of names) client.joinChannel(name);
  const batch = Array.from({ length: 40 }, (_, n) => message(`${n}`));
  assert.equal((await client.sendBatch(batch)).accepted.length, 40);
  client.disconnect();
  client.connect();
  await until(
    () =>
      names.every((name) => client.state.channels[name]?.status === "joined"),
    "all joined again, in frames that fit",
  );
  assert.equal(client.state.reconnects, 1);
});

Deno.test("throttled, every message that resolves is in the log", async () => {
  await using parts = await setup();
  const client = await parts.client({
    auth: { token: await tokenFor("alice") },
    enableThrottle: true,
    throttleTime: 5,
  });
  const events = await follow(client);
  const words = ["hello", "how", "are", "you"];
  const all = words.map((data) => client.sendMessage(message("said", data)));
  const cursors = ["1", "2", "3"].map((data) =>
    client.sendMessage(message("cursor", data), { key: "cursor" })
  );
  const outcomes = await Promise.allSettled([...all, ...cursors]);
  assert.deepEqual(outcomes.map(({ status }) => status), [
    ...words.map(() => "fulfilled"),
    "fulfilled",
    "rejected",
    "fulfilled",
  ]);
  await until(() => events.length === 6, "six messages");
  // The pace of the last one ends.
  await new Promise((resolve) => setTimeout(resolve, 5));
});
