/**
 * Sessions and rooms of the whole cluster: listed in pages, counted before an
 * order, disconnected.
 *
 * @module
 */
import type { Hub } from "../realtime/hub.ts";
import type { Sessions } from "../realtime/sessions.ts";
import { readRoomHeads } from "../store/log_heads.ts";
import { ClusterCalls } from "./cluster_calls.ts";
import type { ClusterCallsOptions } from "./cluster_calls.ts";
import { findRooms, roomTable } from "./room_table.ts";
import type {
  FollowedRoom,
  RoomInfo,
  RoomPage,
  RoomQuery,
} from "./room_table.ts";
import { countReached, findSessions, joinSessions } from "./session_pages.ts";
import type { SessionAnswer, SessionQuery, Target } from "./session_pages.ts";

/** How long the table of rooms is used before it is made again, in milliseconds. */
export const ROOMS_STAY_MS = 5_000;

/** What {@link ClusterSessions} needs. */
export interface ClusterSessionsOptions extends ClusterCallsOptions {
  /** Sessions of this instance. */
  sessions: Sessions;
  /** Knows the streams of this instance. */
  hub: Pick<Hub, "standings">;
}

/** An answer of the cluster. */
interface OfCluster {
  /** Whether all instances answered in time. */
  readonly complete: boolean;
}

/** A page of sessions, and sums over all. */
export interface SessionPage extends SessionAnswer, OfCluster {
  /** The cursor of the next page; `null` on the last. */
  readonly next: string | null;
  /** How far the slowest follower of each channel is behind, rooms left out. */
  readonly lags: Readonly<Record<string, number>>;
}

/** What instances ask each other. */
type Question =
  | { readonly of: "sessions"; readonly query: SessionQuery }
  | { readonly of: "rooms" }
  | { readonly of: "reach"; readonly target: Target };

/** What an instance answers about its sessions. */
interface SessionsHere extends SessionAnswer {
  readonly lags: Readonly<Record<string, number>>;
}

/** The table of rooms, while it is made and then for a while. */
interface KnownRooms {
  readonly since: number;
  readonly table: Promise<{ rooms: readonly RoomInfo[]; complete: boolean }>;
}

/** Knows who is connected to any instance. */
export class ClusterSessions implements AsyncDisposable {
  readonly #options: ClusterSessionsOptions;
  readonly #calls: ClusterCalls;
  #rooms: KnownRooms | undefined;

  /** Starts to answer the other instances. */
  constructor(options: ClusterSessionsOptions) {
    this.#options = options;
    this.#calls = new ClusterCalls(options, {
      answer: (question) => this.#answer(question as Question),
      obey: (order) => void this.#disconnect(order),
    });
  }

  /**
   * A page of the sessions of all instances.
   *
   * @throws what the store throws.
   */
  async list(query: SessionQuery): Promise<SessionPage> {
    const { answers, complete } = await this.#ask<SessionsHere>({
      of: "sessions",
      query,
    });
    const lags: Record<string, number> = {};
    for (const each of answers) {
      for (const [channel, lag] of Object.entries(each.lags)) {
        lags[channel] = Math.max(lags[channel] ?? 0, lag);
      }
    }
    return { ...joinSessions(answers, query), lags, complete };
  }

  /**
   * A page of all rooms, as they were at most {@link ROOMS_STAY_MS} ago.
   *
   * @throws what the store throws.
   */
  async rooms(query: RoomQuery): Promise<RoomPage & OfCluster> {
    const now = this.#options.clock.monotonic();
    if (!this.#rooms || now - this.#rooms.since >= ROOMS_STAY_MS) {
      const made = { since: now, table: this.#makeRooms() };
      this.#rooms = made;
      made.table.catch(() => {
        if (this.#rooms === made) this.#rooms = undefined;
      });
    }
    const { rooms, complete } = await this.#rooms.table;
    return { ...findRooms(rooms, query), complete };
  }

  /**
   * How many sessions an order would end, on all instances.
   *
   * @throws what the store throws.
   */
  async reach(target: Target): Promise<OfCluster & { sessions: number }> {
    const { answers, complete } = await this.#ask<number>({
      of: "reach",
      target,
    });
    return { sessions: answers.reduce((a, b) => a + b, 0), complete };
  }

  /**
   * Disconnects a session of any instance; its client does not reconnect by
   * itself.
   *
   * @param session its name.
   * @throws what the store throws.
   */
  async disconnect(session: string): Promise<void> {
    if (!this.#disconnect(session)) await this.#calls.order(session);
  }

  /** Stops answering. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#calls[Symbol.asyncDispose]();
  }

  #ask<Answer>(
    question: Question,
  ): Promise<{ answers: Answer[]; complete: boolean }> {
    return this.#calls.ask(question);
  }

  #answer(question: Question): unknown {
    const { sessions, id, hub } = this.#options;
    switch (question.of) {
      case "sessions": {
        const lags = Object.fromEntries(
          Iterator.from(hub.standings()).filter(({ channel }) =>
            !isRoom(channel)
          )
            .map(({ channel, lag }) => [channel, lag]),
        );
        return { ...findSessions(sessions, id, question.query), lags };
      }
      case "rooms":
        return Iterator.from(hub.standings())
          .filter(({ channel, subscribers }) =>
            isRoom(channel) && subscribers > 0
          )
          .map(({ channel, subscribers, seq, lag }): FollowedRoom => [
            channel,
            subscribers,
            seq,
            lag,
          ]).toArray();
      case "reach":
        return countReached(sessions, question.target);
    }
  }

  async #makeRooms(): Promise<{ rooms: RoomInfo[]; complete: boolean }> {
    const { answers, complete } = await this.#ask<FollowedRoom[]>({
      of: "rooms",
    });
    const heads = readRoomHeads(this.#options.kv);
    return { rooms: await roomTable(heads, answers), complete };
  }

  #disconnect(id: string): boolean {
    const listed = this.#options.sessions.get(id);
    listed?.session.disconnect("FORBIDDEN", "Disconnected by an operator");
    return listed !== undefined;
  }
}

function isRoom(channel: string): boolean {
  return channel.startsWith("room:");
}
