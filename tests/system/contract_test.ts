/**
 * The contract of each channel as PROTOCOL.md numbers its sentences: held for
 * for any events of publishers, and broken at once where nothing judges them.
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import type { AnyMessage } from "../../protocol/messages.ts";
import { openTestService } from "../test_service.ts";
import type { TestService } from "../test_service.ts";
import { anyReport, reported, txReceived } from "../transactions.ts";

const ROOT = new URL("../../", import.meta.url);
const timestamp = "2026-01-01T00:00:00.000Z";

interface Said {
  readonly type: string;
  readonly seq: number;
  readonly payload: Readonly<Record<string, unknown>>;
}

/** What one run published, read back. */
type History = Readonly<Record<"blocks" | "transactions" | "dag", Said[]>>;

type Place = { readonly blockId: string; readonly height: number };

/** Current blocks after each event of `blocks`: a stack, as PROTOCOL.md specifies. */
function* stacks(blocks: readonly Said[]): Generator<[Said, Place[]]> {
  const stack: Place[] = [];
  for (const event of blocks) {
    const { blockId, height } = event.payload as unknown as Place;
    yield [event, [...stack]];
    if (event.type === "NEW_BLOCK") stack.push({ blockId, height });
    if (event.type === "BLOCK_REVERTED") stack.pop();
    if (event.type === "CHAIN_RESET") {
      const keeps = event.payload["keeps"] as Place | null;
      const kept = keeps?.height ?? -1;
      while (stack.length > 0 && stack.at(-1)!.height > kept) stack.pop();
    }
  }
}

/** Each sentence as a check that throws. */
const SENTENCES: Readonly<Record<string, (history: History) => void>> = {
  B1({ blocks }) {
    for (const [{ type, payload }, stack] of stacks(blocks)) {
      if (type !== "NEW_BLOCK" || stack.length === 0) continue;
      if (payload["gapBefore"]) continue;
      assert.equal(payload["previousHash"], stack.at(-1)!.blockId);
    }
  },
  B2({ blocks }) {
    for (const [{ type, payload }, stack] of stacks(blocks)) {
      if (type !== "BLOCK_REVERTED" || stack.length === 0) continue;
      assert.equal(payload["blockId"], stack.at(-1)!.blockId);
    }
  },
  B3({ blocks }) {
    let final = -1;
    for (const { type, payload } of blocks) {
      const height = payload["height"] as number;
      if (type === "BLOCK_REVERTED") assert(height > final, `${height}`);
      if (type === "CHAIN_RESET") {
        const keeps = payload["keeps"] as Place | null;
        final = Math.min(final, keeps?.height ?? -1);
      }
      if (type !== "FINALITY") continue;
      assert(height > final, `${height} after ${final}`);
      final = height;
    }
  },
  B4({ blocks }) {
    for (const [{ type, payload }, stack] of stacks(blocks)) {
      if (type !== "NEW_BLOCK") continue;
      assert(stack.every(({ blockId }) => blockId !== payload["blockId"]));
    }
  },
  T1({ transactions }) {
    const newest = new Map<unknown, Said["payload"]>();
    for (const { type, payload } of transactions) {
      if (type !== "TX_RECEIVED") continue;
      const before = newest.get(payload["txId"]);
      newest.set(payload["txId"], payload);
      if (!before || !isHeld(before) || payload["contradicts"]) continue;
      if (!isHeld(payload)) assert(payload["cause"], JSON.stringify(payload));
      else assert.equal(payload["status"], before["status"]);
    }
  },
  T2({ transactions }) {
    const newest = new Map<unknown, Said["payload"]>();
    for (const { type, payload } of transactions) {
      if (type !== "TX_RECEIVED") continue;
      const before = newest.get(payload["txId"]);
      newest.set(payload["txId"], payload);
      if (!before || !isHeld(before) || !isHeld(payload)) continue;
      if (payload["contradicts"]) continue;
      assert.equal(before["blockId"], undefined, JSON.stringify(payload));
    }
  },
  D1({ dag }) {
    const known = new Set<string>();
    for (const { payload } of dag) {
      const parents = payload["relatedNodes"] as string[];
      const missing = parents.filter((parent) => !known.has(parent));
      if (known.size > 0) {
        assert.deepEqual(payload["missingParents"] ?? [], missing);
      }
      known.add(payload["nodeId"] as string);
    }
  },
};

function isHeld({ status }: Said["payload"]): boolean {
  return status === "confirmed" || status === "failed";
}

/** What a publisher does next. */
type Step =
  | { readonly on: number; readonly isUnknown: number }
  | { readonly again: number }
  | { readonly final: number }
  | { readonly revert: number }
  | { readonly keeps: number; readonly isUnknown: number }
  | {
    readonly txId: string;
    readonly status: string;
    readonly blockId: string | undefined;
  }
  | { readonly parents: readonly number[] };

const small = fc.nat(7);
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 3, arbitrary: fc.record({ on: small, isUnknown: fc.nat(9) }) },
  fc.record({ again: small }),
  fc.record({ final: small }),
  fc.record({ revert: small }),
  fc.record({ keeps: small, isUnknown: fc.nat(1) }),
  {
    weight: 4,
    arbitrary: fc.record({
      txId: fc.constantFrom("x", "y"),
      status: anyReport,
      // Some are never published.
      blockId: fc.constantFrom(undefined, "p", "q", "b0", "b1"),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ parents: fc.uniqueArray(small, { maxLength: 2 }) }),
  },
);

