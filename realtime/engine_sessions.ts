/**
 * The Engine.IO connections of one instance, and the forwarding of requests to
 * the other instances of its process: a poll may reach any of them, and the
 * session's name contains its owner.
 *
 * @module
 */
import type { Clock } from "../platform/clock.ts";
import { Shares } from "../platform/shares.ts";
import { Refusal, REFUSALS } from "../protocol/refusals.ts";
import type { RefusalCode } from "../protocol/refusals.ts";
import type { EngineConnection } from "./engine_io.ts";

/** Deadline for another instance to confirm that it owns a name, in milliseconds. */
export const TAKEN_MS = 2_000;
/**
 * How long a forwarded request may take, in milliseconds: longer than a poll,
 * which every ping ends.
 */
export const FORWARD_MS = 60_000;
/** Most requests forwarded at a time. */
export const MAX_FORWARDS = 4_096;
/** Most requests forwarded at a time for one address. */
export const MAX_FORWARDS_PER_ADDRESS = 512;
/** When to retry after the limit was reached, in milliseconds. */
const RETRY_MS = 1_000;
/** Random bytes of a name, so that it cannot be guessed. */
const SECRET_BYTES = 18;

/** A name: its instance, and a secret in base64url. */
const SID = /^([\w-]{1,64})\.([\w-]{24})$/;

/** A client's request to its connection. */
export type EngineRequest =
  | { readonly kind: "poll" }
  | { readonly kind: "post"; readonly body: string };

/** Messages between instances. */
type Post =
  & {
    readonly to: string;
    readonly from: string;
    readonly number: number;
  }
  & (
    | {
      readonly kind: "poll" | "post" | "abandon";
      readonly sid: string;
      readonly body: string;
    }
    | { readonly kind: "taken" }
    | { readonly kind: "answer"; readonly body: string }
    | {
      readonly kind: "refusal";
      readonly code: RefusalCode;
      readonly message: string;
    }
  );

/** A request that another instance must answer. */
interface Forward {
  readonly answer: (body: string) => void;
  readonly refuse: (error: Refusal) => void;
  readonly taken: () => void;
}

/** Parts that the connections of an instance need. */
export interface EngineSessionsParts {
  /** Unique name of the instance. */
  readonly instance: string;
  /** Time, for deadlines. */
  readonly clock: Clock;
  /** Number of instances in the process; with 1, no request is forwarded. */
  readonly instances: number;
  /** Name of the channel between them. */
  readonly channel?: string;
}

