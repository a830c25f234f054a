/**
 * A small model of a client: a cursor for each channel, and what it may not
 * receive.
 *
 * @module
 */
import assert from "node:assert/strict";
import { asking } from "../asking.ts";
import { dictionary } from "../../describe/dictionary.ts";
import type { ReplyPayload } from "../../protocol/replies.ts";
import { compressions } from "../../realtime/compression.ts";
import type { CompressionName } from "../../realtime/compression.ts";
import { JSON_CODEC } from "../../realtime/json_codec.ts";
import { Session } from "../../realtime/session.ts";
import type { Principal } from "../../security/principal.ts";
import { UNBORN_EPOCH } from "../../store/event_log.ts";
import type { Head } from "../../store/event_log.ts";
import { ManualClock } from "../fakes/clock.ts";
import { inflated } from "../inflate.ts";
import type { Instance } from "./simulated_instance.ts";
import type { World } from "./simulation.ts";

/** What one character weighs on a fake socket, so that few events fill it. */
const WEIGHT = 150;
/** All rights: access is not tested here. */
const ANYBODY: Principal = {
  identity: { isAuthenticated: true, user: "sim", role: "admin" },
  isRevoked: () => false,
  mayRead: () => true,
  mayPublish: () => true,
};

const DICTIONARY = await dictionary();
const COMPRESSIONS = compressions(DICTIONARY, new ManualClock());

/** A frame as the client receives it. */
export type Frame =
  & { type: string; ref?: string; payload: Record<string, unknown> }
  & { channel?: string; seq?: number; epoch?: string };

/** A small model of a client: a cursor for each channel, and no mercy. */
export class Client {
  readonly name: string;
  readonly #world: World;
  readonly #cursors = new Map<string, { epoch: string; seq: number }>();
  readonly #compress: CompressionName | undefined;
  readonly wanted = new Set<string>();
  /** Channels whose `subscribed` has come on this connection. */
  readonly #live = new Set<string>();
  readonly #asked = new Map<string, ReadonlyMap<string, Head | undefined>>();
  #instance: Instance | undefined;
  #session: Session | undefined;
  #inbox: string[] = [];
  #unread = 0;
  #slow = false;
  #number = 0;
  #returning = false;
  batch = false;
  gaps = 0;
  events = 0;

  constructor(world: World, name: string) {
    this.#world = world;
    this.name = name;
    // Half of the clients, in both ways.
    const number = Number(/\d+$/.exec(name)?.[0] ?? 0);
    this.#compress =
      ([undefined, "deflate", undefined, "deflate-plain"] as const)[number % 4];
  }

  get connected(): boolean {
    return this.#session !== undefined;
  }

  /** Connects to any instance, as a balancer would have it. */
  connect(): void {
    if (this.#session || this.wanted.size === 0) return;
    const instance = this.#world.anyInstance();
    if (!instance) return this.#comeBack();
    const socket = {
      get bufferedAmount(): number {
        return unread();
      },
      send: (frame: string | Uint8Array) =>
        this.#session === session && this.#arrive(this.#read(frame)),
      close: (code: number) => this.#session === session && this.#closed(code),
    };
    const unread = () => this.#session === session ? this.#unread * WEIGHT : 0;
    const session = new Session(socket, {
      hub: instance.hub,
      history: instance.history,
      ...asking(instance.hub, instance.clock),
      clock: instance.clock,
      nextId: instance.nextId,
      maxMessageBytes: 512 * 1024,
      schema: "",
      compression: (name) => Promise.resolve(COMPRESSIONS[name]),
      requireAuth: false,
      measure: () => Promise.resolve({}),
      report: (error) => this.#world.fail(error),
    }, {
      principal: ANYBODY,
      codec: JSON_CODEC,
      guard: {
        address: "192.0.2.1",
        admit: () => 0,
        spend: () => {},
        authenticate: () => Promise.resolve(ANYBODY),
        refused: () => {},
      },
    });
    this.#instance = instance;
    this.#session = session;
    instance.clients.add(this);
    session.open();
    this.#say("connect", {
      batch: this.batch,
      ...(this.#compress ? { compress: this.#compress } : {}),
    });
    this.#subscribe([...this.wanted]);
  }

