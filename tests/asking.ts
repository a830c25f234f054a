/**
 * What answers questions about blocks and transactions, on a hub of a test.
 *
 * @module
 */
import { ChainIngest } from "../chain/ingest.ts";
import type { Clock } from "../platform/clock.ts";
import { Explorer } from "../realtime/explorer.ts";
import type { Hub } from "../realtime/hub.ts";
import { Snapshots } from "../realtime/snapshots.ts";
import { Tracks } from "../realtime/tracks.ts";

/** Real ones, that follow the hub's log. */
export function asking(
  hub: Hub,
  clock: Clock,
): {
  readonly explorer: Explorer;
  readonly snapshots: Snapshots;
  readonly tracks: Tracks;
} {
  const chains = new ChainIngest({ check: "mark" });
  return {
    snapshots: new Snapshots({ hub, chains }),
    explorer: new Explorer({ hub, chains }),
    tracks: new Tracks({ hub, chains, clock }),
  };
}
