/**
 * Readings that require a look at the store: readiness, newest block, alerts.
 *
 * @module
 */
import type { Clock } from "../platform/clock.ts";
import { SERVICE_VERSION } from "../platform/version.ts";
import type { Alert, Rule } from "./alerts.ts";
import type { Database } from "./database.ts";
import type { Freshness } from "./freshness.ts";
import type { Reading } from "./instruments.ts";
import { shared } from "./measurements.ts";
import type { Monitor } from "./monitor.ts";
import type { Readiness } from "./readiness.ts";

/** What {@link Vitals} reads. */
export interface VitalsParts {
  /** Time, for what several requests share. */
  readonly clock: Pick<Clock, "monotonic">;
  /** Judges whether the instance is ready. */
  readonly readiness: Pick<Readiness, "check" | "wasReady">;
  /** Follows the database of the store. */
  readonly database: Pick<Database, "readings">;
  /** Follows the newest block. */
  readonly freshness: Pick<Freshness, "head">;
  /** Knows the alerts of the cluster. */
  readonly monitor: Pick<Monitor, "alerts" | "unreachable">;
  /** All rules: one without an alert reads 0. */
  readonly rules: readonly Rule[];
}

/** The latest look at what decides whether a person should act. */
export class Vitals {
  readonly #parts: VitalsParts;
  #alerts: readonly Alert[] = [];
  /**
   * Looks again, unless another look began within the last second. Never
   * rejects: without the store, the last known alerts stay.
   */
  readonly refresh: () => Promise<void>;

  /** Knows nothing before the first {@link refresh}. */
  constructor(parts: VitalsParts) {
    this.#parts = parts;
    this.refresh = shared(parts.clock, async () => {
      const { readiness, monitor } = parts;
      const [alerts] = await Promise.all([
        monitor.alerts().catch(() => this.#alerts),
        readiness.check(),
      ]);
      this.#alerts = alerts;
    });
  }

  /** The readings as of the last look, ages as of now. */
  readings(): Reading[] {
    const { readiness, database, freshness, monitor, rules } = this.#parts;
    const { head } = freshness;
    const firing = [...this.#alerts];
    if (monitor.unreachable) firing.push(monitor.unreachable);
    const kinds = [
      ...rules.map(({ type, severity }) => ({ type, severity })),
      { type: "store_unreachable", severity: "critical" } as const,
    ];
    return [
      {
        name: "kaldrix_build_info",
        labels: { version: SERVICE_VERSION },
        value: 1,
      },
      {
        name: "kaldrix_ready",
        labels: {},
        value: readiness.wasReady ? 1 : 0,
      },
      ...head
        ? [
          {
            name: "kaldrix_head_age_seconds",
            labels: {},
            value: head.ageMs / 1_000,
          } as const,
        ]
        : [],
      ...kinds.map(({ type, severity }): Reading => ({
        name: "kaldrix_alerts_firing",
        labels: { type, severity },
        value: firing.filter((alert) => alert.type === type).length,
      })),
      ...database.readings(),
    ];
  }
}
