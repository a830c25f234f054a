/**
 * Tabs of a real Chromium that share one socket, and lose the one that leads.
 */
import assert from "node:assert/strict";
import { build } from "../../client/build.ts";
import { browserTest, withPage } from "./browser.ts";
import { plainTabs } from "./plain_tab.ts";
import type { PlainTab } from "./plain_tab.ts";
import { pause, TestServer } from "../server.ts";
import { until } from "../until.ts";

/** Between two events, in milliseconds. */
const EVERY_MS = 33;
/** Between two ticks of a tab, by which it measures its waits. */
const TICK_MS = 100;
/**
 * Longest that a tab may wait for events: twice the 3 s that a quiet machine
 * may need, in ticks, which a busy machine delays like all else.
 */
const MAX_WAIT_TICKS = 2 * 3_000 / TICK_MS;

/** What a tab received. */
interface Seen {
  readonly heights: readonly number[];
  /** The tick in which each arrived. */
  readonly ticks: readonly number[];
  readonly gaps: number;
  /** How often the browser froze the tab. */
  readonly freezes: number;
}

/** Has a tab follow `blocks` over the shared socket. */
async function follow(tab: PlainTab): Promise<void> {
  await tab.evaluate(`
    import("/client.js").then(async ({ connect }) => {
      let tick = 0;
      setInterval(() => tick++, ${TICK_MS});
      window.seen = { heights: [], ticks: [], gaps: 0, freezes: 0 };
      document.addEventListener("freeze", () => seen.freezes++);
      window.sockets = new Set();
      class Kept extends WebSocket {
        constructor(url) {
          super(url);
          sockets.add(this);
        }
      }
      window.client = connect("/ws", { shared: true, WebSocket: Kept });
      client.subscribe("NEW_BLOCK", ({ payload }) => {
        seen.heights.push(payload.height);
        seen.ticks.push(tick);
      });
      client.onGap(() => seen.gaps++);
      client.joinChannel("blocks");
      await client.ready();
    })`);
  await until(
    () =>
      tab.evaluate<boolean>(
        `client.state.channels.blocks?.status === "joined"`,
      ),
    "joined",
  );
}

/** The name of the tab's connection, if any: one for all tabs of a socket. */
const sessionOf = (tab: PlainTab): Promise<string> =>
  tab.evaluate(`client.state.isConnected ? client.state.sessionId : ""`);

/** Waits until all tabs have one connection; returns its name. */
async function together(
  tabs: readonly PlainTab[],
  before = "",
): Promise<string> {
  let names: string[] = [];
  await until(async () => {
    names = await Promise.all(tabs.map(sessionOf));
    const [name] = names;
    return name !== "" && name !== before && new Set(names).size === 1;
  }, "all tabs on one connection");
  return names[0]!;
}

/** Whether a tab has a socket that is open. */
const hasSocket = (tab: PlainTab): Promise<boolean> =>
  tab.evaluate(`[...sockets].some((it) => it.readyState === WebSocket.OPEN)`);

/** Waits until one tab only has a socket; returns that tab. */
async function leaderOf(tabs: readonly PlainTab[]): Promise<PlainTab> {
  let leaders: PlainTab[] = [];
  await until(async () => {
    const has = await Promise.all(tabs.map(hasSocket));
    leaders = tabs.filter((_, i) => has[i]);
    return leaders.length === 1;
  }, "one tab that leads");
  return leaders[0]!;
}

/**
 * Waits until a tab has a block, and holds that each block from the first that
 * it saw was delivered once, in order.
 *
 * @returns the longest wait for a block after `first`, in ticks.
 */
async function complete(
  tab: PlainTab,
  first: number,
  last: number,
): Promise<number> {
  const seen = () => tab.evaluate<Seen>("seen");
  await until(
    async () => (await seen()).heights.at(-1)! >= last,
    `block ${last}`,
  );
  const { heights, ticks, gaps } = await seen();
  assert.deepEqual(heights, heights.map((_, i) => heights[0]! + i));
  assert.equal(gaps, 0);
  const waits = ticks.map((at, i) => at - ticks[Math.max(0, i - 1)]!);
  return Math.max(...waits.filter((_, i) => heights[i]! > first));
}

/** How the tab that leads is lost; where it comes back, how. */
const LOSSES: Readonly<
  Record<string, (tab: PlainTab) => Promise<void | (() => Promise<unknown>)>>
> = {
  closed: (tab) => tab.close(),
  /** The browser announces it. */
  async frozen(tab) {
    const set = (state: string) =>
      tab.send("Page.setWebLifecycleState", { state });
    await set("frozen");
    return async () => {
      await set("active");
      assert.equal((await tab.evaluate<Seen>("seen")).freezes, 1);
    };
  },
  /** Nothing announces it. */
  async stuck(tab) {
    const stopped = tab.next("Debugger.paused");
    await tab.send("Debugger.enable");
    await tab.send("Debugger.pause");
    await stopped;
    return () => tab.send("Debugger.disable");
  },
  async crashed(tab) {
    const crashed = tab.next("Inspector.targetCrashed");
    await tab.send("Inspector.enable");
    // Nothing is left to answer.
    void tab.send("Page.crash");
    await crashed;
  },
};

/** How many connections the server counts. */
async function connectionsOf({ url }: TestServer): Promise<number> {
  const text = await (await fetch(`${url}/metrics`)).text();
  return Number(/^kaldrix_connections(?:\{.*\})? (\d+)$/m.exec(text)![1]);
}

/** Publishes blocks until it is disposed of. */
function publishing(server: TestServer) {
  let isOver = false;
  const blocks = { height: 0 };
  const over = (async () => {
    while (!isOver) {
      blocks.height++;
      await server.publish([{
        type: "NEW_BLOCK",
        payload: {
          blockId: `b${blocks.height}`,
          height: blocks.height,
          timestamp: new Date().toISOString(),
        },
      }]);
      await pause(EVERY_MS);
    }
  })();
  return {
    /** The newest that may be published. */
    blocks,
    async [Symbol.asyncDispose]() {
      isOver = true;
      await over;
    },
  };
}

browserTest(
  "four tabs have one socket; the one that leads is closed, frozen, stuck and crashes, and no tab misses or repeats an event",
  async () => {
    await build();
    await using server = await TestServer.start({
      settings: { RATE_LIMIT_MAX: "1000000" },
    });
    await withPage(async ({ context }) => {
      await using published = publishing(server);
      const { blocks } = published;
      const open = await plainTabs(context);
      const tabs: PlainTab[] = [];
      // Not where the loss begins: a block may be under way to the lost tab.
      let first = 0;
      for (const [name, lose] of Object.entries(LOSSES)) {
        while (tabs.length < 4) {
          const tab = await open(`${server.url}/docs`);
          await follow(tab);
          tabs.push(tab);
        }
        const before = await together(tabs);
        const leader = await leaderOf(tabs);
        await until(
          async () => (await connectionsOf(server)) === 1,
          "one connection at the server",
        );
        const others = tabs.filter((it) => it !== leader);
        const comeBack = await lose(leader);
        await together(others, before);
        const last = blocks.height + 1;
        const waits = await Promise.all(
          others.map((tab) => complete(tab, first, last)),
        );
        for (const wait of waits) {
          assert.ok(wait <= MAX_WAIT_TICKS, `${name}: ${waits} ticks`);
        }
        first = last;
        if (comeBack) {
          await comeBack();
          await together(tabs);
          await complete(leader, first, blocks.height + 1);
        } else tabs.splice(tabs.indexOf(leader), 1);
      }
    });
  },
);
