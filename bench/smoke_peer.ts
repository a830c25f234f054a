/**
 * One WebSocket of the smoke test, whose frames wait to be asked for.
 *
 * @module
 */

/** How long one step may take, in milliseconds. */
export const STEP_MS = 10_000;

/** A frame, as far as it is looked at. */
export interface Frame {
  /** Which. */
  readonly type: string;
  /** Its content. */
  // deno-lint-ignore no-explicit-any -- frames of any kind are looked into.
  readonly payload: any;
  /** Of events. */
  readonly seq?: number;
  /** Of events. */
  readonly epoch?: string;
  /** Of events from history. */
  readonly replay?: boolean;
  /** Of replies. */
  readonly ref?: string;
}

/** One WebSocket; its frames wait to be asked for. */
export class Peer implements Disposable {
  readonly #socket: WebSocket;
  readonly #frames: Frame[] = [];
  readonly #opened: Promise<void>;
  #wake: () => void = () => {};
  #ended: string | undefined;

  /** Dials. */
  constructor(url: string) {
    this.#socket = new WebSocket(url);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    promise.catch(() => {});
    this.#opened = promise;
    this.#socket.onopen = () => resolve();
    this.#socket.onmessage = ({ data }) => {
      this.#frames.push(JSON.parse(data));
      this.#wake();
    };
    this.#socket.onerror = (event) => {
      reject(new Error((event as ErrorEvent).message || "upgrade failed"));
    };
    this.#socket.onclose = ({ code, reason }) => {
      this.#ended = `closed ${code} ${reason}`;
      reject(new Error(this.#ended));
      this.#wake();
    };
  }

  /** Resolves once open. */
  opened(): Promise<void> {
    return within(STEP_MS, "the upgrade", this.#opened);
  }

  /** Sends a frame, or text as it is. */
  send(frame: unknown): void {
    this.#socket.send(
      typeof frame === "string" ? frame : JSON.stringify(frame),
    );
  }

  /** The next frame that `fits`; others before it are dropped. */
  async next(
    what: string,
    fits: (frame: Frame) => boolean,
    ms: number = STEP_MS,
  ): Promise<Frame> {
    const deadline = performance.now() + ms;
    for (;;) {
      const at = this.#frames.findIndex(fits);
      if (at >= 0) return this.#frames.splice(0, at + 1).at(-1)!;
      if (this.#ended) throw new Error(`${this.#ended} before ${what}`);
      const left = deadline - performance.now();
      if (left <= 0) throw new Error(`${what} did not arrive within ${ms} ms`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }

  /** Closes, if it is open. */
  [Symbol.dispose](): void {
    this.#socket.onclose = null;
    if (this.#socket.readyState <= WebSocket.OPEN) this.#socket.close();
  }
}

/** Whether a frame is of a type. */
export function isType(type: string): (frame: Frame) => boolean {
  return (frame) => frame.type === type;
}

/**
 * What answers the frame named `id`.
 *
 * @throws {Error} the answer is an error.
 */
export async function answer(peer: Peer, id: string): Promise<Frame> {
  const frame = await peer.next(`an answer to ${id}`, ({ ref }) => ref === id);
  if (frame.type !== "error") return frame;
  throw new Error(`${frame.payload.code}: ${frame.payload.message}`);
}

/** Subscribes; returns the answer. */
export async function follow(
  peer: Peer,
  channels: readonly unknown[],
): Promise<Frame> {
  peer.send({ type: "subscribe", id: "s", payload: { channels } });
  return await answer(peer, "s");
}

/** @throws {Error} the frame is not the refusal `code`. */
export function expectCode({ payload }: Frame, code: string): void {
  if (payload.code === code) return;
  throw new Error(`${payload.code} came instead of ${code}`);
}

/**
 * Waits for a promise.
 *
 * @throws {Error} it takes longer than `ms`.
 */
export async function within<T>(
  ms: number,
  what: string,
  promise: Promise<T>,
): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new Error(`${what} did not arrive within ${ms} ms`)),
      ms,
    );
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
