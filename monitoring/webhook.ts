/**
 * Alerts to the outside: JSON, signed, posted until it is accepted.
 *
 * @module
 */
import { backoffMs } from "../platform/backoff.ts";
import type { Clock } from "../platform/clock.ts";
import { pause } from "../platform/pause.ts";
import type { Random } from "../platform/random.ts";

/** Most messages that wait; beyond it the oldest is dropped. */
export const MAX_WAITING = 100;
/** Tries of one message, the first included. */
export const MAX_TRIES = 6;
/** Ceilings of the waits between tries. */
const RETRY = { baseMs: 1_000, capMs: 60_000 } as const;
/** How long the receiver may take to answer, in milliseconds. */
export const ANSWER_TIMEOUT_MS = 10_000;
/** Carries the signature: `v1=` and HMAC-SHA256 in hex. */
export const SIGNATURE_HEADER = "x-kaldrix-signature";
/** Carries when it was signed, in seconds since the Unix epoch. */
export const TIMESTAMP_HEADER = "x-kaldrix-timestamp";
/** Carries the id of the message, the same at each try. */
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
  /** Writes a line about each message that could not be delivered. */
  log: (event: string, fields: Readonly<Record<string, unknown>>) => void;
  /** Posts; the machine's own `fetch` when omitted. */
  fetch?: typeof fetch;
  /** Uniform in [0, 1), for jitter. */
  random?: Random;
}

interface Message {
  readonly id: string;
  readonly body: string;
}

/** Posts messages one after another; the sender never waits. */
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

  /** Messages dropped because too many waited. */
  get dropped(): number {
    return this.#dropped;
  }

  /**
   * Queues a message.
   *
   * @param id by which a receiver recognises a repeated delivery.
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

  /** Drops what was not sent yet. */
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
    const { log, clock, random } = this.#options;
    const { signal } = this.#stop;
    let outcome = "";
    for (let tries = 1; tries <= MAX_TRIES && !signal.aborted; tries++) {
      if (tries > 1) {
        await pause(clock, backoffMs(tries - 2, RETRY, random), signal);
        if (signal.aborted) break;
      }
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
      if (ok) return { done: true, text: "accepted" };
      const maySucceed = status >= 500 || status === 408 || status === 429;
      const word = maySucceed ? "failed" : "refused";
      return { done: false, text: `${word} with ${status}` };
    } catch (error) {
      const name = error instanceof Error ? error.name : "unknown";
      return { done: false, text: `unreachable: ${name}` };
    }
  }
}

/**
 * The key that signs, derived so that its holder cannot make tokens:
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

/**
 * Opens the webhook that the settings name.
 *
 * @param url where it is; none when absent.
 * @param secrets of the service: the first one signs.
 * @param parts what it needs besides.
 */
export function openWebhook(
  url: string | undefined,
  secrets: readonly string[],
  parts: Omit<WebhookOptions, "url" | "key">,
): Webhook | undefined {
  if (url === undefined) return undefined;
  const [secret] = secrets;
  const key = secret === undefined ? undefined : webhookKey(secret);
  return new Webhook({ url, key, ...parts });
}
