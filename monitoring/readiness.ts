/**
 * Whether this instance can do its work, part by part.
 *
 * @module
 */
import type { Logger } from "../platform/logger.ts";
import { StoreUnusable } from "../store/store.ts";
import { SILENT_LINK_MS, STALE_HEAD_MS } from "./alerts.ts";
import { clocksDiffer, stillMs } from "./freshness.ts";
import type { Freshness } from "./freshness.ts";

/** State of one part that serving depends on. */
export interface Condition {
  /** Whether the service can do its work with it. */
  readonly ok: boolean;
  /** Whether it works in a reduced way. */
  readonly degraded?: boolean;
  /** The fault, or the state. */
  readonly detail: string;
}

/** Conditions by the name of their part. */
export type Conditions = Readonly<Record<string, Condition>>;

/** A guard that works from its last known state while the store is down. */
export interface Degradable {
  /** Whether it does. */
  readonly state: "ok" | "degraded";
}

/** What {@link Readiness} asks. */
export interface ReadinessParts {
  /** Uses the log as publishing does; rejects when it cannot. */
  readonly probe: () => Promise<unknown>;
  /** Reads the database's state; nothing where the store is none. */
  readonly database: { look(): Promise<Condition | undefined> };
  /** Follows the newest block. */
  readonly freshness: Pick<Freshness, "look">;
  /** Name of the link. */
  readonly link: string;
  /** Time since the link last received a message, in milliseconds. */
  readonly linkSilentMs: () => number;
  /** The guards, by name. */
  readonly guards: Readonly<Record<string, Degradable>>;
  /** Whether the key server is unreachable. */
  readonly isKeyServerAway: () => boolean;
  /** Whether the instance is draining. */
  readonly isDraining: () => boolean;
  /** Notes when the store stops working, and when it works again. */
  readonly logger: Pick<Logger, "warn" | "info">;
}

/** Judges whether the instance is ready for clients. */
export class Readiness {
  readonly #parts: ReadinessParts;
  #isListening = false;
  #wasReady = false;
  #wasStoreUsable = true;

  /** Not ready before {@link listening}. */
  constructor(parts: ReadinessParts) {
    this.#parts = parts;
  }

  /** Every instance of this process accepts connections. */
  listening(): void {
    this.#isListening = true;
  }

  /** Whether the last {@link check} found the instance ready. */
  get wasReady(): boolean {
    return this.#wasReady;
  }

  /** Looks at every part; never rejects. */
  async check(): Promise<Conditions> {
    const [store, database, source] = await Promise.all([
      this.#store(),
      this.#parts.database.look(),
      this.#source(),
    ]);
    const conditions = {
      store,
      ...database ? { database } : {},
      link: this.#link(),
      source,
      service: this.#service(),
      guards: this.#guards(),
    };
    this.#wasReady = isReady(conditions);
    return conditions;
  }

  async #store(): Promise<Condition> {
    try {
      await this.#parts.probe();
      if (!this.#wasStoreUsable) this.#parts.logger.info("store_usable", {});
      this.#wasStoreUsable = true;
      return { ok: true, detail: "the log answers" };
    } catch (error) {
      const detail = error instanceof StoreUnusable
        ? error.message
        : "the log cannot be used";
      if (this.#wasStoreUsable) {
        this.#parts.logger.warn("store_unusable", { detail });
      }
      this.#wasStoreUsable = false;
      return { ok: false, detail };
    }
  }

  /** A stopped chain is no reason to refuse clients. */
  async #source(): Promise<Condition> {
    const head = await this.#parts.freshness.look().catch(() => null);
    if (head === null) return { ok: true, detail: "unknown without the store" };
    if (!head) return { ok: true, detail: "none is expected" };
    const degraded = stillMs(head) > STALE_HEAD_MS;
    const seconds = (ms: number) => Math.round(ms / 1_000);
    const { ageMs, unchangedMs } = head;
    const detail = clocksDiffer(head)
      ? `newest block ${
        seconds(ageMs)
      } s ago by its own timestamp: clocks differ; unchanged for ${
        seconds(unchangedMs)
      } s`
      : `newest block ${seconds(ageMs)} s ago`;
    return { ok: true, degraded, detail };
  }

  /** Without the link events still arrive, only later. */
  #link(): Condition {
    const silentMs = this.#parts.linkSilentMs();
    const degraded = silentMs >= SILENT_LINK_MS;
    const ago = Math.round(silentMs / 1_000);
    const detail = `${this.#parts.link}; doorbell last heard ${ago} s ago`;
    return { ok: true, degraded, detail };
  }

  #service(): Condition {
    if (this.#parts.isDraining()) return { ok: false, detail: "draining" };
    if (!this.#isListening) return { ok: false, detail: "starting" };
    return { ok: true, detail: "serving" };
  }

  #guards(): Condition {
    const { guards, isKeyServerAway } = this.#parts;
    const poor = Object.entries(guards)
      .filter(([, { state }]) => state === "degraded").map(([name]) => name);
    if (isKeyServerAway()) poor.push("key server");
    const degraded = poor.length > 0;
    const detail = degraded ? `degraded: ${poor.join(", ")}` : "all well";
    return { ok: true, degraded, detail };
  }
}

/** Whether every part is ok. */
export function isReady(conditions: Conditions): boolean {
  return Object.values(conditions).every(({ ok }) => ok);
}
