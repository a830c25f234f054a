/**
 * What is counted in the hub and its parts.
 *
 * @module
 */
import type { Entry } from "../store/entry.ts";
import type { Frame } from "./codec.ts";

/** Called with what happens in the hub, for measurements. */
export interface HubObserver {
  /**
   * Events were delivered to local subscribers, `ms` after the first of them
   * reached this instance.
   */
  delivered?(events: number, deliveries: number, ms: number): void;
  /**
   * A channel's share of that: how many deliveries, and the newest event.
   */
  flushed?(channel: string, deliveries: number, newest: Entry): void;
  /** A frame was sent to a client. */
  sent?(frame: Frame): void;
  /** Events were published by this instance. */
  accepted?(events: readonly { readonly channel: string }[]): void;
  /** Events were read from the log because a link lost or delayed them. */
  repaired?(channel: string, events: number): void;
  /**
   * A room was refused for want of space; once a minute at most.
   *
   * @param used channels in use.
   * @param address the one refused; absent for a room of the service's own.
   */
  roomsFull?(used: number, address?: string): void;
  /** A read of the log failed. */
  failed?(error: unknown): void;
}
