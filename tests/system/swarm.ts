/**
 * A client as the protocol asks one to be, for tests: it keeps a cursor for
 * each channel, resumes with it, and writes down everything it was given.
 * It repairs nothing on its own, so that what the server did can be seen.
 *
 * @module
 */
import { isDeepStrictEqual } from "node:util";
import type { AnyMessage } from "../../protocol/messages.ts";
import { dictionary } from "../../describe/dictionary.ts";
import type { Position } from "../../protocol/commands.ts";
import type { Accepted, ReplyPayload } from "../../protocol/replies.ts";
import type { CompressionName } from "../../realtime/compression.ts";
import { encodeFrame, handshake, OPCODE } from "../hostile/raw_socket.ts";
import { inflated } from "../inflate.ts";
import { pause } from "../server.ts";
import { until } from "../until.ts";

/** Longest wait before a lost connection is made again, in milliseconds. */
const RECONNECT_MS = 300;
/** Wait before a refused publish is tried again, in milliseconds. */
const REPUBLISH_MS = 200;
/** How long a reader that reads again waits for the end, in milliseconds. */
const DRAIN_MS = 30_000;
/** Epoch of a channel without events. */
const UNBORN = "0";

/** The dictionary of this build, which is the servers' build, too. */
const DICTIONARY = await dictionary();

/** How the clients of a test receive frames, in turn: half of them compressed. */
const COMPRESSIONS = [
  undefined,
  "deflate",
  undefined,
  "deflate-plain",
] as const;

/** The compression of the client at `index`. */
export function compressionOf(index: number): CompressionName | undefined {
  return COMPRESSIONS[index % COMPRESSIONS.length];
}

/**
 * Reads a frame as text.
 *
 * @param compress what the client asked for.
 * @throws {Error} a frame is binary that was not asked for.
 */
function textOf(
  data: string | ArrayBuffer,
  compress: CompressionName | undefined,
): string {
  if (typeof data === "string") return data;
  if (compress === undefined) throw new Error("A binary frame, not asked for");
  return inflated(data, compress === "deflate" ? DICTIONARY.bytes : undefined);
}

/** The compression in `connected`. */
function termsOf(
  compress: CompressionName,
): ReplyPayload<"connected">["compress"] {
  const hash = compress === "deflate" ? DICTIONARY.hash : null;
  return { algorithm: "deflate-raw", dictionary: hash };
}

/** Any frame, read loosely. */
export interface Frame {
  readonly type: string;
  readonly id: string;
  readonly ref?: string;
  readonly channel?: string;
  readonly seq?: number;
  readonly epoch?: string;
  readonly replay?: true;
  // deno-lint-ignore no-explicit-any -- tests look into frames freely.
  readonly payload: any;
}

/** What one client was given of one channel. */
export interface Received {
  /** Every event in the order of its coming. */
  readonly events: { epoch: string; seq: number; id: string }[];
  /** Where the client began, before the first of them. */
  begin: Position | undefined;
  /** Last position seen. */
  cursor: Position | undefined;
}

/** How a client behaves. */
export interface SwarmOptions {
  /** Channels to follow, by canonical name. */
  readonly channels: readonly string[];
  /** Who it is. */
  readonly token?: string;
  /** Whether several events may come in one frame. */
  readonly batch?: boolean;
  /** Which compression it asks for. */
  readonly compress?: CompressionName | undefined;
  /** Sees every frame, those within a batch one by one. */
  readonly onFrame?: (frame: Frame) => void;
}

/** One client. */
export class SwarmClient implements AsyncDisposable {
  /** What came, by channel. */
  readonly received: Map<string, Received>;
  /** Faults of the server as seen from here; empty when it kept its word. */
  readonly faults: string[] = [];
  /** Gaps that the server reported. */
  readonly gaps: ReplyPayload<"gap">[] = [];
  /** Codes with which connections ended. */
  readonly closes: number[] = [];
  /** Codes of `error` frames. */
  readonly errors: string[] = [];
  /** Accepted ids, with the first position that the server named. */
  readonly acknowledged: Map<string, Accepted> = new Map();
  readonly #url: string;
  readonly #options: SwarmOptions;
  readonly #unacknowledged = new Map<string, AnyMessage>();
  readonly #retries = new Set<ReturnType<typeof setTimeout>>();
  #socket: WebSocket | undefined;
  #gone = Promise.resolve();
  #wanted = true;
  #isSubscribed = false;
  #count = 0;
  #binary = 0;

  /** Begins to connect. */
  constructor(url: string, options: SwarmOptions) {
    this.#url = url;
    this.#options = options;
    this.received = new Map(options.channels.map((channel) => [channel, {
      events: [],
      begin: undefined,
      cursor: undefined,
    }]));
    this.#gone = this.#live();
  }

