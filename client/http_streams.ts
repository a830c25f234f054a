/**
 * Follows channels by Server-Sent Events: one stream for all, and one for each
 * filtered subscription.
 *
 * @module
 */
import { deferred } from "./deferred.ts";
import { either } from "./either.ts";
import { eventsOf } from "./event_stream.ts";
import { edited, refused } from "./http_edit.ts";
import type { Edit } from "./http_edit.ts";
import { HttpPages } from "./http_pages.ts";
import type { Followed, HttpReader } from "./http_pages.ts";
import { refusalOf, RefusedError } from "./http_requests.ts";
import type { Refused } from "./http_requests.ts";
import { monotonic } from "./timers.ts";
import type { Position } from "../protocol/commands.ts";
import type { ReplyPayload } from "../protocol/replies.ts";

/** Longest wait for the beginning of a stream that nothing holds back. */
export const STREAM_TIMEOUT_MS = 5_000;
/** Longest silence of a stream: the service sends a comment every 15 s. */
export const SILENCE_MS = 40_000;
/** Filtered subscriptions: each is a stream, and browsers have six to a host. */
export const MAX_FILTERED = 3;

/** Whether streams are held back, and what to call then. */
export interface Holding {
  /** Whether they were held back before. */
  readonly isPolling: boolean;
  /** Called when they are, so that events are read in pages. */
  polling(): void;
}

/** What one connection follows. */
export class HttpStreams {
  readonly #reader: HttpReader;
  readonly #pages: HttpPages;
  readonly #holding: Holding;
  readonly #ended: AbortSignal;
  readonly #followed = new Map<string, Followed>();
  readonly #streams = new Map<string, AbortController>();
  /** What is done one after the other: streams that are made again. */
  #turn: Promise<void> = Promise.resolve();
  #isPolling: boolean;
  #aliveAt = 0;
  /** The service's clock minus this one, in milliseconds. */
  offsetMs = 0;

  /**
   * Follows nothing yet.
   *
   * @param reader gets what arrives.
   * @param holding whether streams are held back.
   * @param ended ends all of them.
   */
  constructor(reader: HttpReader, holding: Holding, ended: AbortSignal) {
    this.#reader = reader;
    this.#pages = new HttpPages(reader);
    this.#holding = holding;
    this.#ended = ended;
    this.#isPolling = holding.isPolling;
  }

  /** Whether no stream shows a sign of life. */
  get isSilent(): boolean {
    return this.#streams.size > 0 && !this.#isPolling &&
      monotonic() - this.#aliveAt > SILENCE_MS;
  }

  /** All streams go on from where they are, with a new token. */
  renew(): void {
    for (const name of [...this.#streams.keys()]) this.#restart(name);
  }

  /** Follows channels; they are answered for as their streams begin. */
  subscribe(
    asked: readonly (string | Followed)[],
    id: string,
  ): Promise<void> {
    const wanted = asked.map((each): Followed =>
      typeof each === "string" ? { channel: each } : { ...each }
    );
    // One stream begins with one number of events.
    const groups = new Map<string | number, Followed[]>();
    for (const each of wanted) {
      const key = each.as ?? (each.after ? 0 : each.last ?? 0);
      groups.set(key, [...groups.get(key) ?? [], each]);
    }
    for (const [key, group] of groups) {
      const name = typeof key === "string" ? key : "";
      this.#inTurn(() => this.#follow(name, group, id));
    }
    return this.#turn;
  }

  /** Follows less. */
  async unsubscribe(names: readonly string[], id: string): Promise<void> {
    for (const name of names) {
      const { as } = this.#followed.get(name) ?? {};
      this.#followed.delete(name);
      if (as === undefined) continue;
      this.#streams.get(as)?.abort();
      this.#streams.delete(as);
    }
    this.#restart("");
    await this.#turn;
    this.#reader.reply("unsubscribed", { channels: names }, id);
  }

  /**
   * Edits the values of a filtered subscription: its stream goes on with them
   * from where it is.
   *
   * @throws {RefusedError} `INVALID_SUBSCRIPTION`, or the service's refusal,
   * after which the filter is as it was.
   */
  async edit(
    { as, after, ...edit }: Edit & { as: string; after?: Position },
    id: string,
  ): Promise<void> {
    const done = deferred<void>();
    this.#inTurn(() =>
      this.#edit(as, edit, after, id).then(done.resolve, done.reject)
    );
    await done.promise;
  }

  async #edit(
    as: string,
    edit: Edit,
    after: Position | undefined,
    ref: string,
  ): Promise<void> {
    const followed = this.#followed.get(as);
    if (!followed?.filter || !followed.after) {
      throw refused("as: expected the name of a filtered subscription");
    }
    const { filter: before } = followed;
    const { filter, missed, answer } = edited(before, edit);
    // Nothing moves the position meanwhile.
    this.#streams.get(as)?.abort();
    const from = followed.after;
    try {
      if (after && answer.added.length > 0) {
        await this.#replay({ ...followed, filter: missed, after }, from);
      }
      followed.filter = filter;
      await this.#follow(as, [], undefined, true);
    } catch (error) {
      followed.filter = before;
      this.#restart(as);
      throw error;
    }
    this.#reader.reply("watched", { as, from, ...answer }, ref);
  }

