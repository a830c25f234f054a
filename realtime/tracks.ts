/**
 * Transactions that clients wait for: each is looked at again when its channel
 * brings something about it, or the chain moves.
 *
 * @module
 */
import type { Chains } from "../chain/ingest.ts";
import { holderOf, wasReplaced } from "../chain/replaced.ts";
import { lookedUpState, stateOf } from "../chain/transaction_state.ts";
import type { Clock } from "../platform/clock.ts";
import { Holdings } from "../platform/holdings.ts";
import type { Channel } from "../protocol/channels.ts";
import { Refusal } from "../protocol/refusals.ts";
import { reaches } from "../protocol/states.ts";
import type { Goal, TrackedState } from "../protocol/states.ts";
import type { Hub } from "./hub.ts";
import type { Cursor } from "./cursor.ts";
import type { Stream } from "./stream.ts";

/** Most transactions tracked in one instance. */
export const MAX_TRACKS = 10_000;
/** Most transactions tracked for one address. */
export const MAX_TRACKS_PER_ADDRESS = 512;
/** How long a transaction is tracked at most, in milliseconds. */
export const TRACK_MS = 3_600_000;
/** Wait proposed to a client when all may track no more, in milliseconds. */
const FULL_RETRY_MS = 5_000;
/** Wait before the store is asked again that did not answer, in milliseconds. */
const RETRY_MS = 1_000;

const CHANNELS: readonly Channel[] = [
  { name: "transactions", kind: "transactions" },
  { name: "blocks", kind: "blocks" },
];

/** What is tracked, and for which client. */
export interface TrackOptions {
  /** The transaction. */
  readonly txId: string;
  /** Where it ends. */
  readonly until: Goal;
  /** Whose share of the bound it takes. */
  readonly address: string;
  /** Receives each state that differs from the one before; must not throw. */
  readonly moved: (state: TrackedState) => void;
}

/** One transaction being tracked. */
interface Track extends TrackOptions {
  payload: Readonly<Record<string, unknown>> | undefined;
  /** Whether its block was replaced, as far as a look at it showed. */
  isReplaced: boolean;
  last: TrackedState | undefined;
  timer: Disposable | undefined;
}

/** What {@link Tracks} needs. */
export interface TracksParts {
  /** Opens channels and reads the log. */
  readonly hub: Hub;
  /** The chains, followed through the log. */
  readonly chains: Chains;
  /** Ends tracks. */
  readonly clock: Clock;
}

/** Tracks transactions for the clients of one instance. */
export class Tracks {
  readonly #parts: TracksParts;
  readonly #tracks = new Map<string, Set<Track>>();
  readonly #shares = new Holdings();
  readonly #followers: Follower[] = [];
  #looking: Promise<void> | undefined;
  #isDue = false;
  /** Whether events were missed: newest ones have to be read. */
  #isMissed = false;

  /** Tracks nothing yet. */
  constructor(parts: TracksParts) {
    this.#parts = parts;
  }

  /** How many are tracked. */
  get size(): number {
    return this.#shares.total;
  }

  /**
   * How far a transaction has come.
   *
   * @throws {Refusal} `STORE_UNAVAILABLE`.
   */
  async look(txId: string): Promise<{
    readonly state: TrackedState;
    readonly event: Readonly<Record<string, unknown>> | null;
  }> {
    const event = await this.#newest(txId);
    await this.#follow();
    const payload = event?.["payload"] as Track["payload"];
    const { chains, hub } = this.#parts;
    return { state: await lookedUpState(txId, payload, chains, hub), event };
  }

  /**
   * Tracks a transaction until it has come as far as asked for.
   *
   * @returns its present state, with `end` when it need not be tracked, and the
   * undo.
   * @throws {Refusal} `TOO_MANY_SUBSCRIPTIONS`, `STORE_UNAVAILABLE`.
   */
  async track(
    options: TrackOptions,
  ): Promise<Disposable & { readonly state: TrackedState }> {
    const track = this.#add(options);
    try {
      await this.#open();
      const event = await this.#newest(options.txId);
      await this.#follow();
      // An event that arrived meanwhile is newer than what was read.
      if (!track.payload) await this.#read(track, event);
    } catch (error) {
      this.#remove(track);
      throw error;
    }
    const state = this.#judge(track);
    track.last = state;
    if (state.end) this.#remove(track);
    else {
      track.timer = this.#parts.clock.after(TRACK_MS, () => {
        this.#remove(track);
        track.moved({ ...this.#judge(track), end: true });
      });
    }
    return { state, [Symbol.dispose]: () => this.#remove(track) };
  }

  #add(options: TrackOptions): Track {
    const { txId, address } = options;
    const isFull = this.size >= MAX_TRACKS;
    if (isFull || this.#shares.of(address) >= MAX_TRACKS_PER_ADDRESS) {
      throw new Refusal(
        "TOO_MANY_SUBSCRIPTIONS",
        `One address may track ${MAX_TRACKS_PER_ADDRESS} transactions, all together ${MAX_TRACKS}`,
        isFull ? { retryAfterMs: FULL_RETRY_MS } : {},
      );
    }
    const track: Track = {
      ...options,
      payload: undefined,
      isReplaced: false,
      last: undefined,
      timer: undefined,
    };
    const same = this.#tracks.get(txId);
    if (same) same.add(track);
    else this.#tracks.set(txId, new Set([track]));
    this.#shares.add(address, 1);
    return track;
  }

