/**
 * Two services on one PostgreSQL, while each part fails in turn: what was
 * acknowledged is in the log and with every subscriber, once and in order.
 */
import assert from "node:assert/strict";
import { binaries, TestPostgres } from "../postgres.ts";
import { pause, TestServer } from "../server.ts";
import { until } from "../until.ts";
import { Crowd } from "./crowd.ts";

/** How long a crowd talks before and after something happens. */
const TALK_MS = 2_000;
/** How long something is away. */
const AWAY_MS = 2_000;
/** How often each thing happens in one test. */
const CYCLES = 2;
/** Clients, of which half are at each service. */
const SIZE = 40;

const [version] = await binaries();

/** What is there to fail. */
interface Scene {
  readonly one: TestServer;
  readonly two: TestServer;
  readonly primary: TestPostgres;
  readonly standbys: TestPostgres[];
}

/** The faults, each done and undone. */
const FAULTS: Readonly<
  Record<string, { standbys: number; happen(scene: Scene): Promise<void> }>
> = {
  "each service is killed": {
    standbys: 0,
    async happen({ one, two }) {
      for (const server of [one, two]) {
        await server.stop("SIGKILL");
        await pause(AWAY_MS / 4);
        await server.begin();
      }
    },
  },
  "the database is killed and comes back": {
    standbys: 0,
    async happen({ primary }) {
      await primary.stop("SIGKILL");
      await pause(AWAY_MS);
      await primary.begin();
    },
  },
  "one of two standbys is killed": {
    standbys: 2,
    async happen({ standbys: [standby] }) {
      await standby!.stop("SIGKILL");
      await pause(AWAY_MS);
      await standby!.begin();
    },
  },
};

for (const [what, { standbys: count, happen }] of Object.entries(FAULTS)) {
  Deno.test({
    name: `two services on one database lose nothing while ${what}`,
    ignore: version === undefined,
    async fn() {
      await using all = new AsyncDisposableStack();
      const primary = all.use(await TestPostgres.start(version!));
      const standbys: TestPostgres[] = [];
      for (const name of ["b", "c"].slice(0, count)) {
        standbys.push(all.use(await primary.standby(name)));
      }
      if (count > 0) await primary.synchronize("ANY 1 (b, c)");
      const settings = { KV_PATH: primary.url, LINK: "notify" };
      const one = all.use(await TestServer.start({ settings }));
      const two = all.use(await TestServer.start({ settings }));
      const crowd = all.use(
        await Crowd.gather(one, {
          size: SIZE,
          rooms: 4,
          socketUrls: [one.socketUrl, two.socketUrl],
        }),
      );
      for (let cycle = 0; cycle < CYCLES; cycle++) {
        await pause(TALK_MS);
        await happen({ one, two, primary, standbys });
        await until(
          () => crowd.clients.every(({ isSubscribed }) => isSubscribed),
          "everyone is back",
        );
      }
      await pause(TALK_MS);
      await crowd.settle();
      assert(crowd.said > SIZE);
    },
  });
}

Deno.test({
  name: "two services on one database lose nothing when a standby takes over",
  ignore: version === undefined,
  async fn() {
    await using all = new AsyncDisposableStack();
    const primary = all.use(await TestPostgres.start(version!));
    const standby = all.use(await primary.standby("b"));
    await primary.synchronize("ANY 1 (b)");
    const [first, second] = [primary, standby].map(({ port }) =>
      `127.0.0.1:${port}`
    );
    const settings = {
      KV_PATH: `postgres://kaldrix@${first},${second}/postgres`,
      LINK: "notify",
    };
    const one = all.use(await TestServer.start({ settings }));
    const two = all.use(await TestServer.start({ settings }));
    const crowd = all.use(
      await Crowd.gather(one, {
        size: SIZE,
        rooms: 4,
        socketUrls: [one.socketUrl, two.socketUrl],
      }),
    );
    await pause(TALK_MS);
    await primary.stop("SIGKILL");
    await standby.promote();
    await pause(TALK_MS);
    await crowd.settle();
    assert(crowd.said > SIZE);
  },
});