/** Finds connections by name. */
export class EngineSessions implements Disposable {
  readonly #parts: EngineSessionsParts;
  readonly #connections = new Map<string, EngineConnection>();
  readonly #forwards = new Map<number, Forward>();
  readonly #shares = new Shares({
    each: MAX_FORWARDS_PER_ADDRESS,
    all: MAX_FORWARDS,
  });
  #channel: BroadcastChannel | undefined;
  #number = 0;
  #open = true;

  /** Empty; exchanges messages with other instances from the first connection. */
  constructor(parts: EngineSessionsParts) {
    this.#parts = parts;
  }

  /** Number of connections. */
  get size(): number {
    return this.#connections.size;
  }

  /** Makes a name for a connection. */
  newSid(): string {
    const secret = crypto.getRandomValues(new Uint8Array(SECRET_BYTES))
      .toBase64({ alphabet: "base64url" });
    return `${this.#parts.instance}.${secret}`;
  }

  /** Registers a connection until {@link remove}. */
  add(connection: EngineConnection): void {
    this.#connections.set(connection.sid, connection);
    this.#join();
  }

  /** Removes a connection. */
  remove({ sid }: EngineConnection): void {
    this.#connections.delete(sid);
  }

  /** The connection of that name, if this instance has it. */
  get(sid: string): EngineConnection | undefined {
    return this.#connections.get(sid);
  }

  /**
   * Sends a request to a connection of this or another instance.
   *
   * @param sid its name.
   * @param address is charged for forwarded requests.
   * @param signal aborts when the client does.
   * @returns the answer for the client.
   * @throws {Refusal} `INVALID_MESSAGE` when no instance has it, or when it
   * refuses the request; `RATE_LIMITED` when too many are forwarded.
   */
  async ask(
    sid: string,
    request: EngineRequest,
    { address, signal }: { address: string; signal: AbortSignal },
  ): Promise<string> {
    const here = this.#connections.get(sid);
    if (here) return await answered(here, request, signal);
    const owner = SID.exec(sid)?.[1];
    const { instance, instances } = this.#parts;
    if (owner === undefined || owner === instance || instances < 2) {
      throw unknown();
    }
    if (this.#shares.excess(address, 1)) {
      throw new Refusal("RATE_LIMITED", "Too many polls land elsewhere", {
        retryAfterMs: RETRY_MS,
      });
    }
    this.#shares.hold(address, 1);
    try {
      return await this.#forward(owner, sid, request, signal);
    } finally {
      this.#shares.hold(address, -1);
    }
  }

  /** Ends all connections, and the exchange with other instances. */
  [Symbol.dispose](): void {
    this.#open = false;
    for (const connection of [...this.#connections.values()]) {
      connection.abandon();
    }
    for (const { refuse } of this.#forwards.values()) refuse(unknown());
    this.#channel?.close();
  }

  #join(): void {
    const { channel = "kaldrix-engine-io", instances } = this.#parts;
    if (this.#channel || instances < 2 || !this.#open) return;
    this.#channel = new BroadcastChannel(channel);
    this.#channel.onmessage = ({ data }) => this.#accept(data);
  }

  #forward(
    owner: string,
    sid: string,
    request: EngineRequest,
    signal: AbortSignal,
  ): Promise<string> {
    this.#join();
    const { clock } = this.#parts;
    const number = ++this.#number;
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    const body = request.kind === "post" ? request.body : "";
    const post = (kind: "poll" | "post" | "abandon", body = "") =>
      this.#post({ to: owner, number, kind, sid, body });
    let timer = clock.after(TAKEN_MS, () => reject(unknown()));
    const abandon = () => {
      post("abandon");
      reject(unknown());
    };
    signal.addEventListener("abort", abandon, { once: true });
    this.#forwards.set(number, {
      answer: resolve,
      refuse: reject,
      taken: () => {
        timer[Symbol.dispose]();
        timer = clock.after(FORWARD_MS, () => reject(unknown()));
      },
    });
    post(request.kind, body);
    return promise.finally(() => {
      timer[Symbol.dispose]();
      signal.removeEventListener("abort", abandon);
      this.#forwards.delete(number);
    });
  }

  #accept(data: unknown): void {
    // Another version of this program may be on the same channel.
    if (!isPost(data) || data.to !== this.#parts.instance) return;
    switch (data.kind) {
      case "taken":
        return this.#forwards.get(data.number)?.taken();
      case "answer":
        return this.#forwards.get(data.number)?.answer(data.body);
      case "refusal":
        return this.#forwards.get(data.number)
          ?.refuse(new Refusal(data.code, data.message));
      case "abandon":
        return this.#connections.get(data.sid)?.abandon();
      default:
        return void this.#serve(data);
    }
  }

  /** Answers a request forwarded from another instance. */
  async #serve(
    { from, number, kind, sid, body }: Post & {
      kind: "poll" | "post" | "abandon";
    },
  ): Promise<void> {
    const to = { to: from, number };
    try {
      const here = this.#connections.get(sid);
      if (!here) throw unknown();
      const answer = answered(
        here,
        kind === "post" ? { kind, body } : { kind: "poll" },
      );
      this.#post({ ...to, kind: "taken" });
      this.#post({ ...to, kind: "answer", body: await answer });
    } catch (error) {
      const { code, message } = Refusal.of(error);
      this.#post({ ...to, kind: "refusal", code, message });
    }
  }

  #post(post: Unsent): void {
    if (!this.#open) return;
    this.#channel?.postMessage({ ...post, from: this.#parts.instance });
  }
}

type Unsent = Post extends infer Each
  ? Each extends unknown ? Omit<Each, "from"> : never
  : never;

/** The answer to an accepted body. */
const TAKEN_BODY = "ok";

async function answered(
  connection: EngineConnection,
  request: EngineRequest,
  signal?: AbortSignal,
): Promise<string> {
  if (request.kind === "post") {
    connection.post(request.body);
    return TAKEN_BODY;
  }
  const answer = connection.poll();
  const abandon = () => connection.abandon();
  signal?.addEventListener("abort", abandon, { once: true });
  try {
    return await answer;
  } finally {
    signal?.removeEventListener("abort", abandon);
  }
}

function unknown(): Refusal {
  return new Refusal("INVALID_MESSAGE", "This session is not known");
}

function isPost(data: unknown): data is Post {
  if (typeof data !== "object" || data === null) return false;
  const { to, from, number, kind, sid, body, code } = data as Record<
    string,
    unknown
  >;
  if (typeof to !== "string" || typeof from !== "string") return false;
  if (!Number.isSafeInteger(number)) return false;
  switch (kind) {
    case "poll":
    case "post":
    case "abandon":
      return typeof sid === "string" && typeof body === "string";
    case "taken":
      return true;
    case "answer":
      return typeof body === "string";
    case "refusal":
      return typeof code === "string" && Object.hasOwn(REFUSALS, code);
    default:
      return false;
  }
}
