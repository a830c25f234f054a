/**
 * Publishers over HTTP and sockets and subscribers over sockets and SSE, spread
 * over several services of one log, and what must hold for them whatever
 * happens: acknowledged = logged = delivered to each, once and in order.
 *
 * @module
 */
import assert from "node:assert/strict";
import { buildRoomMessage } from "../../protocol/builders.ts";
import type { AnyMessage } from "../../protocol/messages.ts";
import { pause, type TestServer } from "../server.ts";
import { leave, swarm, SwarmClient } from "../system/swarm.ts";
import { until } from "../until.ts";
import { SseReader } from "./sse_reader.ts";

/** Publishers, of which half publish over HTTP. */
const PUBLISHERS = 16;
/** Subscribers, of which half follow over SSE. */
const SUBSCRIBERS = 40;
/** Rooms over which both are spread. */
const ROOMS = ["room:r0", "room:r1", "room:r2", "room:r3"] as const;
/** Pause of a publisher between two messages, in milliseconds. */
const PACE_MS = 250;
/** Pause before an HTTP request that failed is made again, in milliseconds. */
const AGAIN_MS = 200;
/** How long one HTTP request may take, in milliseconds. */
const REQUEST_MS = 10_000;
/** Messages that a socket publisher has under way at most. */
const MAX_PENDING = 20;

/** Where an id was first acknowledged. */
interface Place {
  readonly channel: string;
  readonly seq: number;
}

/** A subscriber, however it follows. */
interface Follower {
  readonly room: string;
  readonly faults: readonly string[];
  readonly gaps: readonly unknown[];
  events(): readonly { epoch: string; seq: number; id: string }[];
}

/** What came of it. */
export interface AudienceFigures {
  /** Events acknowledged, logged and delivered to each. */
  readonly events: number;
  /** Deliveries in all. */
  readonly deliveries: number;
  /** Requests of HTTP publishers that were made again. */
  readonly again: number;
}

