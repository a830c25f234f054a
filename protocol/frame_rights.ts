/**
 * Rights are checked before content: a frame that its sender may not send costs
 * no more than its parsing.
 *
 * @module
 */
import { channelNamed } from "./channels.ts";
import type { Channel } from "./channels.ts";
import { COMMANDS } from "./commands.ts";
import type { CommandType } from "./commands.ts";
import { MESSAGES } from "./messages.ts";
import type { MessageType } from "./messages.ts";

/** Rights of the sender of a frame. */
export interface FrameRights {
  /**
   * Refuses a sender without the right to send such frames.
   *
   * @throws {Refusal} with the reason.
   */
  requireVerb(verb: CommandType | "publish" | "test"): void;
  /**
   * Refuses a sender without the right to publish to a channel.
   *
   * @throws {Refusal} `FORBIDDEN`.
   */
  requirePublishing(channel: Channel): void;
}

type Fields = Readonly<Record<string, unknown>>;

/**
 * Checks the rights for a frame, by its type and by the channels that its
 * messages name; nothing else is read, and malformed parts are skipped.
 *
 * @param frame of a known type.
 * @param maxMessages most of its messages that are checked.
 * @throws what `rights` throws.
 */
export function requireRights(
  frame: Fields & { readonly type: string },
  rights: FrameRights,
  maxMessages: number,
): void {
  const { type } = frame;
  if (Object.hasOwn(COMMANDS, type)) {
    return rights.requireVerb(type as CommandType);
  }
  if (type === "TEST") return rights.requireVerb("test");
  rights.requireVerb("publish");
  const messages = type === "BATCH_UPDATE"
    ? updatesOf(frame).slice(0, maxMessages)
    : [frame];
  requirePublishing(messages, rights);
}

/**
 * Checks the rights to publish messages.
 *
 * @param messages parsed, not validated.
 * @throws what `rights` throws.
 */
export function requirePublishing(
  messages: readonly unknown[],
  rights: Pick<FrameRights, "requirePublishing">,
): void {
  for (const message of messages) {
    const channel = destinationOf(message);
    if (channel) rights.requirePublishing(channel);
  }
}

function updatesOf({ payload }: Fields): readonly unknown[] {
  const { updates } = Object(payload) as Fields;
  return Array.isArray(updates) ? updates : [];
}

/** The destination of a message; `undefined` for a malformed one. */
function destinationOf(message: unknown): Channel | undefined {
  const { type, channel } = Object(message) as Fields;
  if (typeof type !== "string" || !Object.hasOwn(MESSAGES, type)) return;
  if (typeof channel === "string") return channelNamed(channel);
  const kind = MESSAGES[type as MessageType].channel;
  if (channel !== undefined || kind === null || kind === "room") return;
  return { name: kind, kind };
}
