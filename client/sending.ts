/**
 * Messages and requests: those that wait for the connection, for room among
 * the commands in flight, for their answers. Loaded with the first of them.
 *
 * @module
 */
import { release } from "./channels.ts";
import { deferred } from "./deferred.ts";
import type { Deferred } from "./deferred.ts";
import type { Cursor, Event } from "./cursor.ts";
import { RequestError } from "./failure.ts";
import {
  DEFAULT_MESSAGE_BYTES,
  MAX_BATCH_MESSAGES,
  MAX_PENDING,
  MAX_WAITING_EVENTS,
} from "./limits.ts";
import { MAX_PAGE, MAX_RESEND_MS, REQUEST_TIMEOUT_MS } from "./limits.ts";
import { paced } from "./pacing.ts";
import { nextId, send, stirred } from "./parts.ts";
import { add } from "./listeners.ts";
import type { ChainChange, ChainOptions, TrackedState } from "./following.ts";
import type { TrackOptions, Watch, WatchOptions } from "./following.ts";
import type { Listeners } from "./listeners.ts";
import type { Parts, Sender } from "./parts.ts";
import { after, stop, stopwatch } from "./timers.ts";
import type { EventsOptions, Failure, JoinOptions, Outgoing } from "./types.ts";
import type { OutgoingBatch, Received, SendOptions } from "./types.ts";
import type { Position } from "../protocol/commands.ts";
import type { ReplyPayload } from "../protocol/replies.ts";

/** A message or request; gets an id unless it has one. */
interface Frame {
  readonly id?: string;
  readonly [field: string]: unknown;
}

/** A message or request that waits for its answer. */
interface Pending {
  /** The frame. */
  readonly text: string;
  /** Settles with the answer. */
  readonly answer: Deferred<unknown>;
  /** How many may wait beside it while not connected; 0: none, nor it. */
  readonly max: number;
  /** Milliseconds since it was first sent; absent until then. */
  age?: () => number;
  /** The turn in whose socket it was sent. */
  sentIn?: number;
  /** No longer watches its signal and its timeout. */
  readonly unwatch: () => void;
}

/** What one client sends. */
export class Sending implements Sender {
  readonly #parts: Parts;
  readonly #pending = new Map<string, Pending>();
  readonly #publishPaced = paced((...sent) => this.#enqueue(...sent));
  /** How many of those that wait the server has not answered. */
  #inFlight = 0;

  /** Sends over the connection of `parts`. */
  constructor(parts: Parts) {
    this.#parts = parts;
  }

  /** How many wait for the connection or an answer. */
  get size(): number {
    return this.#pending.size;
  }

  /** Publishes a message, or a batch, at its pace. */
  sendMessage(
    message: Outgoing | OutgoingBatch,
    sending?: SendOptions,
  ): Promise<unknown> {
    if (message?.type === "BATCH_UPDATE") {
      return this.sendBatch(message.payload?.updates, sending, message);
    }
    return message?.type
      ? this.#publishPaced(message, { ...this.#parts.options, ...sending })
      : this.#enqueue();
  }

