/**
 * The event parts of one instance: the log that stores events, the links to
 * other instances, the hub that delivers them, and the queries of them.
 *
 * @module
 */
import type { Clock } from "../platform/clock.ts";
import type { Logger } from "../platform/logger.ts";
import type { Tracing } from "../platform/tracing.ts";
import type { Metrics } from "../monitoring/metrics.ts";
import { alertUnreadable } from "../monitoring/unreadable_alert.ts";
import { Explorer } from "../realtime/explorer.ts";
import { History } from "../realtime/history.ts";
import { Hub } from "../realtime/hub.ts";
import { HubPublisher } from "../realtime/publisher.ts";
import { Snapshots } from "../realtime/snapshots.ts";
import { Tracks } from "../realtime/tracks.ts";
import type { Continuity } from "../store/continuity.ts";
import { bellsOf } from "../store/open.ts";
import type { Store } from "../store/store.ts";
import { StoredEventLog } from "../store/stored_event_log.ts";
import { openChains } from "./chains.ts";
import { openLinks } from "./links.ts";
import type { Links } from "./links.ts";
import type { Settings } from "./settings.ts";

/** Options of the event parts. */
export interface EventsOptions {
  /** Validated settings. */
  readonly settings: Settings;
  /** Holds the log; closed by the caller. */
  readonly kv: Store;
  /** Time. */
  readonly clock: Clock;
  /** The operators' log. */
  readonly logger: Logger;
  /** Creates unique names. */
  readonly nextId: (now: number) => string;
  /** Name of the instance. */
  readonly id: string;
  /** Counts events for metrics. */
  readonly metrics: Metrics;
  /** Traces events; none when absent. */
  readonly tracing: Tracing | undefined;
  /** Marks the progress of the store; absent in tests. */
  readonly continuity: Continuity | undefined;
}

/** The event parts of one instance. */
export interface Events extends Disposable {
  /** Links to the other instances. */
  readonly links: Links;
  /** Stores events. */
  readonly log: StoredEventLog;
  /** Delivers events. */
  readonly hub: Hub;
  /** Answers `query` and `latest`. */
  readonly history: History;
  /** Answers queries of blocks and addresses. */
  readonly explorer: Explorer;
  /** Reads the snapshots that subscriptions begin with. */
  readonly snapshots: Snapshots;
  /** Tracks transactions. */
  readonly tracks: Tracks;
  /** Publishes for a source in this process. */
  readonly publisher: HubPublisher;
}

/** Opens the event parts of an instance. */
export function openEvents(options: EventsOptions): Events {
  const { settings, kv, clock, logger, nextId, id, metrics } = options;
  const { tracing, continuity } = options;
  const retention = {
    events: settings.RETENTION_EVENTS,
    ms: settings.RETENTION_MS,
  };
  const links = openLinks({
    link: settings.LINK,
    bells: bellsOf(settings.KV_PATH),
    store: kv,
    clock,
    id,
    observer: metrics.link,
  });
  const { notify } = links;
  const { chains, ingest } = openChains(settings.CHAIN_CHECK, {
    clock,
    warn: logger.warn,
    publish: (message) => publisher.publish([message]),
  });
  const log = new StoredEventLog({
    store: kv,
    clock,
    nextId,
    retention: () => retention,
    maxBytes: settings.MAX_LOG_BYTES,
    observer: {
      ...metrics.log,
      unreadable: (channel, range) => {
        logger.error("unreadable", { channel, ...range });
        alertUnreadable(hub, channel, range).catch((error) =>
          logger.warn("alert_failed", { error: String(error) })
        );
      },
      evicted: (channel, bytes) => logger.warn("evicted", { channel, bytes }),
    },
    tracing,
    continuity,
    ingest,
    announcement: notify && ((heads, most) => notify.announcement(heads, most)),
  });
  const hub = new Hub({
    log,
    links: links.all,
    clock,
    nextId,
    observer: {
      ...metrics.hub,
      roomsFull: (channels, address) =>
        logger.warn("rooms_full", { channels, address }),
    },
    tracing,
  });
  const history = new History(hub);
  const maxMessageBytes = settings.MAX_MESSAGE_BYTES;
  const publisher = new HubPublisher({ hub, history, maxMessageBytes });
  return {
    links,
    log,
    hub,
    history,
    explorer: new Explorer({ hub, chains }),
    snapshots: new Snapshots({ hub, chains }),
    tracks: new Tracks({ hub, chains, clock }),
    publisher,
    [Symbol.dispose]() {
      hub[Symbol.dispose]();
      links[Symbol.dispose]();
    },
  };
}
