/**
 * JSON-RPC to a node, over a WebSocket or over HTTP. Every request has a
 * deadline, and whatever a node sends passes one guard before it is used.
 *
 * @module
 */
import { z } from "zod";
import type { Clock } from "../platform/clock.ts";
import { TimedOut, within } from "../platform/deadline.ts";
import { NodeFault } from "./evm_view.ts";

/** How long a node may take to open a socket, in milliseconds. */
export const CONNECT_TIMEOUT_MS = 10_000;
/** How long a node may take to answer a request, in milliseconds. */
export const ANSWER_TIMEOUT_MS = 15_000;
/** How long a node may take to close a socket, in milliseconds. */
const CLOSE_TIMEOUT_MS = 1_000;
/** Most requests of one connection that wait for an answer. */
export const MAX_OUTSTANDING = 1_024;
/** Longest answer over HTTP, in bytes; the platform bounds frames alike. */
export const MAX_ANSWER_BYTES = 64 * 1024 * 1024;

/** What a connection to a node needs. */
export interface RpcOptions {
  /** `ws:`, `wss:`, `http:` or `https:`; may hold a provider's key. */
  readonly url: string;
  /** Measures deadlines. */
  readonly clock: Pick<Clock, "after">;
  /** Ends connecting, and all requests. */
  readonly signal: AbortSignal;
  /** Called with each notice of a subscription; must not throw. */
  readonly onNotice: (subscription: string, result: unknown) => void;
  /** Called once when an open connection ends. */
  readonly onClosed: () => void;
}

/** A connection to a node. */
export interface JsonRpc {
  /** Whether the node can send notices of subscriptions. */
  readonly pushes: boolean;
  /**
   * Calls a method.
   *
   * @returns the result, unchecked: anything that JSON can hold.
   * @throws {NodeFault} when the node refuses, answers nonsense or is late.
   * @throws the signal's reason when it is aborted.
   */
  ask(method: string, ...params: unknown[]): Promise<unknown>;
  /** Ends the connection; requests under way fail. */
  close(): Promise<void>;
}

/** Opens a connection to a node. */
export type OpenRpc = (options: RpcOptions) => Promise<JsonRpc>;

const Failure = z.looseObject({
  code: z.unknown().optional(),
  message: z.unknown().optional(),
});

/** An answer to a request; `id` is ours. */
const Answer = z.looseObject({
  id: z.int(),
  result: z.unknown().optional(),
  error: z.unknown().optional(),
});

/** A notice of a subscription. */
const Notice = z.looseObject({
  method: z.literal("eth_subscription"),
  params: z.looseObject({
    subscription: z.string().max(256),
    result: z.unknown().optional(),
  }),
});

/**
 * Opens a connection of the kind that the URL names.
 *
 * @param options the node's address, deadlines, and who receives notices.
 * @throws when the node cannot be reached.
 */
export const openRpc: OpenRpc = (options) =>
  /^wss?:/.test(options.url)
    ? SocketRpc.open(options)
    : Promise.resolve(new HttpRpc(options));

function faultOf(method: string, error: unknown): NodeFault {
  const { data } = Failure.safeParse(error);
  const text = typeof data?.message === "string" ? data.message : "refused";
  return new NodeFault(`${method}: ${text.slice(0, 200)}`, data?.code);
}

/** The result in an answer; a node may send both, or neither. */
function resultOf(method: string, answer: z.output<typeof Answer>): unknown {
  if (answer.error !== undefined && answer.error !== null) {
    throw faultOf(method, answer.error);
  }
  return answer.result;
}

/** Waits for an answer; a late one is the node's fault. */
async function inTime<T>(
  { clock, signal }: RpcOptions,
  method: string,
  work: Promise<T>,
): Promise<T> {
  try {
    return await within(clock, ANSWER_TIMEOUT_MS, method, work, signal);
  } catch (error) {
    if (error instanceof TimedOut) throw new NodeFault(error.message);
    throw error;
  }
}

class SocketRpc implements JsonRpc {
  readonly pushes = true;
  readonly #options: RpcOptions;
  readonly #socket: WebSocket;
  readonly #waiting = new Map<
    number,
    (answer: z.output<typeof Answer>) => void
  >();
  readonly #lost = Promise.withResolvers<never>();
  readonly #closed = Promise.withResolvers<void>();
  #lastId = 0;

  private constructor(options: RpcOptions, socket: WebSocket) {
    this.#options = options;
    this.#socket = socket;
    this.#lost.promise.catch(() => {});
    socket.onmessage = ({ data }) => this.#receive(data);
    socket.onerror = () => {};
    socket.onclose = () => {
      this.#end();
      this.#closed.resolve();
    };
  }

