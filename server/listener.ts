/**
 * Accepts connections until the process ends.
 *
 * @module
 */
import { backoffMs } from "../platform/backoff.ts";
import type { Clock } from "../platform/clock.ts";
import type { Logger } from "../platform/logger.ts";
import { pause } from "../platform/pause.ts";

/** Ceilings of the pauses before a listener is reopened. */
const RETRY = { baseMs: 200, capMs: 5_000 } as const;
/** A listener that lasted this long, in milliseconds, did not fail at once. */
const LASTED_MS = 10_000;

/** Options of listening. */
export interface ListenOptions {
  /** Address to bind. */
  readonly hostname: string;
  /** Port to bind. */
  readonly port: number;
  /** Whether other instances of the process listen on the same port. */
  readonly isShared: boolean;
  /** Answers requests. */
  readonly handler: Deno.ServeHandler<Deno.NetAddr>;
  /** Called when connections are accepted for the first time. */
  readonly onListen: (address: Deno.NetAddr) => void;
  /** Paces retries. */
  readonly clock: Clock;
  /** Logs that accepting failed and is retried. */
  readonly logger: Pick<Logger, "error" | "warn">;
  /** Serves; `Deno.serve` when omitted. */
  readonly serve?: (
    options: Deno.ServeTcpOptions,
    handler: Deno.ServeHandler<Deno.NetAddr>,
  ) => Pick<Deno.HttpServer<Deno.NetAddr>, "addr" | "finished">;
}

/**
 * Accepts connections, and opens a new listener whenever accepting fails, as it
 * does when the process is out of file descriptors: open connections stay open,
 * and the process does not end.
 *
 * @throws the error of the first attempt to bind.
 */
export function keepListening(options: ListenOptions): void {
  const { hostname, port, isShared, handler, onListen, clock, logger } =
    options;
  const serve = options.serve ?? Deno.serve;
  const open = () =>
    serve({
      hostname,
      port,
      ...(isShared ? { reusePort: true } : {}),
      onListen: () => {},
    }, handler);
  const first = open();
  onListen(first.addr);
  void keep(first.finished);

  async function keep(finished: Promise<void>): Promise<void> {
    let openedAt = clock.monotonic();
    for (let failures = 0;;) {
      try {
        await finished;
        return;
      } catch (error) {
        if (clock.monotonic() - openedAt >= LASTED_MS) failures = 0;
        const retryInMs = Math.ceil(backoffMs(failures++, RETRY));
        logger.error("listener_failed", { error: String(error), retryInMs });
        await pause(clock, retryInMs);
      }
      openedAt = clock.monotonic();
      // An attempt that fails to bind counts as a listener that failed.
      finished = Promise.try(() => {
        const { finished } = open();
        logger.warn("listening_again", { hostname, port });
        return finished;
      });
    }
  }
}
