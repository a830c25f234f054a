/**
 * Publishing from inside the process, the way strangers do: encoded, decoded,
 * committed.
 *
 * @module
 */
import { decodePublications } from "../protocol/decode.ts";
import type { AnyEvent, AnyMessage } from "../protocol/messages.ts";
import type { Principal } from "../security/principal.ts";
import type { History } from "./history.ts";
import type { Hub } from "./hub.ts";

/** The service itself: may do everything. */
export const ITSELF: Principal = {
  identity: { isAuthenticated: true, user: null, role: "admin" },
  isRevoked: () => false,
  mayRead: () => true,
  mayPublish: () => true,
};

/** Where a source in this process publishes, and looks what it published. */
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
   * @throws {Refusal} as a publisher over HTTP would be told.
   */
  async publish(messages: readonly AnyMessage[]): Promise<void> {
    await this.#hub.publish(
      decodePublications(JSON.stringify({ messages }), this.#maxMessageBytes),
    );
  }

  /**
   * The newest events of a channel, oldest first.
   *
   * @param channel canonical name.
   * @param limit 1 to 1,000.
   * @throws {Refusal} `STORE_UNAVAILABLE`.
   */
  async latest(channel: string, limit: number): Promise<AnyEvent[]> {
    const { events } = await this.#history.query({ channel, limit }, ITSELF);
    return events as unknown as AnyEvent[];
  }
}
