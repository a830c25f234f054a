/**
 * The log in a {@link Store}: combines writer, reader and retention.
 *
 * @module
 */
import type { Clock } from "../platform/clock.ts";
import { within } from "../platform/deadline.ts";
import { systemRandom } from "../platform/random.ts";
import type { Random } from "../platform/random.ts";
import type { Tracing } from "../platform/tracing.ts";
import type { Continuity } from "./continuity.ts";
import type { LoggedEntry } from "./entry.ts";
import type {
  Draft,
  EventLog,
  Head,
  LogObserver,
  LogPage,
  PageRange,
  Retention,
  StatesPage,
  StatesRange,
  StreamPosition,
} from "./event_log.ts";
import type { Ingest } from "./ingest.ts";
import { LogBudget } from "./log_budget.ts";
import { RowReader } from "./row_reader.ts";
import { Trimmer } from "./log_retention.ts";
import { LogWriter } from "./log_writer.ts";
import type { Announcement } from "./log_writer.ts";
import type { Store } from "./store.ts";

/** How long the store may take to answer a read, in milliseconds. */
export const READ_DEADLINE_MS = 3_000;

/** What the log needs. */
export interface StoredEventLogOptions {
  /** Stays the caller's to close. */
  readonly store: Store;
  /** Time, for retries and the `timestamp` of events. */
  readonly clock: Clock;
  /** Names for events whose publisher gave none, and for epochs. */
  readonly nextId: (now: number) => string;
  /** How much of `channel` is kept. */
  readonly retention: (channel: string) => Retention;
  /** Uniform in [0, 1), for jitter. */
  readonly random?: Random;
  /** Receives commits, conflicts, failures and damage. */
  readonly observer?: LogObserver;
  /** Records which publishes a commit holds. */
  readonly tracing?: Tracing | undefined;
  /** Bytes of all rows together, about; unbounded when absent. */
  readonly maxBytes?: number | undefined;
  /** Heads of all channels; see `log_budget.ts`. */
  readonly maxHeads?: number | undefined;
  /** Records the newest state that the store has reached. */
  readonly continuity?: Pick<Continuity, "note" | "settled"> | undefined;
  /** What a commit announces to the other instances on the store. */
  readonly announcement?: Announcement | undefined;
  /** Judges what enters the log; nothing does when absent. */
  readonly ingest?: Ingest | undefined;
}

/** Appends to the store and reads from it, as {@link EventLog} promises. */
export class StoredEventLog implements EventLog {
  readonly #clock: Clock;
  readonly #writer: LogWriter;
  readonly #reader: RowReader;
  readonly #trimmer: Trimmer;
  readonly #budget: LogBudget | undefined;
  readonly #continuity: StoredEventLogOptions["continuity"];
  #listener: (entries: readonly LoggedEntry[]) => void = () => {};
  #ready: () => Promise<void> | undefined = () => undefined;

  /** Opens nothing yet: the first append or read does. */
  constructor(options: StoredEventLogOptions) {
    const { random = systemRandom, observer = {} } = options;
    const parts = { ...options, random, observer };
    this.#clock = options.clock;
    this.#continuity = options.continuity;
    this.#reader = new RowReader(options.store, observer);
    this.#trimmer = new Trimmer(parts);
    const { maxBytes } = options;
    if (maxBytes !== undefined) {
      this.#budget = new LogBudget({ ...parts, maxBytes });
    }
    this.#writer = new LogWriter({
      ...parts,
      source: this.#reader,
      onCommit: (entries) => {
        this.#listener(entries);
        options.continuity?.note();
        this.#trimmer.consider(entries);
        this.#budget?.note(entries);
      },
      ready: () => this.#ready(),
    });
  }

  onCommit(...[listener, ready]: Parameters<EventLog["onCommit"]>): void {
    this.#listener = listener;
    if (ready) this.#ready = ready;
  }

  append(drafts: readonly Draft[]): Promise<readonly StreamPosition[]> {
    return this.#writer.append(drafts);
  }

  heads(channels: readonly string[]): Promise<Head[]> {
    return this.#timely(this.#reader.heads(channels));
  }

  continues(channel: string, position: Head): Promise<boolean> {
    return this.#timely(this.#reader.continues(channel, position));
  }

  oldest(channel: string): Promise<number> {
    return this.#timely(this.#reader.oldest(channel));
  }

  read(channel: string, range: PageRange): Promise<LogPage> {
    return this.#timely(this.#reader.read(channel, range));
  }

  latest(key: string): Promise<string | undefined> {
    return this.#timely(this.#reader.latest(key));
  }

  states(kind: string, most: StatesRange): Promise<StatesPage> {
    return this.#timely(this.#reader.states(kind, most));
  }

  async settled(): Promise<void> {
    await this.#writer.settled();
    await this.#trimmer.settled();
    await this.#budget?.settled();
    await this.#continuity?.settled();
  }

  #timely<T>(work: Promise<T>): Promise<T> {
    return within(this.#clock, READ_DEADLINE_MS, "The store", work);
  }
}
