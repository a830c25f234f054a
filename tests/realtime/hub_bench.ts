/**
 * Hubs of several instances over one store, and clients without a session.
 *
 * @module
 */
import type { Located as Subscription } from "../../realtime/block_cursor.ts";
import { channelNamed } from "../../protocol/channels.ts";
import { decodePublications } from "../../protocol/decode.ts";
import type { Publication } from "../../protocol/decode.ts";
import { idSource } from "../../protocol/envelope.ts";
import { Hub } from "../../realtime/hub.ts";
import type { HubObserver } from "../../realtime/hub_observer.ts";
import { JSON_CODEC } from "../../realtime/json_codec.ts";
import { Outbox } from "../../realtime/outbox.ts";
import { subscribe } from "../../realtime/subscribe.ts";
import type { Principal } from "../../security/principal.ts";
import type { Head } from "../../store/event_log.ts";
import { StoredEventLog } from "../../store/stored_event_log.ts";
import { ManualClock, pass } from "../fakes/clock.ts";
import { MemoryKv } from "../fakes/kv.ts";
import type { Weather } from "../fakes/kv.ts";
import { PostOffice } from "../fakes/link.ts";
import { FakePeer } from "../fakes/peer.ts";

/** A channel with a log. */
export const blocks = channelNamed("blocks")!;
/** A channel without retention. */
export const metrics = channelNamed("metrics")!;

/** Events reach a client this soon although the link lost them. */
export const REPAIRED_MS = 50;

/** A block to publish. */
export function block(
  mark: number | string,
  id?: string,
): readonly Publication[] {
  return decodePublications(
    JSON.stringify({
      type: "NEW_BLOCK",
      ...(id ? { id } : {}),
      payload: {
        blockId: `${mark}`,
        height: 1,
        timestamp: "2025-01-01T00:00:00Z",
      },
    }),
    1e6,
  );
}

/** An event of {@link metrics} to publish. */
export function update(): readonly Publication[] {
  return decodePublications(
    JSON.stringify({
      type: "METRICS_UPDATE",
      payload: { timestamp: "2025-01-01T00:00:00Z" },
    }),
    1e6,
  );
}

const anybody: Principal = {
  identity: { isAuthenticated: false, user: null, role: "anonymous" },
  isRevoked: () => false,
  mayRead: ({ name }) => name !== "room:secret",
  mayPublish: () => true,
};

/** Instances with nothing between them but what a test allows. */
export class Bench {
  readonly clock = new ManualClock();
  readonly kv = new MemoryKv(this.clock);
  readonly office = new PostOffice();
  retention = { events: 10_000, ms: 3_600_000 };

  instance(
    { weather, observer }: { weather?: Weather; observer?: HubObserver } = {},
  ): Hub {
    const { clock } = this;
    const nextId = idSource();
    const kv = this.kv.connect(weather ? { weather } : {});
    const log = new StoredEventLog({
      store: kv,
      clock,
      nextId,
      retention: () => this.retention,
    });
    const links = [this.office.join()];
    return new Hub({
      log,
      links,
      clock,
      nextId,
      ...(observer ? { observer } : {}),
    });
  }

  client(hub: Hub): Reader {
    return new Reader(this, hub);
  }

  async publish(hub: Hub, count = 1): Promise<void> {
    const many = Array.from({ length: count }, (_, i) => block(i)).flat();
    const published = hub.publish(many);
    await pass(this.clock, 0);
    await published;
    await pass(this.clock, 0);
  }
}

/** Where the log of `blocks` ends. */
export async function headOf(hub: Hub): Promise<Head> {
  const [head] = await hub.heads(["blocks"]);
  return head!;
}

/** A client without a session. */
export class Reader {
  readonly peer = new FakePeer();
  readonly outbox: Outbox;
  // deno-lint-ignore no-explicit-any -- tests look wherever they like.
  readonly answers: any[] = [];
  // deno-lint-ignore no-explicit-any -- tests look wherever they like.
  readonly gaps: any[] = [];
  open = true;
  readonly #bench: Bench;
  readonly #hub: Hub;

  constructor(bench: Bench, hub: Hub, address = "10.0.0.1") {
    this.#bench = bench;
    this.#hub = hub;
    this.outbox = new Outbox(this.peer, JSON_CODEC, hub.outboxParts, {
      address,
      stalled: () => {},
      charge: () => 0,
      read: () => {},
    });
  }

  async follow(...subscriptions: Subscription[]): Promise<void> {
    const followed = subscribe(subscriptions, {
      hub: this.#hub,
      outbox: this.outbox,
      principal: anybody,
      isOpen: () => this.open,
      subscribing: () => {},
      answer: (payload) => this.answers.push(payload),
      reportGap: (payload) => this.gaps.push(payload),
    });
    followed.catch(() => {});
    await pass(this.#bench.clock, 0);
    await followed;
    await pass(this.#bench.clock, 0);
  }
}

/** The numbers from `from` to `to`. */
export const range = (from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, i) => from + i);
