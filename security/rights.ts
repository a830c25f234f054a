/**
 * Who may read and publish where: the catalogue's roles, narrowed by the
 * patterns of the caller's token.
 *
 * @module
 */
import {
  type Channel,
  type ChannelKind,
  CHANNELS,
  type Role,
  ROLES,
} from "../protocol/channels.ts";
import { matches } from "./patterns.ts";
import type { Grant } from "./tokens.ts";

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
 * @param grant what the caller has shown to be.
 * @param channel one that exists.
 */
export function mayRead(grant: Grant, channel: Channel): boolean {
  return reaches(grant.role, CHANNELS[channel.kind].read) &&
    covers(grant.read, channel);
}

/**
 * Whether the holder of `grant` may publish to `channel`.
 *
 * @param grant what the caller has shown to be.
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
