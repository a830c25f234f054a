/**
 * The measurements of the hub and its parts.
 *
 * @module
 */
import type { Entry } from "../store/entry.ts";
import type { Frame } from "./codec.ts";

/** Receives events of the hub, for measurements. */
export interface HubObserver {
  /**
   * Events were delivered to local subscribers, `ms` after the first of them
   * reached this instance.
   */
  delivered?(events: number, deliveries: number, ms: number): void;
  /**
   * The deliveries of one channel among those, and its newest event.
   */
  flushed?(channel: string, deliveries: number, newest: Entry): void;
  /** A frame was sent to a client. */
  sent?(frame: Frame): void;
  /** Events were published by this instance. */
  accepted?(events: readonly { readonly channel: string }[]): void;
  /** Events were read from the log because a link lost or delayed them. */
  repaired?(channel: string, events: number): void;
  /**
   * A room was refused because the limit was reached; once a minute at most.
   *
   * @param used channels in use.
   * @param address the refused caller; absent for a room of the service itself.
   */
  roomsFull?(used: number, address?: string): void;
  /** A read of the log failed. */
  failed?(error: unknown): void;
}
