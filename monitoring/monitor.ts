/**
 * Watches the whole cluster, from one of its instances at a time: measures,
 * judges by the rules, and reports alerts.
 *
 * @module
 */
import { channelNamed } from "../protocol/channels.ts";
import { Refusal } from "../protocol/refusals.ts";
import {
  COUNTED_MS,
  FIRE_AFTER_MS,
  judge,
  NO_ALERTS,
  toPayload,
} from "./alerts.ts";
import type {
  ActiveAlerts,
  Alert,
  AlertType,
  Change,
  Measure,
  PendingSince,
  Rule,
  Signs,
} from "./alerts.ts";
import type { Clock } from "../platform/clock.ts";
import { within } from "../platform/deadline.ts";
import { pause } from "../platform/pause.ts";
import { stillMs } from "./freshness.ts";
import type { Freshness } from "./freshness.ts";
import type { Hub } from "../realtime/hub.ts";
import type { Instance, Instances } from "./instances.ts";
import type { Lease } from "../store/lease.ts";
import { StoredLease } from "../store/stored_lease.ts";
import type { AlertCounts } from "./metrics.ts";
import type { Webhook } from "./webhook.ts";
import type { Store } from "../store/store.ts";
import { WriteProbe } from "../store/write_probe.ts";

/** Time between looks, in milliseconds. */
export const LOOK_MS = 5_000;
/** How long a look may take, in milliseconds. */
const LOOK_DEADLINE_MS = 4_000;
/** Longest silence that an operator may set, in milliseconds: 30 days. */
export const MAX_SILENCE_MS = 30 * 24 * 3_600_000;
/** Most changes that wait to be published while the store is unreachable. */
export const MAX_UNPUBLISHED = 100;
/** Most silences read. */
const MAX_SILENCES = 100;

const MEMORY = ["monitor", "memory"];
const SILENCE = ["monitor", "silence"];

/** An operator's order not to report a rule's alerts. */
export interface Silence {
  /** The rule. */
  readonly type: AlertType;
  /** When it ends, in epoch milliseconds. */
  readonly until: number;
  /** Who set it. */
  readonly by: string;
  /** Why; empty when no reason was given. */
  readonly reason: string;
}

/** Writes a line for operators. */
export type Line = (
  event: string,
  fields: Readonly<Record<string, unknown>>,
) => void;

/** What the monitor needs. */
export interface MonitorOptions {
  /** Holds the lease and the alerts. Stays the caller's to close. */
  kv: Store;
  /** Time between looks. */
  clock: Clock;
  /** Names for alerts. */
  nextId: (now: number) => string;
  /** Unique name of this instance. */
  id: string;
  /** Reads what every instance measured. */
  instances: Pick<Instances, "survey">;
  /** Follows the newest block. */
  freshness: Pick<Freshness, "look">;
  /** Publishes alerts as events. */
  hub: Pick<Hub, "publish">;
  /** Posts alerts; none when absent. */
  webhook?: Webhook | undefined;
  /** The rules. */
  rules: readonly Rule[];
  /** Writes that an alert began. */
  warn: Line;
  /** Writes that an alert ended. */
  info: Line;
}

/** The monitor of one instance; one of all watches at a time. */
export class Monitor implements AsyncDisposable {
  readonly #options: MonitorOptions;
  #lease: Lease | undefined;
  readonly #stop = new AbortController();
  /** Changes that the log has not accepted yet. */
  readonly #unpublished: Change[] = [];
  /** The alert of a store that this instance cannot reach. */
  #unreachable: Alert | undefined;
  #alone: Promise<void> | undefined;

  /** Reads alerts; watches from {@link begin} on. */
  constructor(options: MonitorOptions) {
    this.#options = options;
  }

  /** Whether this instance watches at present. */
  get isOnWatch(): boolean {
    return this.#lease?.held ?? false;
  }

  /** The alert that the store cannot be reached, while there is one. */
  get unreachable(): Alert | undefined {
    return this.#unreachable;
  }