  static async open(options: RpcOptions): Promise<JsonRpc> {
    const { clock, signal } = options;
    const socket = new WebSocket(options.url);
    const opened = Promise.withResolvers<void>();
    socket.onopen = () => opened.resolve();
    socket.onerror = () => {};
    socket.onclose = () => opened.reject(new Error("Node cannot be reached"));
    try {
      const what = "Opening a socket to the node";
      await within(clock, CONNECT_TIMEOUT_MS, what, opened.promise, signal);
    } catch (error) {
      opened.promise.catch(() => {});
      socket.onopen = () => socket.close();
      socket.close();
      throw error;
    }
    return new SocketRpc(options, socket);
  }

  async ask(method: string, ...params: unknown[]): Promise<unknown> {
    if (this.#waiting.size >= MAX_OUTSTANDING) {
      throw new NodeFault(`${method}: too many requests wait for an answer`);
    }
    if (this.#socket.readyState !== WebSocket.OPEN) {
      throw new Error("Connection to the node was lost");
    }
    const id = ++this.#lastId;
    const answer = new Promise<z.output<typeof Answer>>((resolve) =>
      this.#waiting.set(id, resolve)
    );
    try {
      const text = JSON.stringify({ jsonrpc: "2.0", id, method, params });
      this.#socket.send(text);
      const either = Promise.race([answer, this.#lost.promise]);
      return resultOf(method, await inTime(this.#options, method, either));
    } finally {
      this.#waiting.delete(id);
    }
  }

  async close(): Promise<void> {
    this.#end();
    if (this.#socket.readyState === WebSocket.CLOSED) return;
    this.#socket.close();
    const { clock } = this.#options;
    await within(clock, CLOSE_TIMEOUT_MS, "Closing", this.#closed.promise)
      .catch(() => {});
  }

  /** Takes what the node sent: an answer, a notice, or nothing usable. */
  #receive(data: unknown): void {
    let value: unknown;
    try {
      value = JSON.parse(String(data));
    } catch {
      return;
    }
    const answer = Answer.safeParse(value);
    if (answer.success) {
      this.#waiting.get(answer.data.id)?.(answer.data);
      return;
    }
    const notice = Notice.safeParse(value);
    if (!notice.success) return;
    const { subscription, result } = notice.data.params;
    this.#options.onNotice(subscription, result);
  }

  #end(): void {
    this.#lost.reject(new Error("Connection to the node was lost"));
    this.#options.onClosed();
  }
}

class HttpRpc implements JsonRpc {
  readonly pushes = false;
  readonly #options: RpcOptions;
  readonly #end = new AbortController();
  #waiting = 0;
  #lastId = 0;

  constructor(options: RpcOptions) {
    this.#options = options;
  }

  async ask(method: string, ...params: unknown[]): Promise<unknown> {
    if (this.#waiting >= MAX_OUTSTANDING) {
      throw new NodeFault(`${method}: too many requests wait for an answer`);
    }
    this.#waiting++;
    const late = new AbortController();
    const { signal } = this.#options;
    const end = AbortSignal.any([signal, late.signal, this.#end.signal]);
    try {
      const id = ++this.#lastId;
      const body = JSON.stringify({ jsonrpc: "2.0", id, method, params });
      const work = this.#post(method, body, end);
      return resultOf(method, await inTime(this.#options, method, work));
    } finally {
      this.#waiting--;
      late.abort();
    }
  }

  close(): Promise<void> {
    this.#end.abort(new Error("Connection to the node was ended"));
    return Promise.resolve();
  }

  async #post(
    method: string,
    body: string,
    signal: AbortSignal,
  ): Promise<z.output<typeof Answer>> {
    let response: Response;
    let text: string;
    try {
      response = await fetch(this.#options.url, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body,
        redirect: "error",
        signal,
      });
      text = await boundedText(response);
    } catch (error) {
      if (error instanceof NodeFault) throw error;
      signal.throwIfAborted();
      // The error may name the URL, and so a provider's key.
      throw new NodeFault(`${method}: node cannot be reached`);
    }
    try {
      return Answer.parse(JSON.parse(text));
    } catch {
      throw new NodeFault(`${method}: HTTP ${response.status} without answer`);
    }
  }
}

/** The body as text, up to {@link MAX_ANSWER_BYTES}. */
async function boundedText(response: Response): Promise<string> {
  const decoder = new TextDecoder();
  let bytes = 0;
  let text = "";
  for await (const chunk of response.body ?? []) {
    bytes += chunk.byteLength;
    if (bytes > MAX_ANSWER_BYTES) {
      throw new NodeFault(`Answer is longer than ${MAX_ANSWER_BYTES} bytes`);
    }
    text += decoder.decode(chunk, { stream: true });
  }
  return text + decoder.decode();
}
