/**
 * A client that only listens: the streams of a session without its verbs.
 *
 * @module
 */
import type { Subscription } from "../protocol/commands.ts";
import { encodeReply } from "../protocol/encode.ts";
import { Refusal } from "../protocol/refusals.ts";
import type { RefusalCode } from "../protocol/refusals.ts";
import type { Identity, ReplyPayload, ReplyType } from "../protocol/replies.ts";
import type { Principal } from "../security/principal.ts";
import type { Clock } from "../platform/clock.ts";
import type { Hub } from "./hub.ts";
import { Outbox } from "./outbox.ts";
import type { Peer } from "./outbox.ts";
import type { Connection } from "./sessions.ts";
import { follow } from "./subscription.ts";

/** Longest wait of one timer, in milliseconds. */
const MAX_TIMER_MS = 24 * 3_600_000;

/** Where a feed goes. */
export interface SsePeer extends Peer {
  /** Ends the connection; does nothing once it has ended. */
  close(): void;
}

/** What feeds need of the machine around them. */
export interface SseSessionParts {
  /** Opens channels. */
  hub: Hub;
  /** Time, for tokens and stalls. */
  clock: Clock;
  /** Names for feeds and frames. */
  nextId: (now: number) => string;
  /** Hears of refusals, by code. */
  refused?: ((code: RefusalCode) => void) | undefined;
}

/** One listener. */
export class SseSession implements Connection {
  /** Unique name. */
  readonly id: string;
  /** When it began, in epoch milliseconds. */
  readonly since: number;
  /** Listeners do not say what they are. */
  readonly client: undefined;
  readonly #peer: SsePeer;
  readonly #parts: SseSessionParts;
  readonly #principal: Principal;
  readonly #outbox: Outbox;
  #expiry: Disposable | undefined;
  #open = true;
  #onEnd: (why?: RefusalCode | number) => void = () => {};

  /** Waits for {@link follow}. */
  constructor(peer: SsePeer, parts: SseSessionParts, principal: Principal) {
    this.#peer = peer;
    this.#parts = parts;
    this.#principal = principal;
    this.since = parts.clock.now();
    this.id = parts.nextId(this.since);
    this.#outbox = new Outbox(peer, parts.hub.outboxParts, () => {
      this.disconnect("SLOW_CONSUMER");
    });
    if (principal.expiresAt !== undefined) {
      this.#watchToken(principal.expiresAt);
    }
  }

  /** Who the client is. */
  get identity(): Identity {
    return this.#principal.identity;
  }

  /** Whether its token was revoked since. */
  get isRevoked(): boolean {
    return this.#principal.isRevoked();
  }

  /** The channels it follows, where it stands in them and how far behind. */
  get positions(): ReturnType<Outbox["positions"]> {
    return this.#outbox.positions();
  }

  /** Names who hears, once, that the feed has ended. */
  onEnd(listener: (why?: RefusalCode | number) => void): void {
    this.#onEnd = listener;
  }

  /**
   * Begins; what became of each channel is said in `subscribed`.
   *
   * @throws {Refusal} `STORE_UNAVAILABLE`, or why no channel at all can be
   * followed.
   */
  async follow(subscriptions: readonly Subscription[]): Promise<void> {
    await follow(subscriptions, {
      hub: this.#parts.hub,
      outbox: this.#outbox,
      principal: this.#principal,
      isOpen: () => this.#open,
      answer: (payload) => {
        const [refused] = payload.rejected;
        if (payload.channels.length === 0 && refused) {
          throw new Refusal(refused.code, undefined, {
            issues: payload.rejected.map(({ channel, code }) => ({
              path: channel,
              message: code,
            })),
          });
        }
        this.#say("subscribed", payload);
      },
      tellGap: (payload) => this.#say("gap", payload),
    });
  }

  /** Tells the client to come back later. */
  drain(retryInMs: number): void {
    this.#say("draining", { retryInMs });
  }

  /** Says why, and ends the connection. */
  disconnect(code: RefusalCode, why?: string): void {
    if (!this.#open) return;
    this.#parts.refused?.(code);
    if (code !== "SLOW_CONSUMER") {
      const refusal = new Refusal(code, why);
      this.#say("error", refusal.toJSON() as ReplyPayload<"error">);
    }
    this.end(code);
    this.#peer.close();
  }

  /**
   * The client has gone: lets go of everything.
   *
   * @param why the refusal that ended it; absent when the client left.
   */
  end(why?: RefusalCode): void {
    if (!this.#open) return;
    this.#open = false;
    this.#expiry?.[Symbol.dispose]();
    this.#outbox.close();
    this.#onEnd(why);
  }

  #watchToken(expiresAt: number): void {
    const left = expiresAt - this.#parts.clock.now();
    if (left <= 0) return this.disconnect("TOKEN_EXPIRED");
    this.#expiry = this.#parts.clock.after(
      Math.min(left, MAX_TIMER_MS),
      () => this.#watchToken(expiresAt),
    );
  }

  #say<Type extends ReplyType>(type: Type, payload: ReplyPayload<Type>): void {
    const now = this.#parts.clock.now();
    const id = this.#parts.nextId(now);
    this.#outbox.say(encodeReply(type, payload, { id, now }));
  }
}
