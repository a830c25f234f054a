/**
 * Why an iteration over a channel cannot go on.
 *
 * @module
 */
import { RequestError } from "./failure.ts";
import type { ChannelState, Client, Failure } from "./types.ts";

/**
 * Why no more events of a channel arrive.
 *
 * @param client whose connection is used.
 * @param channel its state; absent once it was left.
 * @returns nothing while they do.
 */
export function endOf(
  { state: { status, connectionError } }: Pick<Client, "state">,
  channel: ChannelState | undefined,
): Failure | undefined {
  if (status === "closed") {
    return connectionError ?? new RequestError("CLOSED");
  }
  if (!channel) return new RequestError("CLOSED");
  if (channel.status !== "rejected") return undefined;
  return new RequestError(channel.code ?? "FORBIDDEN");
}
