/**
 * `deno run -A bench/database.ts postgres://user@host/database`: the service on
 * a file and on PostgreSQL, in turns, and the way of an event between two
 * services on one database. Prints medians of three and their ratios.
 *
 * @module
 */
import { BenchServer } from "./server.ts";
import { sign } from "./target.ts";

const SECRET = "a secret for benches that is long enough";
/** Turns of each store. */
const ROUNDS = 3;
/** Single events whose acknowledgement is timed. */
const SINGLES = 300;
/** Publishers at once, each of one event at a time. */
const PUBLISHERS = 64;
/** How long they publish, in milliseconds. */
const PUBLISH_MS = 5_000;
/** Events that a late subscriber catches up with. */
const CAUGHT_UP = 100_000;
/** Events of one request while they are written. */
const PER_REQUEST = 100;
/** Events on their way from one service to the other. */
const CROSSINGS = 500;
/** Pause between them, in milliseconds. */
const CROSSING_MS = 20;
/** Bytes of data in each event. */
const DATA = "x".repeat(400);

/** What one turn measured. */
interface Turn {
  /** Median time to the acknowledgement of a single event, in milliseconds. */
  readonly ackMs: number;
  /** Events a second of many publishers. */
  readonly perSecond: number;
  /** Events a second of a subscriber that catches up. */
  readonly caughtUpPerSecond: number;
}

// deno-lint-ignore no-explicit-any -- frames are read freely.
type Frame = Record<string, any>;

/** One client, which asks and waits. */
class Client implements Disposable {
  readonly #socket: WebSocket;
  readonly #waiting = new Map<string, (frame: Frame) => void>();
  #count = 0;
  onEvent: (frame: Frame) => void = () => {};

  private constructor(url: string) {
    this.#socket = new WebSocket(url);
    this.#socket.onmessage = ({ data }) => this.#take(JSON.parse(data));
  }

  static async open(url: string): Promise<Client> {
    const client = new Client(url);
    await new Promise((resolve) => client.#socket.onopen = resolve);
    const token = await sign(SECRET, crypto.randomUUID(), "publisher");
    await client.ask("connect", { auth: { token }, batch: true });
    return client;
  }

  async ask(type: string, payload: unknown, channel?: string): Promise<Frame> {
    const id = `${this.#count++}`;
    const { promise, resolve } = Promise.withResolvers<Frame>();
    this.#waiting.set(id, resolve);
    this.#socket.send(JSON.stringify({ type, id, payload, channel }));
    const frame = await promise;
    if (frame["type"] === "error") throw new Error(JSON.stringify(frame));
    return frame;
  }

  async publish(room: string, data: unknown = DATA): Promise<void> {
    await this.ask("ROOM_MESSAGE", { event: "bench", data }, room);
  }

  [Symbol.dispose](): void {
    this.#socket.close();
  }

  #take(frame: Frame): void {
    if (frame["type"] === "BATCH_UPDATE") {
      for (const update of frame["payload"].updates) this.#take(update);
    } else if (frame["seq"] !== undefined) this.onEvent(frame);
    else {
      this.#waiting.get(frame["ref"])?.(frame);
      this.#waiting.delete(frame["ref"]);
    }
  }
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
const nextRoom = () => `room:${crypto.randomUUID()}`;

function serve(settings: Record<string, string>): Promise<BenchServer> {
  return BenchServer.start({
    secret: SECRET,
    requireAuth: false,
    isolates: 1,
    settings: { RETENTION_EVENTS: `${2 * CAUGHT_UP}`, ...settings },
  });
}

function quantile(values: readonly number[], q: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))]!;
}

async function turn(settings: Record<string, string>): Promise<Turn> {
  await using server = await serve(settings);
  using client = await Client.open(server.url);
  const room = nextRoom();
  const times: number[] = [];
  for (let i = 0; i < SINGLES; i++) {
    const since = performance.now();
    await client.publish(room);
    times.push(performance.now() - since);
  }
  const perSecond = await many(server.url);
  const caughtUpPerSecond = await catchUp(server.url);
  return { ackMs: quantile(times, 0.5), perSecond, caughtUpPerSecond };
}

async function many(url: string): Promise<number> {
  let count = 0;
  const end = performance.now() + PUBLISH_MS;
  const room = nextRoom();
  await Promise.all(Array.from({ length: PUBLISHERS }, async () => {
    using client = await Client.open(url);
    while (performance.now() < end) {
      await client.publish(room);
      count++;
    }
  }));
  return count / PUBLISH_MS * 1_000;
}

async function catchUp(url: string): Promise<number> {
  const room = nextRoom();
  const page = new URL("/api/publish", url.replace(/^ws/, "http"));
  const token = await sign(SECRET, "writer", "publisher");
  const message = {
    type: "ROOM_MESSAGE",
    channel: room,
    payload: { event: "bench", data: DATA },
  };
  const messages = Array.from({ length: PER_REQUEST }, () => message);
  for (let sent = 0; sent < CAUGHT_UP; sent += PER_REQUEST) {
    const response = await fetch(page, {
      method: "POST",
      headers: {
        "content-type": "application/json",
        authorization: `Bearer ${token}`,
      },
      body: JSON.stringify({ messages }),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(text);
  }
  using client = await Client.open(url);
  const { promise, resolve } = Promise.withResolvers<void>();
  client.onEvent = ({ seq }) => seq === CAUGHT_UP && resolve();
  const since = performance.now();
  await client.ask("subscribe", {
    channels: [{ channel: room, after: { epoch: "0", seq: 0 } }],
  });
  await promise;
  return CAUGHT_UP / (performance.now() - since) * 1_000;
}

async function cross(settings: Record<string, string>): Promise<number[]> {
  await using one = await serve(settings);
  await using two = await serve(settings);
  using publisher = await Client.open(one.url);
  using subscriber = await Client.open(two.url);
  const room = nextRoom();
  await subscriber.ask("subscribe", { channels: [room] });
  const times: number[] = [];
  subscriber.onEvent = ({ payload }) =>
    times.push(performance.now() - payload.data);
  for (let i = 0; i < CROSSINGS; i++) {
    await publisher.publish(room, performance.now());
    await pause(CROSSING_MS);
  }
  await pause(1_000);
  return times;
}

function print(line: string): void {
  // deno-lint-ignore no-console -- what it is for.
  console.log(line);
}

if (import.meta.main) {
  const [KV_PATH] = Deno.args;
  if (!KV_PATH?.startsWith("postgres")) {
    throw new Error("Name the database: postgres://user@host/database");
  }
  const file: Turn[] = [];
  const database: Turn[] = [];
  const crossings: number[][] = [];
  for (let round = 0; round < ROUNDS; round++) {
    file.push(await turn({}));
    database.push(await turn({ KV_PATH }));
    crossings.push(await cross({ KV_PATH }));
    print(JSON.stringify([file.at(-1), database.at(-1)]));
  }
  for (const name of ["ackMs", "perSecond", "caughtUpPerSecond"] as const) {
    const [a, b] = [file, database].map((turns) =>
      quantile(turns.map((it) => it[name]), 0.5)
    ) as [number, number];
    const ratio = (b / a).toFixed(2);
    print(
      `${name}: file ${a.toFixed(2)}, PostgreSQL ${b.toFixed(2)}, ${ratio}`,
    );
  }
  for (const q of [0.5, 0.99]) {
    const ms = quantile(crossings.map((it) => quantile(it, q)), 0.5);
    print(`between services p${q * 100}: ${ms.toFixed(2)} ms`);
  }
}
