/**
 * One instance of the simulated world, and what stands beside its store.
 *
 * @module
 */
import type { Clock } from "../../platform/clock.ts";
import { History } from "../../realtime/history.ts";
import { Hub } from "../../realtime/hub.ts";
import type { Link } from "../../realtime/link.ts";
import type { Continuity } from "../../store/continuity.ts";
import type { Store } from "../../store/store.ts";
import { StoredEventLog } from "../../store/stored_event_log.ts";
import type { Testimony, Witness } from "../../store/witness.ts";
import type { Client } from "./simulated_client.ts";
import type { World } from "./simulation.ts";

/** Newest events kept: fewer than the log trims at once, so that gaps occur. */
const RETAINED_EVENTS = 25;
/** How long events are kept; heads live twice as long. */
const RETAINED_MS = 20_000;
/** Newest events kept in memory: few, so that readers fall behind. */
const RING_EVENTS = 8;

/** A clock that stops when its instance ends. */
export class MortalClock implements Clock {
  readonly #clock: Clock;
  /** What its wall clock is ahead by, in milliseconds. */
  skewMs = 0;
  alive = true;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  now(): number {
    return this.#clock.now() + this.skewMs;
  }

  monotonic(): number {
    return this.#clock.monotonic();
  }

  after(ms: number, work: () => void): Disposable {
    return this.#clock.after(ms, () => this.alive && work());
  }

  soon(work: () => void): void {
    this.#clock.soon(() => this.alive && work());
  }
}

/** The machine of one instance. */
export class Instance {
  readonly clock: MortalClock;
  readonly hub: Hub;
  readonly history: History;
  readonly nextId: (now: number) => string;
  readonly clients = new Set<Client>();
  readonly #link: Link;

  constructor(
    world: World,
    { clock, nextId, store, continuity }: {
      clock: MortalClock;
      nextId: (now: number) => string;
      store: Store;
      continuity: Continuity;
    },
  ) {
    this.clock = clock;
    this.nextId = nextId;
    const log = new StoredEventLog({
      store,
      clock,
      nextId,
      continuity,
      retention: () => ({ events: RETAINED_EVENTS, ms: RETAINED_MS }),
      random: world.random,
      ...world.bounds,
      observer: {
        evicted: (channel) => world.evicted.add(channel),
        unreadable: (channel, range) =>
          world.assertDamaged(channel, range.from, range.to),
      },
    });
    this.#link = world.office.join();
    this.hub = new Hub({
      log,
      links: [this.#link],
      clock: this.clock,
      nextId: this.nextId,
      ringEvents: RING_EVENTS,
    });
    this.history = new History(this.hub);
  }

  get alive(): boolean {
    return this.clock.alive;
  }

  /** As `kill -9` does it: nothing is sent. */
  kill(): void {
    this.clock.alive = false;
    this.#link[Symbol.dispose]();
    for (const client of [...this.clients]) client.cut();
  }
}

/** What is beside the store, in memory. */
export class FakeWitness implements Witness {
  readonly #clock: Clock;
  file = "file";
  testimony: Testimony | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  read(): Promise<Testimony | undefined> {
    return Promise.resolve(this.testimony);
  }

  name(): Promise<string> {
    this.testimony ??= { stamp: "", file: this.file, writtenAt: 0 };
    return Promise.resolve(this.file);
  }

  write(stamp: string): Promise<void> {
    const writtenAt = this.#clock.now();
    this.testimony = { stamp, file: this.file, writtenAt };
    return Promise.resolve();
  }
}
