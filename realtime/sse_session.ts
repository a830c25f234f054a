/**
 * A client that only receives: the streams of a session without its verbs.
 *
 * @module
 */
import type { Located as Requested } from "./block_cursor.ts";
import type { ReplyFrame } from "../protocol/encode.ts";
import { Refusal } from "../protocol/refusals.ts";
import type { RefusalCode } from "../protocol/refusals.ts";
import type { Identity, ReplyPayload, ReplyType } from "../protocol/replies.ts";
import type { Principal } from "../security/principal.ts";
import type { Clock } from "../platform/clock.ts";
import type { Codec } from "./codec.ts";
import type { Hub } from "./hub.ts";
import { Outbox } from "./outbox.ts";
import type { Account } from "./prices.ts";
import type { Peer } from "./sink.ts";
import type { Connection } from "./sessions.ts";
import { subscribe } from "./subscribe.ts";
import { TokenTimer } from "./token_timer.ts";

/** The output of an SSE session. */
export interface SsePeer extends Peer {
  /** Ends the connection; does nothing once it has ended. */
  close(): void;
}

/** Parts that SSE sessions need. */
export interface SseSessionParts {
  /** Opens channels. */
  hub: Hub;
  /** Time, for tokens and stalls. */
  clock: Clock;
  /** Creates names of sessions and frames. */
  nextId: (now: number) => string;
  /** Called with the code of every refusal. */
  refused?: ((code: RefusalCode) => void) | undefined;
}

/** Properties of one receiver, known when it connects. */
export interface SseOptions {
  /** The account charged for its reads. */
  readonly account: Account;
  /** Its principal. */
  readonly principal: Principal;
}

/** One receiver. */
export class SseSession implements Connection {
  /** Unique name. */
  readonly id: string;
  /** When it opened, in epoch milliseconds. */
  readonly since: number;
  /** Absent: receivers do not name their program. */
  readonly client: undefined;
  readonly #peer: SsePeer;
  readonly #parts: SseSessionParts;
  readonly #principal: Principal;
  readonly #outbox: Outbox;
  readonly #token: TokenTimer;
  readonly #account: Account;
  #open = true;
  #onEnd: (why?: RefusalCode | number) => void = () => {};

  /** Waits for {@link subscribe}. */
  constructor(
    peer: SsePeer,
    codec: Codec,
    parts: SseSessionParts,
    { principal, account }: SseOptions,
  ) {
    this.#account = account;
    this.#peer = peer;
    this.#parts = parts;
    this.#principal = principal;
    this.since = parts.clock.now();
    this.id = parts.nextId(this.since);
    this.#outbox = new Outbox(peer, codec, parts.hub.outboxParts, {
      ...account,
      stalled: () => this.disconnect("SLOW_CONSUMER"),
    });
    this.#token = new TokenTimer(parts.clock, {
      expired: () => this.disconnect("TOKEN_EXPIRED"),
    });
    this.#token.watch(principal.expiresAt);
  }

  /** The client's principal. */
  get identity(): Identity {
    return this.#principal.identity;
  }

  /** Its token's `jti`. */
  get tokenId(): string | undefined {
    return this.#principal.tokenId;
  }

  /** Whether its token has been revoked. */
  get isRevoked(): boolean {
    return this.#principal.isRevoked();
  }

  /** Its channels, with its position and lag in each. */
  get positions(): ReturnType<Outbox["positions"]> {
    return this.#outbox.positions();
  }

  /** Registers the listener that is called, once, when the session has ended. */
  onEnd(listener: (why?: RefusalCode | number) => void): void {
    this.#onEnd = listener;
  }

  /**
   * Subscribes; the result of each channel is sent in `subscribed`.
   *
   * @throws {Refusal} `STORE_UNAVAILABLE`, or the first refusal when every
   * channel is refused.
   */
  async subscribe(requests: readonly Requested[]): Promise<void> {
    await subscribe(requests, {
      hub: this.#parts.hub,
      outbox: this.#outbox,
      principal: this.#principal,
      isOpen: () => this.#open,
      subscribing: this.#account.subscribing,
      answer: (payload) => {
        const [refused] = payload.rejected;
        if (payload.channels.length === 0 && refused) {
          throw new Refusal(refused.code, undefined, {
            ...(refused.retryAfterMs === undefined
              ? {}
              : { retryAfterMs: refused.retryAfterMs }),
            issues: payload.rejected.map(({ channel, code }) => ({
              path: channel,
              message: code,
            })),
          });
        }
        this.#reply("subscribed", payload);
      },
      reportGap: (payload) => this.#reply("gap", payload),
    });
  }

  /** Requests the client to reconnect later. */
  drain(retryInMs: number): void {
    this.#reply("draining", { retryInMs });
  }

  /** Sends the reason, and ends the connection. */
  disconnect(code: RefusalCode, why?: string): void {
    if (!this.#open) return;
    this.#parts.refused?.(code);
    if (code !== "SLOW_CONSUMER") {
      const refusal = new Refusal(code, why);
      this.#reply("error", refusal.toJSON() as ReplyPayload<"error">);
    }
    this.end(code);
    this.#peer.close();
  }

  /**
   * Releases everything after the connection has ended.
   *
   * @param why the refusal that ended it; absent when the client left.
   */
  end(why?: RefusalCode): void {
    if (!this.#open) return;
    this.#open = false;
    this.#token[Symbol.dispose]();
    this.#outbox.close();
    this.#onEnd(why);
  }

  #reply<Type extends ReplyType>(
    type: Type,
    payload: ReplyPayload<Type>,
  ): void {
    const now = this.#parts.clock.now();
    const id = this.#parts.nextId(now);
    this.#outbox.reply({ type, payload, id, now } as ReplyFrame);
  }
}
