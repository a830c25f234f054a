/**
 * The links of an instance, by the settings and the store.
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

/** How the doorbell rings, in milliseconds, when it is the only link. */
const ALONE = { minIntervalMs: 5 };
/**
 * Beside a faster link: delayed, because each ring is itself a commit. It only
 * finds what that link lost.
 */
const BESIDE = { minIntervalMs: 100, waitMs: 100 };

/** What {@link openLinks} needs. */
export interface LinksOptions {
  /** Which link was asked for; by the store when absent. */
  link: Settings["LINK"];
  /** Where processes on one file ring; absent when the store is no file. */
  bells: string | undefined;
  /** Carries the doorbell. */
  store: Store;
  /** Paces rings. */
  clock: Clock;
  /** Name of the instance. */
  id: string;
  /** Counts what the links do. */
  observer: LinkObserver;
}

/** The links that stand. */
export interface Links extends Disposable {
  /** Name of the fastest one. */
  readonly name: NonNullable<Settings["LINK"]>;
  /** Those that the hub uses. */
  readonly all: readonly Link[];
  /** Always there, if only to test that the store notifies. */
  readonly doorbell: DoorbellLink;
  /** Notifies inside the log's own commit; absent where the store cannot. */
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
    // What notifies with each commit needs no ring that is a commit itself.
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

  /** Other processes on the same file learn of commits in milliseconds. */
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
