/**
 * The measurements of an instance or of the cluster as one report, in the
 * reference document's terms, and as text.
 *
 * @module
 */

/** How long deliveries took, in milliseconds. */
export interface DeliveryTime {
  /** Average. */
  avg: number;
  /** Shortest. */
  min: number;
  /** Longest. */
  max: number;
  /** 95th percentile. */
  p95: number;
  /** 99th percentile. */
  p99: number;
  /** Events measured. */
  total: number;
}

/** What an instance measures of itself, in the reference document's terms. */
export interface MetricsReport {
  /** Seconds since this instance started. */
  uptime: number;
  /** From commit to the last local socket, in milliseconds. */
  eventDeliveryTime: DeliveryTime;
  /** Averages over the last ten seconds. */
  throughput: {
    /** Frames received from clients. */
    messagesPerSecond: number;
    /** Events delivered to sockets. */
    eventsPerSecond: number;
    /** Events committed here. */
    broadcastsPerSecond: number;
  };
  /** Connections of this instance. */
  connectionStats: {
    activeConnections: number;
    totalConnections: number;
    /** Connections that were refused. */
    failedConnections: number;
    /** Clients that read more slowly than events arrive. */
    slowConnections: number;
    /** From a request to connect to the open socket, in milliseconds. */
    avgConnectionTime: number;
  };
  /** Resources that this instance uses. */
  resourceUsage: {
    /** Resident memory of the whole process, in bytes. */
    memoryUsage: number;
    networkConnections: number;
  };
  /** Frames sent to clients so far. */
  traffic: {
    /** Their bytes, as they were sent. */
    wireBytes: number;
    /** Their bytes as text, before compression. */
    textBytes: number;
  };
  /** The log, as this instance uses it. */
  log: {
    commits: number;
    events: number;
    conflicts: number;
    failures: number;
    /** Average time of a commit, in milliseconds. */
    commitTimeMs: number;
    /** Events fetched because a link lost or delayed them. */
    repaired: number;
  };
  /** Refusals so far, by code. */
  refusals: Record<string, number>;
}

/**
 * The report as text, in the layout of the reference document.
 *
 * @param report of one instance or of the whole cluster.
 */
export function getPerformanceReport(report: PerformanceFigures): string {
  const { eventDeliveryTime: time, throughput, connectionStats } = report;
  const { resourceUsage } = report;
  const two = (value: number) => value.toFixed(2);
  const megabytes = resourceUsage.memoryUsage / (1024 * 1024);
  return `WebSocket Performance Report
=============================
Uptime: ${(report.uptime / 60).toFixed(1)} minutes

Event Delivery Performance:
- Average Delivery Time: ${two(time.avg)}ms
- Min Delivery Time: ${two(time.min)}ms
- Max Delivery Time: ${two(time.max)}ms
- 95th Percentile: ${two(time.p95)}ms
- 99th Percentile: ${two(time.p99)}ms
- Total Events Tracked: ${time.total}

Throughput:
- Messages/Second: ${two(throughput.messagesPerSecond)}
- Events/Second: ${two(throughput.eventsPerSecond)}
- Broadcasts/Second: ${two(throughput.broadcastsPerSecond)}

Connection Statistics:
- Active Connections: ${connectionStats.activeConnections}
- Total Connections: ${connectionStats.totalConnections}
- Failed Connections: ${connectionStats.failedConnections}
- Avg Connection Time: ${two(connectionStats.avgConnectionTime)}ms

Resource Usage:
- Memory Usage: ${two(megabytes)}MB
- Network Connections: ${resourceUsage.networkConnections}
`;
}

/** The sections of a report that {@link getPerformanceReport} writes. */
export type PerformanceFigures = Pick<
  MetricsReport,
  | "uptime"
  | "eventDeliveryTime"
  | "throughput"
  | "connectionStats"
  | "resourceUsage"
>;
