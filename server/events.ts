/**
 * What one instance makes of events: the log that keeps them, the links to
 * other instances, the hub that delivers them, and what answers from them.
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

/** What the events of an instance need. */
export interface EventsOptions {
  /** Checked. */
  readonly settings: Settings;
  /** Holds the log; stays the caller's to close. */
  readonly kv: Store;
  /** Time. */
  readonly clock: Clock;
  /** Writes what operators read. */
  readonly logger: Logger;
  /** Makes unique names. */
  readonly nextId: (now: number) => string;
  /** Name of the instance. */
  readonly id: string;
  /** Counts what happens. */
  readonly metrics: Metrics;
  /** Traces events; none when absent. */
  readonly tracing: Tracing | undefined;
  /** Marks how far the store came; absent in tests. */
  readonly continuity: Continuity | undefined;
}

/** What one instance makes of events. */
export interface Events extends Disposable {
  /** To the other instances. */
  readonly links: Links;
  /** Keeps them. */
  readonly log: StoredEventLog;
  /** Delivers them. */
  readonly hub: Hub;
  /** Answers `query` and `latest`. */
  readonly history: History;
  /** Answers what the explorer's pages ask. */
  readonly explorer: Explorer;
  /** Begins subscriptions with what stands. */
  readonly snapshots: Snapshots;
  /** Follows transactions. */
  readonly tracks: Tracks;
  /** Where a source in this process publishes. */
  readonly publisher: HubPublisher;
}

/** Opens what an instance makes of events. */
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
