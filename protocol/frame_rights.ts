/**
 * Rights come before content: a frame that its sender may not send costs no
 * more than its parsing.
 *
 * @module
 */
import { channelNamed } from "./channels.ts";
import type { Channel } from "./channels.ts";
import { COMMANDS } from "./commands.ts";
import type { CommandType } from "./commands.ts";
import { MESSAGES } from "./messages.ts";
import type { MessageType } from "./messages.ts";

/** What the sender of a frame may do. */
export interface FrameRights {
  /**
   * Makes sure that it may send such frames at all.
   *
   * @throws {Refusal} why not.
   */
  requireVerb(verb: CommandType | "publish" | "test"): void;
  /**
   * Makes sure that it may publish to a channel.
   *
   * @throws {Refusal} `FORBIDDEN`.
   */
  requirePublishing(channel: Channel): void;
}

type Fields = Readonly<Record<string, unknown>>;

/**
 * Asks whether a frame may be sent, by its type and by the channels that its
 * messages name; nothing else of it is looked at, and what is malformed is
 * passed over.
 *
 * @param frame of a known type.
 * @param maxMessages most messages of it that are looked at.
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
 * Asks whether messages may be published.
 *
 * @param messages as they were parsed.
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

/** Where a message goes, if it says so as it should. */
function destinationOf(message: unknown): Channel | undefined {
  const { type, channel } = Object(message) as Fields;
  if (typeof type !== "string" || !Object.hasOwn(MESSAGES, type)) return;
  if (typeof channel === "string") return channelNamed(channel);
  const kind = MESSAGES[type as MessageType].channel;
  if (channel !== undefined || kind === null || kind === "room") return;
  return { name: kind, kind };
}
