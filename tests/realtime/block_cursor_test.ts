import assert from "node:assert/strict";
import fc from "fast-check";
import type { AnyMessage } from "../../protocol/messages.ts";
import { ITSELF } from "../../realtime/publisher.ts";
import { Outbox } from "../../realtime/outbox.ts";
import { JSON_CODEC } from "../../realtime/json_codec.ts";
import { located } from "../../realtime/block_cursor.ts";
import { subscribe } from "../../realtime/subscribe.ts";
import { FakePeer, FREE } from "../fakes/peer.ts";
import { openTestService } from "../test_service.ts";
import type { TestService } from "../test_service.ts";
import { until } from "../until.ts";

interface Block {
  readonly blockId: string;
  readonly height: number;
  readonly previousHash: string;
}

interface Said {
  readonly type: string;
  readonly payload: Block & {
    readonly keeps?: { readonly blockId: string } | null;
    readonly gapBefore?: unknown;
  };
}

function message(block: Block): AnyMessage {
  const timestamp = "2026-01-01T00:00:00.000Z";
  return { type: "NEW_BLOCK", payload: { ...block, timestamp } };
}

/** Continues a chain as PROTOCOL.md specifies. */
function fold(stack: string[], said: readonly Said[]): string[] {
  for (const { type, payload } of said) {
    if (type === "NEW_BLOCK") stack.push(payload.blockId);
    if (type === "BLOCK_REVERTED") {
      assert.equal(stack.pop(), payload.blockId);
    }
    if (type === "CHAIN_RESET") {
      const keeps = payload.keeps?.blockId;
      while (stack.length > 0 && stack.at(-1) !== keeps) stack.pop();
    }
  }
  return stack;
}

/** What a client receives that begins after a block. */
async function after(service: TestService, blockId: string, height: number) {
  const { hub } = service;
  const peer = new FakePeer();
  const outbox = new Outbox(peer, JSON_CODEC, hub.outboxParts, FREE);
  const answers: { recovered: boolean; reason?: string | undefined }[] = [];
  const requests = await located([
    { channel: "blocks", after: { blockId, height } },
  ], hub);
  await subscribe(requests, {
    hub,
    outbox,
    principal: ITSELF,
    isOpen: () => true,
    subscribing: () => {},
    answer: ({ channels }) => answers.push(...channels),
    reportGap: () => {},
  });
  const [head] = await hub.heads(["blocks"]);
  const isThere = () =>
    [...outbox.positions()].every(({ seq }) => seq >= head!.seq);
  await until(isThere, "all is delivered");
  outbox.close();
  const said = peer.seen as readonly Said[];
  return { answer: answers[0]!, said };
}

Deno.test("a client that holds any earlier chain resumes after its last block", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.nat(3), fc.integer({ min: 1, max: 4 })), {
        minLength: 1,
        maxLength: 6,
      }),
      async (forks) => {
        await using service = await openTestService();
        let chain: Block[] = [];
        let count = 0;
        const held: Block[][] = [];
        for (const [depth, grow] of [[0, 4] as const, ...forks]) {
          chain = chain.slice(0, Math.max(1, chain.length - depth));
          for (let i = 0; i < grow; i++) {
            const previousHash = chain.at(-1)?.blockId ?? "none";
            chain = [...chain, {
              blockId: `b${count++}`,
              height: chain.length,
              previousHash,
            }];
            await service.publisher.publish([message(chain.at(-1)!)]);
            held.push(chain);
          }
        }
        const wanted = chain.map(({ blockId }) => blockId);
        for (const each of held) {
          const { blockId, height } = each.at(-1)!;
          const { answer, said } = await after(service, blockId, height);
          assert.equal(answer.recovered, true);
          const stack = fold(each.map(({ blockId }) => blockId), said);
          assert.deepEqual(stack, wanted);
        }
      },
    ),
    { numRuns: 25 },
  );
});

Deno.test("an unknown block is reported as unknown, and all stored events follow", async () => {
  await using service = await openTestService();
  const block = { blockId: "a", height: 1, previousHash: "0" };
  await service.publisher.publish([message(block)]);
  for (const [blockId, height] of [["b", 1], ["a", 2]] as const) {
    const { answer, said } = await after(service, blockId, height);
    assert.equal(answer.recovered, false);
    assert.equal(answer.reason, "block_unknown");
    assert.deepEqual(said.map(({ type }) => type), ["NEW_BLOCK"]);
  }
});
