/**
 * Sessions of one instance, found, sorted and paged; and the pages of all
 * instances joined.
 *
 * @module
 */
import type { Identity } from "../protocol/replies.ts";
import { NetworkMap, parseAddress } from "../security/address.ts";
import { callerNetwork } from "../security/client_ip.ts";
import type { Listed, Sessions } from "../realtime/sessions.ts";
import { pageOf } from "./paging.ts";
import type { PageRange, Place } from "./paging.ts";

/** Most channels listed of one session. */
export const MAX_TOLD_POSITIONS = 16;
/** From how many events behind a session counts as slow. */
export const SLOW_LAG = 100;
/** What sessions are sorted by. */
export const SESSION_ORDERS = ["lag", "since", "user", "ip", "client"] as const;

/** A connection, as operators see it. */
export interface SessionInfo {
  /** Unique name. */
  readonly id: string;
  /** The instance it is connected to. */
  readonly instance: string;
  /** Its address. */
  readonly ip: string;
  /** Its token's subject; `null` without a token. */
  readonly user: Identity["user"];
  /** Its role. */
  readonly role: Identity["role"];
  /** Name and version of the client program, as the client gave them. */
  readonly client: string | null;
  /** When it connected, in epoch milliseconds. */
  readonly since: number;
  /**
   * The first {@link MAX_TOLD_POSITIONS} channels it follows, and how many
   * events behind it is in each.
   */
  readonly channels: readonly { channel: string; seq: number; lag: number }[];
  /** How many channels it follows. */
  readonly subscriptions: number;
  /** How many events behind it is where it is furthest behind. */
  readonly lag: number;
}

/** The sessions that an order would reach. */
export type Target =
  /** All of an address or a network, in CIDR notation. */
  | { readonly ip: string }
  /** All with a token of this user. */
  | { readonly user: string }
  /** All with the token of this `jti`. */
  | { readonly tokenId: string };

/** Which sessions to list. */
export interface SessionQuery extends PageRange {
  /** Words that all must occur in id, address, user, role, client or channels. */
  readonly search: string;
  /** What is sorted by. */
  readonly sort: (typeof SESSION_ORDERS)[number];
}

/** Sums over sessions. */
export interface SessionSums {
  /** How many are connected. */
  readonly connected: number;
  /** How many of them match. */
  readonly matched: number;
  /** How many of all are {@link SLOW_LAG} events or more behind. */
  readonly behind: number;
}

/** What one instance answers. */
export interface SessionAnswer extends SessionSums {
  /** Its own page. */
  readonly sessions: readonly SessionInfo[];
}

/** Finds a page of the sessions of one instance. */
export function findSessions(
  sessions: Sessions,
  instance: string,
  query: SessionQuery,
): SessionAnswer {
  const words = query.search.toLowerCase().split(/\s+/).filter(Boolean);
  const matching: SessionInfo[] = [];
  let behind = 0;
  for (const listed of sessions) {
    const info = infoOf(listed, instance);
    if (info.lag >= SLOW_LAG) behind++;
    let text = textOf(info);
    for (const { channel } of listed.session.positions) text += ` ${channel}`;
    text = text.toLowerCase();
    if (words.every((word) => text.includes(word))) matching.push(info);
  }
  // One more than asked for shows that there is a next page.
  const range = { ...query, limit: query.limit + 1 };
  return {
    sessions: pageOf(matching, placeBy(query.sort), range).rows,
    connected: sessions.size,
    matched: matching.length,
    behind,
  };
}

/** Joins the pages of all instances. */
export function joinSessions(
  answers: readonly SessionAnswer[],
  query: SessionQuery,
): SessionAnswer & { readonly next: string | null } {
  const sum = (count: (it: SessionAnswer) => number) =>
    answers.reduce((total, it) => total + count(it), 0);
  const all = answers.flatMap(({ sessions }) => sessions);
  const { rows, next } = pageOf(all, placeBy(query.sort), query);
  return {
    sessions: rows,
    next,
    connected: sum((it) => it.connected),
    matched: sum((it) => it.matched),
    behind: sum((it) => it.behind),
  };
}

/** How many sessions of one instance an order would reach. */
export function countReached(sessions: Sessions, target: Target): number {
  const reaches = reachOf(target);
  return Iterator.from(sessions)
    .filter(({ ip, session }) =>
      reaches({
        ip,
        user: session.identity.user,
        tokenId: session.tokenId,
      })
    ).toArray().length;
}

/** Who may be reached. */
export interface Reached {
  /** Its address. */
  readonly ip: string;
  /** Its token's subject. */
  readonly user: string | null;
  /** Its token's `jti`. */
  readonly tokenId: string | undefined;
}

/** A test for the sessions that an order reaches. */
export function reachOf(target: Target): (who: Reached) => boolean {
  if ("user" in target) return ({ user }) => user === target.user;
  if ("tokenId" in target) {
    return ({ tokenId }) => tokenId === target.tokenId;
  }
  const network = callerNetwork(target.ip.trim());
  if (!network) return () => false;
  const reached = new NetworkMap<true>();
  reached.set(network, true);
  return ({ ip }) => {
    const address = parseAddress(ip);
    return address !== undefined && !reached.holding(address).next().done;
  };
}

function infoOf({ session, ip }: Listed, instance: string): SessionInfo {
  let subscriptions = 0;
  let lag = 0;
  const channels = [];
  for (const position of session.positions) {
    if (subscriptions++ < MAX_TOLD_POSITIONS) channels.push(position);
    lag = Math.max(lag, position.lag);
  }
  return {
    id: session.id,
    instance,
    ip,
    user: session.identity.user,
    role: session.identity.role,
    client: session.client ?? null,
    since: session.since,
    channels,
    subscriptions,
    lag,
  };
}

function textOf({ id, ip, user, role, client }: SessionInfo): string {
  return [id, ip, user, role, client].join(" ");
}

function placeBy(sort: SessionQuery["sort"]): (it: SessionInfo) => Place {
  return (it) => ({ value: it[sort] ?? "", id: it.id });
}
