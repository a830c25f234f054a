/**
 * Who may do what: one table for sockets, SSE, HTTP, history, metrics and
 * documents. A route or verb names its row; each channel that it touches is
 * checked separately, by the catalogue's roles and the patterns of the caller's
 * token.
 *
 * @module
 */
import {
  type Channel,
  type ChannelKind,
  channelNamed,
  CHANNELS,
  type Role,
  ROLES,
} from "../protocol/channels.ts";
import type { Publication } from "../protocol/decode.ts";
import type { FrameRights } from "../protocol/frame_rights.ts";
import { Refusal } from "../protocol/refusals.ts";
import { matches } from "./patterns.ts";
import type { Principal } from "./principal.ts";
import type { Grant } from "./tokens.ts";

/** What a caller needs for one kind of request. */
export interface Right {
  /** The least role; with `anonymous` no token is needed. */
  readonly role: Role;
  /** Whether callers without a token pass where `REQUIRE_AUTH` is set, too. */
  readonly isOpen?: true;
  /** Whether blocked addresses pass: only the token decides. */
  readonly ignoresBlocks?: true;
  /** Whether a draining instance still answers. */
  readonly inDrain?: true;
  /**
   * Which channels the token must cover: `read` or `publish` each channel that
   * the request names, `metrics` that channel, since the request reads what
   * the channel carries. None when omitted.
   */
  readonly covers?: "read" | "publish" | "metrics";
}

/** Every right: one row for each kind of request. */
export const RIGHTS = {
  /** Liveness and readiness: load balancers have no token. */
  probe: {
    role: "anonymous",
    isOpen: true,
    ignoresBlocks: true,
    inDrain: true,
  },
  /** Pages, bundles, `OPTIONS` and paths that do not exist: no data. */
  page: { role: "anonymous", isOpen: true, inDrain: true },
  /** To connect a socket, authenticate and ping. */
  greet: { role: "anonymous", isOpen: true },
  /** To renew the token, and to get one's own `TEST` back. */
  converse: { role: "anonymous" },
  /** The dictionary of compressed frames: made of examples, the same for all. */
  dictionary: { role: "anonymous", isOpen: true, inDrain: true },
  /** The OpenAPI and AsyncAPI documents. */
  document: { role: "anonymous", inDrain: true },
  /** To subscribe. Without a token: public channels. */
  follow: { role: "anonymous", covers: "read" },
  /** To read kept events and latest states. Without a token: public channels. */
  history: { role: "anonymous", covers: "read" },
  /** The list of channels: those the caller may read; see {@link maySee}. */
  catalogue: { role: "anonymous", covers: "read" },
  /** The service's measurements. Without a token: no names of rooms. */
  measure: { role: "anonymous", covers: "metrics" },
  /** The same for a metrics system, which looks at draining instances too. */
  scrape: { role: "anonymous", covers: "metrics", inDrain: true },
  /** To publish over HTTP. */
  publish: { role: "user", covers: "publish" },
  /** To publish on a socket: each channel refuses by itself. */
  speak: { role: "anonymous", covers: "publish" },
  /** Operators' orders and views. */
  operate: { role: "admin", ignoresBlocks: true },
} as const satisfies Record<string, Right>;

/** The name of a row. */
export type RightName = keyof typeof RIGHTS;

/** The row of each verb of a socket; `publish` is every application message. */
export const VERB_RIGHTS = {
  connect: "greet",
  ping: "greet",
  refresh: "converse",
  test: "converse",
  subscribe: "follow",
  unsubscribe: "follow",
  watch: "follow",
  query: "history",
  request_data: "history",
  block: "history",
  track: "history",
  request_metrics: "measure",
  publish: "speak",
} as const satisfies Record<string, RightName>;

/** How a service is set up, as far as rights depend on it. */
export interface RightOptions {
  /** `REQUIRE_AUTH`: whether callers must show a token. */
  readonly requireAuth: boolean;
  /** How to provide a missing token, for the refusal. */
  readonly hint?: string;
}

/**
 * Makes sure that a caller has a right. Channels that the request names are
 * checked separately: {@link requireReading}, {@link requirePublishing}.
 *
 * @param name the row.
 * @param principal who asks.
 * @param options how the service is set up.
 * @throws {Refusal} `UNAUTHENTICATED` without a token that is needed;
 * `FORBIDDEN` when role or patterns do not suffice.
 */
