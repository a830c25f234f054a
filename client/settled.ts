/**
 * Follows transactions that match a filter, each once its block is final, and
 * those whose final block was reverted: for services that credit deposits.
 *
 * A separate module, so that pages that do not need it do not load it.
 *
 * @module
 */
import { endOf } from "./ending.ts";
import { RequestError } from "./failure.ts";
import type { Filter } from "./following.ts";
import { lost, SettledFold } from "./settled_fold.ts";
import type { SettledChange, SettledCursor } from "./settled_fold.ts";
import type { AnyEvent, Client } from "./types.ts";

export { MAX_COMPLETE, MAX_HELD, MAX_REMEMBERED } from "./settled_fold.ts";
export type { SettledChange, SettledCursor } from "./settled_fold.ts";
export type * from "./types.ts";

/** Options of following final transactions. */
export interface SettledOptions {
  /** The filter; PROTOCOL.md lists the fields. */
  readonly filter: Filter;
  /** The chain, such as `evm:1`. Default: the one without a name. */
  readonly chain?: string;
  /** Required finality of a block. Default `final`. */
  readonly level?: "final" | "safe";
  /**
   * Resume after this. With another filter, newly matching transactions apply
   * from here on.
   */
  readonly after?: SettledCursor | undefined;
  /** Ends the iteration, without an error. */
  readonly signal?: AbortSignal;
}

/**
 * Follows transactions across reconnects, restarts and reorganisations. The
 * first change has the starting position. Changes that are not read are joined.
 * Transactions whose publisher names no block are left out.
 *
 * @param client provides the connection.
 * @param options filter, chain, finality and position.
 * @throws {RequestError} `EVENTS_LOST` when the history is incomplete,
 * `QUEUE_FULL` when too many transactions are held back, why a channel was
 * refused, `CLOSED` when the connection ended permanently.
 */
export async function* settled(
  client: Client,
  options: SettledOptions,
): AsyncGenerator<SettledChange, void> {
  const { filter, chain = "", after, signal } = options;
  const fold = new SettledFold(options);
  let failure: { readonly error: unknown } | undefined;
  let isDue = false;
  let wake = () => {};
  const look = () => {
    isDue = true;
    wake();
  };
  const fail = (error: unknown) => {
    failure ??= { error };
    wake();
  };
  const onGap = ({ channel, reason }: { channel: string; reason: string }) =>
    fail(lost(`Events of ${channel} are lost: ${reason}`));
  const take = (event: AnyEvent) => {
    try {
      const { chain: of = "" } = event.payload as { chain?: string };
      fold.take(event, of === chain);
      look();
    } catch (error) {
      // What is not understood must not be passed over.
      fail(error);
    }
  };

  const list = await client.watch("transactions", {
    filter,
    onError: fail,
    ...(after && { after: after.transactions }),
  });
  const blocks = client.channel("blocks", after && { after: after.blocks });
  blocks.onAny(take);
  blocks.onGap(onGap);
  const types = ["TX_RECEIVED", "BLOCK_COMPLETE", "CHAIN_RESET"] as const;
  for (const type of types) list.on(type, take);
  list.onGap(onGap);
  list.onProgress((position) => {
    fold.at.transactions = position;
    look();
  });
  const changed = () => {
    const error = endOf(client, blocks.state) ??
      (list.status === "rejected" && new RequestError(list.code!));
    if (error) fail(error);
    // From where it begins on nothing may be missing.
    fold.at.transactions ??= list.position;
    fold.at.blocks ??= blocks.position;
    if (!after && fold.isBegun) look();
  };
  const undo = client.onState(changed);
  const onAbort = () => wake();
  signal?.addEventListener("abort", onAbort);
  changed();
  try {
    while (!signal?.aborted) {
      if (failure) throw failure.error;
      if (isDue && fold.isBegun) {
        isDue = false;
        yield fold.change();
      } else await new Promise<void>((resolve) => wake = resolve);
    }
  } finally {
    signal?.removeEventListener("abort", onAbort);
    undo();
    list.close();
    blocks.close();
  }
}
