/**
 * What the operator's page reads from the service, and how often.
 *
 * @module
 */
import { ApiError, textOf } from "./api.ts";
import type {
  ActiveAlert,
  AlertEvent,
  BlockInfo,
  ChannelInfo,
  Check,
  InstanceInfo,
  MetricsInfo,
  OperatorApi,
  RevocationInfo,
  RoomInfo,
  SecurityEvent,
  SessionInfo,
  Silence,
} from "./api.ts";
import { List } from "./list.ts";
import { Memory, recalled, sampleOf } from "./model.ts";
import type { PastSample } from "./model.ts";

/** Lists and events are read at every third refresh. */
const SLOW_LOOKS = 3;
/** Alerts shown. */
const MAX_ALERTS = 12;
/** Security events shown. */
const MAX_EVENTS = 40;

/** What every refresh reads. */
interface Pulse {
  readonly instances: readonly InstanceInfo[];
  readonly channels: readonly ChannelInfo[];
  readonly ready: boolean;
  readonly checks: Readonly<Record<string, Check>>;
  readonly metrics: MetricsInfo;
  /** Those that have not ended. */
  readonly active: readonly ActiveAlert[];
  readonly silences: readonly Silence[];
  /** What could not be read, and why. */
  readonly unread: readonly string[];
  /** When that was, in epoch milliseconds. */
  readonly asOf: number;
}

/** What only some refreshes read. */
interface Rest {
  readonly events: readonly SecurityEvent[];
  /** When that was, in epoch milliseconds. */
  readonly restAsOf: number;
  /** Events of the channel `alerts`, newest first. */
  readonly alerts: readonly AlertEvent[];
  /** When each channel last had an event, in epoch milliseconds. */
  readonly latest: Readonly<Record<string, number>>;
}

/** Sums over all sessions. */
interface Sums {
  /** How many are connected. */
  readonly connected: number;
  /** How many of them are slow. */
  readonly behind: number;
  /** How far the slowest follower of each channel is behind. */
  readonly lags: Readonly<Record<string, number>>;
}

/** Everything that was read last. */
export interface View extends Pulse, Rest, Sums {}

/** The lists of the page. */
export interface Lists {
  /** Who is connected. */
  readonly sessions: List<SessionInfo>;
  /** The rooms. */
  readonly rooms: List<RoomInfo>;
  /** Blocked addresses. */
  readonly blocks: List<BlockInfo>;
  /** Revoked tokens. */
  readonly revocations: List<RevocationInfo>;
}

/** Stands in for what was never read. */
const NOTHING: Omit<Pulse, "ready" | "checks" | "unread" | "asOf"> = {
  instances: [],
  channels: [],
  metrics: {},
  active: [],
  silences: [],
};

/** Reads from the service, and keeps what the charts need. */
export class Watch {
  /** Samples of the last hour. */
  readonly memory = new Memory();
  /** What is answered in pages. */
  readonly lists: Lists;
  /** Whether only operators' orders are read of the security events. */
  ordersOnly = false;
  readonly #api: OperatorApi;
  #pulse: Pulse | undefined;
  #rest: Rest | undefined;
  #looks = 0;

  /**
   * Prepares; nothing is requested yet.
   *
   * @param api of an operator.
   * @param onChange called when a list shows something else.
   */
  constructor(api: OperatorApi, onChange: () => void) {
    this.#api = api;
    this.lists = {
      sessions: new List(api, {
        name: "sessions",
        sort: { by: "lag", isDescending: true },
        onChange,
      }),
      rooms: new List(api, {
        name: "rooms",
        sort: { by: "followers", isDescending: true },
        onChange,
      }),
      blocks: new List(api, { name: "blocks", onChange }),
      revocations: new List(api, { name: "revocations", onChange }),
    };
  }