/** Publishers and subscribers of several services. */
export class Audience implements AsyncDisposable {
  readonly #services: readonly TestServer[];
  readonly #sockets: SwarmClient[] = [];
  readonly #speakers: SwarmClient[] = [];
  readonly #readers: SseReader[] = [];
  readonly #followers: Follower[] = [];
  readonly #said = new Map<string, Set<string>>(
    ROOMS.map((room) => [room, new Set()]),
  );
  readonly #places = new Map<string, Place>();
  readonly #faults: string[] = [];
  #work: Promise<unknown> = Promise.resolve();
  #isTalking = true;
  #count = 0;
  #again = 0;

  private constructor(services: readonly TestServer[]) {
    this.#services = services;
  }

  /** Subscribes all, then begins to publish. */
  static async gather(services: readonly TestServer[]): Promise<Audience> {
    const audience = new Audience(services);
    await audience.#subscribe();
    await audience.#publish();
    return audience;
  }

  /** How many events were acknowledged so far. */
  get acknowledged(): number {
    return this.#places.size +
      this.#speakers.reduce(
        (sum, { acknowledged }) => sum + acknowledged.size,
        0,
      );
  }

  /** Waits until more events are acknowledged than now. */
  async goesOn(): Promise<void> {
    // More than there can be under way, so that some were published since.
    const goal = this.acknowledged + PUBLISHERS * 2;
    await until(() => this.acknowledged > goal, "publishing goes on");
  }

  /** Stops publishing, waits for all events, and looks at them. */
  async settle(): Promise<AudienceFigures> {
    this.#isTalking = false;
    await this.#work;
    await until(
      () => this.#speakers.every(({ pending }) => pending === 0),
      "an acknowledgement of every message",
    );
    for (const { acknowledged, faults } of this.#speakers) {
      this.#faults.push(...faults);
      for (const [id, { channel, seq }] of acknowledged) {
        this.#places.set(id, { channel, seq: seq! });
      }
    }
    assert.deepEqual(this.#faults, []);
    for (const room of ROOMS) await this.#verify(room);
    const deliveries = this.#followers
      .reduce((sum, follower) => sum + follower.events().length, 0);
    return { events: this.#places.size, deliveries, again: this.#again };
  }

  /** Disconnects all. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#isTalking = false;
    await this.#work;
    await leave([...this.#sockets, ...this.#speakers]);
    for (const reader of this.#readers) await reader[Symbol.asyncDispose]();
  }

  async #subscribe(): Promise<void> {
    const half = SUBSCRIBERS / 2;
    const roomOf = (i: number) => ROOMS[i % ROOMS.length]!;
    // Each room at each service.
    const serviceOf = (i: number) =>
      this.#services[Math.floor(i / ROOMS.length) % this.#services.length]!;
    const token = await this.#services[0]!.token("user");
    const sockets = await swarm(
      half,
      (i) =>
        new SwarmClient(serviceOf(i).socketUrl, {
          channels: [roomOf(i)],
          token,
          batch: i % 3 === 0,
        }),
    );
    this.#sockets.push(...sockets);
    for (const [i, client] of sockets.entries()) {
      const room = roomOf(i);
      const { faults, gaps } = client;
      const events = () => client.received.get(room)!.events;
      this.#followers.push({ room, faults, gaps, events });
    }
    for (let i = 0; i < half; i++) {
      const room = roomOf(i);
      const reader = new SseReader(serviceOf(i).url, room, token);
      this.#readers.push(reader);
      const { faults, gaps, events } = reader;
      this.#followers.push({ room, faults, gaps, events: () => events });
    }
    await until(
      () => this.#readers.every(({ hasBegun }) => hasBegun),
      "all readers have begun",
    );
  }

  async #publish(): Promise<void> {
    const talks: Promise<void>[] = [];
    for (let i = 0; i < PUBLISHERS; i++) {
      const room = ROOMS[i % ROOMS.length]!;
      const service = Math.floor(i / ROOMS.length) % this.#services.length;
      const user = `publisher-${i}`;
      const token = await this.#services[0]!.token("publisher", { user });
      if (i < PUBLISHERS / 2) {
        talks.push(this.#overHttp(room, service, token));
      } else {
        const { socketUrl } = this.#services[service]!;
        const speaker = new SwarmClient(socketUrl, { channels: [], token });
        this.#speakers.push(speaker);
        talks.push(this.#overSocket(room, speaker));
      }
    }
    this.#work = Promise.all(talks);
  }

  #next(channel: string): AnyMessage & { readonly id: string } {
    const id = `m${this.#count++}`;
    this.#said.get(channel)!.add(id);
    const data = { event: "talk", data: this.#count };
    const message = buildRoomMessage(data, { channel, id });
    return message as AnyMessage & { readonly id: string };
  }

  async #overSocket(room: string, speaker: SwarmClient): Promise<void> {
    while (this.#isTalking) {
      if (speaker.pending < MAX_PENDING) speaker.publish(this.#next(room));
      await pause(PACE_MS);
    }
  }

  /** Asks the next service when one does not answer. */
  async #overHttp(room: string, service: number, token: string): Promise<void> {
    while (this.#isTalking) {
      const message = this.#next(room);
      for (let at = service;; at++) {
        const { url } = this.#services[at % this.#services.length]!;
        const place = await this.#request(url, message, token);
        if (place) {
          this.#places.set(message.id, place);
          break;
        }
        this.#again++;
        await pause(AGAIN_MS);
      }
      await pause(PACE_MS);
    }
  }

  async #request(
    url: string,
    message: AnyMessage,
    token: string,
  ): Promise<Place | undefined> {
    try {
      const response = await fetch(`${url}/api/publish`, {
        method: "POST",
        headers: {
          "content-type": "application/json",
          authorization: `Bearer ${token}`,
        },
        body: JSON.stringify(message),
        signal: AbortSignal.timeout(REQUEST_MS),
      });
      const body = await response.json();
      if (response.ok) return body.accepted[0];
      if (response.status !== 503) this.#faults.push(JSON.stringify(body));
    } catch {
      // No answer, or not in time.
    }
    return undefined;
  }

  async #verify(room: string): Promise<void> {
    const said = this.#said.get(room)!;
    for (const service of this.#services) {
      const { seq } = await service.json(
        `/api/channels/${room}/history?limit=1`,
      );
      assert.equal(seq, said.size, `${room}: all in the log, once`);
    }
    const followers = this.#followers.filter((it) => it.room === room);
    await until(
      () =>
        followers.every((it) =>
          it.faults.length > 0 || it.gaps.length > 0 ||
          it.events().at(-1)?.seq === said.size
        ),
      `all events of ${room}`,
    );
    for (const { faults, gaps, events } of followers) {
      assert.deepEqual(faults, []);
      assert.deepEqual(gaps, []);
      assert.deepEqual(
        events().map(({ epoch, seq }) => [epoch, seq]),
        Array.from(said, (_, i) => [events()[0]!.epoch, i + 1]),
      );
      for (const { id, seq } of events()) {
        assert.deepEqual(this.#places.get(id)?.seq, seq, id);
      }
    }
  }
}
