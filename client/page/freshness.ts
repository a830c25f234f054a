/**
 * How fresh the page is, in words: live, behind, catching up, disconnected, or
 * without a new block.
 *
 * @module
 */
import type { AnyEvent, ClientState } from "../types.ts";
import { counted, NEEDS_TOKEN } from "./words.ts";

/** Quiet after replayed events that ends a catch-up, in milliseconds. */
export const REPLAY_QUIET_MS = 400;
/** How long a finished catch-up stays announced, in milliseconds. */
export const ANNOUNCE_MS = 8000;

/**
 * Without a new block for longer, in milliseconds, a chain counts as stopped,
 * as for the service's own alert.
 */
export const STOPPED_MS = 60_000;
/** A chain of slow blocks counts as stopped after this many mean intervals. */
export const STOPPED_INTERVALS = 10;

/** How far estimates of a clock may be off, in milliseconds. */
const NOISE_MS = 1_000;

const HOUR_MS = 3_600_000;

/** How serious it is. */
export type Tone = "good" | "busy" | "bad";

/** Freshness in words. */
export interface FreshnessView {
  /** How serious it is. */
  readonly tone: Tone;
  /** One or two words: the state. Read out when it changes. */
  readonly label: string;
  /** The number beside the label. */
  readonly detail: string;
}

/** Follows the connection and the events. */
export class Freshness {
  #state: ClientState | undefined;
  #everConnected = false;
  #lostAt = 0;
  #replayed = 0;
  #replayAt = -Infinity;
  #replayStamp = 0;
  #eventAt: number | undefined;
  #resumed = false;
  #blocks = 0;
  #firstBlockAt = 0;
  #newestBlockAt = 0;

  /**
   * Notes the connection's state.
   *
   * @param now milliseconds of a monotonic clock, as everywhere here.
   */
  sawState(state: ClientState, now: number): void {
    const was = this.#state?.isConnected ?? false;
    if (was && !state.isConnected) this.#lostAt = now;
    if (!was && state.isConnected) {
      this.#replayed = 0;
      this.#replayAt = -Infinity;
      this.#resumed = this.#everConnected;
      this.#everConnected = true;
    }
    this.#state = state;
  }

  /** Notes an event. */
  sawEvent(event: AnyEvent, now: number): void {
    this.#eventAt = now;
    const stamp = Date.parse(event.timestamp);
    if (event.type === "NEW_BLOCK") {
      if (this.#blocks++ === 0) this.#firstBlockAt = stamp;
      this.#newestBlockAt = Math.max(this.#newestBlockAt, stamp);
    }
    if (!event.replay) return;
    this.#replayed++;
    this.#replayAt = now;
    this.#replayStamp = stamp;
  }

  /**
   * Milliseconds since the newest block, of a chain that stopped; absent while
   * it continues, and when no block is known.
   *
   * @param wall epoch milliseconds of this machine.
   */
  stoppedMs(wall: number): number | undefined {
    if (this.#blocks === 0) return undefined;
    const { clockOffsetMs = 0 } = this.#state ?? {};
    const silent = wall + clockOffsetMs - this.#newestBlockAt;
    const mean = (this.#newestBlockAt - this.#firstBlockAt) /
      Math.max(1, this.#blocks - 1);
    return silent > Math.max(STOPPED_MS, STOPPED_INTERVALS * mean)
      ? silent
      : undefined;
  }

  /**
   * Milliseconds that what is shown lags behind the chain, as far as known.
   *
   * @param wall epoch milliseconds of this machine, to compare with events'.
   */
  behindMs(now: number, wall: number = now): number {
    if (!this.#state?.isConnected) {
      return this.#everConnected ? now - this.#lostAt : 0;
    }
    return now - this.#replayAt < REPLAY_QUIET_MS
      ? Math.max(0, wall + this.#state.clockOffsetMs - this.#replayStamp)
      : 0;
  }

  /** Freshness in words, as of `now`; `wall` as for {@link behindMs}. */
  describe(now: number, wall: number = now): FreshnessView {
    const state = this.#state;
    const behind = `${seconds(this.behindMs(now, wall))} behind`;
    if (!state || state.status === "connecting") {
      return {
        tone: "busy",
        label: "Connecting",
        detail: this.#everConnected ? behind : "",
      };
    }
    if (state.status === "reconnecting") {
      const attempt = state.reconnectAttempts > 1
        ? ` · try ${state.reconnectAttempts}`
        : "";
      const since = this.#everConnected ? behind : "not connected yet";
      return { tone: "bad", label: "Reconnecting", detail: since + attempt };
    }
    if (state.status === "closed") {
      return {
        tone: "bad",
        label: "Disconnected",
        detail: [lackOf(state), this.#everConnected ? behind : ""].filter(
          Boolean,
        )
          .join(" · "),
      };
    }
    if (now - this.#replayAt < REPLAY_QUIET_MS) {
      return {
        tone: "busy",
        label: "Catching up",
        detail: `${counted(this.#replayed, "event")} · ${behind}`,
      };
    }
    const stopped = this.stoppedMs(wall);
    if (stopped !== undefined) {
      return {
        tone: "busy",
        label: "No new block",
        detail: `for ${seconds(stopped)}`,
      };
    }
    const detail = this.#eventAt === undefined
      ? "waiting for events"
      : `last event ${seconds(now - this.#eventAt)} ago`;
    if (this.#replayed > 0 && now - this.#replayAt < ANNOUNCE_MS) {
      const did = this.#resumed ? "caught up" : "loaded";
      return {
        tone: "good",
        label: "Live",
        detail: `${did} ${counted(this.#replayed, "event")}`,
      };
    }
    return { tone: "good", label: "Live", detail };
  }
}

/** Why a page that is not connected receives nothing, as a sentence. */
export function lackOf({ status, connectionError }: ClientState): string {
  const { code, message } = connectionError ?? {};
  if (code === "UNAUTHENTICATED") return NEEDS_TOKEN;
  return status === "closed" && message || "The service does not answer";
}

/** A duration: `0.4 s`, `12 s`, `3 min`, `5 h`, `2 d`; negative when a clock is wrong. */
export function seconds(ms: number): string {
  if (ms <= -NOISE_MS) return `−${seconds(-ms)}`;
  if (ms < 10_000) return `${(Math.max(0, ms) / 1000).toFixed(1)} s`;
  if (ms < 120_000) return `${Math.round(ms / 1000)} s`;
  if (ms < 2 * HOUR_MS) return `${Math.round(ms / 60_000)} min`;
  if (ms < 48 * HOUR_MS) return `${Math.round(ms / HOUR_MS)} h`;
  return `${Math.round(ms / (24 * HOUR_MS))} d`;
}
