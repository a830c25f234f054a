/**
 * Transactions that clients track: the state of each is derived again when its
 * channel has an event about it, or the chain changes.
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
/** Longest tracking of a transaction, in milliseconds. */
export const TRACK_MS = 3_600_000;
/** `retryAfterMs` of a refusal at the instance's bound, in milliseconds. */
const FULL_RETRY_MS = 5_000;
/** Pause before a retry after the store did not answer, in milliseconds. */
const RETRY_MS = 1_000;

const CHANNELS: readonly Channel[] = [
  { name: "transactions", kind: "transactions" },
  { name: "blocks", kind: "blocks" },
];

/** A transaction to track, and the client that tracks it. */
export interface TrackOptions {
  /** The transaction. */
  readonly txId: string;
  /** The state at which tracking ends. */
  readonly until: Goal;
  /** The caller whose share of the bound it uses. */
  readonly address: string;
  /** Receives each state that differs from the previous one; must not throw. */
  readonly moved: (state: TrackedState) => void;
}

/** One transaction being tracked. */
interface Track extends TrackOptions {
  payload: Readonly<Record<string, unknown>> | undefined;
  /** Whether its block was replaced, as of the last check. */
  isReplaced: boolean;
  last: TrackedState | undefined;
  timer: Disposable | undefined;
}

/** Parts that {@link Tracks} needs. */
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
  /** Whether events were missed, so that the newest ones must be read. */
  #isMissed = false;

  /** Empty. */
  constructor(parts: TracksParts) {
    this.#parts = parts;
  }

  /** Number of tracked transactions. */
  get size(): number {
    return this.#shares.total;
  }

  /**
   * The current state of a transaction.
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
   * Tracks a transaction until it reaches the requested state.
   *
   * @returns its current state, with `end` when tracking is unnecessary, and a
   * function that stops tracking.
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
      // An event that arrived meanwhile is newer than the one read.
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

  /** Applies the event that was read, unless a newer one arrived meanwhile. */
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

  /** Follows the chain to its current end. */
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

  /** Derives all states again, once the chain has been followed. */
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
        // The log reports the error; the missed events are read later.
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
    // Still applies when the chain no longer stores its block.
    track.isReplaced = state.state === "reverted";
    return reaches(state.state, until) ? { ...state, end: true } : state;
  }
}

function isSame(a: TrackedState, b: TrackedState): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

/** Receives a stream's events from now on. */
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
