/**
 * A list that the service answers in pages: searched, sorted, paged, and paused
 * while a person points at it.
 *
 * @module
 */
import { textOf } from "./api.ts";
import type { OperatorApi } from "./api.ts";

/** Rows of a page. */
export const PAGE_ROWS = 50;
/** How long the page waits for the end of a word, in milliseconds. */
export const TYPING_MS = 250;

/** How a list is sorted. */
export interface Sort {
  /** What it is sorted by; the service's own name of it. */
  readonly by: string;
  /** Whether the largest is first. */
  readonly isDescending: boolean;
}

/** What a list is. */
export interface ListOptions {
  /** Below `/api/admin/`, and the name of its rows in the answer. */
  readonly name: "sessions" | "rooms" | "blocks" | "revocations";
  /** How it is sorted at first; absent where it has one order. */
  readonly sort?: Sort;
  /** Called when what is shown has changed. */
  readonly onChange: () => void;
}

/** What a page answers besides its rows. */
interface Answer {
  readonly total: number;
  readonly matched: number;
  readonly next: string | null;
  /** Of sessions and rooms: whether all instances answered. */
  readonly complete?: boolean;
  /** Of sessions: how many are slow. */
  readonly behind?: number;
  /** Of sessions: how far each channel's slowest follower is behind. */
  readonly lags?: Readonly<Record<string, number>>;
  readonly [name: string]: unknown;
}

/** A list, and what is shown of it. */
export class List<Row> {
  /** What was searched for. */
  sought = "";
  /** How it is sorted. */
  sort: Sort | undefined;
  /** The rows of the page; nothing before the first answer. */
  rows: readonly Row[] | undefined;
  /** The last answer; nothing before it. */
  answer: Answer | undefined;
  /** When the page was read, in epoch milliseconds. */
  asOf = 0;
  /** Why the last reading failed; empty when it did not. */
  fault = "";
  /** Whether a page that was asked for is on its way. */
  isBusy = false;
  /** Whether it is paused. */
  isHeld = false;
  /** Cursors of this page and those before; the first page has none. */
  #cursors: readonly string[] = [];
  #asked = 0;
  #typing: ReturnType<typeof setTimeout> | undefined;
  readonly #api: OperatorApi;
  readonly #options: ListOptions;

  /** Reads nothing yet. */
  constructor(api: OperatorApi, options: ListOptions) {
    this.#api = api;
    this.#options = options;
    this.sort = options.sort;
  }

  /** How many rows are before the page. */
  get before(): number {
    return this.#cursors.length * PAGE_ROWS;
  }

  /** Reads the page again, unless it is held; never rejects. */
  async refresh(): Promise<void> {
    if (this.isHeld || this.isBusy) return;
    await this.#read();
  }

  /** Reads the page again, since an order changed it; never rejects. */
  async reload(): Promise<void> {
    // The row under the pointer may be removed, and would emit no leave event.
    this.isHeld = false;
    await this.#read();
  }

  /** Searches, once the word is written. */
  search(text: string): void {
    this.sought = text;
    this.#cursors = [];
    this.#begin(TYPING_MS);
  }

  /** Sorts by something; by the same again the other way round. */
  sortBy(by: string): void {
    const isDescending = this.sort?.by === by ? !this.sort.isDescending : true;
    this.sort = { by, isDescending };
    this.#cursors = [];
    this.#begin();
  }

  /** Turns to the next page, or back. */
  turn(way: 1 | -1): void {
    const next = this.answer?.next;
    if (way === -1) this.#cursors = this.#cursors.slice(0, -1);
    else if (next) this.#cursors = [...this.#cursors, next];
    this.#begin();
  }

  /** Pauses or resumes. */
  hold(isHeld: boolean): void {
    if (isHeld === this.isHeld) return;
    this.isHeld = isHeld;
    this.#options.onChange();
  }

  /** Stops reading. */
  end(): void {
    clearTimeout(this.#typing);
    this.#asked++;
  }

  #begin(waitMs = 0): void {
    this.isBusy = true;
    this.#options.onChange();
    clearTimeout(this.#typing);
    this.#typing = setTimeout(() => void this.#read(), waitMs);
  }

  async #read(): Promise<void> {
    const turn = ++this.#asked;
    const { name, onChange } = this.#options;
    const after = this.#cursors.at(-1);
    const query = new URLSearchParams({
      limit: String(PAGE_ROWS),
      ...(this.sought ? { search: this.sought } : {}),
      ...(after === undefined ? {} : { after }),
      ...(this.sort
        ? {
          sort: this.sort.by,
          order: this.sort.isDescending ? "desc" : "asc",
        }
        : {}),
    });
    let answer: Answer | undefined;
    let fault = "";
    try {
      answer = await this.#api.get<Answer>(`/api/admin/${name}?${query}`);
    } catch (error) {
      fault = textOf(error);
    }
    // A request made in between replaces this one.
    if (turn !== this.#asked) return;
    this.isBusy = false;
    this.fault = fault;
    if (answer) {
      this.answer = answer;
      this.rows = answer[name] as Row[];
      this.asOf = Date.now();
    }
    // The last row of the last page is gone.
    if (answer && this.rows?.length === 0 && this.#cursors.length > 0) {
      return this.turn(-1);
    }
    onChange();
  }
}
