/**
 * Numbers and names as the page writes them.
 *
 * @module
 */
/** Why a page shows nothing of a service that is not open to all. */
export const NEEDS_TOKEN =
  "The service asks for a token, which this page has none of";

const whole = new Intl.NumberFormat("en");
const short = new Intl.NumberFormat("en", {
  notation: "compact",
  maximumFractionDigits: 1,
});

/** `15420` as `15,420`. */
export function integer(value: number): string {
  return whole.format(value);
}

/** `1 tip`, `2 tips`; `1 vertex`, `2 vertices` where the plural is irregular. */
export function counted(
  count: number,
  what: string,
  many: string = `${what}s`,
): string {
  return `${integer(count)} ${count === 1 ? what : many}`;
}

/** `1234567` as `1.2M`; also of decimal strings, whose precision is cut. */
export function compact(value: number | string): string {
  return short.format(Number(value));
}

/** Bytes as `1.2 kB`. */
export function bytes(value: number): string {
  if (value < 1000) return `${value} B`;
  if (value < 1e6) return `${(value / 1000).toFixed(1)} kB`;
  return `${(value / 1e6).toFixed(1)} MB`;
}

/** A long identifier by its beginning and end: `0x12ab…9f`. */
export function brief(id: string, head = 8, tail = 4): string {
  return id.length <= head + tail + 1
    ? id
    : `${id.slice(0, head)}…${tail > 0 ? id.slice(-tail) : ""}`;
}

/** The page of a block, by its id or height. */
export function blockPath(block: string | number): string {
  return `/block/${encodeURIComponent(block)}`;
}

/** The page of a transaction. */
export function transactionPath(txId: string): string {
  return `/tx/${encodeURIComponent(txId)}`;
}

/** The page of an address. */
export function addressPath(address: string): string {
  return `/address/${encodeURIComponent(address)}`;
}

const clock = new Intl.DateTimeFormat("en", {
  timeStyle: "medium",
  hourCycle: "h23",
});

/** Epoch milliseconds as the local time `10:32:05`. */
export function clockTime(at: number): string {
  return clock.format(at);
}

const full = new Intl.DateTimeFormat("en", {
  dateStyle: "medium",
  timeStyle: "long",
  hourCycle: "h23",
});

/** Epoch milliseconds as the local `Aug 7, 2025, 10:00:00 UTC`. */
export function dateTime(at: number): string {
  return full.format(at);
}

/** A decimal string with separators: `1,234,567`; never rounded. */
export function exact(amount: string): string {
  return amount.replace(/\B(?=(\d{3})+$)/g, ",");
}
