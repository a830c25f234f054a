/**
 * Telling the outside: JSON, signed, posted until it is taken.
 *
 * @module
 */
import type { Clock } from "../platform/clock.ts";

/** Most messages that wait; the oldest make room. */
export const MAX_WAITING = 100;
/** Tries of one message, the first included. */
export const MAX_TRIES = 6;
/** Longest wait before the first retry, in milliseconds; it doubles. */
export const FIRST_RETRY_MS = 1_000;
/** Longest wait before any retry, in milliseconds. */
export const MAX_RETRY_MS = 60_000;
/** How long the receiver may take to answer, in milliseconds. */
export const ANSWER_TIMEOUT_MS = 10_000;
/** Carries the signature: `v1=` and HMAC-SHA256 in hex. */
export const SIGNATURE_HEADER = "x-kaldrix-signature";
/** Carries when it was signed, in seconds since the Unix epoch. */
export const TIMESTAMP_HEADER = "x-kaldrix-timestamp";
/** Carries the message's name, the same at each try. */
export const DELIVERY_HEADER = "x-kaldrix-delivery";
/** What the key is derived for. */
const PURPOSE = "kaldrix alert webhook";

/** What a webhook needs. */
export interface WebhookOptions {
  /** Where to post; what follows its origin is never logged. */
  url: string;
  /** Signs, as {@link webhookKey} made it; unsigned when absent. */
  key: Promise<string> | undefined;
  /** Time, for retries and signatures. */
  clock: Clock;
  /** Hears what became of messages. */
  log: (event: string, fields: Readonly<Record<string, unknown>>) => void;
  /** Posts; the machine's own `fetch` when omitted. */
  fetch?: typeof fetch;
  /** Uniform in [0, 1), for jitter. */
  random?: () => number;
}

interface Message {
  readonly id: string;
  readonly body: string;
}

/** Posts messages one after another; whoever sends never waits. */
export class Webhook implements AsyncDisposable {
  readonly #options: WebhookOptions;
  readonly #stop = new AbortController();
  readonly #waiting: Message[] = [];
  #dropped = 0;
  #working: Promise<void> | undefined;

  /** Nothing runs while there is nothing to send. */
  constructor(options: WebhookOptions) {
    this.#options = options;
  }

  /** Messages that had to make room for others. */
  get dropped(): number {
    return this.#dropped;
  }

  /**
   * Sends a message, some time.
   *
   * @param id its name, by which a receiver knows it again.
   * @param body what is posted as JSON.
   */
  send(id: string, body: object): void {
    if (this.#stop.signal.aborted) return;
    if (this.#waiting.length >= MAX_WAITING) {
      this.#waiting.shift();
      this.#dropped++;
    }
    this.#waiting.push({ id, body: JSON.stringify(body) });
    this.#working ??= this.#work();
  }

  /** Gives up what was not sent yet. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#working;
  }

  async #work(): Promise<void> {
    const { signal } = this.#stop;
    while (this.#waiting.length > 0 && !signal.aborted) {
      await this.#deliver(this.#waiting.shift()!);
    }
    this.#working = undefined;
  }

  async #deliver(message: Message): Promise<void> {
    const { log } = this.#options;
    const { signal } = this.#stop;
    let outcome = "";
    for (let tries = 1; tries <= MAX_TRIES && !signal.aborted; tries++) {
      if (tries > 1) await this.#pause(tries - 1);
      if (signal.aborted) break;
      const { done, text } = await this.#post(message);
      outcome = text;
      if (done) return;
      if (text.startsWith("refused")) break;
    }
    const { origin } = new URL(this.#options.url);
    log("webhook_failed", { delivery: message.id, origin, outcome });
  }

  async #post(
    { id, body }: Message,
  ): Promise<{ done: boolean; text: string }> {
    const { url, key, clock, fetch: post = fetch } = this.#options;
    const timestamp = String(Math.floor(clock.now() / 1_000));
    const headers = new Headers({
      "content-type": "application/json",
      [TIMESTAMP_HEADER]: timestamp,
      [DELIVERY_HEADER]: id,
    });
    if (key !== undefined) {
      const signature = await hmac(await key, `${timestamp}.${body}`);
      headers.set(SIGNATURE_HEADER, `v1=${signature}`);
    }
    const late = new AbortController();
    using _timer = clock.after(ANSWER_TIMEOUT_MS, () => late.abort());
    try {
      const response = await post(url, {
        method: "POST",
        headers,
        body,
        redirect: "error",
        signal: AbortSignal.any([this.#stop.signal, late.signal]),
      });
      await response.body?.cancel();
      const { status, ok } = response;
      if (ok) return { done: true, text: "taken" };
      const maySucceed = status >= 500 || status === 408 || status === 429;
      const word = maySucceed ? "failed" : "refused";
      return { done: false, text: `${word} with ${status}` };
    } catch (error) {
      const name = error instanceof Error ? error.name : "unknown";
      return { done: false, text: `unreachable: ${name}` };
    }
  }

  #pause(tries: number): Promise<void> {
    const { clock, random = Math.random } = this.#options;
    const ceiling = Math.min(MAX_RETRY_MS, FIRST_RETRY_MS * 2 ** (tries - 1));
    const { signal } = this.#stop;
    return new Promise((resolve) => {
      const end = () => {
        timer[Symbol.dispose]();
        signal.removeEventListener("abort", end);
        resolve();
      };
      const timer = clock.after(Math.ceil(ceiling * (0.5 + random() / 2)), end);
      signal.addEventListener("abort", end);
    });
  }
}

/**
 * The key that signs, derived so that who knows it cannot make tokens:
 * `printf 'kaldrix alert webhook' | openssl dgst -sha256 -hmac "$JWT_SECRET"`.
 *
 * @param secret the first of `JWT_SECRET`.
 * @returns 64 hexadecimal digits, used as text.
 */
export function webhookKey(secret: string): Promise<string> {
  return hmac(secret, PURPOSE);
}

async function hmac(key: string, text: string): Promise<string> {
  const encoder = new TextEncoder();
  const algorithm = { name: "HMAC", hash: "SHA-256" };
  const imported = await crypto.subtle.importKey(
    "raw",
    encoder.encode(key),
    algorithm,
    false,
    ["sign"],
  );
  const bytes = await crypto.subtle.sign(
    "HMAC",
    imported,
    encoder.encode(text),
  );
  return new Uint8Array(bytes).toHex();
}
