/** Servers that end in mid-stream, and networks that fail. */
import { seeded } from "../fakes/random.ts";
import { pause, TestServer } from "../server.ts";
import { until } from "../until.ts";
import { Crowd } from "./crowd.ts";
import { CuttingProxy } from "./cutting_proxy.ts";
import assert from "node:assert/strict";

/** How long a crowd talks before and after something happens. */
const TALK_MS = 2_000;
/** How long a server is away. */
const AWAY_MS = 1_000;
/** Where everything random begins; printed with a failure. */
const SEED = 20_250_807;

const CRASHES = [
  { signal: "SIGKILL", instances: 1, LINK: "broadcast" },
  { signal: "SIGINT", instances: 1, LINK: "broadcast" },
  { signal: "SIGKILL", instances: 2, LINK: "broadcast" },
  { signal: "SIGINT", instances: 2, LINK: "broadcast" },
  { signal: "SIGKILL", instances: 2, LINK: "doorbell" },
] as const;

for (const { signal, instances, LINK } of CRASHES) {
  Deno.test(`two hundred clients lose nothing when ${instances} instance(s) linked by ${LINK} end by ${signal} in mid-stream`, async () => {
    await using server = await TestServer.start({
      instances,
      settings: { LINK },
    });
    await using crowd = await Crowd.gather(server, { size: 200, rooms: 8 });
    await pause(TALK_MS);
    await server.stop(signal);
    await pause(AWAY_MS);
    await server.begin();
    await until(
      () => crowd.clients.every(({ isSubscribed }) => isSubscribed),
      "everyone back",
    );
    await pause(TALK_MS);
    await crowd.settle();
    assert.ok(crowd.clients.every(({ closes }) => closes.length > 0));
  });
}

Deno.test("clients lose nothing on a network that cuts connections at random", async () => {
  await using server = await TestServer.start({ instances: 2 });
  await using proxy = new CuttingProxy({
    to: server.port,
    random: seeded(SEED),
    leastMs: 100,
    mostMs: 3_000,
  });
  await using crowd = await Crowd.gather(server, {
    size: 100,
    rooms: 5,
    socketUrls: [`ws://127.0.0.1:${proxy.port}/ws`],
  });
  await pause(4 * TALK_MS);
  assert.ok(proxy.cuts > 100, `only ${proxy.cuts} cuts`);
  proxy.mend();
  await crowd.settle();
});
