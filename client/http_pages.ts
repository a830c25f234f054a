/**
 * Follows channels page by page, where something holds streams back.
 *
 * @module
 */
import { RefusedError } from "./http_requests.ts";
import type { HttpRequests, Refused } from "./http_requests.ts";
import { MAX_PAGE } from "./limits.ts";
import { pause } from "./timers.ts";
import type { Position } from "../protocol/commands.ts";
import type { ReplyPayload } from "../protocol/replies.ts";

/** Wait between two pages of a channel, where streams are held back. */
export const POLL_MS = 2_000;

/** A channel, or a filtered subscription, that is followed. */
export interface Followed {
  /** Name or alias; the name once that is known. */
  readonly channel: string;
  /** Of a filtered subscription. */
  filter?: object;
  /** Its name, where it is filtered. */
  readonly as?: string;
  /** How many of the newest to begin with. */
  last?: number;
  /** Where it is. */
  after?: Position | undefined;
}

/** What streams and pages are read for. */
export interface HttpReader {
  /** Asks the service. */
  readonly requests: HttpRequests;
  /** Passes a frame on. */
  deliver(frame: object): void;
  /** Answers a command; without a `ref`, notifies. */
  reply(type: string, payload: object, ref?: string): void;
  /** The connection is lost. */
  lost(): void;
  /** A stream or page was refused. */
  refuse(refusal: Refused): void;
}

/** Follows channels for one reader. */
export class HttpPages {
  readonly #reader: HttpReader;

  /** Asks nothing yet. */
  constructor(reader: HttpReader) {
    this.#reader = reader;
  }

  /**
   * Answers a `subscribe` with the end of the channel, or with its newest.
   *
   * @returns whether it may be followed.
   */
  async begin(followed: Followed, ref: string): Promise<boolean> {
    const { channel, after, last, filter, as } = followed;
    try {
      if (filter) throw new RefusedError(NO_FILTERS);
      const limit = Math.max(1, last ?? 1);
      const { events, epoch, seq, channel: name } = await this.#reader.requests
        .page(channel, {
          limit,
        });
      const first = (events[0] as { seq?: number } | undefined)?.seq;
      const begin = last && first ? first - 1 : seq;
      followed.after = after ?? { epoch: epoch ?? "0", seq: begin };
      this.#reader.reply("subscribed", {
        channels: [{
          channel: name,
          ...(name === channel ? {} : { requested: channel }),
          ...followed.after,
          recovered: true,
        }],
        rejected: [],
      }, ref);
      return true;
    } catch (error) {
      if (!(error instanceof RefusedError)) throw error;
      const { code } = error.refusal;
      const rejected = [{ channel, ...(as && { as }), code }];
      this.#reader.reply("subscribed", { channels: [], rejected }, ref);
      return false;
    }
  }

  /**
   * Asks for what is new in each channel, in turn, until the signal.
   *
   * @param followed those that are followed at the time.
   */
  async follow(
    followed: () => readonly Followed[],
    signal: AbortSignal,
  ): Promise<void> {
    while (!signal.aborted) {
      const all = followed();
      for (const each of all) {
        if (each.after) await this.#newest(each, signal);
        await pause(POLL_MS, signal);
      }
      if (all.length === 0) return;
    }
  }

  async #newest(followed: Followed, signal: AbortSignal): Promise<void> {
    const { channel, after } = followed;
    for (;;) {
      const page = await this.#since(channel, followed.after!);
      if (signal.aborted || followed.after === undefined) return;
      const { epoch, events } = page;
      if (epoch === null || events.length === 0) return;
      for (const event of events as unknown as (Position & object)[]) {
        const at: Position = followed.after!;
        const isSame = at.epoch === epoch;
        const from = isSame ? at.seq + 1 : 1;
        if (event.seq > from || !isSame && at.epoch !== "0") {
          const reason = isSame ? "retention" : "epoch_changed";
          const lost = { from, to: event.seq - 1, epoch, reason };
          const payload = { channel: page.channel, ...lost };
          this.#reader.deliver({ type: "gap", payload });
        }
        followed.after = { epoch, seq: event.seq };
        this.#reader.deliver(event);
      }
      if (after?.seq === followed.after?.seq || !page.more) return;
    }
  }

  /** A page after a position; of the whole log when that is another one. */
  async #since(
    channel: string,
    after: Position,
  ): Promise<ReplyPayload<"query_result">> {
    const page = { limit: MAX_PAGE };
    if (after.epoch === "0") {
      return await this.#reader.requests.page(channel, page);
    }
    try {
      return await this.#reader.requests.page(channel, { ...page, after });
    } catch (error) {
      const isOther = error instanceof RefusedError &&
        error.refusal.code === "INVALID_PAYLOAD";
      if (!isOther) throw error;
      return await this.#reader.requests.page(channel, page);
    }
  }
}

const NO_FILTERS: Refused = {
  code: "INVALID_SUBSCRIPTION",
  message: "Filters need a stream, and something holds streams back",
};