  /** Publishes messages in frames that the server takes. */
  sendBatch(
    messages: readonly Outgoing[],
    sending: SendOptions = {},
    envelope: Partial<OutgoingBatch> = {},
  ): Promise<unknown> {
    if (!Array.isArray(messages)) return this.#enqueue();
    const half = messages.length >> 1;
    const isLong = messages.length > MAX_BATCH_MESSAGES ||
      half && isTooLong(this.#parts, messages);
    if (!isLong) {
      const updates = messages.map((each) => (
        { ...each, id: each?.id ?? nextId() }
      ));
      const batch = { ...envelope, type: "BATCH_UPDATE", payload: { updates } };
      return this.#enqueue(batch, sending);
    }
    const answer = deferred();
    answer.resolve(
      Promise.all([
        this.sendBatch(messages.slice(0, half), sending),
        this.sendBatch(messages.slice(half), sending),
      ]).then((replies) => ({
        accepted: (replies as ReplyPayload<"published">[])
          .flatMap(({ accepted }) => accepted),
      })),
    );
    return answer.promise;
  }

  /** Asks the server. */
  request(
    type: string,
    payload: object = {},
    sending?: SendOptions,
  ): Promise<unknown> {
    return this.#enqueue({ type, payload }, sending);
  }

  /** Publishes an event into a room. */
  sendEvent(
    channel: string,
    event: string,
    data: unknown,
    sending?: SendOptions,
  ): Promise<unknown> {
    const payload = { event, data };
    const message = { type: "ROOM_MESSAGE", channel, payload } as Outgoing;
    return this.sendMessage(message, sending);
  }

  /** Follows a transaction. */
  async track(
    txId: string,
    options?: TrackOptions,
  ): Promise<AsyncGenerator<TrackedState, void>> {
    const { track } = await this.#loaded(() => import("./track.ts"));
    return track(this.#parts.self, txId, options);
  }

  /** Follows a chain. */
  async chain(
    options?: ChainOptions,
  ): Promise<AsyncGenerator<ChainChange, void>> {
    const { chain } = await this.#loaded(() => import("./chain.ts"));
    return chain(this.#parts.self, options);
  }

  /** Follows what matches a filter. */
  async watch(channel: string, options: WatchOptions): Promise<Watch> {
    const { watch } = await this.#loaded(() => import("./watch.ts"));
    const { self, options: { onError } } = this.#parts;
    return watch(self, channel, { ...(onError && { onError }), ...options });
  }

  /** Loads a module; retries a failure once, when connected. */
  #loaded<Module>(load: () => Promise<Module>): Promise<Module> {
    return load().catch(() => this.#parts.self.ready().then(load));
  }

  /** Adds a frame; one whose id waits already is answered with it. */
  #enqueue(
    frame?: Frame,
    {
      offlineQueue = this.#parts.options.offlineQueue ?? { max: 100 },
      signal,
      timeout,
      volatile,
    }: SendOptions = {},
  ): Promise<unknown> {
    const parts = this.#parts;
    const pending = this.#pending;
    const { welcome, core } = parts;
    const id = frame?.id ?? nextId();
    const twin = pending.get(id);
    if (twin) return twin.answer.promise;
    const answer = deferred();
    if (
      volatile && (!welcome || parts.socket!.bufferedAmount > 0 ||
        this.#inFlight >= mostInFlight(welcome))
    ) {
      answer.reject(new RequestError("DROPPED"));
      return answer.promise;
    }
    const { max = 0 } = (volatile ? {} : offlineQueue) as {
      readonly max?: number;
    };
    const most = welcome ? MAX_PENDING : core.status === "closed" ? 0 : max;
    let reason: Failure["code"] | undefined;
    let message: string | undefined;
    try {
      const text = JSON.stringify({ ...frame, id });
      if (!frame) reason = "INVALID_MESSAGE";
      else if (!most) reason = "OFFLINE";
      else if (pending.size >= most) reason = "QUEUE_FULL";
      else if (signal?.aborted) answer.reject(signal.reason);
      else {
        const abort = () => this.#settle(id)?.reject(signal!.reason);
        const timer = timeout === undefined
          ? timeout
          : setTimeout(() => this.#refuse(id, "TIMEOUT"), timeout);
        signal?.addEventListener("abort", abort);
        pending.set(id, {
          text,
          answer,
          max,
          unwatch() {
            clearTimeout(timer);
            signal?.removeEventListener("abort", abort);
          },
        });
      }
    } catch (error) {
      reason = "INVALID_MESSAGE";
      message = `${error}`;
    }
    if (reason) answer.reject(this.#failed(reason, message));
    else this.flush();
    stirred(parts);
    return answer.promise;
  }

  /**
   * Delivers history of a joined channel to the handlers that have received
   * nothing of it. Its new events wait for that, 10 s at most.
   *
   * @param cursor holds its new events already.
   * @param from the position when it began to.
   * @param joining what is asked for.
   */
  async lookBack(
    cursor: Cursor,
    from: Position,
    { after, last = 0 }: JoinOptions,
  ): Promise<void> {
    const { core, since, channels } = this.#parts;
    const back = after?.epoch === from.epoch ? from.seq - after.seq : last;
    const isAsking = cursor.back !== undefined;
    cursor.back = Math.max(cursor.back ?? 0, back);
    if (isAsking) return;
    const history = await this.#before(cursor, from).catch(() => []);
    if (channels.get(cursor.name) === cursor) {
      const isFresh = (handler: object) => since.get(handler)! >= cursor.at;
      for (const event of history) {
        core.received++;
        this.#parts.hand(cursor, { ...event, replay: true }, isFresh);
      }
      cursor.at = core.received;
      release(this.#parts, cursor);
    }
    cursor.back = undefined;
    stirred(this.#parts);
  }

  /** Events up to a position, as many as were asked for, oldest first. */
  async #before(cursor: Cursor, from: Position): Promise<Event[]> {
    const found: Event[] = [];
    let before = { ...from, seq: from.seq + 1 };
    while (found.length < cursor.back!) {
      const limit = Math.min(cursor.back! - found.length, MAX_PAGE);
      const query = { channel: cursor.name, before, limit };
      const { events } = await this.request("query", query) as {
        readonly events: readonly (Event & Position)[];
      };
      if (!events[0]) break;
      found.unshift(...events);
      before = events[0];
    }
    return found;
  }

  /**
   * Yields events one by one.
   *
   * @throws {RequestError} `QUEUE_FULL` after the last that was kept.
   */
  async *iterate(
    waiting: Received[],
    ends: Listeners<void>,
    { signal }: EventsOptions,
  ): AsyncGenerator<Received, void> {
    let isOver = false;
    let isFull = false;
    let resume = () => {};
    const wake = () => {
      isFull ||= waiting.length > MAX_WAITING_EVENTS;
      if (isFull) waiting.pop();
      resume();
    };
    waiting.push = (...events) => {
      Array.prototype.push.apply(waiting, events);
      wake();
      return waiting.length;
    };
    const end = () => {
      isOver = true;
      resume();
    };
    wake();
    const undo = add(ends, end);
    signal?.addEventListener("abort", end);
    try {
      while (!isOver && !signal?.aborted) {
        if (waiting.length) yield waiting.shift()!;
        else if (isFull) throw new RequestError("QUEUE_FULL");
        else await new Promise<void>((resolve) => resume = resolve);
      }
    } finally {
      undo();
      signal?.removeEventListener("abort", end);
    }
  }

  /** Sends what waits, as much as the server takes at once. */
  flush(): void {
    const parts = this.#parts;
    for (const [id, each] of this.#pending) {
      const { welcome } = parts;
      if (!welcome || this.#inFlight >= mostInFlight(welcome)) return;
      if (each.sentIn === parts.turn) continue;
      const bytes = new Blob([each.text]).size;
      const most = welcome.limits.maxMessageBytes;
      if (bytes > most) {
        this.#refuse(id, "MESSAGE_TOO_LARGE", `${bytes} bytes`);
        continue;
      }
      each.sentIn = parts.turn;
      each.age ??= stopwatch();
      this.#inFlight++;
      after(parts, `@${id}`, REQUEST_TIMEOUT_MS, () => {
        this.#refuse(id, "TIMEOUT");
      });
      send(parts, each.text);
    }
  }

  /**
   * Settles the request that a reply answers.
   *
   * @returns whether there is one.
   */
  answered(id: unknown, type: string, payload: object): boolean {
    const answer = this.#settle(id);
    if (type === "error") answer?.reject(new RequestError("INTERNAL", payload));
    else answer?.resolve(payload);
    return !!answer;
  }

  #settle(id: unknown): Deferred<unknown> | undefined {
    const parts = this.#parts;
    const each = this.#pending.get(id as string);
    if (!each) return;
    this.#pending.delete(id as string);
    each.unwatch();
    stop(parts, `@${id}`);
    if (each.sentIn === parts.turn) this.#inFlight--;
    this.flush();
    return each.answer;
  }

  #refuse(id: string, code: Failure["code"], message?: string): void {
    this.#settle(id)?.reject(this.#failed(code, message));
  }

  /** Notes a failure in the state. */
  #failed(code: Failure["code"], message: string = code): RequestError {
    stirred(this.#parts);
    return this.#parts.core.lastError = new RequestError(code, { message });
  }

  /**
   * The connection is lost.
   *
   * @param isFinal whether all are refused.
   */
  lost(isFinal: boolean): void {
    this.#inFlight = 0;
    for (const [id, each] of this.#pending) {
      if (isFinal) this.#refuse(id, "CLOSED");
      else if (!each.max || each.age?.()! > MAX_RESEND_MS) {
        this.#refuse(id, "CONNECTION_LOST");
      }
    }
  }
}

/** The other half is for the client's own commands. */
function mostInFlight({ limits }: ReplyPayload<"connected">): number {
  return limits.maxCommandsInFlight / 2;
}

/**
 * Whether a list should be sent in two halves: in UTF-8 a character takes up
 * to three bytes, the fourth is for the envelope.
 */
function isTooLong(
  { welcome }: Parts,
  list: readonly unknown[],
): boolean {
  return JSON.stringify(list).length * 4 >
    (welcome?.limits.maxMessageBytes ?? DEFAULT_MESSAGE_BYTES);
}
