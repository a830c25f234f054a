/**
 * The link between the isolates of one process.
 *
 * @module
 */
import { isEntry } from "../store/entry.ts";
import type { Entry } from "../store/entry.ts";
import type { Hint, Link, LinkObserver } from "./link.ts";

/** A post on the channel: numbered, so that a lost one is noticed. */
interface Post {
  readonly from: string;
  readonly number: number;
  readonly events: readonly Entry[];
}

/** Most senders whose numbers are stored; the oldest are dropped. */
export const MAX_SENDERS = 256;

/**
 * Carries the events themselves over a `BroadcastChannel`: fast between the
 * isolates of one process, where the backlog holds 256 posts and silently drops
 * the rest. Hence one channel, one post per commit, a number on each.
 */
export class BroadcastLink implements Link {
  readonly #channel: BroadcastChannel;
  readonly #from: string;
  readonly #observer: LinkObserver;
  readonly #numbers = new Map<string, number>();
  #number = 0;
  #open = true;
  #listener: (hint: Hint) => void = () => {};

  /**
   * Joins.
   *
   * @param name shared by the isolates that exchange events.
   * @param from unique name of this instance.
   * @param observer called with posts.
   */
  constructor(name: string, from: string, observer: LinkObserver = {}) {
    this.#from = from;
    this.#observer = observer;
    this.#channel = new BroadcastChannel(name);
    this.#channel.onmessage = ({ data }) => this.#accept(data);
  }

  /** Posts the events of one commit. */
  publish(events: readonly Entry[]): void {
    if (!this.#open) return;
    const post: Post = { from: this.#from, number: ++this.#number, events };
    this.#channel.postMessage(post);
    this.#observer.posted?.("broadcast");
  }

  /** Whether posts of the instance of that name have arrived. */
  reaches(from: string): boolean {
    return this.#numbers.has(from);
  }

  /** Registers the listener. */
  receive(listener: (hint: Hint) => void): void {
    this.#listener = listener;
  }

  /** Leaves; nothing is received any more. */
  [Symbol.dispose](): void {
    this.#open = false;
    this.#listener = () => {};
    this.#channel.close();
  }

  #accept(data: unknown): void {
    // Another version of this program may be on the same channel.
    if (!isPost(data)) return;
    const before = this.#numbers.get(data.from) ?? 0;
    this.#numbers.delete(data.from);
    this.#numbers.set(data.from, data.number);
    for (const from of this.#numbers.keys()) {
      if (this.#numbers.size <= MAX_SENDERS) break;
      this.#numbers.delete(from);
    }
    const incomplete = data.number !== before + 1;
    this.#observer.received?.("broadcast", incomplete);
    this.#listener({ events: data.events, incomplete });
  }
}

function isPost(data: unknown): data is Post {
  if (typeof data !== "object" || data === null) return false;
  const { from, number, events } = data as Partial<Post>;
  return typeof from === "string" && isNumber(number) &&
    Array.isArray(events) && events.every(isEntry);
}

function isNumber(value: unknown): value is number {
  return Number.isSafeInteger(value) && value as number > 0;
}
