/**
 * A well-behaved client that is served all the while: it follows a channel,
 * and reports how long its events took.
 *
 * @module
 */
import assert from "node:assert/strict";
import { buildNewBlockMessage } from "../../protocol/builders.ts";
import type { AnyMessage } from "../../protocol/messages.ts";
import { pause } from "../server.ts";
import type { TestServer } from "../server.ts";
import { caughtUp, SwarmClient } from "../system/swarm.ts";

/** Wait between two blocks, in milliseconds. */
const PACE_MS = 25;
/** An event that takes longer was not served, in milliseconds. */
const MAX_DELAY_MS = 10_000;

/** What a witness saw during one attack. */
export interface Testimony {
  /** Events that came, all of them in order. */
  readonly events: number;
  /** Of 99 of 100 events: from the request to publish to the client, in ms. */
  readonly p99Ms: number;
  /** Resident memory of the server at the end, in bytes. */
  readonly memory: number;
}

/** Publishes and listens while others attack. */
export class Witness implements AsyncDisposable {
  readonly #server: TestServer;
  readonly #client: SwarmClient;
  readonly #delays: number[] = [];
  readonly #sent = new Map<number, number>();
  #height = 0;
  #wanted = true;
  #publishing: Promise<void>;

  private constructor(server: TestServer) {
    this.#server = server;
    this.#client = new SwarmClient(server.socketUrl, {
      channels: ["blocks"],
      onFrame: ({ type, payload }) => {
        const at = type === "NEW_BLOCK" && this.#sent.get(payload.height);
        if (at) this.#delays.push(performance.now() - at);
      },
    });
    this.#publishing = this.#publish();
  }

  /** Begins to publish and to listen, and waits until events come. */
  static async call(server: TestServer): Promise<Witness> {
    const witness = new Witness(server);
    await witness.serves();
    return witness;
  }

  /**
   * Makes sure that the service goes on serving: that events published from
   * now on come to the client, in order and without a gap.
   *
   * @throws {AssertionError} saying what was not served.
   */
  async serves(): Promise<Testimony> {
    // One may be on its way already.
    const least = this.#height + 3;
    const begin = performance.now();
    while (this.#client.seq("blocks") < least) {
      const waited = performance.now() - begin;
      assert(waited < MAX_DELAY_MS, "the service serves no client any more");
      await pause(5);
    }
    assert.deepEqual(this.#client.faults, []);
    assert.deepEqual(this.#client.closes, [], "the witness was sent away");
    const delays = this.#delays.toSorted((a, b) => a - b);
    return {
      events: delays.length,
      p99Ms: delays[Math.floor(delays.length * 0.99)] ?? NaN,
      memory: await this.#server.memory(),
    };
  }

  /** Stops, and makes sure that everything published has come. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#wanted = false;
    await this.#publishing;
    try {
      await caughtUp([this.#client], "blocks", this.#height);
    } finally {
      await this.#client[Symbol.asyncDispose]();
    }
  }

  async #publish(): Promise<void> {
    while (this.#wanted) {
      const height = this.#height + 1;
      const message = buildNewBlockMessage({
        blockId: `block-${height}`,
        height,
        hash: `0x${height.toString(16)}`,
      }) as AnyMessage;
      this.#sent.set(height, performance.now());
      await this.#server.publish([message]);
      this.#height = height;
      await pause(PACE_MS);
    }
  }
}