  /** Delivers what matched up to a position, beside the subscription. */
  async #replay(followed: Followed, upTo: Position): Promise<void> {
    const { as } = followed;
    const ended = either(this.#ended);
    const timer = setTimeout(() => ended.abort(), STREAM_TIMEOUT_MS);
    try {
      for await (const { frame } of this.#frames([followed], ended.signal)) {
        const { channel, epoch, seq, type, payload } = frame;
        if (type === "gap") {
          this.#reader.deliver({ ...frame, payload: { ...payload, as } });
        }
        const at = type === "progress" ? payload.positions[0] : { epoch, seq };
        const isPast = at?.epoch === upTo.epoch && at.seq > upTo.seq;
        if (typeof channel === "string" && !isPast) {
          const { prev: _, ...event } = frame;
          this.#reader.deliver({ ...event, sub: as, replay: true });
        }
        // The log ends there, or what follows is the subscription's.
        if (isPast || at?.seq === upTo.seq) return;
      }
    } finally {
      clearTimeout(timer);
      ended.abort();
    }
  }

  #inTurn(work: () => Promise<void>): void {
    this.#turn = this.#turn.then(work).catch(() => this.#reader.lost());
  }

  /** Makes a stream again, from where it is. */
  #restart(name: string): void {
    this.#inTurn(() => this.#follow(name, [], undefined));
  }

  /** Those that the stream of a name follows; all without a filter have one. */
  #ofStream(name: string): Followed[] {
    return [...this.#followed.values()]
      .filter(({ as = "" }) => as === name);
  }

  /**
   * Follows more; what was followed by the same stream continues.
   *
   * @param name of a filtered subscription, else empty.
   * @param throws whether a stream that is refused is the caller's to answer.
   */
  async #follow(
    name: string,
    more: readonly Followed[],
    ref: string | undefined,
    throws = false,
  ): Promise<void> {
    if (this.#ended.aborted) return;
    const refused = more.filter(({ as, after }) =>
      // A block is no position of a stream.
      after && !("epoch" in after) ||
      as !== undefined && !this.#followed.has(as) &&
        [...this.#streams.keys()].filter(Boolean).length >= MAX_FILTERED
    );
    for (const { channel, as } of refused) {
      const code = as ? "TOO_MANY_SUBSCRIPTIONS" : "INVALID_SUBSCRIPTION";
      const rejected = [{ channel, ...(as && { as }), code }];
      this.#reader.reply("subscribed", { channels: [], rejected }, ref);
    }
    const added = more.filter((each) => !refused.includes(each));
    if (more.length > 0 && added.length === 0) return;
    for (const each of added) {
      this.#followed.set(each.as ?? each.channel, each);
    }
    this.#streams.get(name)?.abort();
    this.#streams.delete(name);
    const all = this.#ofStream(name);
    if (all.length === 0) return;
    const ended = either(this.#ended);
    this.#streams.set(name, ended);
    const { signal } = ended;
    const begins = () => this.#stream(name, added, ref, signal, throws);
    if (!this.#isPolling && await begins()) return;
    if (signal.aborted) return;
    if (!this.#isPolling) {
      this.#isPolling = true;
      this.#holding.polling();
    }
    for (const each of added) {
      if (ref === undefined || await this.#pages.begin(each, ref)) continue;
      this.#followed.delete(each.as ?? each.channel);
    }
    this.#pages.follow(() => this.#ofStream(""), signal).catch((error) => {
      if (signal.aborted) return;
      if (error instanceof RefusedError) this.#reader.refuse(error.refusal);
      else this.#reader.lost();
    });
  }

  /**
   * Opens a stream, and waits until it begins.
   *
   * @returns whether it began; otherwise something holds it back.
   */
  async #stream(
    name: string,
    added: readonly Followed[],
    ref: string | undefined,
    signal: AbortSignal,
    throws: boolean,
  ): Promise<boolean> {
    const all = this.#ofStream(name);
    const [{ as }] = [...added, ...all] as [Followed];
    const began = deferred<boolean>();
    const held = either(signal);
    const timer = setTimeout(() => {
      held.abort();
      began.resolve(false);
    }, STREAM_TIMEOUT_MS);
    let hasBegun = false;
    const read = async () => {
      const { last } = added[0] ?? all[0]!;
      const alive = () => this.#aliveAt = monotonic();
      const frames = this.#frames(all, held.signal, last, alive);
      for await (const { name, frame } of frames) {
        if (signal.aborted) return;
        if (name === "subscribed") {
          this.offsetMs = Date.parse(frame.timestamp) - Date.now();
          this.#began(frame.payload, added, as, ref);
          hasBegun = true;
          began.resolve(true);
        } else this.#take(frame, as);
      }
      throw new Error("The stream ended");
    };
    read().catch((error) => {
      if (signal.aborted || held.signal.aborted) return;
      if (!(error instanceof RefusedError)) return this.#reader.lost();
      if (throws && !hasBegun) began.reject(error);
      else this.#refuse(error.refusal, added, ref);
    }).finally(() => began.resolve(true));
    try {
      return await began.promise;
    } finally {
      clearTimeout(timer);
    }
  }

  /**
   * Reads a stream.
   *
   * @throws {RefusedError} the service refuses it, or ends it.
   */
  async *#frames(
    followed: readonly Followed[],
    signal: AbortSignal,
    last?: number,
    alive: () => void = () => {},
    // deno-lint-ignore no-explicit-any -- by type, as the service sends it
  ): AsyncGenerator<{ readonly name: string; readonly frame: any }, void> {
    const query = new URLSearchParams({
      channels: followed.map(({ channel }) => channel).join(","),
    });
    const [{ filter }] = followed as [Followed];
    if (filter) query.set("filter", JSON.stringify(filter));
    const positions = followed.flatMap(({ channel, after }) =>
      after ? `${channel}=${after.epoch}:${after.seq}` : []
    );
    if (positions.length > 0) query.set("lastEventId", positions.join(","));
    if (last) query.set("last", String(last));
    const response = await this.#reader.requests.fetch(`sse?${query}`, {
      headers: { accept: "text/event-stream" },
      signal,
    });
    if (!response.ok) throw await refusalOf(response);
    alive();
    for await (const { name, data } of eventsOf(response.body!, alive)) {
      const frame = JSON.parse(data);
      if (name === "error" || name === "refused") {
        throw new RefusedError(name === "error" ? frame : frame.payload);
      }
      yield { name, frame };
    }
  }

  /** A stream began: answers for what was added to it. */
  #began(
    { channels, rejected }: ReplyPayload<"subscribed">,
    added: readonly Followed[],
    as: string | undefined,
    ref: string | undefined,
  ): void {
    for (const { channel, requested = channel, epoch, seq } of channels) {
      const followed = this.#followed.get(as ?? requested);
      if (!followed) continue;
      if (epoch !== null && seq !== null) followed.after = { epoch, seq };
      if (as !== undefined || requested === channel) continue;
      this.#followed.delete(requested);
      this.#followed.set(channel, { ...followed, channel });
    }
    const isNew = (name: string) => added.some((it) => it.channel === name);
    const named = as === undefined ? {} : { as };
    const refused = rejected.filter(({ channel }) => isNew(channel));
    for (const { channel } of refused) this.#followed.delete(as ?? channel);
    if (ref === undefined) return;
    this.#reader.reply("subscribed", {
      channels: channels
        .filter(({ channel, requested = channel }) => isNew(requested))
        .map((each) => ({ ...each, ...named })),
      rejected: refused.map((each) => ({ ...each, ...named })),
    }, ref);
  }

  /** Passes a frame of a stream on, and moves the position. */
  #take(
    // deno-lint-ignore no-explicit-any -- by type, as the service sends it
    frame: any,
    as: string | undefined,
  ): void {
    const { channel, epoch, seq, payload } = frame;
    if (typeof channel === "string") {
      const followed = this.#followed.get(as ?? channel);
      if (followed && seq !== undefined) followed.after = { epoch, seq };
      return this.#reader.deliver(
        as === undefined ? frame : { ...frame, sub: as },
      );
    }
    const named = as === undefined ? {} : { as };
    if (frame.type === "gap") {
      const followed = this.#followed.get(as ?? payload.channel);
      if (followed) followed.after = { epoch: payload.epoch, seq: payload.to };
      return this.#reader.deliver({
        ...frame,
        payload: { ...payload, ...named },
      });
    }
    if (frame.type === "progress") {
      // deno-lint-ignore no-explicit-any -- as above
      const positions = payload.positions.map((each: any) => {
        const { channel, epoch, seq } = each;
        const followed = this.#followed.get(as ?? channel);
        if (followed) followed.after = { epoch, seq };
        return { ...each, ...named };
      });
      return this.#reader.deliver({ ...frame, payload: { positions } });
    }
    this.#reader.deliver(frame);
  }

  /** A stream was refused: as a whole, or since all that was added is. */
  #refuse(
    refusal: Refused,
    added: readonly Followed[],
    ref: string | undefined,
  ): void {
    const { issues = [] } = refusal;
    const rejected = added.flatMap(({ channel, as }) => {
      const issue = issues.find(({ path }) => path === channel);
      const named = as === undefined ? {} : { as };
      return issue ? [{ channel, ...named, code: issue.message }] : [];
    });
    if (ref !== undefined && rejected.length > 0) {
      for (const { channel, as } of added) this.#followed.delete(as ?? channel);
      return this.#reader.reply("subscribed", { channels: [], rejected }, ref);
    }
    this.#reader.refuse(refusal);
  }
}