/** Publishes steps as a publisher that knows nothing, and reads all back. */
async function play(
  service: TestService,
  steps: readonly Step[],
): Promise<History> {
  const { publisher, hub } = service;
  const channels = ["blocks", "transactions", "dag"] as const;
  const before = await hub.heads(channels);
  const blocks: AnyMessage[] = [];
  let nodes = 0;
  const publish = (type: string, payload: Record<string, unknown>) =>
    publisher.publish([
      { type, payload: { timestamp, ...payload } } as AnyMessage,
    ]);
  const placeOf = (at: number) => {
    const { blockId, height } = blocks[at % blocks.length]!
      .payload as unknown as Place;
    return { blockId, height };
  };
  for (const each of steps) {
    if ("on" in each) {
      const parent = blocks.length > 0 ? placeOf(each.on) : undefined;
      const isKnown = parent && each.isUnknown > 0;
      const payload = {
        blockId: `b${blocks.length}`,
        height: parent ? parent.height + 1 : 5,
        previousHash: isKnown ? parent.blockId : "unknown",
        timestamp,
      };
      blocks.push({ type: "NEW_BLOCK", payload });
      await publish("NEW_BLOCK", payload);
    } else if ("parents" in each) {
      await publish("DAG_UPDATE", {
        updateType: "NODE_ADDED",
        nodeId: `n${nodes++}`,
        relatedNodes: each.parents.map((at) => `n${at}`)
          .filter((name) => name !== `n${nodes - 1}`),
      });
    } else if ("status" in each) {
      const { txId, status, blockId } = each;
      const { payload } = txReceived({ txId, ...reported(status, blockId, 5) });
      await publish("TX_RECEIVED", { ...payload });
    } else if (blocks.length === 0) continue;
    else if ("again" in each) {
      await publish("NEW_BLOCK", {
        ...blocks[each.again % blocks.length]!.payload,
      });
    } else if ("final" in each) {
      await publish("FINALITY", { level: "final", ...placeOf(each.final) });
    } else if ("keeps" in each) {
      const { blockId, height } = placeOf(each.keeps);
      await publish("CHAIN_RESET", {
        keeps: { blockId: each.isUnknown > 0 ? "never" : blockId, height },
      });
    } else await publish("BLOCK_REVERTED", placeOf(each.revert));
  }
  const read = await Promise.all(channels.map(async (channel, i) => {
    const [head] = await hub.heads([channel]);
    const { entries } = await hub.read(channel, {
      after: before[i]!.seq,
      upTo: head!.seq,
      limit: 10_000,
      maxBytes: 1e9,
    });
    return [channel, entries.map(({ json }) => JSON.parse(json))] as const;
  }));
  return Object.fromEntries(read) as unknown as History;
}

Deno.test("[B1] [B2] [B3] [B4] [T1] [T2] [D1] hold for any events of a publisher", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 30 }), async (steps) => {
      await using service = await openTestService();
      const history = await play(service, steps);
      for (const [id, check] of Object.entries(SENTENCES)) {
        try {
          check(history);
        } catch (error) {
          throw new Error(id, { cause: error });
        }
      }
      assert.deepEqual(service.bugs, []);
    }),
    {
      numRuns: 100,
      examples: [[[
        { on: 0, isUnknown: 0 },
        { revert: 0 },
        // Of a chain of which no block stands.
        { final: 0 },
        { revert: 0 },
      ]], [[
        { on: 0, isUnknown: 0 },
        { on: 0, isUnknown: 1 },
        // What stands up to there still does, for every reader.
        { keeps: 0, isUnknown: 1 },
        { again: 0 },
        { again: 1 },
      ]]],
    },
  );
});

Deno.test("each of these sentences is broken soon where nothing judges publishers", async () => {
  const broken = new Set<string>();
  const runs = fc.sample(fc.array(step, { minLength: 20, maxLength: 30 }), {
    numRuns: 30,
    seed: 1,
  });
  for (const steps of runs) {
    await using service = await openTestService({
      env: { CHAIN_CHECK: "off" },
    });
    const history = await play(service, steps);
    for (const [id, check] of Object.entries(SENTENCES)) {
      try {
        check(history);
      } catch {
        broken.add(id);
      }
    }
  }
  assert.deepEqual([...broken].sort(), Object.keys(SENTENCES).sort());
});

Deno.test("every sentence of the contract in PROTOCOL.md has a test that names it", async () => {
  const ids = (text: string) =>
    [...text.matchAll(/\[([A-Z]\d)\]/g)].map(([, id]) => id!);
  const protocol = await Deno.readTextFile(new URL("PROTOCOL.md", ROOT));
  const named = new Set<string>();
  for (const folder of ["chain", "realtime", "system", "sources"]) {
    const path = new URL(`tests/${folder}/`, ROOT);
    for await (const { name } of Deno.readDir(path)) {
      if (!name.endsWith("_test.ts")) continue;
      const text = await Deno.readTextFile(new URL(name, path));
      const titles = text.matchAll(/Deno\.test\(\s*"([^"]*)"/g);
      for (const [, title] of titles) {
        for (const id of ids(title!)) named.add(id);
      }
    }
  }
  const promised = new Set(ids(protocol));
  assert.deepEqual([...named].sort(), [...promised].sort());
  assert(promised.size >= Object.keys(SENTENCES).length);
});
