/**
 * The client as development builds load it: it warns once of each mistake that
 * the compiler would have found, or that would pass in silence.
 *
 * @module
 */
import { connect as connectAsIs } from "./client.ts";
import type { Client, Failure, Options } from "./client.ts";
import type { CarriedTypes } from "./client.ts";
import type { MessageType } from "../protocol/messages.ts";
import type { ReplyType } from "../protocol/replies.ts";

export { RequestError } from "./client.ts";
export type * from "./client.ts";

/** Every option. */
const OPTIONS: Record<keyof Options, true> = {
  url: true,
  autoReconnect: true,
  reconnectInterval: true,
  maxReconnectAttempts: true,
  enableThrottle: true,
  throttleTime: true,
  enableDebounce: true,
  debounceTime: true,
  auth: true,
  batch: true,
  compress: true,
  shared: true,
  offlineQueue: true,
  client: true,
  onError: true,
  fallback: true,
  WebSocket: true,
};

/** Every type of event. */
const EVENTS: Record<MessageType, true> = {
  NEW_BLOCK: true,
  BLOCK_REVERTED: true,
  FINALITY: true,
  CHAIN_RESET: true,
  DAG_UPDATE: true,
  VALIDATOR_EVENT: true,
  TX_RECEIVED: true,
  BLOCK_COMPLETE: true,
  TX_LOGS: true,
  LOGS_REVERTED: true,
  NODE_STATUS: true,
  ALERT_TRIGGERED: true,
  METRICS_UPDATE: true,
  ROOM_MESSAGE: true,
  TEST: true,
};

/** Every reply, which tools may listen to as well. */
const REPLIES: Record<ReplyType, true> = {
  connected: true,
  subscribed: true,
  snapshot: true,
  unsubscribed: true,
  watched: true,
  progress: true,
  refreshed: true,
  metrics_response: true,
  data_response: true,
  query_result: true,
  block_response: true,
  tracked: true,
  tx_state: true,
  published: true,
  pong: true,
  error: true,
  gap: true,
  token_expiring: true,
  draining: true,
};

/** Every channel that always exists, and its aliases. */
const CHANNELS: Record<keyof CarriedTypes, true> = {
  blocks: true,
  dag: true,
  validators: true,
  validator_updates: true,
  transactions: true,
  logs: true,
  nodes: true,
  alerts: true,
  metrics: true,
};

/** Most characters by which a name may be off to be taken for another. */
const MAX_DISTANCE = 2;

const warned = new Set<string>();

/** Warns once of one mistake. */
function warn(text: string): void {
  if (warned.has(text)) return;
  warned.add(text);
  // deno-lint-ignore no-console -- for the developer, who looks there
  console.warn(`KALDRIX: ${text}`);
}

/**
 * Connects, as the client does, and warns of mistakes.
 *
 * @param url as `options.url`, which it overrides.
 * @param options how.
 * @throws {TypeError} the URL is none, or there is no page to complete it.
 */
export function connect(url?: string, options: Options = {}): Client {
  for (const name of Object.keys(options)) {
    if (!(name in OPTIONS)) {
      warn(`there is no option "${name}"${guess(name, OPTIONS)}`);
    }
  }
  const client = connectAsIs(url, options);

  function listen(type: string): void {
    if (type in EVENTS || type in REPLIES) return;
    if (isChannel(type)) {
      warn(
        `subscribe("${type}") never fires: it takes a type such as NEW_BLOCK. To join the channel, call joinChannel("${type}")`,
      );
    } else warn(`no message has the type "${type}"${guess(type, EVENTS)}`);
  }

  function join(name: string): void {
    if (isChannel(name)) return;
    const hint = name in EVENTS
      ? `: it is a type of message, for subscribe("${name}")`
      : guess(name, CHANNELS);
    warn(`there is no channel "${name}"${hint}`);
  }

  const watched = {
    subscribe: (type: never, handler: never) => {
      listen(type);
      return client.subscribe(type, handler);
    },
    joinChannel: (name: never, joining: never) => {
      join(name);
      client.joinChannel(name, joining);
    },
    channel: (name: never, joining: never) => {
      join(name);
      return client.channel(name, joining);
    },
    sendMessage: (message: never, sending: never) =>
      awaited("sendMessage", client.sendMessage(message, sending)),
    sendBatch: (messages: never, sending: never) =>
      awaited("sendBatch", client.sendBatch(messages, sending)),
    request: (verb: never, ...rest: never[]) =>
      awaited("request", client.request(verb, ...rest as [never])),
  };
  return Object.create(
    client,
    Object.getOwnPropertyDescriptors({
      ...watched,
      on: watched.subscribe,
      batch: watched.sendBatch,
    }),
  );
}

function isChannel(name: string): boolean {
  return name in CHANNELS || name.startsWith("room:");
}

/** A promise that records whether it is awaited. */
class Looked<T> extends Promise<T> {
  isLooked = false;

  static override get [Symbol.species](): PromiseConstructor {
    return Promise;
  }

  override then<A = T, B = never>(
    ...given: Parameters<Promise<T>["then"]>
  ): Promise<A | B> {
    this.isLooked = true;
    return super.then(...given) as Promise<A | B>;
  }
}

/** The same promise; warns when it is refused and nothing awaits it. */
function awaited<T>(verb: string, answer: Promise<T>): Promise<T> {
  const looked = new Looked<T>((resolve) => resolve(answer));
  answer.catch(({ code, message }: Failure) => {
    // `await` looks a moment later.
    setTimeout(() => {
      if (looked.isLooked) return;
      warn(
        `${verb}() was refused with ${code} (${message}), and nothing handles it: await it, or add .catch()`,
      );
    });
  });
  Promise.prototype.then.call(looked, undefined, () => {});
  return looked;
}

/** Which name may be meant. */
function guess(name: string, known: object): string {
  const [best] = Object.keys(known)
    .map((each) => ({ each, off: distance(name, each) }))
    .sort((a, b) => a.off - b.off);
  return best && best.off <= MAX_DISTANCE
    ? `: did you mean "${best.each}"?`
    : "";
}

/** Characters to insert, delete or replace. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      next.push(Math.min(
        row[j]! + 1,
        next[j - 1]! + 1,
        row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1),
      ));
    }
    row = next;
  }
  return row[b.length]!;
}
