/**
 * Every bound of the client.
 *
 * @module
 */

/** Longest wait for `connected`, the token function's time included. */
export const CONNECT_TIMEOUT_MS = 10_000;
/** Longest wait for an answer, once asked. */
export const REQUEST_TIMEOUT_MS = 10_000;
/** Longest silence after a ping. */
export const HEARTBEAT_GRACE_MS = 5_000;
/** A timer this late means that the machine slept, not that the server is gone. */
export const LATE_MS = 1_000;
/** How often traffic alone notifies of a new state. */
export const TRAFFIC_MS = 1_000;
/** Oldest unanswered message sent again; the server knows ids for 10 min. */
export const MAX_RESEND_MS = 300_000;
/** Most messages and requests that wait for answers. */
export const MAX_PENDING = 1_000;
/** Most events that wait for one iteration. */
export const MAX_WAITING_EVENTS = 10_000;
/** Most events in one page of history. */
export const MAX_PAGE = 1_000;
/** Most messages in one frame of `sendBatch`. */
export const MAX_BATCH_MESSAGES = 100;
/** Least size of a message that servers take, until one states its limit. */
export const DEFAULT_MESSAGE_BYTES = 65_536;
/** Most that one channel takes of a `subscribe`: its name, its position. */
export const MAX_CHANNEL_BYTES = 512;
/** First close code that means "do not reconnect". */
export const FINAL_CLOSE = 4500;
/** How much one event moves the average latency. */
export const LATENCY_WEIGHT = 1 / 8;
/** How much worse the best round trip counts with each later one. */
export const BEST_AGEING = 1.1;
/** Shortest wait between two tries to renew a token. */
export const MIN_REFRESH_MS = 1_000;
/** Share of the time that an expiring token has left before it is renewed. */
export const REFRESH_AT = 1 / 4;
