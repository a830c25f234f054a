/**
 * What the operator's page reads from the service, and how often.
 *
 * @module
 */
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
  SecurityEvent,
  SessionInfo,
  Silence,
} from "./api.ts";
import { Memory, recalled, sampleOf } from "./model.ts";
import type { PastSample } from "./model.ts";

/** Sessions, blocks and events are read at every third refresh. */
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
  /** When that was, in epoch milliseconds. */
  readonly asOf: number;
}

/** What only some refreshes read. */
interface Rest {
  readonly sessions: readonly SessionInfo[];
  /** Whether all instances reported their sessions. */
  readonly isComplete: boolean;
  readonly blocks: readonly BlockInfo[];
  readonly revocations: readonly RevocationInfo[];
  readonly events: readonly SecurityEvent[];
  /** When that was, in epoch milliseconds. */
  readonly restAsOf: number;
  /** Events of the channel `alerts`, newest first. */
  readonly alerts: readonly AlertEvent[];
  /** When each channel last had an event, in epoch milliseconds. */
  readonly latest: Readonly<Record<string, number>>;
}

/** Everything that was read last. */
export interface View extends Pulse, Rest {}

/** Reads from the service, and keeps what the charts need. */
export class Watch {
  /** Samples of the last hour. */
  readonly memory = new Memory();
  readonly #api: OperatorApi;
  #view: View | undefined;
  #looks = 0;

  /**
   * Prepares; nothing is requested yet.
   *
   * @param api of an operator.
   */
  constructor(api: OperatorApi) {
    this.#api = api;
  }

  /** Refreshes; everything every {@link SLOW_LOOKS} looks. @throws {ApiError} */
  async look(): Promise<View> {
    const isWhole = this.#looks++ % SLOW_LOOKS === 0;
    const pulse = await this.#pulse();
    const { asOf, instances, channels, metrics } = pulse;
    const { p95 } = metrics.cluster?.eventDeliveryTime ??
      metrics.eventDeliveryTime ?? {};
    this.memory.take(sampleOf(asOf, instances, p95));
    this.memory.mark(asOf, channels);
    const rest = !isWhole && this.#view
      ? this.#view
      : await this.#rest(channels);
    return this.#view = { ...rest, ...pulse };
  }

  /** Makes the next refresh read everything. */
  expectChange(): void {
    this.#looks = 0;
  }

  /** Loads the history of an instance that is alone. @throws {ApiError} */
  async recall(): Promise<void> {
    // The history of one instance is the cluster's only if it is alone.
    if (this.#view?.instances.length !== 1) return;
    const { samples } = await this.#api.get<
      { samples: readonly PastSample[] }
    >("/api/metrics/history");
    this.memory.recall(recalled(samples));
  }

  async #pulse(): Promise<Pulse> {
    const [listed, ready, metrics, wrong] = await Promise.all([
      this.#api.get<{ channels: ChannelInfo[]; instances: InstanceInfo[] }>(
        "/api/channels",
      ),
      this.#api.get<{ ready: boolean; checks: Record<string, Check> }>(
        "/ready",
      ),
      this.#api.get<MetricsInfo>("/api/metrics"),
      this.#api.get<{ alerts: ActiveAlert[]; silences: Silence[] }>(
        "/api/admin/alerts",
      ),
    ]);
    const { alerts: active, silences } = wrong;
    return {
      ...listed,
      ...ready,
      metrics,
      active,
      silences,
      asOf: Date.now(),
    };
  }

  async #rest(channels: readonly ChannelInfo[]): Promise<Rest> {
    const kept = channels.filter(({ seq }) => seq);
    const [who, blocked, revoked, happened, ends] = await Promise.all([
      this.#api.get<{ sessions: SessionInfo[]; complete: boolean }>(
        "/api/admin/sessions",
      ),
      this.#api.get<{ blocks: BlockInfo[] }>("/api/admin/blocks"),
      this.#api.get<{ revocations: RevocationInfo[] }>(
        "/api/admin/revocations",
      ),
      this.#api.get<{ events: SecurityEvent[] }>(
        `/api/admin/events?limit=${MAX_EVENTS}`,
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
      sessions: who.sessions,
      isComplete: who.complete,
      blocks: blocked.blocks,
      revocations: revoked.revocations,
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
