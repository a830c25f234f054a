/**
 * Feeds the service from a node that knows only its present chain. Holes and
 * forks need no code here: the service reverts what no longer stands, and names
 * the heights that it misses.
 *
 *     deno run --allow-net --allow-env docs/examples/publisher.ts NODE SERVICE
 *
 * The node answers `GET /head` and `GET /blocks/<height>` with a block as in
 * `NEW_BLOCK`. A publisher's token is read from TOKEN.
 */
import process from "node:process";
import { openPublisher } from "../../sources/publisher.ts";

type Block = { blockId: string; height: number; timestamp: string };
type Message = { type: "NEW_BLOCK"; id: string; payload: Block };

const [node, url] = process.argv.slice(2) as [string, string];
const token = process.env["TOKEN"] ?? "";
const run = Date.now().toString(36);
let count = 0;

const ask = async (path: string): Promise<Block | undefined> => {
  const response = await fetch(node + path);
  if (response.ok) return await response.json();
  await response.body?.cancel();
  return undefined;
};
// An id names the occurrence: a block may come back after it was reverted.
const message = (payload: Block): Message => ({
  type: "NEW_BLOCK",
  id: `${run}-${count++}`,
  payload,
});

using publisher = openPublisher({
  url,
  token,
  log: (event, fields) =>
    void process.stderr.write(`${event} ${JSON.stringify(fields)}\n`),
  async fill({ from, to }) {
    const blocks: Message[] = [];
    for (let height = from; height <= to; height++) {
      const block = await ask(`/blocks/${height}`);
      if (block) blocks.push(message(block));
    }
    return blocks;
  },
});

for (let last = "";;) {
  const head = await ask("/head").catch(() => undefined);
  if (head && head.blockId !== last) {
    await publisher.send([message(head)]);
    last = head.blockId;
  }
  await new Promise((resolve) => setTimeout(resolve, 200));
}
