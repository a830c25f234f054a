/**
 * The rules of alerts in tests, and a judge on a clock that is moved by hand.
 */
import { judge, NO_ALERTS, rules } from "../../monitoring/alerts.ts";
import type {
  AlertType,
  Change,
  Memory,
  Signs,
} from "../../monitoring/alerts.ts";
import { ManualClock } from "../fakes/clock.ts";

/** Memory of the machine that is judged. */
export const MEMORY_BYTES = 460 * 2 ** 20;

/** Every rule, for such a machine. */
export const RULES = rules({ memoryBytes: MEMORY_BYTES });

/** Signs of a cluster without a fault. */
export const WELL: Signs = {
  deliveryMs: { value: 1 },
  failedConnections: { value: 0 },
  failedAuthentications: { value: 0 },
  rateViolations: { value: 0 },
  storeFailures: { value: 0 },
  headAgeMs: { value: 1_000 },
  linkSilentMs: { value: 0 },
  memoryBytes: { value: 100 * 2 ** 20 },
  lostInstances: [],
};

/** A judge whose clock and signs a test sets. */
export class Bench {
  readonly clock = new ManualClock();
  readonly silenced = new Set<AlertType>();
  memory: Memory = NO_ALERTS;
  #ids = 0;

  /** Looks, `ms` after the last look. */
  see(signs: Partial<Signs>, ms = 0): Change[] {
    this.clock.advance(ms);
    const { memory, changes } = judge(
      this.memory,
      { ...WELL, ...signs },
      RULES,
      {
        now: this.clock.now(),
        monotonic: this.clock.monotonic(),
        isSilenced: (type) => this.silenced.has(type),
        nextId: () => `alert-${++this.#ids}`,
      },
    );
    this.memory = memory;
    return changes;
  }
}
