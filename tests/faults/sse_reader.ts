/**
 * Follows one channel over Server-Sent Events as an `EventSource` does, and
 * writes down everything that it was given.
 *
 * @module
 */
import { pause } from "../server.ts";

/** Longest wait before a lost connection is made again, in milliseconds. */
const RECONNECT_MS = 300;

/** One reader, which comes back with its last position. */
export class SseReader implements AsyncDisposable {
  /** Every event, in the order of its coming. */
  readonly events: { epoch: string; seq: number; id: string }[] = [];
  /** Faults of the service as seen from here. */
  readonly faults: string[] = [];
  /** Gaps that it received. */
  readonly gaps: unknown[] = [];
  readonly #url: string;
  readonly #channel: string;
  readonly #token: string;
  #connected = new AbortController();
  #cancel = () => {};
  #isOver = false;
  readonly #gone: Promise<void>;
  #lastId = "";

  /** Begins to connect. */
  constructor(url: string, channel: string, token: string) {
    this.#url = url;
    this.#channel = channel;
    this.#token = token;
    this.#gone = this.#live();
  }

  /** Whether it has a position. */
  get hasBegun(): boolean {
    return this.#lastId !== "";
  }

  /** Disconnects permanently. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#isOver = true;
    this.#connected.abort();
    this.#cancel();
    await this.#gone;
  }

  async #live(): Promise<void> {
    while (!this.#isOver) {
      try {
        await this.#connection();
      } catch {
        // It is made again.
      }
      if (this.#isOver) return;
      await pause(Math.random() * RECONNECT_MS);
    }
  }

  async #connection(): Promise<void> {
    // One for each: a signal that was used before may not end the next body.
    this.#connected = new AbortController();
    const response = await fetch(`${this.#url}/sse?channels=${this.#channel}`, {
      headers: {
        authorization: `Bearer ${this.#token}`,
        ...(this.#lastId ? { "last-event-id": this.#lastId } : {}),
      },
      signal: this.#connected.signal,
    });
    if (!response.ok) return await response.body?.cancel();
    const decoder = new TextDecoder();
    const reader = response.body!.getReader();
    this.#cancel = () => void reader.cancel().catch(() => {});
    for (let rest = "";;) {
      const { done, value } = await reader.read();
      if (done) return;
      const blocks = (rest + decoder.decode(value, { stream: true }))
        .split("\n\n");
      rest = blocks.pop()!;
      for (const block of blocks) this.#take(block);
    }
  }

  #take(block: string): void {
    const id = /^id: (.*)$/m.exec(block)?.[1];
    if (id !== undefined) this.#lastId = id;
    const data = /^data: (.*)$/m.exec(block)?.[1];
    if (data === undefined) return;
    const frame = JSON.parse(data);
    if (frame.type === "gap") this.gaps.push(frame.payload);
    if (frame.seq === undefined) return;
    const last = this.events.at(-1)?.seq ?? 0;
    if (frame.seq !== last + 1) {
      this.faults.push(`${this.#channel} went from ${last} to ${frame.seq}`);
    }
    if (id !== `${frame.epoch}:${frame.seq}`) {
      this.faults.push(`${frame.seq} has the id ${id}`);
    }
    const { epoch, seq } = frame;
    this.events.push({ epoch, seq, id: frame.id });
  }
}
