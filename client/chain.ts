/**
 * Follows the chain up to a finality: blocks that joined, and reverted ones.
 *
 * A separate module, so that pages that do not need it do not load it.
 *
 * @module
 */
import { arrivals } from "./arrivals.ts";
import { endOf } from "./ending.ts";
import { RequestError } from "./failure.ts";
import type { ChainChange, ChainOptions } from "./following.ts";
import type { AnyEvent, Client, Event, Position } from "./types.ts";

export type * from "./types.ts";

/** Most blocks that are held back. */
export const MAX_HELD_BLOCKS = 10_000;
/** Most yielded blocks that are stored, to name reverted ones. */
export const MAX_YIELDED_BLOCKS = 1_024;

/**
 * Follows the chain across reconnects.
 *
 * @param client provides the connection.
 * @param options chain, finality and position.
 * @throws {RequestError} why the channel was refused, `CLOSED` when the
 * connection ended permanently, `QUEUE_FULL` when too many blocks are held back,
 * or 10,000 changes wait to be read.
 */
export async function* chain(
  client: Client,
  options: ChainOptions = {},
): AsyncGenerator<ChainChange, void> {
  const { chain: name, after, last, signal } = options;
  const { put, fail, take } = arrivals<ChainChange>();
  const fold = foldOf(options, put);
  let followed = name;
  const channel = client.channel("blocks", {
    ...(after ? { after } : {}),
    ...(last === undefined ? {} : { last }),
  });
  channel.onAny((event) => {
    const { chain: of = "" } = event.payload as { chain?: string };
    followed ??= of;
    if (of !== followed) return;
    fold.take(event);
    if (fold.held > MAX_HELD_BLOCKS) fail(new RequestError("QUEUE_FULL"));
  });
  channel.onGap((gap) => {
    fold.clear();
    put({ type: "gap", gap, position: channel.position });
  });
  const changed = () => {
    const error = endOf(client, channel.state);
    if (error) fail(error);
  };
  const undo = client.onState(changed);
  changed();
  try {
    yield* take(signal);
  } finally {
    undo();
    channel.close();
  }
}

/** The blocks of one chain, folded from its events. */
interface ChainFold {
  /** Number of blocks held back. */
  readonly held: number;
  /** Adds an event. */
  take(event: AnyEvent): void;
  /** Drops the blocks held back. */
  clear(): void;
}

function foldOf(
  { level = 0, after }: ChainOptions,
  put: (change: ChainChange) => void,
): ChainFold {
  const hasPredecessor = after !== undefined;
  /** Current blocks below the finality, oldest first. */
  let held: Event<"NEW_BLOCK">[] = [];
  /** Current blocks that were added, oldest first. */
  const added: Event<"NEW_BLOCK">[] = [];

  /** Events held back are sent again after it, and so are those before it. */
  const positionAt = (event: AnyEvent, isBefore = false): Position => {
    const { epoch, seq } = held[0] ?? event;
    return { epoch: epoch!, seq: seq! - (held[0] || isBefore ? 1 : 0) };
  };

  /** Adds blocks up to a height. */
  function release(height: number, event: AnyEvent): void {
    while (held.length > 0 && held[0]!.payload.height <= height) {
      const block = held.shift()!;
      added.push(block);
      if (added.length > MAX_YIELDED_BLOCKS) added.shift();
      put({ type: "add", block, position: positionAt(event) });
    }
  }

  function revert(event: Event<"BLOCK_REVERTED">): void {
    const { blockId, height } = event.payload;
    const at = held.findLastIndex((it) => it.payload.blockId === blockId);
    if (at >= 0) {
      held.splice(at);
      return;
    }
    const isAdded = added.at(-1)?.payload.blockId === blockId;
    const block = isAdded ? added.pop() : undefined;
    // What joined before this iteration began is known to its predecessor.
    if (!isAdded && !hasPredecessor) return;
    const place = { blockId, height };
    put({ type: "revert", place, block, position: positionAt(event) });
  }

  function reset(event: Event<"CHAIN_RESET">): void {
    const { keeps } = event.payload;
    const kept = keeps?.height ?? -1;
    held = held.filter(({ payload }) => payload.height <= kept);
    while (added.length > 0 && added.at(-1)!.payload.height > kept) {
      const block = added.pop()!;
      const { blockId, height } = block.payload;
      const position = positionAt(event, true);
      put({ type: "revert", place: { blockId, height }, block, position });
    }
    put({ type: "reset", keeps, position: positionAt(event) });
  }

  return {
    get held() {
      return held.length;
    },
    take(event) {
      switch (event.type) {
        case "NEW_BLOCK":
          held.push(event);
          if (typeof level === "number") {
            release(event.payload.height - level, event);
          }
          break;
        case "BLOCK_REVERTED":
          revert(event);
          break;
        case "CHAIN_RESET":
          reset(event);
          break;
        case "FINALITY": {
          const { level: reached, height } = event.payload;
          if (reached === level || reached === "final" && level === "safe") {
            release(height, event);
          }
        }
      }
    },
    clear() {
      held = [];
    },
  };
}
