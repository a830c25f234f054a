/**
 * Reads the log: heads, pages, the oldest number, latest states. Rows that are
 * damaged are named, never delivered.
 *
 * @module
 */
import type { LoggedEntry } from "./entry.ts";
import { UNBORN_EPOCH } from "./event_log.ts";
import type {
  Head,
  LogObserver,
  LogPage,
  PageRange,
  SeqRange,
} from "./event_log.ts";
import { readState } from "./latest_states.ts";
import { FORGOTTEN_KEY, isOwn, readHeads } from "./log_heads.ts";
import type { HeadRecord } from "./log_heads.ts";
import { entryIn, ROW_EVENTS, rowIn } from "./rows.ts";
import type { Part, RowContent } from "./rows.ts";
import type { Selector, Store } from "./store.ts";

/** Rows read at once: about as many as a page of shared ones holds. */
const LIST_BATCH = 16;
/** Damaged rows remembered, so that each is reported once. */
const MAX_REPORTED = 1_000;

/** A row as it was read, and the number of its last event. */
interface NumberedRow {
  readonly last: number;
  readonly content: RowContent | "gone" | "damaged";
}

/** A line of the log, and its number. */
interface NumberedLine {
  readonly seq: number;
  readonly line: Uint8Array;
}

/** Reads what a `LogWriter` stored. */
export class LogReader {
  readonly #store: Store;
  readonly #observer: LogObserver;
  readonly #reported = new Set<string>();

  /**
   * @param store stays the caller's to close.
   * @param observer receives damage.
   */
  constructor(store: Store, observer: LogObserver) {
    this.#store = store;
    this.#observer = observer;
  }

  /** Reads as `EventLog.heads` promises. */
  async heads(channels: readonly string[]): Promise<Head[]> {
    const found = await readHeads(this.#store, channels);
    return found.map(({ head: { epoch, seq } }) => ({ epoch, seq }));
  }

  /** Judges as `EventLog.continues` promises. */
  async continues(channel: string, { epoch, seq }: Head): Promise<boolean> {
    const head = await this.#head(channel);
    if (epoch === UNBORN_EPOCH) {
      if (seq > 0) return false;
      if (head.epoch !== UNBORN_EPOCH) return !head.isReborn;
      return (await this.#store.get(FORGOTTEN_KEY)).value === null;
    }
    if (epoch === head.epoch) return seq <= head.seq;
    return head.earlier.some((known) =>
      known.epoch === epoch && seq <= known.seq
    );
  }

  /** Reads as `EventLog.oldest` promises. */
  async oldest(channel: string): Promise<number> {
    const head = await this.#head(channel);
    // Rows may outlive the head of their log: they belong to no log then.
    if (head.epoch === UNBORN_EPOCH) return 1;
    for await (const row of this.#rows({ prefix: ["log", channel] }, false)) {
      const lines = ownLines(row, head);
      if (lines.length > 0) return row.last - lines.length + 1;
    }
    return head.seq + 1;
  }

  /** Reads as `EventLog.read` promises. */
  async read(channel: string, range: PageRange): Promise<LogPage> {
    const { after, upTo, limit, maxBytes, newest = false } = range;
    if (upTo <= after || limit < 1) return { entries: [], unreadable: [] };
    const reading = this.#head(channel);
    reading.catch(() => {});
    const rows: NumberedRow[] = [];
    let lines = 0;
    let bytes = 0;
    const selector = {
      start: ["log", channel, after + 1],
      // The last of the range may lie in a row that ends beyond it.
      end: ["log", channel, upTo + ROW_EVENTS],
    };
    for await (const row of this.#rows(selector, newest)) {
      rows.push(row);
      for (const { line } of numbered(row, range)) {
        lines++;
        bytes += line.byteLength;
      }
      const isFull = lines >= limit || (lines > 0 && bytes >= maxBytes);
      if (isFull || (!newest && row.last >= upTo)) break;
    }
    if (newest) rows.reverse();
    const head = await reading;
    return {
      entries: this.#entries(channel, head, rows, range),
      unreadable: this.#unreadable(channel, rows, range),
    };
  }

  /** Reads as `EventLog.latest` promises. */
  async latest(key: string): Promise<string | undefined> {
    const state = await readState(this.#store, key);
    if (typeof state !== "object") return state;
    const { channel, seq } = state;
    if (!await this.continues(channel, state)) return undefined;
    const { entries: [entry] } = await this.read(channel, {
      after: seq - 1,
      upTo: seq,
      limit: 1,
      maxBytes: 0,
    });
    return entry?.json;
  }

  async #head(channel: string): Promise<HeadRecord> {
    const [found] = await readHeads(this.#store, [channel]);
    return found!.head;
  }

  /** Rows in order, from their first or last part on. */
  async *#rows(
    selector: Selector,
    reverse: boolean,
  ): AsyncGenerator<NumberedRow> {
    let parts: Part[] = [];
    let last: number | undefined;
    const row = () => {
      const content = rowIn(reverse ? parts.reverse() : parts);
      parts = [];
      return { last: last!, content };
    };
    const listed = this.#store.list<Uint8Array>(selector, {
      reverse,
      batchSize: LIST_BATCH,
    });
    for await (const { key, value } of listed) {
      const seq = key[2] as number;
      if (last !== undefined && seq !== last) yield row();
      last = seq;
      parts.push({ number: key[3] as number, bytes: value });
    }
    if (last !== undefined) yield row();
  }

  #entries(
    channel: string,
    head: HeadRecord,
    rows: readonly NumberedRow[],
    range: PageRange,
  ): LoggedEntry[] {
    const { limit, maxBytes, newest = false } = range;
    const own = rows.filter((row) => ownLines(row, head).length > 0);
    const lines = own.flatMap((row) => numbered(row, range));
    const { epoch } = head;
    const entries: LoggedEntry[] = [];
    let bytes = 0;
    for (const { seq, line } of newest ? lines.reverse() : lines) {
      if (entries.length === limit) break;
      if (entries.length > 0 && bytes >= maxBytes) break;
      const entry = entryIn(line, { channel, epoch, seq });
      bytes += entry.json.length;
      entries.push(entry);
    }
    return newest ? entries.reverse() : entries;
  }

  #unreadable(
    channel: string,
    rows: readonly NumberedRow[],
    { after, upTo }: PageRange,
  ): SeqRange[] {
    const ranges: SeqRange[] = [];
    for (const [i, { last, content }] of rows.entries()) {
      if (content !== "damaged") continue;
      const before = rows[i - 1]?.last ?? after;
      const range = { from: before + 1, to: Math.min(last, upTo) };
      ranges.push(range);
      this.#report(channel, range);
    }
    return ranges;
  }

  #report(channel: string, range: SeqRange): void {
    const name = `${channel} ${range.to}`;
    if (this.#reported.has(name)) return;
    if (this.#reported.size < MAX_REPORTED) this.#reported.add(name);
    this.#observer.unreadable?.(channel, range);
  }
}

function ownLines(
  { last, content }: NumberedRow,
  head: HeadRecord,
): readonly Uint8Array[] {
  if (content === "gone" || content === "damaged") return [];
  return isOwn(head, content.epoch, last) ? content.lines : [];
}

/** The lines of a row that lie in a range, in order. */
function numbered(
  { last, content }: NumberedRow,
  { after, upTo }: PageRange,
): NumberedLine[] {
  if (content === "gone" || content === "damaged") return [];
  const first = last - content.lines.length + 1;
  return content.lines.map((line, i) => ({ seq: first + i, line }))
    .filter(({ seq }) => seq > after && seq <= upTo);
}
