/**
 * A server as sources see it, in memory: checks what is published, numbers it,
 * takes an `id` once, and fails when a test asks for it.
 *
 * @module
 */
import { decodePublications } from "../../protocol/decode.ts";
import type { AnyEvent, AnyMessage } from "../../protocol/messages.ts";
import type { Log, PageOptions, Publisher } from "../../sources/source.ts";

/** How one call is to fail. */
export interface Fault {
  /** What is thrown. */
  readonly error: unknown;
  /** Whether the messages are kept all the same: the answer was lost. */
  readonly kept?: boolean;
}

/** A store of events behind the seam. */
export class MemoryPublisher implements Publisher {
  /** Everything accepted, in order. */
  readonly events: AnyEvent[] = [];
  readonly #channels = new Map<string, AnyEvent[]>();
  /** How many messages each call held. */
  readonly calls: number[] = [];
  /** What comes of the next calls; accepted when empty. */
  readonly faults: Fault[] = [];
  /** Longest message taken, in bytes. */
  maxBytes = 65_536;
  /** Newest events of each channel that can be read again. */
  retention = Infinity;
  readonly #ids = new Set<string>();

  publish(messages: readonly AnyMessage[]): Promise<void> {
    this.calls.push(messages.length);
    const fault = this.faults.shift();
    if (fault && !fault.kept) return Promise.reject(fault.error);
    try {
      this.#take(messages);
    } catch (error) {
      return Promise.reject(error);
    }
    return fault ? Promise.reject(fault.error) : Promise.resolve();
  }

  page(channel: string, { limit, before }: PageOptions): Promise<AnyEvent[]> {
    const log = this.of(channel);
    const end = before ? before.seq! - 1 : log.length;
    const oldest = Math.max(0, log.length - this.retention);
    return Promise.resolve(log.slice(Math.max(oldest, end - limit), end));
  }

  /** The events of a channel, in order. */
  of(channel: string): AnyEvent[] {
    return this.#channels.get(channel) ?? [];
  }

  /** Lets go of the ids taken so far, as a server does in time. */
  forget(): void {
    this.#ids.clear();
  }

  #take(messages: readonly AnyMessage[]): void {
    const text = JSON.stringify({ messages });
    for (const publication of decodePublications(text, this.maxBytes)) {
      const { type, id, channel, payload } = publication;
      if (id === undefined) throw new Error(`${type} has no id`);
      if (this.#ids.has(id)) continue;
      this.#ids.add(id);
      const log = this.#channels.getOrInsert(channel.name, []);
      const event = {
        type,
        id,
        channel: channel.name,
        seq: log.length + 1,
        epoch: "memory",
        timestamp: new Date().toISOString(),
        version: "1.1.0",
        payload,
      } as AnyEvent;
      log.push(event);
      this.events.push(event);
    }
  }
}

/** A log that stores its lines, and counts each. */
export function keptLog(): {
  log: Log;
  entries: { event: string; fields: Readonly<Record<string, unknown>> }[];
} {
  const entries: {
    event: string;
    fields: Readonly<Record<string, unknown>>;
  }[] = [];
  return { entries, log: (event, fields) => entries.push({ event, fields }) };
}
