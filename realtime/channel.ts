/**
 * Channels as the hub sees them.
 *
 * @module
 */
import {
  channelNamed,
  CHANNELS,
  unknownChannel,
} from "../protocol/channels.ts";
import type { Channel } from "../protocol/channels.ts";

/** Whether the channel's events are numbered and kept. */
export function isLogged(channel: Channel): boolean {
  return CHANNELS[channel.kind].retention === "log";
}

/**
 * The channel of that name.
 *
 * @param name as a client wrote it, aliases included.
 * @throws {Refusal} `UNKNOWN_CHANNEL`.
 */
export function requireChannel(name: string): Channel {
  const channel = channelNamed(name);
  if (channel) return channel;
  throw unknownChannel(name);
}
