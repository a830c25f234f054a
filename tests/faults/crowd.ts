/**
 * Many clients that talk in rooms while something goes wrong, and what must
 * hold for them afterwards.
 *
 * @module
 */
import assert from "node:assert/strict";
import { buildRoomMessage } from "../../protocol/builders.ts";
import type { AnyMessage } from "../../protocol/messages.ts";
import { pause, type TestServer } from "../server.ts";
import { until } from "../until.ts";
import {
  caughtUp,
  compressionOf,
  leave,
  swarm,
  SwarmClient,
} from "../system/swarm.ts";

/** Pause of each client between two messages, in milliseconds. */
const TALK_MS = 1_000;

/** Who meets where. */
export interface CrowdOptions {
  /** Clients in all. */
  readonly size: number;
  /** Rooms over which they are spread. */
  readonly rooms: number;
  /** Where they connect to, in turn; the server itself when absent. */
  readonly socketUrls?: readonly string[];
}

/** Clients of which each talks and listens in one room. */
export class Crowd implements AsyncDisposable {
  readonly #server: TestServer;
  readonly #rooms: readonly string[];
  readonly #clients: readonly SwarmClient[];
  readonly #said = new Map<string, Set<string>>();
  #isTalking = true;
  #talk = Promise.resolve();
  #count = 0;

  private constructor(
    server: TestServer,
    rooms: readonly string[],
    clients: readonly SwarmClient[],
  ) {
    this.#server = server;
    this.#rooms = rooms;
    this.#clients = clients;
  }

  /** Gathers, and begins to talk once everyone is there. */
  static async gather(
    server: TestServer,
    { size, rooms: count, socketUrls = [server.socketUrl] }: CrowdOptions,
  ): Promise<Crowd> {
    const rooms = Array.from({ length: count }, (_, i) => `room:r${i}`);
    const token = await server.token("user");
    const clients = await swarm(
      size,
      (index) =>
        new SwarmClient(socketUrls[index % socketUrls.length]!, {
          channels: [rooms[index % count]!],
          token,
          batch: index % 3 === 0,
          // Both kinds in each room.
          compress: compressionOf(Math.floor(index / count)),
        }),
    );
    const crowd = new Crowd(server, rooms, clients);
    crowd.#talk = crowd.#chatter();
    return crowd;
  }

  /** Everyone in it. */
  get clients(): readonly SwarmClient[] {
    return this.#clients;
  }

  /** Number of published messages. */
  get said(): number {
    return this.#count;
  }

  /** Stops talking, waits until everything has arrived, and looks at it. */
  async settle(): Promise<void> {
    this.#isTalking = false;
    await this.#talk;
    await until(
      () => this.#clients.every(({ pending }) => pending === 0),
      "an acknowledgement of every message",
    );
    for (const [index, room] of this.#rooms.entries()) {
      const members = this.#clients
        .filter((_, i) => i % this.#rooms.length === index);
      const { seq } = await this.#server.json(
        `/api/channels/${room}/history?limit=1`,
      );
      await caughtUp(members, room, seq);
      assert(members.some(({ binary }) => binary > 0), "some compress");
      assert(members.some(({ binary }) => binary === 0), "some do not");
      this.#verify(room, members, seq);
    }
  }

  /** Disconnects them all. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#isTalking = false;
    await this.#talk;
    await leave(this.#clients);
  }

  #verify(room: string, members: readonly SwarmClient[], head: number): void {
    const said = this.#said.get(room)!;
    const places = new Map(
      members.flatMap(({ acknowledged }) => [...acknowledged]),
    );
    assert.equal(places.size, said.size, "every message was acknowledged");
    assert.equal(head, said.size, "every message is in the log, once");
    for (const { received, faults, gaps } of members) {
      assert.deepEqual(faults, []);
      assert.deepEqual(gaps, []);
      const { events, begin } = received.get(room)!;
      const epoch = events[0]?.epoch;
      assert.equal(begin!.seq, 0);
      assert.deepEqual(
        events.map((event) => [event.epoch, event.seq]),
        Array.from({ length: head }, (_, i) => [epoch, i + 1]),
      );
      for (const { id, seq } of events) {
        assert.equal(
          places.get(id)?.seq,
          seq,
          `${id} is not where it was said`,
        );
      }
    }
  }

  async #chatter(): Promise<void> {
    while (this.#isTalking) {
      for (const [index, client] of this.#clients.entries()) {
        const channel = this.#rooms[index % this.#rooms.length]!;
        const id = `m${this.#count++}`;
        const said = this.#said.get(channel) ?? new Set();
        this.#said.set(channel, said.add(id));
        const message = buildRoomMessage({ event: "talk", data: index }, {
          channel,
          id,
        });
        client.publish(message as AnyMessage);
        if (index % 20 === 19) {
          await pause(TALK_MS * 20 / this.#clients.length);
        }
      }
    }
  }
}
