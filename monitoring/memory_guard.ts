/**
 * Bounds the resident memory that clients without a token cause: refuses more
 * of them and disconnects the newest.
 *
 * The platform buffers up to 64 MiB of a frame before it delivers it, and
 * continues after a close until the peer disconnects. This guard cannot free
 * that memory; it prevents further clients from adding to it.
 *
 * @module
 */
import type { Clock } from "../platform/clock.ts";
import type { Logger } from "../platform/logger.ts";
import type { Listed, Sessions } from "../realtime/sessions.ts";

/** Time between looks, in milliseconds. */
export const MEMORY_LOOK_MS = 1_000;
/** What a well-behaved connection may cost, in bytes; an idle one costs 29 KB. */
export const SOCKET_BYTES = 64 * 1024;
/** Share of the limit below which memory counts as free again. */
export const RECOVERED_SHARE = 0.9;
/** Most clients disconnected at one look. */
export const MAX_SHED = 100;

/** What {@link MemoryGuard} needs. */
export interface MemoryGuardParts {
  /** Paces the looks. */
  readonly clock: Pick<Clock, "after">;
  /** Clients connected here. */
  readonly sessions: Pick<Sessions, "sockets"> & Iterable<Listed>;
  /** How many instances share the process and its memory. */
  readonly instances: number;
  /** Resident memory of the process, in bytes. */
  readonly memoryUsage: () => number;
  /** Most memory besides {@link SOCKET_BYTES} for each connection, in bytes. */
  readonly limitBytes: number;
  /** Writes when it begins and ends to refuse clients. */
  readonly logger: Pick<Logger, "warn" | "info">;
}

/** Looks at resident memory, and sheds clients while there is too much. */
export class MemoryGuard implements Disposable {
  readonly #parts: MemoryGuardParts;
  #timer: Disposable;
  #isFull = false;

  /** Begins to look. */
  constructor(parts: MemoryGuardParts) {
    this.#parts = parts;
    this.#timer = this.#next();
  }

  /** Whether further clients without a token are refused. */
  get isFull(): boolean {
    return this.#isFull;
  }

  /** Stops to look. */
  [Symbol.dispose](): void {
    this.#timer[Symbol.dispose]();
  }

  #next(): Disposable {
    return this.#parts.clock.after(MEMORY_LOOK_MS, () => {
      this.#timer = this.#next();
      this.#look();
    });
  }

  #look(): void {
    const { sessions, instances, memoryUsage, limitBytes, logger } =
      this.#parts;
    // Connections spread evenly over the instances of a process.
    const limit = limitBytes + sessions.sockets * instances * SOCKET_BYTES;
    const bytes = memoryUsage();
    if (bytes > limit) {
      const shed = this.#shed();
      if (!this.#isFull) logger.warn("memory_full", { bytes, limit, shed });
      this.#isFull = true;
      return;
    }
    if (this.#isFull && bytes < limit * RECOVERED_SHARE) {
      this.#isFull = false;
      logger.info("memory_recovered", { bytes, limit });
    }
  }

  /** Disconnects the newest clients without a token. */
  #shed(): number {
    const unknown = [...this.#parts.sessions]
      .filter(({ session }) => !session.identity.isAuthenticated)
      .slice(-MAX_SHED);
    for (const { session } of unknown.reverse()) {
      session.disconnect("TOO_MANY_CONNECTIONS", "Memory is short");
    }
    return unknown.length;
  }
}
