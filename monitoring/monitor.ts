/**
 * Looks after the whole cluster, from one of its isolates at a time: measures,
 * judges by the rules, and tells of alerts.
 *
 * @module
 */
import { channelNamed } from "../protocol/channels.ts";
import { COUNTED_MS, FIRE_AFTER_MS, judge, NO_ALERTS, told } from "./alerts.ts";
import type {
  Alert,
  AlertType,
  Change,
  Measure,
  Memory,
  Rule,
  Signs,
} from "./alerts.ts";
import type { Clock } from "../platform/clock.ts";
import type { Freshness } from "./freshness.ts";
import type { Hub } from "../realtime/hub.ts";
import type { Instance, Instances } from "./instances.ts";
import type { Lease } from "../store/lease.ts";
import { StoredLease } from "../store/stored_lease.ts";
import type { AlertCounts } from "./metrics.ts";
import type { Webhook } from "./webhook.ts";
import type { Store } from "../store/store.ts";

/** Time between looks, in milliseconds. */
export const LOOK_MS = 5_000;
/** How long the store may take to answer a look, in milliseconds. */
const PATIENCE_MS = 4_000;
/** Longest silence that an operator may order, in milliseconds: 30 days. */
export const MAX_SILENCE_MS = 30 * 24 * 3_600_000;
/** Most changes that wait to be published while the store is away. */
export const MAX_UNTOLD = 100;
/** Most silences read. */
const MAX_SILENCES = 100;

const MEMORY = ["monitor", "memory"];
const SILENCE = ["monitor", "silence"];

/** An operator's order not to be told of a rule's alerts. */
export interface Silence {
  /** The rule. */
  readonly type: AlertType;
  /** When it ends, in epoch milliseconds. */
  readonly until: number;
  /** Who ordered it. */
  readonly by: string;
  /** Why; empty when nothing was said. */
  readonly reason: string;
}

/** Writes a line for operators. */
export type Line = (
  event: string,
  fields: Readonly<Record<string, unknown>>,
) => void;

/** What the monitor needs. */
export interface MonitorOptions {
  /** Says whose turn it is, and keeps what is known. Stays the caller's. */
  kv: Store;
  /** Time between looks. */
  clock: Clock;
  /** Names for alerts. */
  nextId: (now: number) => string;
  /** Unique name of this isolate. */
  id: string;
  /** Knows how everyone fares. */
  instances: Pick<Instances, "survey">;
  /** Knows how old the newest block is. */
  freshness: Pick<Freshness, "ageMs">;
  /** Takes alerts as events. */
  hub: Pick<Hub, "publish">;
  /** Tells the outside; nobody when absent. */
  webhook?: Webhook | undefined;
  /** What it judges by. */
  rules: readonly Rule[];
  /** Writes that an alert began. */
  warn: Line;
  /** Writes that an alert ended. */
  info: Line;
}

/** One of those who may look after the cluster. */
export class Monitor implements AsyncDisposable {
  readonly #options: MonitorOptions;
  readonly #lease: Lease;
  readonly #stop = new AbortController();
  readonly #untold: Change[] = [];
  #alone: Promise<void> | undefined;

