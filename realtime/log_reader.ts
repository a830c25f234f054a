/**
 * Reads of the log on behalf of clients: shared, limited in number, and refused
 * with a code when the store fails.
 *
 * @module
 */
import { Refusal } from "../protocol/refusals.ts";
import type {
  EventLog,
  Head,
  LogPage,
  PageRange,
  StatesPage,
  StatesRange,
} from "../store/event_log.ts";
import type { HubObserver } from "./hub_observer.ts";
import { PAGE_BYTES, PAGE_EVENTS } from "./outbox.ts";

/** Pages read from the log at the same time. */
export const MAX_READS = 8;
/** Wait proposed to a client when the log cannot be read, in milliseconds. */
const RETRY_MS = 200;

/** Reads the log. */
export class LogReader {
  readonly #log: EventLog;
  readonly #observer: HubObserver;
  /** Pages being read, by channel and range. */
  readonly #pages = new Map<string, Promise<LogPage>>();
  readonly #waiting: (() => void)[] = [];
  #reading = 0;

  /** Reads `log`; `observer` is called with failures. */
  constructor(log: EventLog, observer: HubObserver) {
    this.#log = log;
    this.#observer = observer;
  }

  /**
   * Reads one page of a channel for a subscriber that is behind. Subscribers at
   * the same position share one read; at most {@link MAX_READS} run at once.
   *
   * @throws {Refusal} `STORE_UNAVAILABLE`.
   */
  page(channel: string, after: number, upTo: number): Promise<LogPage> {
    const key = `${channel} ${after} ${upTo}`;
    const known = this.#pages.get(key);
    if (known) return known;
    const range = { after, upTo, limit: PAGE_EVENTS, maxBytes: PAGE_BYTES };
    const page = this.#inTurn(() => this.read(channel, range))
      .finally(() => this.#pages.delete(key));
    this.#pages.set(key, page);
    return page;
  }

  /**
   * Reads events of a channel that is kept.
   *
   * @throws {Refusal} `STORE_UNAVAILABLE`.
   */
  read(channel: string, range: PageRange): Promise<LogPage> {
    return this.guard(() => this.#log.read(channel, range));
  }

  /**
   * Reads the newest event about something.
   *
   * @param key such as `block:15420`.
   * @throws {Refusal} `STORE_UNAVAILABLE`.
   */
  latest(key: string): Promise<string | undefined> {
    return this.guard(() => this.#log.latest(key));
  }

  /**
   * Reads the newest event about each thing of a kind.
   *
   * @throws {Refusal} `STORE_UNAVAILABLE`.
   */
  states(kind: string, most: StatesRange): Promise<StatesPage> {
    return this.guard(() => this.#log.states(kind, most));
  }

  /**
   * Reads the oldest number of a channel that is kept.
   *
   * @throws {Refusal} `STORE_UNAVAILABLE`.
   */
  oldest(channel: string): Promise<number> {
    return this.guard(() => this.#log.oldest(channel));
  }

  /**
   * Reads where channels' logs end.
   *
   * @throws {Refusal} `STORE_UNAVAILABLE`.
   */
  heads(channels: readonly string[]): Promise<Head[]> {
    return this.guard(() => this.#log.heads(channels));
  }

  /**
   * Whether a channel's current log continues from a position.
   *
   * @throws {Refusal} `STORE_UNAVAILABLE`.
   */
  continues(channel: string, position: Head): Promise<boolean> {
    return this.guard(() => this.#log.continues(channel, position));
  }

  /**
   * Does `read`, and reports its failure.
   *
   * @throws {Refusal} `STORE_UNAVAILABLE`, caused by it.
   */
  async guard<T>(read: () => Promise<T>): Promise<T> {
    try {
      return await read();
    } catch (error) {
      this.#observer.failed?.(error);
      throw new Refusal(
        "STORE_UNAVAILABLE",
        "The log cannot be read now; try again",
        { cause: error, retryAfterMs: RETRY_MS },
      );
    }
  }

  async #inTurn<T>(read: () => Promise<T>): Promise<T> {
    if (this.#reading >= MAX_READS) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
    this.#reading++;
    try {
      return await read();
    } finally {
      this.#reading--;
      this.#waiting.shift()?.();
    }
  }
}