  /** Whether it is connected and every channel was answered. */
  get isSubscribed(): boolean {
    return this.#isSubscribed;
  }

  /** Whether every channel was answered once, if not on this connection. */
  get hasBegun(): boolean {
    return [...this.received.values()].every(({ begin }) => begin);
  }

  /** How many publishes were not acknowledged yet. */
  get pending(): number {
    return this.#unacknowledged.size;
  }

  /** How many events came, of all channels. */
  get count(): number {
    return this.#count;
  }

  /** How many frames were compressed. */
  get binary(): number {
    return this.#binary;
  }

  /** Last number seen in `channel`; 0 before the first. */
  seq(channel: string): number {
    return this.received.get(channel)?.cursor?.seq ?? 0;
  }

  /** Publishes, again and again until it is acknowledged; needs an `id`. */
  publish(message: AnyMessage): void {
    this.#unacknowledged.set(message.id!, message);
    this.#send(message);
  }

  /** Sends anything, if connected. */
  say(frame: unknown): void {
    if (this.#socket?.readyState !== WebSocket.OPEN) return;
    this.#socket.send(JSON.stringify(frame));
  }

  /** Drops the connection, and makes another. */
  drop(): void {
    this.#socket?.close();
  }

  /** Disconnects permanently. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#wanted = false;
    this.#socket?.close();
    await this.#gone;
    for (const retry of this.#retries) clearTimeout(retry);
  }

  async #live(): Promise<void> {
    while (this.#wanted) {
      this.closes.push(await this.#connection());
      this.#isSubscribed = false;
      if (this.#wanted) await pause(Math.random() * RECONNECT_MS);
    }
  }

  #connection(): Promise<number> {
    const { promise, resolve } = Promise.withResolvers<number>();
    const socket = this.#socket = new WebSocket(this.#url);
    const { token, batch = false, compress } = this.#options;
    socket.binaryType = "arraybuffer";
    socket.onopen = () => {
      const auth = token === undefined ? {} : { auth: { token } };
      const payload = { ...auth, batch, compress };
      this.say({ type: "connect", id: "c", payload });
    };
    socket.onmessage = ({ data }) => {
      if (typeof data !== "string") this.#binary++;
      this.#take(JSON.parse(textOf(data, compress)));
    };
    socket.onclose = ({ code }) => resolve(code);
    return promise;
  }

  #take(frame: Frame): void {
    if (frame.type === "BATCH_UPDATE") {
      for (const update of frame.payload.updates) this.#take(update);
      return;
    }
    this.#options.onFrame?.(frame);
    if (frame.seq !== undefined) return this.#event(frame);
    switch (frame.type) {
      case "connected":
        if (frame.ref === "c") this.#connected(frame.payload);
        break;
      case "subscribed":
        this.#subscribed(frame.payload);
        break;
      case "gap":
        this.#gap(frame.payload);
        break;
      case "published":
        for (const place of frame.payload.accepted) this.#accepted(place);
        break;
      case "error":
        this.errors.push(frame.payload.code);
        this.#again(frame);
    }
  }

  #connected(payload: ReplyPayload<"connected">): void {
    const { compress } = this.#options;
    const terms = compress && termsOf(compress);
    if (!isDeepStrictEqual(payload.compress, terms)) {
      this.faults.push(`compression is ${JSON.stringify(payload.compress)}`);
    }
    this.#subscribe();
  }

  #subscribe(): void {
    const channels = [...this.received].map(([channel, { cursor }]) =>
      cursor ? { channel, after: cursor } : channel
    );
    if (channels.length > 0) {
      this.say({ type: "subscribe", payload: { channels } });
    } else this.#isSubscribed = true;
    for (const message of this.#unacknowledged.values()) this.#send(message);
  }

  #subscribed({ channels, rejected }: ReplyPayload<"subscribed">): void {
    for (const { channel, code } of rejected) {
      this.faults.push(`${channel} was rejected: ${code}`);
    }
    for (const { channel, epoch, seq, recovered } of channels) {
      const received = this.received.get(channel);
      if (!received || epoch === null || seq === null) continue;
      const { cursor } = received;
      if (cursor && recovered && cursor.seq !== seq) {
        this.faults.push(`${channel} resumed at ${seq}, not ${cursor.seq}`);
      }
      received.begin ??= { epoch, seq };
      received.cursor = { epoch, seq };
    }
    this.#isSubscribed = true;
  }

  #gap(gap: ReplyPayload<"gap">): void {
    this.gaps.push(gap);
    const received = this.received.get(gap.channel);
    if (received?.cursor && gap.to > received.cursor.seq) {
      received.cursor = { epoch: gap.epoch, seq: gap.to };
    }
  }

  #event({ channel, epoch, seq, id }: Frame): void {
    const received = this.received.get(channel!);
    if (!received?.cursor) {
      this.faults.push(`${channel} came without being subscribed`);
      return;
    }
    const { cursor } = received;
    const born = cursor.epoch === UNBORN && seq === 1;
    if (cursor.epoch !== epoch && !born) {
      this.faults.push(`${channel} changed its epoch without a word`);
    } else if (seq !== cursor.seq + 1) {
      this.faults.push(`${channel} went from ${cursor.seq} to ${seq}`);
    }
    received.cursor = { epoch: epoch!, seq: seq! };
    received.events.push({ epoch: epoch!, seq: seq!, id });
    this.#count++;
  }

  #accepted(place: Accepted): void {
    this.#unacknowledged.delete(place.id);
    const before = this.acknowledged.get(place.id);
    if (before && before.seq !== place.seq) {
      this.faults.push(`${place.id} was accepted twice`);
    }
    this.acknowledged.set(place.id, before ?? place);
  }

  /** A refused publish is tried again for as long as that makes sense. */
  #again({ ref }: Frame): void {
    const message = ref === undefined
      ? undefined
      : this.#unacknowledged.get(ref);
    if (!message) return;
    const socket = this.#socket;
    const retry = setTimeout(() => {
      this.#retries.delete(retry);
      const isWaiting = this.#unacknowledged.has(ref!);
      if (isWaiting && socket === this.#socket) this.#send(message);
    }, REPUBLISH_MS);
    this.#retries.add(retry);
  }

  #send(message: AnyMessage): void {
    this.say(message);
  }
}