  /** Starts to compete for the lease; before, this instance does not watch. */
  begin(): void {
    if (this.#stop.signal.aborted) return;
    const { kv, clock, id } = this.#options;
    this.#lease ??= new StoredLease({
      kv,
      clock,
      name: "monitor",
      holder: id,
      work: (signal) => this.#watch(signal),
    });
  }

  /**
   * Alerts of the whole cluster that have not ended, oldest first.
   *
   * @throws what the store throws.
   */
  async alerts(): Promise<Alert[]> {
    const active = Object.values(await this.#remembered());
    return active.toSorted((a, b) => a.startedAt - b.startedAt);
  }

  /**
   * Rules that operators silence.
   *
   * @throws what the store throws.
   */
  async silences(): Promise<Silence[]> {
    const { kv, clock } = this.#options;
    const entries = kv.list<Silence>({ prefix: SILENCE }, {
      limit: MAX_SILENCES,
    });
    const found: Silence[] = [];
    for await (const { value } of entries) {
      if (value.until > clock.now()) found.push(value);
    }
    return found;
  }

  /**
   * Silences a rule. Its alerts that last longer than the silence are reported
   * when it is over.
   *
   * @param type the rule.
   * @param order `forMs`: up to {@link MAX_SILENCE_MS}; `by`: the operator and why.
   * @throws what the store throws.
   */
  async silence(
    type: AlertType,
    { forMs, by, reason = "" }: { forMs: number; by: string; reason?: string },
  ): Promise<Silence> {
    const { kv, clock } = this.#options;
    const ms = Math.min(forMs, MAX_SILENCE_MS);
    const silence: Silence = { type, until: clock.now() + ms, by, reason };
    await kv.atomic().set([...SILENCE, type], silence, { expireIn: ms })
      .commit();
    return silence;
  }

  /**
   * Ends a silence.
   *
   * @returns whether there was one.
   * @throws what the store throws.
   */
  async unsilence(type: AlertType): Promise<boolean> {
    const before = await this.silences();
    await this.#options.kv.atomic().delete([...SILENCE, type]).commit();
    return before.some((it) => it.type === type);
  }

  /** Stops to watch; another instance may. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#lease?.[Symbol.asyncDispose]();
    await this.#alone;
  }

  async #remembered(): Promise<ActiveAlerts> {
    const { value } = await this.#options.kv.get<Stored>(MEMORY);
    return value?.active ?? NO_ALERTS.active;
  }

  async #watch(signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    const watch: Watch = {
      counter: new Counter(),
      since: NO_ALERTS.since,
      looks: 0,
    };
    while (!signal.aborted) {
      await this.#inTime(this.#look(watch), signal);
      await pause(clock, LOOK_MS, signal);
    }
    // The instance that watched when the store failed reports it.
    if (!this.#stop.signal.aborted) {
      this.#alone ??= this.#alertStoreUnreachable().finally(() =>
        this.#alone = undefined
      );
    }
  }

  async #look(watch: Watch): Promise<void> {
    const { kv, clock, instances, freshness, rules, nextId } = this.#options;
    const look = ++watch.looks;
    const entry = await kv.get<Stored>(MEMORY);
    const active = entry.value?.active ?? NO_ALERTS.active;
    const { present, lost, doubtful, isSure } = await instances.survey();
    const head = await freshness.look();
    const silent = new Set((await this.silences()).map(({ type }) => type));
    const now = clock.now();
    const monotonic = clock.monotonic();
    const counts = watch.counter.count(present, monotonic);
    const worst = (of: (instance: Instance) => number): Measure =>
      present.map((it) => ({ value: of(it), subject: it.id }))
        .reduce((a, b) => b.value > a.value ? b : a);
    const signs: Signs = {
      deliveryMs: worst((it) => it.recentDeliveryTime.avg),
      failedConnections: { value: counts.failedConnections },
      failedAuthentications: { value: counts.failedAuthentications },
      rateViolations: { value: counts.rateViolations },
      storeFailures: { value: counts.storeFailures },
      headAgeMs: { value: head ? stillMs(head) : 0, subject: "blocks" },
      linkSilentMs: worst((it) => it.linkSilentMs),
      memoryBytes: worst((it) => it.memoryUsage),
      // An instance that was reported as lost stays so until its heartbeat changes.
      lostInstances: [
        ...lost.map(({ id }) => id)
          .filter((id) => isSure || isKnownLost(active, id)),
        ...doubtful.map(({ id }) => id)
          .filter((id) => isKnownLost(active, id)),
      ],
    };
    const memory = { active, since: watch.since };
    const judged = judge(memory, signs, rules, {
      now,
      monotonic,
      isSilenced: (type) => silent.has(type),
      nextId,
    });
    const stored: Stored = { active: judged.memory.active };
    if (!isSame(active, stored.active)) {
      const { ok } = await kv.atomic().check(entry).set(MEMORY, stored)
        .commit();
      // A later look was faster: looks that the store delayed end together.
      if (!ok) return;
    }
    if (look === watch.looks) watch.since = judged.memory.since;
    for (const change of judged.changes) this.#report(change);
    await this.#publish();
  }

  /**
   * While the store is unreachable, alerts go to the log and the webhook; the
   * events follow when it is back.
   */
  async #alertStoreUnreachable(): Promise<void> {
    const { clock, kv, nextId } = this.#options;
    const { signal } = this.#stop;
    // A store that can only be read does not accept alerts.
    const probe = new WriteProbe(kv, clock);
    const began = clock.monotonic();
    while (!signal.aborted) {
      if (await this.#inTime(probe.run(), signal)) break;
      const ms = clock.monotonic() - began;
      if (!this.#unreachable && ms >= FIRE_AFTER_MS) {
        const now = clock.now();
        this.#unreachable = unreachable(nextId(now), now, ms);
        this.#report({ status: "firing", alert: this.#unreachable, at: now });
      }
      await pause(clock, LOOK_MS, signal);
    }
    const alert = this.#unreachable;
    this.#unreachable = undefined;
    if (!alert || signal.aborted) return;
    const ended = { ...alert, value: clock.monotonic() - began };
    this.#report({ status: "resolved", alert: ended, at: clock.now() });
    await this.#publish();
  }

  #report(change: Change): void {
    const { warn, info, webhook } = this.#options;
    const payload = toPayload(change);
    const isFiring = change.status === "firing";
    (isFiring ? warn : info)(isFiring ? "alert" : "alert_ended", {
      ...payload,
    });
    webhook?.send(idOf(change), payload);
    this.#unpublished.push(change);
    if (this.#unpublished.length > MAX_UNPUBLISHED) this.#unpublished.shift();
  }

  /** Publishes the changes as events, in order, once the log accepts them. */
  async #publish(): Promise<void> {
    const { hub } = this.#options;
    for (let change; (change = this.#unpublished[0]) !== undefined;) {
      try {
        await hub.publish([{
          type: "ALERT_TRIGGERED",
          channel: channelNamed("alerts")!,
          id: idOf(change),
          payload: { ...toPayload(change) },
        }]);
      } catch (error) {
        // The next look tries again, unless another instance was first.
        const isPublished = error instanceof Refusal &&
          error.code === "ID_CONFLICT";
        if (!isPublished) return;
      }
      // A look beside this one may have published it, too.
      if (this.#unpublished[0] === change) this.#unpublished.shift();
    }
  }

  /** Whether `work` succeeds within {@link LOOK_DEADLINE_MS}. */
  async #inTime(work: Promise<unknown>, signal: AbortSignal): Promise<boolean> {
    const { clock } = this.#options;
    try {
      await within(clock, LOOK_DEADLINE_MS, "The look", work, signal);
      return true;
    } catch {
      return false;
    }
  }
}

