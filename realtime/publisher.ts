/**
 * Publishing from inside the process, through the same validation as from
 * outside: encoded, decoded, committed.
 *
 * @module
 */
import { decodePublications } from "../protocol/decode.ts";
import type { AnyEvent, AnyMessage } from "../protocol/messages.ts";
import type { Accepted } from "../protocol/replies.ts";
import type { Principal } from "../security/principal.ts";
import type { History } from "./history.ts";
import type { Hub } from "./hub.ts";

/** The service itself, with all rights. */
export const ITSELF: Principal = {
  identity: { isAuthenticated: true, user: null, role: "admin" },
  isRevoked: () => false,
  mayRead: () => true,
  mayPublish: () => true,
};

/** Publishes for a source in this process, and reads its events. */
export class HubPublisher {
  readonly #hub: Hub;
  readonly #history: History;
  readonly #maxMessageBytes: number;

  /** Publishes through `hub`, reads through `history`. */
  constructor({ hub, history, maxMessageBytes }: {
    hub: Hub;
    history: History;
    maxMessageBytes: number;
  }) {
    this.#hub = hub;
    this.#history = history;
    this.#maxMessageBytes = maxMessageBytes;
  }

  /**
   * Publishes messages, in order, all or none.
   *
   * @param messages 1 to 100.
   * @returns the result of each.
   * @throws {Refusal} as for a publisher over HTTP.
   */
  async publish(messages: readonly AnyMessage[]): Promise<Accepted[]> {
    return await this.#hub.publish(
      decodePublications(JSON.stringify({ messages }), this.#maxMessageBytes),
    );
  }

  /**
   * A page of a channel's history, oldest first.
   *
   * @param channel canonical name.
   * @param options number of events, 1 to 1,000, and the position before which
   * they are.
   * @throws {Refusal} `STORE_UNAVAILABLE`.
   */
  async page(
    channel: string,
    { limit, before }: { limit: number; before?: AnyEvent | undefined },
  ): Promise<AnyEvent[]> {
    const { events } = await this.#history.query({
      channel,
      limit,
      ...(before ? { before: { epoch: before.epoch!, seq: before.seq! } } : {}),
    }, ITSELF);
    return events as unknown as AnyEvent[];
  }
}