/** Starts clients, and waits until all of them have been subscribed. */
export async function swarm(
  size: number,
  make: (index: number) => SwarmClient,
): Promise<SwarmClient[]> {
  const clients = Array.from({ length: size }, (_, index) => make(index));
  try {
    await until(
      () => clients.every(({ hasBegun }) => hasBegun),
      `${size} subscribed clients`,
    );
  } catch (error) {
    await leave(clients);
    throw error;
  }
  return clients;
}

/** Disconnects them all. */
export async function leave(clients: readonly SwarmClient[]): Promise<void> {
  await Promise.all(clients.map((client) => client[Symbol.asyncDispose]()));
}

/** Waits until every client has seen `channel` up to `seq`. */
export async function caughtUp(
  clients: readonly SwarmClient[],
  channel: string,
  seq: number,
): Promise<void> {
  const behind = () => clients.filter((client) => client.seq(channel) < seq);
  try {
    await until(() => behind().length === 0, "events");
  } catch {
    const [one] = behind();
    throw new Error(
      `${behind().length} of ${clients.length} clients miss events of ${channel}: one is at ${
        one?.seq(channel)
      } of ${seq}, closed with ${one?.closes}, refused with ${one?.errors}`,
    );
  }
}

/** One socket used by hand: sends what it is given, keeps what it receives. */
export class Peer implements AsyncDisposable {
  /** Every frame that came, oldest first. */
  readonly frames: Frame[] = [];
  static #connected = 0;
  readonly #socket: WebSocket;
  readonly #opened = Promise.withResolvers<void>();
  #code: number | undefined;
  #compress: CompressionName | undefined;
  #read = 0;