/** What is stored of the alerts, for every instance to read. */
interface Stored {
  readonly active: ActiveAlerts;
}

/** What the watching instance remembers while it watches. */
interface Watch {
  readonly counter: Counter;
  since: PendingSince;
  /** Number of looks begun: one that the store delayed is not the latest. */
  looks: number;
}

/** Counts what happens in the cluster, from the counters of instances. */
class Counter {
  #seen: Map<string, AlertCounts> | undefined;
  /** When it looked last, on the monotonic clock. */
  #lookedAt = 0;
  #deltas: { readonly at: number; readonly counts: AlertCounts }[] = [];

  /** @returns what happened in the last {@link COUNTED_MS}. */
  count(present: readonly Instance[], now: number): AlertCounts {
    const seen = this.#seen;
    // When counts of before the first look happened is unknown, as are those
    // of an older instance that was not present at the last look.
    for (const { id, uptimeMs, counts } of seen ? present : []) {
      const isNew = uptimeMs < now - this.#lookedAt;
      const before = seen?.get(id) ?? (isNew ? NOTHING : counts);
      this.#deltas.push({
        at: now,
        counts: combined(counts, before, (a, b) => Math.max(0, a - b)),
      });
    }
    this.#lookedAt = now;
    this.#seen = new Map(present.map(({ id, counts }) => [id, counts]));
    this.#deltas = this.#deltas.filter(({ at }) => now - at < COUNTED_MS);
    return this.#deltas.reduce(
      (sum, { counts }) => combined(sum, counts, (a, b) => a + b),
      NOTHING,
    );
  }
}

const NOTHING: AlertCounts = {
  failedConnections: 0,
  failedAuthentications: 0,
  rateViolations: 0,
  storeFailures: 0,
};

function combined(
  a: AlertCounts,
  b: AlertCounts,
  of: (a: number, b: number) => number,
): AlertCounts {
  return {
    failedConnections: of(a.failedConnections, b.failedConnections),
    failedAuthentications: of(
      a.failedAuthentications,
      b.failedAuthentications,
    ),
    rateViolations: of(a.rateViolations, b.rateViolations),
    storeFailures: of(a.storeFailures, b.storeFailures),
  };
}

/** The same change always has the same id, so the log keeps it once. */
function idOf({ alert: { id }, status }: Change): string {
  return `${id}-${status}`;
}

function unreachable(id: string, now: number, ms: number): Alert {
  return {
    id,
    type: "store_unreachable",
    severity: "critical",
    message: "The store cannot be reached; nothing can be published",
    value: ms,
    threshold: FIRE_AFTER_MS,
    startedAt: now,
    told: true,
  };
}

function isKnownLost(active: ActiveAlerts, id: string): boolean {
  return Object.values(active)
    .some(({ type, subject }) => type === "isolate_lost" && subject === id);
}

function isSame(a: ActiveAlerts, b: ActiveAlerts): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
