/**
 * Internet addresses in one normal form: IPv4 inside IPv6 (`::ffff:1.2.3.4`,
 * and behind a NAT64 `64:ff9b::1.2.3.4`) is IPv4, every address and network
 * has exactly one spelling, and what can be read in two ways is refused.
 *
 * @module
 */
import ipaddr from "ipaddr.js";

/** Longest text that is read as an address or network, in characters. */
export const MAX_ADDRESS_LENGTH = 64;

/** An address, or all addresses that begin alike. */
export interface Network {
  /** The one spelling: `10.0.0.1`, `10.0.0.0/8`, `2001:db8::/32`. */
  readonly text: string;
  /** 4 bytes for IPv4, 16 for IPv6; those beyond the prefix are 0. */
  readonly bytes: readonly number[];
  /** How many leading bits count; 32 or 128 for a single address. */
  readonly prefix: number;
}

/** Most addresses whose parsed form is cached: a caller's is read often. */
export const MAX_REMEMBERED = 1_024;

const remembered = new Map<string, Network>();

/**
 * Reads a single address.
 *
 * @param text IPv4 in four decimal parts, or IPv6, a zone allowed.
 * @returns nothing when it is neither, or ambiguous: some readers take `010`
 * for 8, and `::1.2.3.4` for `::ffff:1.2.3.4`.
 */
export function parseAddress(text: string): Network | undefined {
  if (text.length > MAX_ADDRESS_LENGTH) return undefined;
  const known = remembered.get(text);
  if (known) return known;
  const address = read(text);
  if (!address) return undefined;
  if (remembered.size >= MAX_REMEMBERED) remembered.clear();
  remembered.set(text, address);
  return address;
}

function read(text: string): Network | undefined {
  if (ipaddr.IPv4.isValidFourPartDecimal(text)) {
    return network(ipaddr.IPv4.parse(text).toByteArray(), 32);
  }
  if (!text.includes(":") || !ipaddr.IPv6.isValid(text)) return undefined;
  const [, dotted] = ENDS_DOTTED.exec(text) ?? [];
  if (dotted !== undefined) {
    if (!ipaddr.IPv4.isValidFourPartDecimal(dotted)) return undefined;
    if (text.startsWith(`::${dotted}`)) return undefined;
  }
  return network(ipaddr.IPv6.parse(text).toByteArray(), 128);
}

/** The IPv4 part of an IPv6 address, before its zone. */
const ENDS_DOTTED = /:([^:%]*\.[^:%]*)(?:%.*)?$/;

/**
 * Reads an address or a network in CIDR notation.
 *
 * @param text such as `10.0.0.1`, `10.0.0.0/8` or `2001:db8::/32`.
 * @returns nothing when it is none of these; nor for networks inside the
 * NAT64 prefix, some of whose addresses are IPv4 and some are not.
 */
export function parseNetwork(text: string): Network | undefined {
  const [, address = text, digits] = /^(.+)\/(\d{1,3})$/.exec(text) ?? [];
  const whole = parseAddress(address);
  if (!whole || digits === undefined) return whole;
  // IPv4 inside IPv6 counts its prefix from the start of the IPv6 form.
  const mapped = whole.prefix === 32 && address.includes(":");
  const prefix = Number(digits) - (mapped ? 96 : 0);
  if (prefix < 0 || prefix > whole.prefix) return undefined;
  const isInNat64 = address.includes(":") && Number(digits) >= 96 &&
    startsWith(ipaddr.IPv6.parse(address).toByteArray(), NAT64);
  if (isInNat64 && Number(digits) < 128) return undefined;
  return network(whole.bytes, prefix);
}

/**
 * The network of `prefix` bits that an address lies in.
 *
 * @param address what {@link parseAddress} returned.
 * @param prefix bits, 0 to the address's own.
 */
export function widened(address: Network, prefix: number): Network {
  return network(address.bytes, prefix);
}

const MAPPED = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255];
/**
 * How a NAT64 shows IPv4 addresses to IPv6 hosts: only those of the Internet.
 *
 * @see {@link https://www.rfc-editor.org/rfc/rfc6052#section-3.1}
 */
const NAT64 = [0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0];

function network(bytes: readonly number[], prefix: number): Network {
  if (prefix >= 96 && startsWith(bytes, MAPPED)) {
    return network(bytes.slice(12), prefix - 96);
  }
  if (prefix === 128 && startsWith(bytes, NAT64)) {
    const embedded = bytes.slice(12);
    const isGlobal = ipaddr.fromByteArray(embedded).range() === "unicast";
    // No caller becomes 127.0.0.1 or 10.0.0.1 by a NAT64.
    if (isGlobal) return network(embedded, 32);
  }
  const masked = mask(bytes, prefix);
  const address = ipaddr.fromByteArray(masked).toString();
  const text = prefix === bytes.length * 8 ? address : `${address}/${prefix}`;
  return { text, bytes: masked, prefix };
}

function startsWith(
  bytes: readonly number[],
  prefix: readonly number[],
): boolean {
  return prefix.every((byte, i) => bytes[i] === byte);
}

function mask(bytes: readonly number[], prefix: number): number[] {
  return bytes.map((byte, i) => {
    const bits = Math.min(8, Math.max(0, prefix - i * 8));
    return byte & (0xff << (8 - bits)) & 0xff;
  });
}

/**
 * Values by network, found by address: one look-up per length of prefix in
 * use, however many networks there are.
 */
export class NetworkMap<Value> {
  readonly #byWidth = new Map<number, Map<string, Value>>();

  /** Keeps `value` for `network`, in place of an earlier one. */
  set(network: Network, value: Value): void {
    const width = widthOf(network, network.prefix);
    const values = this.#byWidth.get(width);
    if (values) values.set(keyOf(network.bytes), value);
    else this.#byWidth.set(width, new Map([[keyOf(network.bytes), value]]));
  }

  /** Forgets exactly `network`; wider and narrower ones stay. */
  delete(network: Network): void {
    const width = widthOf(network, network.prefix);
    const values = this.#byWidth.get(width);
    values?.delete(keyOf(network.bytes));
    if (values?.size === 0) this.#byWidth.delete(width);
  }

  /**
   * The values of all networks that hold `address`.
   *
   * @param address a single address, or a network to be held as a whole.
   */
  *holding(address: Network): Generator<Value> {
    for (const [width, values] of this.#byWidth) {
      const prefix = width & 0xff;
      if (prefix > address.prefix) continue;
      if (width !== widthOf(address, prefix)) continue;
      const value = values.get(keyOf(mask(address.bytes, prefix)));
      if (value !== undefined) yield value;
    }
  }
}

/** Length of the prefix and kind of address, as one number. */
function widthOf({ bytes }: Network, prefix: number): number {
  return bytes.length << 8 | prefix;
}

function keyOf(bytes: readonly number[]): string {
  return String.fromCharCode(...bytes);
}
