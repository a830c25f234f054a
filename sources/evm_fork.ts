/**
 * Where a node's chain leaves the published one.
 *
 * @module
 */
import { NodeFault } from "./evm_view.ts";
import type { EvmHead, EvmNode } from "./evm_view.ts";
import type { ChainWriter, Kept } from "./evm_writer.ts";
import type { Placed } from "./tail.ts";

/** Most blocks taken back one by one; a deeper fork is a reset. */
export const MAX_REVERTS = 50_000;

/**
 * Reverts everything above the newest block that the node also has: block by
 * block as far as the service's log reaches, by a reset where it ends before.
 *
 * @param node shows another chain.
 * @param writer of the published one.
 * @param head the node's newest block.
 */
export async function reorganise(
  node: EvmNode,
  writer: ChainWriter,
  head: EvmHead,
  signal: AbortSignal,
): Promise<void> {
  const has = async ({ height, hash }: Kept) =>
    height <= head.height &&
    hash === (height === head.height ? head.hash : await hashAt(node, height));
  const { tip, oldest } = writer.tail;
  if (!tip || !oldest) return;
  for (let height = tip.height; height >= oldest.height; height--) {
    const block = writer.tail.at(height)!;
    if (!await has(block)) continue;
    if (block !== tip) await writer.revertTo(block, "reorg", signal);
    return;
  }
  const found = await deeper(writer, has, signal) ?? await below(writer, has);
  if (found) return await writer.revertTo(found, "reorg", signal);
  const { final } = writer;
  const keeps = final && await has(final) ? final : undefined;
  await writer.reset(keeps, "deeper_than_kept", signal);
}

/**
 * Reads published blocks below the tail, and remembers them in it.
 *
 * @param holds looks for the newest block of which it is true.
 * @returns that block.
 */
export async function deeper(
  writer: ChainWriter,
  holds: (block: Placed) => boolean | Promise<boolean>,
  signal: AbortSignal,
): Promise<Placed | undefined> {
  const { tail } = writer;
  const blocks: Placed[] = [];
  const oldest = tail.oldest?.height ?? 0;
  let found: Placed | undefined;
  for await (const block of writer.older(signal)) {
    if (block.height >= oldest) continue;
    blocks.push(block);
    if (await holds(block)) found = block;
    if (found || blocks.length === MAX_REVERTS) break;
  }
  tail.extend(blocks.reverse());
  return found;
}

/** The parent of the oldest published block, when the node has it. */
async function below(
  { tail }: ChainWriter,
  has: (block: Kept) => Promise<boolean>,
): Promise<Kept | undefined> {
  const { parentHash: hash, height } = tail.oldest!;
  const parent = { hash, height: height - 1 };
  return height > 0 && await has(parent) ? parent : undefined;
}

/** The hash that a node shows at a height, by itself or by its child. */
async function hashAt(node: EvmNode, height: number): Promise<string> {
  const shown = await node.headAt(height);
  if (shown) return shown.hash;
  const child = await node.headAt(height + 1);
  if (child) return child.parentHash;
  throw new NodeFault(`Node does not show its block ${height}`);
}