  /** The connection is gone, and all that was on its way. */
  cut(): void {
    const session = this.#session;
    const instance = this.#instance;
    if (!session) return;
    this.#forget();
    if (instance?.alive) session.end();
    this.#comeBack();
  }

  want(channel: string): void {
    if (this.wanted.has(channel)) return;
    this.wanted.add(channel);
    if (this.#session) this.#subscribe([channel]);
    else this.connect();
  }

  leave(channel: string): void {
    if (!this.wanted.delete(channel)) return;
    this.#cursors.delete(channel);
    this.#live.delete(channel);
    if (this.#session) this.#say("unsubscribe", { channels: [channel] });
    if (this.wanted.size === 0) this.cut();
  }

  slowDown(): void {
    this.#slow = true;
  }

  /** Reads what has come, and on. */
  read(): void {
    this.#slow = false;
    this.#unread = 0;
    const inbox = this.#inbox;
    this.#inbox = [];
    for (const text of inbox) this.#tryTake(text);
  }

  /** What is not as it should be when everything has calmed down. */
  complaint(): string | undefined {
    if (this.wanted.size > 0 && !this.#session) return "not connected";
    for (const channel of this.wanted) {
      if (!this.#live.has(channel)) return `${channel}: not subscribed`;
      const { epoch, seq } = this.#cursors.get(channel)!;
      const head = this.#world.head(channel);
      // Before the first event of a log, all logs are alike.
      if (seq === 0 && head.seq === 0) continue;
      if (epoch !== head.epoch || seq !== head.seq) {
        return `${channel}: stands at ${epoch}:${seq}, not ${head.epoch}:${head.seq}`;
      }
    }
    return undefined;
  }

  #forget(): void {
    this.#instance?.clients.delete(this);
    this.#instance = undefined;
    this.#session = undefined;
    this.#inbox = [];
    this.#unread = 0;
    this.#live.clear();
    this.#asked.clear();
  }

  #comeBack(): void {
    if (this.#returning) return;
    this.#returning = true;
    const wait = 5 + Math.floor(this.#world.random() * 300);
    this.#world.clock.after(wait, () => {
      this.#returning = false;
      this.connect();
    });
  }

  #closed(code: number): void {
    assert.equal(code, 4008, `${this.name} was closed with ${code}`);
    // What the socket still held reaches a reader, or does not.
    if (this.#world.random() < 0.5) this.read();
    this.#forget();
    this.#comeBack();
  }

  #say(type: string, payload: unknown): string {
    const id = `${this.name}-${++this.#number}`;
    this.#session!.receive(JSON.stringify({ type, id, payload }));
    return id;
  }

  #subscribe(names: readonly string[]): void {
    const channels = names.filter((name) => this.wanted.has(name));
    if (channels.length === 0) return;
    const id = `${this.name}-${this.#number + 1}`;
    this.#asked.set(
      id,
      new Map(channels.map((name) => [name, this.#cursors.get(name)])),
    );
    this.#say("subscribe", {
      channels: channels.map((channel) => {
        const after = this.#cursors.get(channel);
        return after ? { channel, after: { ...after } } : channel;
      }),
    });
  }

  /** A binary frame, by an inflater that knows what was agreed. */
  #read(frame: string | Uint8Array): string {
    if (typeof frame !== "string") assert(this.#compress, "not asked for");
    const isPlain = this.#compress === "deflate-plain";
    return inflated(
      frame as string | Uint8Array<ArrayBuffer>,
      isPlain ? undefined : DICTIONARY.bytes,
    );
  }