  private constructor(url: string) {
    this.#socket = new WebSocket(url);
    this.#socket.onopen = () => this.#opened.resolve();
    this.#socket.binaryType = "arraybuffer";
    this.#socket.onmessage = ({ data }) => {
      this.frames.push(JSON.parse(textOf(data, this.#compress)));
    };
    this.#socket.onclose = ({ code }) => {
      this.#opened.resolve();
      this.#code = code;
    };
  }

  /** Connects to `url`, without sending a frame. */
  static async open(url: string): Promise<Peer> {
    const peer = new Peer(url);
    await peer.#opened.promise;
    return peer;
  }

  /** Connects and authenticates; half of them request compression. */
  static async connect(url: string, token?: string): Promise<Peer> {
    const peer = await Peer.open(url);
    await peer.next("connected");
    const compress = peer.#compress = compressionOf(Peer.#connected++);
    if (token !== undefined || compress !== undefined) {
      const auth = token === undefined ? {} : { auth: { token } };
      await peer.ask("connect", { ...auth, compress }, "connected");
    }
    return peer;
  }

  /** Whether frames can be sent. */
  get isOpen(): boolean {
    return this.#socket.readyState === WebSocket.OPEN;
  }

  /** Waits for the close, and returns its code. */
  async closed(): Promise<number> {
    await until(() => this.#code !== undefined, "the end of a connection");
    return this.#code!;
  }

  /** Sends text as it is, or anything else as JSON. */
  say(frame: unknown): void {
    const isRaw = typeof frame === "string" || frame instanceof Uint8Array;
    // deno-lint-ignore no-explicit-any -- bytes of any kind of buffer.
    this.#socket.send(isRaw ? frame as any : JSON.stringify(frame));
  }

  /** The next frame of that type, those before it passed over. */
  async next(type: string): Promise<Frame> {
    let found: Frame | undefined;
    const look = () => {
      while (!found && this.#read < this.frames.length) {
        const frame = this.frames[this.#read++]!;
        if (frame.type === type) found = frame;
      }
      return found !== undefined;
    };
    try {
      await until(look, `a frame "${type}"`);
    } catch (cause) {
      const types = this.frames.map((frame) => frame.type);
      throw new Error(`No "${type}" among ${types}`, { cause });
    }
    return found!;
  }

  /** Sends a verb, and waits for the frame of `answer` that refers to it. */
  async ask(type: string, payload: unknown, answer: string): Promise<Frame> {
    const id = crypto.randomUUID();
    this.say({ type, id, payload });
    for (;;) {
      const frame = await this.next(answer);
      if (frame.ref === id) return frame;
    }
  }

  /** Ends the connection. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#socket.close();
    await this.closed();
  }
}

/** What a reader found when it read again. */
export interface Drained {
  /** Numbers of the events, in the order of their coming. */
  readonly seqs: number[];
  /** Their epoch. */
  readonly epoch: string;
  /** The code with which the server ended the connection. */
  readonly code: number | undefined;
}

/** Speaks just enough HTTP to open a socket, and then reads no more. */
export class StalledReader implements Disposable {
  /** Status line and headers with which the server answered. */
  readonly answer: string;
  readonly #connection: Deno.TcpConn;

  private constructor(connection: Deno.TcpConn, answer: string) {
    this.#connection = connection;
    this.answer = answer;
  }

  /** Requests an upgrade; `answer` resolves to whether it was granted. */
  static async open(port: number): Promise<StalledReader> {
    const connection = await Deno.connect({ hostname: "127.0.0.1", port });
    await connection.write(new TextEncoder().encode(handshake({ port })));
    const buffer = new Uint8Array(4_096);
    const length = await connection.read(buffer) ?? 0;
    const answer = new TextDecoder().decode(buffer.subarray(0, length));
    return new StalledReader(connection, answer);
  }

  /** Sends one text frame. */
  async say(frame: unknown): Promise<void> {
    const body = JSON.stringify(frame);
    await this.#connection.write(encodeFrame({ body }));
  }

  /** Reads again, until the server announces the end of the connection. */
  async drain(): Promise<Drained> {
    const timer = setTimeout(() => this[Symbol.dispose](), DRAIN_MS);
    const seqs: number[] = [];
    let epoch = "";
    try {
      for await (const { opcode, body } of framesIn(this.#connection)) {
        if (opcode === OPCODE.close) {
          return { seqs, epoch, code: body[0]! * 256 + body[1]! };
        }
        // The server asks now and then whether anyone is there.
        if (opcode !== OPCODE.text) continue;
        const frame: Frame = JSON.parse(new TextDecoder().decode(body));
        if (frame.seq === undefined) continue;
        seqs.push(frame.seq);
        epoch = frame.epoch!;
      }
      return { seqs, epoch, code: undefined };
    } finally {
      clearTimeout(timer);
    }
  }

  /** Lets the connection go. */
  [Symbol.dispose](): void {
    try {
      this.#connection.close();
    } catch {
      // Reading to the end has closed it.
    }
  }
}

/** Reads the frames that a server writes, whole ones and unmasked. */
async function* framesIn(
  connection: Deno.TcpConn,
): AsyncGenerator<{ opcode: number; body: Uint8Array }> {
  const chunk = new Uint8Array(65_536);
  let held = new Uint8Array();
  for (;;) {
    for (let size; (size = sizeOf(held)); held = held.slice(size.all)) {
      const body = held.subarray(size.head, size.all);
      yield { opcode: held[0]! & 0x0f, body };
    }
    const length = await connection.read(chunk).catch(() => null);
    if (length === null) return;
    const longer = new Uint8Array(held.length + length);
    longer.set(held);
    longer.set(chunk.subarray(0, length), held.length);
    held = longer;
  }
}

/** How long the first frame is, when all of it is there. */
function sizeOf(bytes: Uint8Array): { head: number; all: number } | undefined {
  if (bytes.length < 2) return undefined;
  const short = bytes[1]! & 0x7f;
  const head = short === 127 ? 10 : short === 126 ? 4 : 2;
  if (bytes.length < head) return undefined;
  let length = head === 2 ? short : 0;
  for (let i = 2; i < head; i++) length = length * 256 + bytes[i]!;
  const all = head + length;
  return bytes.length < all ? undefined : { head, all };
}
