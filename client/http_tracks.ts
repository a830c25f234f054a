/**
 * How far transactions come, asked for in turn where no socket reports it.
 *
 * @module
 */
import { RefusedError } from "./http_requests.ts";
import type { HttpReader } from "./http_pages.ts";
import { isLasting } from "./lasting.ts";
import { pause } from "./timers.ts";
import type { Goal, TrackedState } from "../protocol/states.ts";

/** Wait between two questions, whatever the number of transactions. */
export const TRACK_MS = 2_500;
/** Most transactions tracked at a time: each is asked for once in a round. */
export const MAX_TRACKED = 64;

/** States that end a track, each reached by those after it. */
const GOALS: readonly string[] = ["included", "confirmed", "final"];

/** What is tracked. */
interface Track {
  readonly txId: string;
  readonly until: Goal;
  /** The state that was reported last, as text. */
  last: string;
}

/** Tracks transactions for one reader. */
export class HttpTracks {
  readonly #reader: HttpReader;
  readonly #ended: AbortSignal;
  readonly #tracks = new Map<string, Track>();
  #isAsking = false;

  /**
   * Tracks nothing yet.
   *
   * @param reader gets what arrives.
   * @param ended ends all tracks.
   */
  constructor(reader: HttpReader, ended: AbortSignal) {
    this.#reader = reader;
    this.#ended = ended;
  }

  /**
   * Answers with the present state, and reports each that differs from it.
   *
   * @throws {RefusedError} the service's refusal, `TOO_MANY_SUBSCRIPTIONS`.
   */
  async track(
    { txId, until = "final" }: { txId: string; until?: Goal },
    ref: string,
  ): Promise<void> {
    if (!this.#tracks.has(txId) && this.#tracks.size >= MAX_TRACKED) {
      throw new RefusedError({
        code: "TOO_MANY_SUBSCRIPTIONS",
        message: `Without a socket, ${MAX_TRACKED} transactions are tracked`,
      });
    }
    const track = { txId, until, last: "" };
    // It takes its place at once, so that the bound holds.
    this.#tracks.set(txId, track);
    try {
      this.#reader.reply("tracked", await this.#look(track), ref);
    } catch (error) {
      this.#drop(track);
      throw error;
    }
    if (this.#isAsking || this.#tracks.size === 0) return;
    this.#isAsking = true;
    this.#ask().catch(() => this.#reader.lost())
      .finally(() => this.#isAsking = false);
  }

  async #ask(): Promise<void> {
    while (this.#tracks.size > 0) {
      for (const track of [...this.#tracks.values()]) {
        await pause(TRACK_MS, this.#ended);
        if (this.#ended.aborted) return;
        if (this.#tracks.get(track.txId) === track) await this.#askAbout(track);
      }
    }
  }

  async #askAbout(track: Track): Promise<void> {
    try {
      const { last } = track;
      const state = await this.#look(track);
      if (track.last !== last) this.#reader.reply("tx_state", state);
    } catch (error) {
      if (!(error instanceof RefusedError)) throw error;
      // What passes is asked again in the next round.
      if (isLasting(error.refusal as never)) this.#drop(track);
    }
  }

  async #look(track: Track): Promise<TrackedState> {
    const path = `api/transactions/${encodeURIComponent(track.txId)}`;
    const { event: _, ...state } = await this.#reader.requests.get(
      path,
      {},
    ) as TrackedState & { event: unknown };
    track.last = JSON.stringify(state);
    if (GOALS.indexOf(state.state) < GOALS.indexOf(track.until)) return state;
    this.#drop(track);
    return { ...state, end: true };
  }

  /** Another question about the same transaction may have taken its place. */
  #drop(track: Track): void {
    if (this.#tracks.get(track.txId) === track) this.#tracks.delete(track.txId);
  }
}