  #remove(track: Track): void {
    const { txId, address, timer } = track;
    const same = this.#tracks.get(txId);
    if (!same?.delete(track)) return;
    timer?.[Symbol.dispose]();
    if (same.size === 0) this.#tracks.delete(txId);
    this.#shares.add(address, -1);
    if (this.size > 0) return;
    for (const follower of this.#followers.splice(0)) follower.leave();
  }

  async #newest(
    txId: string,
  ): Promise<Readonly<Record<string, unknown>> | null> {
    const text = await this.#parts.hub.latest(`transaction:${txId}`);
    return text === undefined ? null : JSON.parse(text);
  }

  /** Takes over what was read, unless newer arrives meanwhile. */
  async #read(
    track: Track,
    event: Readonly<Record<string, unknown>> | null,
  ): Promise<void> {
    const { chains, hub } = this.#parts;
    const payload = event?.["payload"] as Track["payload"];
    const before = track.payload;
    const holder = holderOf(payload);
    const isReplaced = holder !== undefined &&
      await wasReplaced(holder, chains, hub);
    if (track.payload !== before) return;
    track.payload = payload;
    track.isReplaced = isReplaced;
  }

  /** Follows the chain to its present end. */
  async #follow(): Promise<void> {
    const { hub, chains } = this.#parts;
    const [head] = await hub.heads(["blocks"]);
    await chains.follow("blocks", head!, hub);
  }

  async #open(): Promise<void> {
    const { hub } = this.#parts;
    const streams = await Promise.all(CHANNELS.map((it) => hub.open(it)));
    if (this.#followers.length > 0) return;
    for (const stream of streams) {
      this.#followers.push(
        new Follower(stream, {
          event: (json, txId) => this.#event(stream.channel, json, txId),
          missed: () => {
            this.#isMissed = true;
            this.#lookAgain();
          },
        }),
      );
    }
  }

  #event(channel: string, json: string, txId: string | undefined): void {
    if (channel === "blocks") return this.#lookAgain();
    const tracks = txId === undefined ? undefined : this.#tracks.get(txId);
    if (!tracks) return;
    const { payload } = JSON.parse(json);
    for (const track of tracks) {
      track.payload = payload;
      track.isReplaced = false;
    }
    this.#lookAgain();
  }

  /** Judges all again, as soon as the chain was followed. */
  #lookAgain(): void {
    this.#isDue = true;
    this.#looking ??= this.#look()
      .finally(() => this.#looking = undefined);
  }

  async #look(): Promise<void> {
    while (this.#isDue && this.size > 0) {
      this.#isDue = false;
      try {
        await this.#follow();
        const missed = this.#isMissed ? [...this.#tracks] : [];
        for (const [txId, tracks] of missed) {
          const event = await this.#newest(txId);
          for (const track of tracks) await this.#read(track, event);
        }
        this.#isMissed = false;
      } catch {
        // The log reports it; what was missed is looked for again.
        this.#isDue = true;
        await new Promise<void>((resolve) => {
          this.#parts.clock.after(RETRY_MS, resolve);
        });
        continue;
      }
      for (const tracks of [...this.#tracks.values()]) {
        for (const track of [...tracks]) this.#move(track);
      }
    }
  }

  #move(track: Track): void {
    if (!track.last) return;
    const state = this.#judge(track);
    if (isSame(state, track.last)) return;
    track.last = state;
    if (state.end) this.#remove(track);
    track.moved(state);
  }

  #judge(track: Track): TrackedState {
    const { txId, payload, until, isReplaced } = track;
    const state = stateOf(txId, payload, this.#parts.chains, isReplaced);
    // Holds once the chain's memory has forgotten its block.
    track.isReplaced = state.state === "reverted";
    return reaches(state.state, until) ? { ...state, end: true } : state;
  }
}

function isSame(a: TrackedState, b: TrackedState): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

/** Receives what a stream brings from now on. */
class Follower implements Cursor {
  seq: number;
  epoch: string;
  replayUntil: number;
  readonly behind = false;
  readonly #stream: Stream;
  readonly #to: {
    event(json: string, txId: string | undefined): void;
    missed(): void;
  };

  constructor(
    stream: Stream,
    to: {
      event(json: string, txId: string | undefined): void;
      missed(): void;
    },
  ) {
    this.#stream = stream;
    this.#to = to;
    this.seq = stream.seq;
    this.epoch = stream.epoch;
    this.replayUntil = stream.seq;
    stream.cursors.add(this);
  }

  advance(): void {
    const { seq, epoch, first } = this.#stream;
    const isWhole = this.epoch === epoch && this.seq >= first - 1;
    let at = this.seq;
    this.seq = seq;
    this.epoch = epoch;
    if (!isWhole) return this.#to.missed();
    while (at < seq) {
      const { json, tags } = this.#stream.entryAt(++at);
      this.#to.event(json, tags["txId"]?.[0]);
    }
  }

  leave(): void {
    this.#stream.cursors.delete(this);
  }
}
