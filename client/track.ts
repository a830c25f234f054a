/**
 * Tracks a transaction, state by state, across reconnects.
 *
 * A separate module, so that pages that track nothing do not load it.
 *
 * @module
 */
import { arrivals } from "./arrivals.ts";
import { asking } from "./asking.ts";
import { RequestError } from "./failure.ts";
import type { Client, ClientState } from "./types.ts";
import type { Goal, TrackedState, TrackOptions } from "./following.ts";

export type * from "./types.ts";

/** Goals, each reached by those after it. */
const GOALS: readonly string[] = ["included", "confirmed", "final"];

/** Requests that this module sends beside those of applications. */
type Ask = (
  verb: string,
  payload: object,
  options: { readonly offlineQueue: "refuse" },
) => Promise<unknown>;

/** What is tracked over one client: goals of each transaction. */
const tracked = new WeakMap<Client, Map<string, Goal[]>>();

/**
 * Tracks a transaction: yields its current state, then each different one, and
 * ends at the requested state.
 *
 * @param client provides the connection.
 * @param txId the transaction.
 * @param options the state at which it ends.
 * @throws {RequestError} the server's refusal, `CLOSED` when the connection
 * ended permanently, `QUEUE_FULL` when 10,000 states wait to be read.
 */
export async function* track(
  client: Client,
  txId: string,
  { until = "final", signal }: TrackOptions = {},
): AsyncGenerator<TrackedState, void> {
  const { put, fail, take } = arrivals<TrackedState>();
  const request = client.request as unknown as Ask;
  const all = tracked.get(client) ?? new Map<string, Goal[]>();
  tracked.set(client, all);
  const goals = all.get(txId) ?? [];
  all.set(txId, goals);
  goals.push(until);
  let session: string | null = null;
  let last: string | undefined;

  // The answer arrives as a frame. A connection has one track a transaction.
  const { ask, stop } = asking(() => {
    const goal = GOALS.findLast((each) => goals.includes(each as Goal));
    return request("track", { txId, until: goal }, { offlineQueue: "refuse" });
  }, fail);

  function changed(state: ClientState): void {
    const { isConnected, sessionId, status, connectionError } = state;
    if (status === "closed") {
      fail(connectionError ?? new RequestError("CLOSED"));
    } else if (!isConnected) session = null;
    else if (session !== sessionId) {
      session = sessionId;
      ask();
    }
  }

  function moved({ end, ...state }: TrackedState): void {
    const isReached = GOALS.indexOf(state.state) >= GOALS.indexOf(until);
    // The server tracks for an hour, or for as long as another one asked.
    if (end && !isReached) ask();
    const text = JSON.stringify(state);
    if (text === last) return;
    last = text;
    put(isReached ? { ...state, end: true } : state, isReached);
  }

  const undoFrames = client.onFrame(({ direction, frame }) => {
    if (direction !== "in") return;
    // deno-lint-ignore no-explicit-any -- by type, as the server sends it
    const { type, payload } = frame as any;
    for (const each of type === "BATCH_UPDATE" ? payload.updates : [frame]) {
      const isState = each.type === "tracked" || each.type === "tx_state";
      if (isState && each.payload.txId === txId) moved(each.payload);
    }
  });
  const undoState = client.onState(changed);
  changed(client.state);
  try {
    yield* take(signal);
  } finally {
    stop(true);
    undoFrames();
    undoState();
    goals.splice(goals.indexOf(until), 1);
    if (goals.length === 0) all.delete(txId);
  }
}
