/**
 * The address of a caller: the socket's peer, or the address that trusted
 * proxies report.
 *
 * @module
 */
import { Refusal } from "../protocol/refusals.ts";
import {
  type Network,
  NetworkMap,
  parseAddress,
  parseNetwork,
  widened,
} from "./address.ts";

/** Most proxies in a row that are followed. */
export const MAX_HOPS = 16;
/** How much of the end of `X-Forwarded-For` is read, in characters. */
export const MAX_FORWARDED_LENGTH = 2048;
/** An IPv6 customer owns at least this network, so it counts as one caller. */
const IPV6_BUCKET_PREFIX = 64;
const IPV6_BUCKET_ENDING = `/${IPV6_BUCKET_PREFIX}`;
/** A site of an IPv6 customer owns at most this network, as a rule (RFC 6177). */
const IPV6_GROUP_PREFIX = 48;

/**
 * Finds the address of a caller.
 *
 * @param peer the socket's remote address.
 * @param forwardedFor the request's `X-Forwarded-For`, if any.
 * @returns its normal form.
 * @throws {Refusal} `FORBIDDEN` when the peer's address cannot be read: Deno
 * reports `0.0.0.0` for a connection that has been reset. Such a caller could
 * not be limited or blocked.
 */
export type ClientIp = (
  peer: string,
  forwardedFor?: string | null,
) => string;

/**
 * Prepares to find callers' addresses. The header is read from the right, the
 * end that our own proxies wrote: the first address that is no trusted proxy
 * is the caller; entries to its left are ignored. The header of a peer that is
 * not trusted is ignored, and reading stops at an entry that is not an address.
 *
 * @param options the proxies to trust, as addresses or CIDR.
 * @throws {RangeError} names the entry that is neither.
 */
export function createClientIp(
  options: { readonly trustedProxies?: readonly string[] } = {},
): ClientIp {
  const trusted = new NetworkMap<true>();
  for (const text of options.trustedProxies ?? []) {
    const proxy = parseNetwork(text.trim());
    if (!proxy) {
      throw new RangeError(
        `Cannot trust proxy "${text}": it is neither an address nor a CIDR`,
      );
    }
    trusted.set(proxy, true);
  }
  const isTrusted = (address: Network): boolean =>
    !trusted.holding(address).next().done;

  return (peer, forwardedFor) => {
    let caller = parseAddress(peer);
    if (!caller || isUnspecified(caller)) {
      throw new Refusal("FORBIDDEN", "The peer has no address");
    }
    if (!forwardedFor || !isTrusted(caller)) return caller.text;
    for (const hop of hopsOf(forwardedFor)) {
      const address = parseAddress(hop);
      if (!address || isUnspecified(address)) break;
      caller = address;
      if (!isTrusted(address)) break;
    }
    return caller.text;
  };
}

/**
 * What counts as one caller for limits and blocks.
 *
 * @param ip an address, in whatever spelling.
 * @returns IPv4 as it is, IPv6 as its /64; anything else unchanged.
 */
export function bucketOf(ip: string): string {
  const address = parseAddress(ip);
  if (!address) return ip;
  if (address.bytes.length === 4) return address.text;
  return widened(address, IPV6_BUCKET_PREFIX).text;
}

/**
 * The network of a caller, from an address that an operator enters.
 *
 * @param text an address or a CIDR. An IPv6 address means its /64, of which
 * its caller owns every address; with `/128` for itself alone.
 * @returns nothing when it is neither.
 */
export function callerNetwork(text: string): Network | undefined {
  const named = parseNetwork(text);
  if (!named || named.bytes.length === 4 || text.includes("/")) return named;
  return widened(named, IPV6_BUCKET_PREFIX);
}

/**
 * Which buckets probably belong to one party: an IPv6 site owns a /48, which
 * holds 65,536 buckets.
 *
 * @param bucket as {@link bucketOf} returned it.
 * @returns its /48; nothing for IPv4.
 */
export function groupOf(bucket: string): string | undefined {
  if (!bucket.endsWith(IPV6_BUCKET_ENDING)) return undefined;
  const network = parseNetwork(bucket);
  return network && widened(network, IPV6_GROUP_PREFIX).text;
}

function isUnspecified({ bytes }: Network): boolean {
  return bytes.every((byte) => byte === 0);
}

/** The header's entries from the right, without ports and brackets. */
function hopsOf(header: string): string[] {
  const entries = header.slice(-MAX_FORWARDED_LENGTH).split(",");
  // What is left of a cut entry might look like another address.
  if (header.length > MAX_FORWARDED_LENGTH) entries.shift();
  return entries.slice(-MAX_HOPS).reverse().map((entry) => {
    const text = entry.trim();
    const [, bracketed] = /^\[([^\]]*)\](?::\d{1,5})?$/.exec(text) ?? [];
    return bracketed ?? text.replace(/^([\d.]+):\d{1,5}$/, "$1");
  });
}
