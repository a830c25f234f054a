/**
 * Chooses the links of an instance by the settings and the store.
 *
 * @module
 */
import type { Clock } from "../platform/clock.ts";
import { BroadcastLink } from "../realtime/broadcast_link.ts";
import { DoorbellLink } from "../realtime/doorbell_link.ts";
import type { Link, LinkObserver } from "../realtime/link.ts";
import { LocalLink, mayRing } from "../realtime/local_link.ts";
import { NotifyLink } from "../realtime/notify_link.ts";
import type { Store } from "../store/store.ts";
import type { Settings } from "./settings.ts";

/** Pace of the doorbell, in milliseconds, when it is the only link. */
const ALONE = { minIntervalMs: 5 };
/**
 * Pace beside a faster link: delayed, because each ring is itself a commit. It
 * only repairs losses of that link.
 */
const BESIDE = { minIntervalMs: 100, waitMs: 100 };

/** Options of {@link openLinks}. */
export interface LinksOptions {
  /** The configured link; chosen by the store when absent. */
  link: Settings["LINK"];
  /** Folder of bells of processes on one file; absent for other stores. */
  bells: string | undefined;
  /** Carries the doorbell. */
  store: Store;
  /** Paces rings. */
  clock: Clock;
  /** Name of the instance. */
  id: string;
  /** Counts events of the links. */
  observer: LinkObserver;
}

/** The open links. */
export interface Links extends Disposable {
  /** Name of the fastest one. */
  readonly name: NonNullable<Settings["LINK"]>;
  /** Links that the hub uses. */
  readonly all: readonly Link[];
  /** Always present, at least to test that the store notifies. */
  readonly doorbell: DoorbellLink;
  /** Notifies within the log's own commit; absent where the store cannot. */
  readonly notify: NotifyLink | undefined;
}

/** Opens the links of an instance. */
export function openLinks(options: LinksOptions): Links {
  const { store, clock, id, observer, bells } = options;
  const name = options.link ?? (store.announcements ? "notify" : "broadcast");
  const doorbell = new DoorbellLink(store, {
    clock,
    ...(name === "doorbell" ? ALONE : BESIDE),
    observer,
  });
  const notify = name === "notify" && store.announcements
    ? new NotifyLink(store.announcements, id, observer)
    : undefined;
  const broadcast = name === "doorbell"
    ? undefined
    : new BroadcastLink("kaldrix", id, observer);
  const all = broadcast && notify
    // A link that notifies with each commit needs no ring, itself a commit.
    ? [broadcast, notify]
    : [broadcast, openLocal(), doorbell].filter((link) => link !== undefined);
  return {
    name,
    all,
    doorbell,
    notify,
    [Symbol.dispose]() {
      for (const link of new Set([...all, doorbell])) link[Symbol.dispose]();
    },
  };

  /** Notifies other processes on the same file within milliseconds. */
  function openLocal(): LocalLink | undefined {
    if (bells === undefined || !mayRing(bells)) return undefined;
    const isReachable = (from: string) => broadcast?.reaches(from) ?? false;
    return new LocalLink({
      directory: bells,
      from: id,
      clock,
      isReachable,
      observer,
    });
  }
}
