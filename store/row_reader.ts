/**
 * Reads the log: heads, pages, the oldest number, latest states. Damaged rows are
 * reported, never delivered.
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
  StatesPage,
  StatesRange,
} from "./event_log.ts";
import { readState, readStates } from "./latest_states.ts";
import type { EventPlace } from "./latest_states.ts";
import { FORGOTTEN_KEY, isOwn, readHeads } from "./log_heads.ts";
import type { HeadRecord } from "./log_heads.ts";
import { entryIn, ROW_EVENTS, rowIn } from "./rows.ts";
import type { Part, RowContent } from "./rows.ts";
import { StoreDamaged } from "./store.ts";
import type { Key, Present, Store } from "./store.ts";

/** Rows read at once: about the number of shared rows in a page. */
const LIST_BATCH = 16;
/** Most damaged rows stored, so that each is reported once. */
const MAX_REPORTED = 1_000;

/** A row as read, and the number of its last event. */
interface NumberedRow {
  readonly last: number;
  readonly content: RowContent | "gone" | "damaged";
}

/** A range of keys: the first, and the one after the last. */
interface KeyRange {
  readonly start: Key;
  readonly end: Key;
}

/** A line of the log, and its number. */
interface NumberedLine {
  readonly seq: number;
  readonly line: Uint8Array;
}

/** Reads the rows of a `LogWriter`. */
export class RowReader {
  readonly #store: Store;
  readonly #observer: LogObserver;
  readonly #reported = new Set<string>();

  /**
   * Reads rows of one store.
   *
   * @param store is closed by the caller.
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
    // Rows may outlive the head of their log; they then belong to no log.
    if (head.epoch === UNBORN_EPOCH) return 1;
    const selector = {
      start: ["log", channel, 0],
      end: ["log", channel, head.seq + ROW_EVENTS],
    };
    const first = await this.#firstOwn(selector, head);
    if (!first) return head.seq + 1;
    return first.last - ownLines(first, head).length + 1;
  }

  /** Reads as `EventLog.read` promises. */
  async read(channel: string, range: PageRange): Promise<LogPage> {
    const { after, upTo, limit, newest = false } = range;
    if (upTo <= after || limit < 1) return { entries: [], unreadable: [] };
    const reading = this.#head(channel);
    reading.catch(() => {});
    const rows = await this.#rowsOf(channel, range);
    if (newest) rows.reverse();
    const head = await reading;
    return {
      entries: this.#entries(channel, head, rows, range),
      unreadable: this.#unreadable(channel, rows, range),
    };
  }