  #arrive(text: string): void {
    if (this.#slow) {
      this.#inbox.push(text);
      this.#unread += text.length;
    } else this.#tryTake(text);
  }

  /** What is wrong must not be thrown into the machine that is tried. */
  #tryTake(text: string): void {
    try {
      this.#take(JSON.parse(text));
    } catch (error) {
      this.#world.fail(error);
    }
  }

  #take(frame: Frame): void {
    const { type, payload } = frame;
    if (type === "BATCH_UPDATE") {
      for (const update of payload["updates"] as Frame[]) this.#take(update);
    } else if (type === "subscribed") {
      this.#begin(frame.ref!, payload as ReplyPayload<"subscribed">);
    } else if (type === "gap") this.#miss(payload as ReplyPayload<"gap">);
    else if (type === "error") this.#refused(frame.ref, payload);
    else if (frame.channel !== undefined) this.#receive(frame);
  }

  #refused(ref: string | undefined, payload: Frame["payload"]): void {
    assert.equal(payload["code"], "STORE_UNAVAILABLE", JSON.stringify(payload));
    const asked = this.#asked.get(ref!);
    if (!asked) return;
    const session = this.#session;
    this.#world.clock.after(100, () => {
      if (session && session === this.#session) {
        this.#subscribe([...asked.keys()]);
      }
    });
  }

  #begin(
    ref: string,
    { channels, rejected }: ReplyPayload<"subscribed">,
  ): void {
    assert.deepEqual(rejected, []);
    const asked = this.#asked.get(ref)!;
    for (const { channel, epoch, seq, recovered, reason } of channels) {
      if (!this.wanted.has(channel)) continue;
      const after = asked.get(channel);
      const where = `${this.name} ${channel} asked ${
        JSON.stringify(after)
      }, got ${epoch}:${seq} ${reason}`;
      this.#live.add(channel);
      if (!after) {
        assert(recovered, where);
        this.#cursors.set(channel, { epoch: epoch!, seq: seq! });
      } else if (recovered) {
        assert.equal(seq, after.seq, where);
        this.#world.assertSame(channel, after, epoch!, where);
        this.#cursors.set(channel, { epoch: epoch!, seq: seq! });
      } else {
        assert.notEqual(reason, "position_unknown", where);
        assert.notEqual(reason, "no_retention", where);
        if (reason === "epoch_changed" && after.epoch !== UNBORN_EPOCH) {
          assert.notEqual(epoch, after.epoch, where);
        }
        // The gap that follows has to bring the cursor to `seq`.
      }
    }
  }

  #miss({ channel, from, to, epoch, reason }: ReplyPayload<"gap">): void {
    if (!this.wanted.has(channel) || !this.#live.has(channel)) return;
    this.gaps++;
    const cursor = this.#cursors.get(channel)!;
    const where = `${this.name} ${channel} at ${cursor.epoch}:${cursor.seq}: ` +
      `gap ${epoch}:${from}-${to} ${reason}`;
    if (reason === "epoch_changed") {
      assert(epoch !== cursor.epoch || epoch === UNBORN_EPOCH, where);
      assert.equal(from, 1, where);
      assert(to >= 0, where);
    } else {
      assert(["retention", "unreadable"].includes(reason), where);
      this.#world.assertSame(channel, cursor, epoch, where);
      assert.equal(from, cursor.seq + 1, where);
      assert(to >= from, where);
    }
    if (reason === "unreadable") this.#world.assertDamaged(channel, from, to);
    else this.#world.assertGone(channel, epoch, from, to, where);
    this.#cursors.set(channel, { epoch, seq: to });
  }

  #receive({ channel, seq, epoch, payload }: Frame): void {
    if (!this.wanted.has(channel!) || !this.#live.has(channel!)) return;
    this.events++;
    const cursor = this.#cursors.get(channel!)!;
    const where = `${this.name} ${channel} at ${cursor.epoch}:${cursor.seq}: ` +
      `event ${epoch}:${seq}`;
    if (cursor.epoch !== UNBORN_EPOCH) assert.equal(epoch, cursor.epoch, where);
    assert.equal(seq, cursor.seq + 1, where);
    assert.equal(
      this.#world.markAt(channel!, epoch!, seq!),
      markOf(payload),
      where,
    );
    this.#cursors.set(channel!, { epoch: epoch!, seq: seq! });
  }
}

/** What the truth calls an event. */
export function markOf(payload: Record<string, unknown>): string {
  return String(payload["blockId"] ?? payload["subject"] ?? payload["event"]);
}
