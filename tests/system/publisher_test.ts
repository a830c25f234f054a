import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { listen, openTestService, tokenOf } from "../test_service.ts";
import type { TestService } from "../test_service.ts";
import { until } from "../until.ts";

const EXAMPLE = fileURLToPath(
  new URL("../../docs/examples/publisher.ts", import.meta.url),
);

interface Block {
  readonly blockId: string;
  readonly height: number;
  readonly previousHash: string;
  readonly timestamp: string;
}

/** A node that knows its present chain, and changes its mind. */
class Node implements AsyncDisposable {
  chain: Block[] = [];
  readonly #server: Deno.HttpServer<Deno.NetAddr>;
  #count = 0;

  constructor() {
    this.#server = Deno.serve(
      { port: 0, hostname: "127.0.0.1", onListen: () => {} },
      ({ url }) => {
        const { pathname } = new URL(url);
        const block = pathname === "/head"
          ? this.chain.at(-1)
          : this.chain[Number(pathname.slice("/blocks/".length))];
        return block
          ? Response.json(block)
          : new Response(null, { status: 404 });
      },
    );
  }

  get url(): string {
    return `http://127.0.0.1:${this.#server.addr.port}`;
  }

  /** Forgets the newest blocks, then makes others. */
  grow(blocks: number, instead = 0): void {
    const chain = this.chain.slice(0, this.chain.length - instead);
    for (let i = 0; i < blocks; i++) {
      chain.push({
        blockId: `b${this.#count++}`,
        height: chain.length,
        previousHash: chain.at(-1)?.blockId ?? "nothing",
        timestamp: "2026-01-01T00:00:00.000Z",
      });
    }
    this.chain = chain;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.shutdown();
  }
}

/** Folds `blocks` as PROTOCOL.md specifies. */
async function folded(service: TestService): Promise<string[]> {
  const response = await service.request(
    "/api/channels/blocks/history?limit=1000",
  );
  const { events } = await response.json();
  const stack: string[] = [];
  for (const { type, payload } of events) {
    if (type === "NEW_BLOCK") {
      if (stack.length > 0 && !payload.gapBefore) {
        assert.equal(payload.previousHash, stack.at(-1));
      }
      stack.push(payload.blockId);
    } else if (type === "BLOCK_REVERTED") {
      assert.equal(stack.pop(), payload.blockId);
    } else if (type === "CHAIN_RESET") {
      while (stack.length > 0 && stack.at(-1) !== payload.keeps?.blockId) {
        stack.pop();
      }
    }
  }
  return stack;
}

Deno.test("the example publisher feeds a chain with holes, forks and restarts, and ends right", async () => {
  await using service = await openTestService({
    env: { RATE_LIMIT_MAX: "1000000000" },
  });
  await using node = new Node();
  const listener = listen(service);
  const token = await tokenOf("publisher");
  const start = () =>
    new Deno.Command(Deno.execPath(), {
      args: [
        "run",
        "-q",
        "--allow-net",
        "--allow-env",
        EXAMPLE,
        node.url,
        `http://127.0.0.1:${listener.addr.port}`,
      ],
      env: { TOKEN: token },
      stdout: "null",
      stderr: "null",
    }).spawn();
  let process = start();
  const arrives = () => {
    const wanted = () => node.chain.map(({ blockId }) => blockId).join();
    const isThere = async () => (await folded(service)).join() === wanted();
    return until(isThere, "the service knows the node's chain");
  };
  try {
    node.grow(1);
    await arrives();
    // A hole: the node is faster than who asks it.
    node.grow(9);
    await arrives();
    // A fork that the publisher missed, deeper than one block.
    node.grow(7, 5);
    await arrives();
    process.kill("SIGKILL");
    await process.status;
    node.grow(30, 6);
    process = start();
    await arrives();
    // Back to a branch as long, and shorter than before.
    node.grow(2, 4);
    await arrives();
  } finally {
    process.kill("SIGKILL");
    await process.status;
    await listener.shutdown();
  }
  assert.deepEqual(service.bugs, []);
});