export function requireRight(
  name: RightName,
  principal: Principal,
  { requireAuth, hint = "Authorization: Bearer <token>" }: RightOptions,
): void {
  const right: Right = RIGHTS[name];
  const { isAuthenticated, role } = principal.identity;
  const isStrict = right.role !== "anonymous" || (requireAuth && !right.isOpen);
  if (isStrict && !isAuthenticated) {
    throw new Refusal("UNAUTHENTICATED", `${WANTS[name] ?? SERVICE}: ${hint}`);
  }
  if (!reaches(role, right.role)) {
    throw new Refusal("FORBIDDEN", `This needs the role ${right.role}`);
  }
  if (right.covers === "metrics") requireReading(principal, METRICS);
}

const METRICS: Channel = { name: "metrics", kind: "metrics" };
const SERVICE = "This service needs a token";
const WANTS: { readonly [Name in RightName]?: string } = {
  publish: "Publishing needs a token",
  operate: "This needs an admin's token",
};

/**
 * Makes sure that a caller may read a channel.
 *
 * @throws {Refusal} `FORBIDDEN`.
 */
export function requireReading(principal: Principal, channel: Channel): void {
  if (principal.mayRead(channel)) return;
  throw new Refusal(
    "FORBIDDEN",
    `Reading ${channel.name} needs another role or token`,
  );
}

/**
 * Makes sure that a caller may publish all of `publications`.
 *
 * @throws {Refusal} `FORBIDDEN`, naming the first channel refused.
 */
export function requirePublishing(
  principal: Principal,
  publications: readonly Pick<Publication, "channel">[],
): void {
  const refused = publications.find(({ channel }) =>
    !principal.mayPublish(channel)
  );
  if (!refused) return;
  throw new Refusal(
    "FORBIDDEN",
    `Publishing to ${refused.channel.name} needs another role or token`,
  );
}

/**
 * The rights of the sender of frames on a connection.
 *
 * @param principal who that is now.
 * @param options how the service is set up.
 */
export function rightsOf(
  principal: () => Principal,
  options: RightOptions,
): FrameRights {
  return {
    requireVerb: (verb) =>
      requireRight(VERB_RIGHTS[verb], principal(), options),
    requirePublishing: (channel) =>
      requirePublishing(principal(), [{ channel }]),
  };
}

/** Whether a caller may read the service's measurements. */
export function mayMeasure(principal: Principal): boolean {
  return principal.mayRead(METRICS);
}

/**
 * Whether a caller may see a channel: that it exists, where its log ends, how
 * many subscribe to it. It must be allowed to read it, and the names of
 * rooms are for callers with a token only.
 *
 * @param name a channel's canonical name.
 */
export function maySee(principal: Principal, name: string): boolean {
  const channel = channelNamed(name);
  if (!channel || !principal.mayRead(channel)) return false;
  return channel.kind !== "room" || principal.identity.isAuthenticated;
}

/**
 * Those of some figures by channel that a caller may see.
 *
 * @param figures by canonical name.
 */
export function visibleTo(
  principal: Principal,
  figures: Readonly<Record<string, number>>,
): Record<string, number> {
  return Object.fromEntries(
    Object.entries(figures).filter(([name]) => maySee(principal, name)),
  );
}

/**
 * Whether `role` includes `least`.
 *
 * @param role what a caller is.
 * @param least what is asked for.
 */
export function reaches(role: Role, least: Role): boolean {
  return ROLES.indexOf(role) >= ROLES.indexOf(least);
}

/**
 * Whether the holder of `grant` may subscribe to `channel` and read its
 * history.
 *
 * @param grant what the caller's token grants.
 * @param channel one that exists.
 */
export function mayRead(grant: Grant, channel: Channel): boolean {
  return reaches(grant.role, CHANNELS[channel.kind].read) &&
    covers(grant.read, channel);
}

/**
 * Whether the holder of `grant` may publish to `channel`.
 *
 * @param grant what the caller's token grants.
 * @param channel one that exists.
 */
export function mayPublish(grant: Grant, channel: Channel): boolean {
  return reaches(grant.role, CHANNELS[channel.kind].publish) &&
    covers(grant.publish, channel);
}

function covers(
  patterns: readonly string[] | undefined,
  channel: Channel,
): boolean {
  if (patterns === undefined) return true;
  const { aliases }: ChannelKind = CHANNELS[channel.kind];
  return patterns.some((pattern) =>
    matches(pattern, channel.name) ||
    aliases.some((alias) => matches(pattern, alias))
  );
}
