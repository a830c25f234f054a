/**
 * Hooks for tracing an event from its publish to its deliveries.
 *
 * @module
 */

/** Where Deno puts its exporters when they are on. */
const EXPORTERS = Symbol.for("opentelemetry.js.api.1");

/** Whether an exporter is set up: then `telemetry.ts` is worth loading. */
export function isExported(): boolean {
  return EXPORTERS in globalThis;
}

/** Events that were handed to subscribers of one instance in one turn. */
export interface FannedOut {
  /** Events of the turn. */
  readonly events: number;
  /** Events times their subscribers here. */
  readonly deliveries: number;
  /** Milliseconds since this instance received the first of them. */
  readonly ms: number;
}

/** Traces an event: publish -> commit -> fan-out. */
export interface Tracing {
  /**
   * Does the work of one publish.
   *
   * @param kinds the kind of channel of each of its events.
   * @param work is handed the publish's name, as a W3C `traceparent`.
   */
  publish<T>(
    kinds: readonly string[],
    work: (trace: string) => Promise<T>,
  ): Promise<T>;
  /**
   * Does the work of one commit.
   *
   * @param traces the publishes in it, the first of them first.
   * @param events how many it tries to store.
   */
  commit<T>(
    traces: readonly string[],
    events: number,
    work: () => Promise<T>,
  ): Promise<T>;
  /** Events of the publish `trace` were handed out, just now. */
  fannedOut(trace: string, facts: FannedOut): void;
}