  /** The rows of a page, in the order of reading. */
  async #rowsOf(channel: string, range: PageRange): Promise<NumberedRow[]> {
    const { after, upTo, limit, maxBytes, newest = false } = range;
    const selector = {
      start: ["log", channel, after + 1],
      // The last event of the range may be in a row that ends beyond it.
      end: ["log", channel, upTo + ROW_EVENTS],
    };
    const rows: NumberedRow[] = [];
    let lines = 0;
    let bytes = 0;
    try {
      for await (const row of this.#rows(selector, newest)) {
        rows.push(row);
        for (const { line } of numbered(row, range)) {
          lines++;
          bytes += line.byteLength;
        }
        const isFull = lines >= limit || (lines > 0 && bytes >= maxBytes);
        if (isFull || (!newest && row.last >= upTo)) break;
      }
    } catch (error) {
      if (!(error instanceof StoreDamaged)) throw error;
      // The events before the damage are a separate page.
      if (lines > 0) return rows;
      const beyond = newest ? [] : await this.#beyondDamage(selector, range);
      const [first] = beyond;
      const last = first ? first.last - lengthOf(first) : upTo;
      return [...rows, { last, content: "damaged" }, ...beyond];
    }
    return rows;
  }

  /** The rows after an unreadable one, in the order of a page. */
  async #beyondDamage(
    selector: KeyRange,
    range: PageRange,
  ): Promise<NumberedRow[]> {
    const rows: NumberedRow[] = [];
    let bytes = 0;
    const sizeOf = (row: NumberedRow) =>
      numbered(row, range).reduce((sum, { line }) => sum + line.byteLength, 0);
    try {
      for await (const row of this.#rows(selector, true)) {
        rows.push(row);
        bytes += sizeOf(row);
        while (rows.length > range.limit || bytes > 2 * range.maxBytes) {
          if (rows.length === 1) break;
          bytes -= sizeOf(rows.shift()!);
        }
      }
    } catch (error) {
      if (!(error instanceof StoreDamaged)) throw error;
    }
    return rows.reverse();
  }

  /** The first readable row of a log. */
  async #firstOwn(
    selector: KeyRange,
    head: HeadRecord,
  ): Promise<NumberedRow | undefined> {
    try {
      for await (const row of this.#rows(selector, false)) {
        if (lengthOf(row) > 0 && ownLines(row, head).length > 0) return row;
      }
      return undefined;
    } catch (error) {
      if (!(error instanceof StoreDamaged)) throw error;
    }
    const page = { after: 0, upTo: Infinity, limit: 1, maxBytes: 0 };
    const beyond = await this.#beyondDamage(selector, page);
    return beyond.find((row) => ownLines(row, head).length > 0);
  }

  /** Reads as `EventLog.latest` promises. */
  async latest(key: string): Promise<string | undefined> {
    const state = await readState(this.#store, key);
    return typeof state === "object" ? await this.#at(state) : state;
  }

  /** Reads as `EventLog.states` promises. */
  async states(kind: string, most: StatesRange): Promise<StatesPage> {
    const frames: string[] = [];
    let length = 0;
    for await (const state of readStates(this.#store, kind)) {
      const isFull = frames.length === most.limit || length >= most.maxLength;
      if (isFull) return { frames, isWhole: false };
      const frame = typeof state === "object" ? await this.#at(state) : state;
      if (frame === undefined) continue;
      frames.push(frame);
      length += frame.length;
    }
    return { frames, isWhole: true };
  }

  async #at(state: EventPlace): Promise<string | undefined> {
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

  /**
   * Rows in order, from their first or last part on.
   *
   * @throws {StoreDamaged} after the last readable row.
   */
  async *#rows(
    selector: KeyRange,
    reverse: boolean,
  ): AsyncGenerator<NumberedRow> {
    let parts: Part[] = [];
    let last: number | undefined;
    const row = () => {
      const content = rowIn(reverse ? parts.reverse() : parts);
      parts = [];
      return { last: last!, content };
    };
    try {
      for await (const { key, value } of this.#parts(selector, reverse)) {
        const seq = key[2] as number;
        if (last !== undefined && seq !== last) yield row();
        last = seq;
        parts.push({ number: key[3] as number, bytes: value });
      }
    } catch (error) {
      const pending = last === undefined ? undefined : row();
      if (pending && pending.content !== "gone") yield pending;
      throw error;
    }
    if (last !== undefined) yield row();
  }

  /** Lists in the largest batches that can be read. */
  async *#parts(
    selector: KeyRange,
    reverse: boolean,
  ): AsyncGenerator<Present<Uint8Array>> {
    let { start, end } = selector;
    try {
      const options = { reverse, batchSize: LIST_BATCH };
      for await (
        const part of this.#store.list<Uint8Array>(selector, options)
      ) {
        yield part;
        if (reverse) end = part.key;
        else start = [...part.key, ""];
      }
      return;
    } catch (error) {
      if (!(error instanceof StoreDamaged)) throw error;
    }
    yield* this.#store.list<Uint8Array>({ start, end }, {
      reverse,
      batchSize: 1,
    });
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
      if (range.from > range.to) continue;
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

/** Number of events in a row, if it is readable. */
function lengthOf({ content }: NumberedRow): number {
  return typeof content === "object" ? content.lines.length : 0;
}

function ownLines(
  { last, content }: NumberedRow,
  head: HeadRecord,
): readonly Uint8Array[] {
  if (content === "gone" || content === "damaged") return [];
  return isOwn(head, content.epoch, last) ? content.lines : [];
}

/** The lines of a row within a range, in order. */
function numbered(
  { last, content }: NumberedRow,
  { after, upTo }: PageRange,
): NumberedLine[] {
  if (content === "gone" || content === "damaged") return [];
  const first = last - content.lines.length + 1;
  return content.lines.map((line, i) => ({ seq: first + i, line }))
    .filter(({ seq }) => seq > after && seq <= upTo);
}