  /** Stands by, or begins at once when nobody else does. */
  constructor(options: MonitorOptions) {
    this.#options = options;
    const { kv, clock, id } = options;
    this.#lease = new StoredLease({
      kv,
      clock,
      name: "monitor",
      holder: id,
      work: (signal) => this.#watch(signal),
    });
  }

  /** Whether it is this isolate's turn. */
  get isOnWatch(): boolean {
    return this.#lease.held;
  }

  /**
   * Alerts of the whole cluster that have not ended, oldest first.
   *
   * @throws whatever KV throws.
   */
  async alerts(): Promise<Alert[]> {
    const { active } = await this.#remembered();
    return Object.values(active)
      .toSorted((a, b) => a.startedAt - b.startedAt);
  }

  /**
   * What operators ordered not to be told of.
   *
   * @throws whatever KV throws.
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
   * Orders not to be told of a rule's alerts. Those that last longer than the
   * silence are told when it is over.
   *
   * @param type the rule.
   * @param order `forMs`: up to {@link MAX_SILENCE_MS}; `by` whom and why.
   * @throws whatever KV throws.
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
   * @throws whatever KV throws.
   */
  async unsilence(type: AlertType): Promise<boolean> {
    const before = await this.silences();
    await this.#options.kv.atomic().delete([...SILENCE, type]).commit();
    return before.some((it) => it.type === type);
  }

  /** Leaves it to the others. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#lease[Symbol.asyncDispose]();
    await this.#alone;
  }

  async #remembered(): Promise<Memory> {
    const { value } = await this.#options.kv.get<Memory>(MEMORY);
    return value ?? NO_ALERTS;
  }

  async #watch(signal: AbortSignal): Promise<void> {
    const counter = new Counter();
    while (!signal.aborted) {
      const look = this.#look(counter).then(() => true, () => false);
      await this.#atMost(look, signal);
      await this.#pause(LOOK_MS, signal);
    }
    // Who had the watch when the store went away is the one to say so.
    if (!this.#stop.signal.aborted) {
      this.#alone ??= this.#alertStoreUnreachable().finally(() =>
        this.#alone = undefined
      );
    }
  }

  async #look(counter: Counter): Promise<void> {
    const { kv, clock, instances, freshness, rules, nextId } = this.#options;
    const entry = await kv.get<Memory>(MEMORY);
    const memory = entry.value ?? NO_ALERTS;
    const { present, lost, isSure } = await instances.survey();
    const headAgeMs = await freshness.ageMs() ?? 0;
    const silent = new Set((await this.silences()).map(({ type }) => type));
    const now = clock.now();
    const counts = counter.count(present, now);
    const worst = (of: (instance: Instance) => number): Measure =>
      present.map((it) => ({ value: of(it), subject: it.id }))
        .reduce((a, b) => b.value > a.value ? b : a);
    const signs: Signs = {
      deliveryMs: worst((it) => it.recentDeliveryTime.avg),
      failedConnections: { value: counts.failedConnections },
      failedAuthentications: { value: counts.failedAuthentications },
      rateViolations: { value: counts.rateViolations },
      storeFailures: { value: counts.storeFailures },
      headAgeMs: { value: headAgeMs, subject: "blocks" },
      linkSilentMs: worst((it) => it.linkSilentMs),
      memoryBytes: worst((it) => it.memoryUsage),
      // Who was told of as lost stays so while nobody can be sure.
      lostIsolates: lost.map(({ id }) => id)
        .filter((id) => isSure || isKnownLost(memory, id)),
    };
    const judged = judge(memory, signs, rules, {
      now,
      isSilenced: (type) => silent.has(type),
      nextId,
    });
    if (!isSame(memory, judged.memory)) {
      const { ok } = await kv.atomic().check(entry).set(MEMORY, judged.memory)
        .commit();
      // Another look was faster: looks that a store held up end together.
      if (!ok) return;
    }
    for (const change of judged.changes) this.#tell(change);
    await this.#publish();
  }

  /**
   * While the store is away nobody can be told by it, and nobody else can be
   * asked to: a line and the webhook at once, the events when it is back.
   */
  async #alertStoreUnreachable(): Promise<void> {
    const { clock, kv, nextId } = this.#options;
    const { signal } = this.#stop;
    const began = clock.now();
    let alert: Alert | undefined;
    while (!signal.aborted) {
      const look = kv.get(MEMORY).then(() => true, () => false);
      if (await this.#atMost(look, signal)) break;
      const now = clock.now();
      if (!alert && now - began >= FIRE_AFTER_MS) {
        alert = unreachable(nextId(now), now, now - began);
        this.#tell({ status: "firing", alert, at: now });
      }
      await this.#pause(LOOK_MS, signal);
    }
    if (!alert || signal.aborted) return;
    const now = clock.now();
    const ended = { ...alert, value: now - began };
    this.#tell({ status: "resolved", alert: ended, at: now });
    await this.#publish();
  }

  #tell(change: Change): void {
    const { warn, info, webhook } = this.#options;
    const payload = told(change);
    const isFiring = change.status === "firing";
    // The line's own level says how much the line matters.
    (isFiring ? warn : info)(isFiring ? "alert" : "alert_ended", {
      ...payload,
    });
    webhook?.send(nameOf(change), payload);
    this.#untold.push(change);
    if (this.#untold.length > MAX_UNTOLD) this.#untold.shift();
  }

  /** Makes events of what was told, in order, as soon as the log takes them. */
  async #publish(): Promise<void> {
    const { hub } = this.#options;
    for (let change; (change = this.#untold[0]) !== undefined;) {
      try {
        await hub.publish([{
          type: "ALERT_TRIGGERED",
          channel: channelNamed("alerts")!,
          id: nameOf(change),
          payload: { ...told(change) },
        }]);
      } catch {
        // The next look tries again.
        return;
      }
      // A look beside this one may have published it, too.
      if (this.#untold[0] === change) this.#untold.shift();
    }
  }

  /** @returns false when `work` takes too long. */
  async #atMost(
    work: Promise<boolean>,
    signal: AbortSignal,
  ): Promise<boolean> {
    const late = this.#pause(PATIENCE_MS, signal).then(() => false);
    return await Promise.race([work, late]);
  }

  #pause(ms: number, signal: AbortSignal): Promise<void> {
    if (signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const end = () => {
        timer[Symbol.dispose]();
        signal.removeEventListener("abort", end);
        resolve();
      };
      const timer = this.#options.clock.after(ms, end);
      signal.addEventListener("abort", end);
    });
  }
}

/** Counts what happens in the cluster, from counters of isolates. */
class Counter {
  #seen: Map<string, AlertCounts> | undefined;
  #lookedAt = 0;
  #deltas: { readonly at: number; readonly counts: AlertCounts }[] = [];

  /** @returns what happened in the last {@link COUNTED_MS}. */
  count(present: readonly Instance[], now: number): AlertCounts {
    const seen = this.#seen;
    // What happened before the first look is not known to be of late.
    // Nor what an isolate counted that was not heard of at the last one.
    for (const { id, startedAt, counts } of seen ? present : []) {
      const isNew = startedAt > this.#lookedAt;
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

/** The same change always bears the same name, so it is kept only once. */
function nameOf({ alert: { id }, status }: Change): string {
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

function isKnownLost({ active }: Memory, id: string): boolean {
  return Object.values(active)
    .some(({ type, subject }) => type === "isolate_lost" && subject === id);
}

function isSame(a: Memory, b: Memory): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