  /**
   * Refreshes; everything every {@link SLOW_LOOKS} looks.
   *
   * @throws {ApiError} when the service does not answer, or refuses the token.
   */
  async look(): Promise<View> {
    const isWhole = this.#looks++ % SLOW_LOOKS === 0;
    const pulse = await this.#readPulse();
    this.#pulse = pulse;
    const { asOf, instances, channels, metrics } = pulse;
    const { p95 } = metrics.cluster?.eventDeliveryTime ??
      metrics.eventDeliveryTime ?? {};
    this.memory.take(sampleOf(asOf, instances, p95));
    this.memory.mark(asOf, channels);
    if (isWhole || !this.#rest) {
      const lists = Object.values(this.lists).map((list) => list.refresh());
      const [rest] = await Promise.all([this.#readRest(channels), ...lists]);
      this.#rest = rest;
    }
    return this.view!;
  }

  /** What was read last; nothing before the first refresh. */
  get view(): View | undefined {
    if (!this.#pulse || !this.#rest) return undefined;
    const { answer } = this.lists.sessions;
    return {
      ...this.#rest,
      ...this.#pulse,
      connected: answer?.total ?? 0,
      behind: answer?.behind ?? 0,
      lags: answer?.lags ?? {},
    };
  }

  /** Reads all lists again, since an order changed them. */
  async reload(): Promise<void> {
    this.#looks = 0;
    await Promise.all(Object.values(this.lists).map((list) => list.reload()));
  }

  /** Stops reading. */
  end(): void {
    for (const list of Object.values(this.lists)) list.end();
  }

  /** Loads the history of an instance that is alone. @throws {ApiError} */
  async recall(): Promise<void> {
    // The history of one instance is the cluster's only if it is alone.
    if (this.#pulse?.instances.length !== 1) return;
    const { samples } = await this.#api.get<
      { samples: readonly PastSample[] }
    >("/api/metrics/history");
    this.memory.recall(recalled(samples));
  }

  /**
   * Readiness is required. The rest may be refused, for example while the store
   * is down: then the last values stay, and are marked as old.
   */
  async #readPulse(): Promise<Pulse> {
    const unread: string[] = [];
    const last = this.#pulse ?? NOTHING;
    const read = async <Answer extends Partial<Pulse>>(
      name: string,
      path: string,
      known: Answer,
      taken: (answer: never) => Answer,
    ): Promise<Answer> => {
      try {
        return taken(await this.#api.get(path) as never);
      } catch (error) {
        if (isFatal(error)) throw error;
        unread.push(`${name}: ${textOf(error)}`);
        return known;
      }
    };
    const [ready, listed, metrics, wrong] = await Promise.all([
      this.#api.get<Pick<Pulse, "ready" | "checks">>("/ready"),
      read(
        "channels",
        "/api/channels",
        { channels: last.channels, instances: last.instances },
        (answer: Pick<Pulse, "channels" | "instances">) => answer,
      ),
      read(
        "metrics",
        "/api/metrics",
        { metrics: last.metrics },
        (metrics: MetricsInfo) => ({ metrics }),
      ),
      read(
        "alerts",
        "/api/admin/alerts",
        { active: last.active, silences: last.silences },
        (answer: { alerts: ActiveAlert[]; silences: Silence[] }) => ({
          active: answer.alerts,
          silences: answer.silences,
        }),
      ),
    ]);
    return {
      ...listed,
      ...ready,
      ...metrics,
      ...wrong,
      unread,
      asOf: Date.now(),
    };
  }

  async #readRest(channels: readonly ChannelInfo[]): Promise<Rest> {
    const kept = channels.filter(({ seq }) => seq);
    const query = `limit=${MAX_EVENTS}${this.ordersOnly ? "&orders=true" : ""}`;
    try {
      const [happened, ends] = await Promise.all([
        this.#api.get<{ events: SecurityEvent[] }>(
          `/api/admin/events?${query}`,
        ),
        Promise.all(kept.map(async (it) =>
          [
            it.channel,
            await this.#newest(it, it.channel === "alerts" ? MAX_ALERTS : 1),
          ] as const
        )),
      ]);
      const byChannel = new Map(ends);
      return {
        events: happened.events,
        restAsOf: Date.now(),
        alerts: (byChannel.get("alerts") ?? []).toReversed(),
        latest: Object.fromEntries(
          ends.flatMap(([channel, events]) => {
            const last = events.at(-1);
            return last ? [[channel, Date.parse(last.timestamp)]] : [];
          }),
        ),
      };
    } catch (error) {
      if (isFatal(error)) throw error;
      return this.#rest ??
        { events: [], restAsOf: Date.now(), alerts: [], latest: {} };
    }
  }

  /** A channel's last events, oldest first. */
  async #newest(
    { channel, seq }: ChannelInfo,
    limit: number,
  ): Promise<readonly AlertEvent[]> {
    if (!seq) return [];
    const { events } = await this.#api.get<{ events: AlertEvent[] }>(
      `/api/channels/${channel}/history?before=${seq + 1}&limit=${limit}`,
    );
    return events;
  }
}

/** Whether nothing else can be read either. */
function isFatal(error: unknown): boolean {
  return !(error instanceof ApiError) || error.code === "UNREACHABLE" ||
    isAboutToken(error);
}

/** Whether the service no longer accepts the operator's token. */
export function isAboutToken({ code }: ApiError): boolean {
  return ["UNAUTHENTICATED", "TOKEN_EXPIRED", "FORBIDDEN"].includes(code);
}
