/**
 * The instruments of the service: their names, types and readings, the same
 * for every exporter.
 *
 * @module
 */

/** Upper bounds of the buckets that times are counted in, in seconds. */
export const TIME_BUCKETS: readonly number[] = [
  0.0005,
  0.001,
  0.0025,
  0.005,
  0.01,
  0.025,
  0.05,
  0.1,
  0.25,
  0.5,
  1,
  2.5,
  5,
  10,
];
/** Upper bounds of the buckets that sizes are counted in. */
export const SIZE_BUCKETS: readonly number[] = [
  1,
  2,
  5,
  10,
  25,
  50,
  100,
  250,
  500,
];

/** An instrument, as every exporter names it. */
export interface Instrument {
  /** `counter`: only grows; `gauge`: as it is now; `histogram`: spread. */
  readonly type: "counter" | "gauge" | "histogram";
  /** What it measures, a sentence for people. */
  readonly help: string;
}

/** Every instrument; labels take values of small, fixed vocabularies only. */
export const INSTRUMENTS = {
  kaldrix_build_info: {
    type: "gauge",
    help: "Version of the service, as a label; the value is 1.",
  },
  kaldrix_ready: {
    type: "gauge",
    help: "Whether the instance is ready for clients, as GET /ready answers.",
  },
  kaldrix_alerts_firing: {
    type: "gauge",
    help:
      "Alerts of the whole cluster that have not ended, the same for all instances.",
  },
  kaldrix_head_age_seconds: {
    type: "gauge",
    help:
      "Time since the newest block was accepted; negative when clocks differ. Absent where no block is expected.",
  },
  kaldrix_readings_age_seconds: {
    type: "gauge",
    help:
      "Age of the readings of an instance: 0 for the one that answers; negative when clocks differ.",
  },
  kaldrix_start_time_seconds: {
    type: "gauge",
    help: "Start of the instance, in seconds since the Unix epoch.",
  },
  kaldrix_memory_bytes: {
    type: "gauge",
    help:
      "Resident memory of the whole process, the same for all its instances.",
  },
  kaldrix_connections: {
    type: "gauge",
    help: "Clients connected now, over WebSocket or SSE.",
  },
  kaldrix_connections_slow: {
    type: "gauge",
    help: "Clients that read more slowly than events arrive.",
  },
  kaldrix_connections_opened_total: {
    type: "counter",
    help: "Clients that were connected.",
  },
  kaldrix_connections_failed_total: {
    type: "counter",
    help: "Connections that were refused.",
  },
  kaldrix_connect_seconds: {
    type: "histogram",
    help: "From a request to connect to the socket being open.",
  },
  kaldrix_frames_received_total: {
    type: "counter",
    help: "Frames received from clients.",
  },
  kaldrix_wire_bytes_total: {
    type: "counter",
    help: "Bytes of the frames sent to clients, as they were sent.",
  },
  kaldrix_text_bytes_total: {
    type: "counter",
    help: "Bytes of the same frames as text, before compression.",
  },
  kaldrix_refusals_total: {
    type: "counter",
    help: "What was refused, by code.",
  },
  kaldrix_security_events_total: {
    type: "counter",
    help: "What happened at the guards, by kind.",
  },
  kaldrix_security_events_dropped_total: {
    type: "counter",
    help: "Security events that were counted but never stored.",
  },
  kaldrix_events_total: {
    type: "counter",
    help: "Events published through the instance, by kind of channel.",
  },
  kaldrix_deliveries_total: {
    type: "counter",
    help: "Events delivered to clients, by kind of channel.",
  },
  kaldrix_delivery_seconds: {
    type: "histogram",
    help:
      "From the commit of an event, or its arrival by a link, to the last socket here.",
  },
  kaldrix_event_age_seconds: {
    type: "histogram",
    help:
      "From the timestamp of an event, before its commit, to the last socket here.",
  },
  kaldrix_streams: {
    type: "gauge",
    help: "Channels kept in memory, by kind.",
  },
  kaldrix_subscribers: {
    type: "gauge",
    help: "Subscriptions, by kind of channel.",
  },
  kaldrix_channel_head: {
    type: "gauge",
    help:
      "Newest sequence number of a channel that the instance knows, rooms left out.",
  },
  kaldrix_channel_lag_events: {
    type: "gauge",
    help:
      "Events that the slowest subscriber has not received, by kind of channel.",
  },
  kaldrix_repaired_events_total: {
    type: "counter",
    help:
      "Events read from the log because a link lost or delayed them, by kind of channel.",
  },
  kaldrix_link_posts_total: {
    type: "counter",
    help: "Posts to other instances, by link.",
  },
  kaldrix_link_heard_total: {
    type: "counter",
    help: "Posts received from other instances, by link.",
  },
  kaldrix_link_incomplete_total: {
    type: "counter",
    help: "Posts received after an earlier one was lost, by link.",
  },
  kaldrix_link_failures_total: {
    type: "counter",
    help: "Times a link could not be used, by link.",
  },
  kaldrix_doorbell_seconds: {
    type: "histogram",
    help: "From a ring of the doorbell to its return through the store.",
  },
  kaldrix_commits_total: {
    type: "counter",
    help: "Commits to the log that took effect.",
  },
  kaldrix_commit_conflicts_total: {
    type: "counter",
    help: "Commits that conflicted and were retried.",
  },
  kaldrix_commit_seconds: {
    type: "histogram",
    help: "Duration of a commit, its retries included.",
  },
  kaldrix_commit_events: {
    type: "histogram",
    help: "Events in one commit.",
  },
  kaldrix_store_failures_total: {
    type: "counter",
    help: "Commits and reads of the log that failed.",
  },
  kaldrix_database_primary: {
    type: "gauge",
    help: "Whether the database that was asked takes writes.",
  },
  kaldrix_database_synchronous: {
    type: "gauge",
    help:
      "Whether a commit waits until a standby has it; with 0, an acknowledged event may be lost with the primary.",
  },
  kaldrix_database_standbys: {
    type: "gauge",
    help:
      "Connected standbys that commits may wait for. Absent without the right to see them.",
  },
  kaldrix_database_bytes: {
    type: "gauge",
    help: "Size of the table in PostgreSQL, its indexes included.",
  },
  kaldrix_database_rows: {
    type: "gauge",
    help: "Rows of the table, as PostgreSQL estimates them.",
  },
  kaldrix_database_dead_rows: {
    type: "gauge",
    help: "Rows that wait to be vacuumed, as PostgreSQL estimates them.",
  },
  kaldrix_database_calls: {
    type: "gauge",
    help: "Calls of the instance that wait for an answer of the database.",
  },
  kaldrix_database_connections: {
    type: "gauge",
    help:
      "Connections of the instance that its calls share; more calls wait for one.",
  },
} as const satisfies Record<`kaldrix_${string}`, Instrument>;

/** The name of an instrument. */
export type InstrumentName = keyof typeof INSTRUMENTS;

/** One value of an instrument, or a spread of values. */
export interface Reading {
  /** Which instrument. */
  readonly name: InstrumentName;
  /** What it is about; names and values from small, fixed vocabularies. */
  readonly labels: Readonly<Record<string, string>>;
  /** Of counters and gauges; of histograms the sum of all values. */
  readonly value: number;
  /** Of histograms: how many values there were. */
  readonly count?: number;
  /** Of histograms: values up to each bound, cumulative. */
  readonly buckets?: readonly (readonly [bound: number, count: number])[];
}

/** Receives every duration and size as it is measured. */
export type MeasurementListener = (
  name: InstrumentName,
  value: number,
  count: number,
) => void;

/** The kind of channel: rooms are one, whatever their names. */
export function kindOf(channel: string): string {
  return channel.startsWith("room:") ? "room" : channel;
}
