/**
 * Two services on one PostgreSQL, while each part fails in turn: what was
 * acknowledged is in the log and with every subscriber, once and in order.
 *
 * `FAULT_CYCLES` sets how often each fault occurs, `FAULT_CUT_MS` how long the
 * network is cut; figures are printed when either is set.
 */
import assert from "node:assert/strict";
import { binaries, TestPostgres } from "../postgres.ts";
import { databaseSays, pause, TestServer } from "../server.ts";
import { until } from "../until.ts";
import { Audience } from "./audience.ts";
import { BlackHole } from "./black_hole.ts";

/** How long is published before and after something happens. */
const TALK_MS = 1_000;
/** How long something is away. */
const AWAY_MS = 2_000;
/** How often each thing happens in one test. */
const CYCLES = Number(Deno.env.get("FAULT_CYCLES") ?? 1);
/** How long the network is cut. */
const CUT_MS = Number(Deno.env.get("FAULT_CUT_MS") ?? 5_000);
/** Whether the figures are read. */
const IS_BY_HAND = Deno.env.has("FAULT_CYCLES") || Deno.env.has("FAULT_CUT_MS");

const [version] = await binaries();

/** What is there to fail. */
interface Scene {
  readonly services: readonly TestServer[];
  /** The network of each service to the database, where it may be cut. */
  readonly networks: readonly BlackHole[];
  readonly audience: Audience;
  primary: TestPostgres;
  standbys: TestPostgres[];
}

/** One thing that happens, done and undone. */
interface Fault {
  /** Standbys by name, of which one must have each commit. */
  readonly standbys: readonly string[];
  /** Whether services reach the database through a network of their own. */
  readonly isCut?: boolean;
  happen(scene: Scene, cycle: number): Promise<void>;
}

const FAULTS: Readonly<Record<string, Fault>> = {
  "each service is killed": {
    standbys: [],
    async happen({ services, audience }) {
      for (const service of services) {
        await service.stop("SIGKILL");
        await pause(AWAY_MS / 4);
        await service.begin();
        await audience.goesOn();
      }
    },
  },
  "the primary is killed and comes back": {
    standbys: [],
    async happen({ primary }) {
      await primary.stop("SIGKILL");
      await pause(AWAY_MS);
      await primary.begin();
    },
  },
  "the primary is lost for good and its standby takes over": {
    standbys: ["b"],
    async happen(scene) {
      const { primary: lost, standbys: [next], audience, services } = scene;
      await lost.stop("SIGKILL");
      await next!.promote();
      scene.primary = next!;
      scene.standbys = [];
      await audience.goesOn();
      await lost[Symbol.asyncDispose]();
      // Services know two hosts: the new standby takes the lost one's place.
      scene.standbys = [await next!.standby("b", lost.port)];
      await next!.synchronize("ANY 1 (b)");
      await databaseSays(services, /1 connected/);
    },
  },
  "one of two standbys is killed, and publishing goes on": {
    standbys: ["b", "c"],
    async happen({ standbys, audience, services }, cycle) {
      const standby = standbys[cycle % standbys.length]!;
      await standby.stop("SIGKILL");
      await databaseSays(services, /1 connected/);
      await audience.goesOn();
      await standby.begin();
      await databaseSays(services, /2 connected/);
    },
  },
  "the only standby is killed, and publishing stops, which is reported": {
    standbys: ["b"],
    async happen({ standbys: [standby], audience, services }) {
      await standby!.stop("SIGKILL");
      await databaseSays(services, /commits wait$/);
      // What was under way may have been acknowledged a moment before.
      const before = audience.acknowledged;
      await pause(AWAY_MS);
      assert.equal(audience.acknowledged, before, "nothing is acknowledged");
      for (const service of services) {
        await until(
          async () => !(await service.json("/ready")).ready,
          "the service is not ready",
        );
      }
      await standby!.begin();
      await databaseSays(services, /1 connected/);
    },
  },
  "the network to the database is cut": {
    standbys: [],
    isCut: true,
    async happen({ networks }, cycle) {
      // One service alone, the other alone, both.
      const cut = networks.filter((_, i) => (cycle + i) % 3 !== 0);
      for (const network of cut) network.cut();
      await pause(CUT_MS);
      for (const network of cut) network.mend();
    },
  },
};

for (const [what, { standbys, isCut, happen }] of Object.entries(FAULTS)) {
  Deno.test({
    name: `two services on one database lose nothing while ${what}`,
    ignore: version === undefined,
    async fn() {
      await using all = new AsyncDisposableStack();
      const scene: Pick<Scene, "primary" | "standbys"> = {
        primary: await TestPostgres.start(version!),
        standbys: [],
      };
      all.defer(async () => {
        for (const server of [...scene.standbys, scene.primary]) {
          await server[Symbol.asyncDispose]();
        }
      });
      for (const name of standbys) {
        scene.standbys.push(await scene.primary.standby(name));
      }
      if (standbys.length > 0) {
        await scene.primary.synchronize(`ANY 1 (${standbys.join()})`);
      }
      const networks: BlackHole[] = [];
      const services: TestServer[] = [];
      for (let i = 0; i < 2; i++) {
        const hosts = [scene.primary, ...scene.standbys].map((it) => it.port);
        if (isCut) {
          networks.push(all.use(new BlackHole(scene.primary.port)));
          hosts.splice(0, hosts.length, networks[i]!.port);
        }
        const authority = hosts.map((port) => `127.0.0.1:${port}`).join();
        const KV_PATH = `postgres://kaldrix@${authority}/postgres`;
        const settings = { KV_PATH, LOG_LEVEL: "warn" };
        services.push(all.use(await TestServer.start({ settings })));
      }
      const audience = all.use(await Audience.gather(services));
      Object.assign(scene, { services, networks, audience });
      const backMs: number[] = [];
      for (let cycle = 0; cycle < CYCLES; cycle++) {
        await pause(TALK_MS);
        await happen(scene as Scene, cycle);
        const since = performance.now();
        await audience.goesOn();
        backMs.push(Math.round(performance.now() - since));
      }
      await pause(TALK_MS);
      const figures = await audience.settle();
      assert(figures.events > 0);
      if (!IS_BY_HAND) return;
      const line = JSON.stringify({ what, cycles: CYCLES, ...figures, backMs });
      await Deno.stderr.write(new TextEncoder().encode(`\n${line}\n`));
    },
  });
}
