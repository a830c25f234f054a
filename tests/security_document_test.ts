import assert from "node:assert/strict";
import { MAX_DEPTH } from "../protocol/json_limits.ts";
import { STALL_MS } from "../realtime/outbox.ts";
import {
  CHANNELS_PER_MESSAGE,
  READ_LENGTH_PER_MESSAGE,
} from "../realtime/prices.ts";
import { MAX_FAULTS } from "../realtime/session.ts";
import { MAX_STREAMS, MAX_STREAMS_PER_ADDRESS } from "../realtime/streams.ts";
import { MAX_SUBSCRIPTIONS } from "../realtime/subscribe.ts";
import {
  CONNECTION_BURST,
  CONNECTION_PER_SECOND,
  MESSAGES_PER_REQUEST,
} from "../routes/budgets.ts";
import { IDLE_TIMEOUT_S } from "../routes/socket.ts";
import {
  AUTOMATIC_BLOCK_MS,
  MAX_VIOLATIONS,
  VIOLATION_WINDOW_MS,
} from "../security/block_list.ts";
import { CLOCK_SKEW_MS } from "../security/tokens.ts";
import { MAX_ORDERS, MAX_SECURITY_EVENTS } from "../security/security_log.ts";
import { readSettings } from "../server/settings.ts";

const DOCUMENT = await Deno.readTextFile(
  new URL("../SECURITY.md", import.meta.url),
);
const settings = readSettings(() => undefined, { dev: true });
const count = (value: number) => value.toLocaleString("en-US");
const seconds = (ms: number) => `${ms / 1_000} s`;

/** A length of time in its largest whole unit. */
function span(ms: number): string {
  const units = [[3_600_000, "h"], [60_000, "min"]] as const;
  const [size, name] = units.find(([size]) => ms % size === 0)!;
  return `${ms / size} ${name}`;
}

/** The expected rows of the table of limits, from the code. */
const LIMITS: Readonly<Record<string, string>> = {
  "connections of one instance": count(settings.MAX_CONNECTIONS),
  "connections of one address to one instance": count(
    settings.MAX_CONNECTIONS_PER_IP,
  ),
  "new connections, and HTTP requests, of one address": `${
    count(settings.RATE_LIMIT_MAX)
  } each in ${seconds(settings.RATE_LIMIT_WINDOW_MS)}, sliding`,
  "messages of one address": `${MESSAGES_PER_REQUEST} × \`RATE_LIMIT_MAX\``,
  "messages of one connection":
    `${CONNECTION_BURST} at once, ${CONNECTION_PER_SECOND} a second`,
  "size of a frame": `${settings.MAX_MESSAGE_BYTES / 1_024} KiB`,
  "nesting of JSON": String(MAX_DEPTH),
  "subscriptions of one connection": String(MAX_SUBSCRIPTIONS),
  "rooms opened for one address in one instance": `a ninth of those free, ${
    count(MAX_STREAMS_PER_ADDRESS)
  } of ${count(MAX_STREAMS)}`,
  "price of a subscription": `1 message for ${CHANNELS_PER_MESSAGE} channels`,
  "price of reading the log": `1 message for ${
    count(READ_LENGTH_PER_MESSAGE)
  } characters`,
  "refused frames in excess of good ones, before the connection ends": String(
    MAX_FAULTS,
  ),
  "silence (answers to pings count as sound)": `${IDLE_TIMEOUT_S} s`,
  "no progress in reading": seconds(STALL_MS),
  "automatic block after more than": `${MAX_VIOLATIONS} violations in ${
    seconds(VIOLATION_WINDOW_MS)
  }`,
  "its length": `${AUTOMATIC_BLOCK_MS.map(span).join(", ")} each time`
    .replace(/, (\d+ h each)/, ", then $1"),
};

Deno.test("the limits that SECURITY.md promises are those of the code", () => {
  const [, section] = DOCUMENT.split("## Limits and defaults\n");
  const rows = section!.trimStart().split("\n\n")[0]!.split("\n").slice(2)
    .map((row) => row.split("|").map((cell) => cell.trim()));
  const promised = Object.fromEntries(
    rows.map(([, what, value]) => [what, value]),
  );
  assert.deepEqual(promised, LIMITS);
});

Deno.test("the figures in SECURITY.md's sentences are those of the code", () => {
  const text = DOCUMENT.replaceAll(/\s+/g, " ");
  for (
    const sentence of [
      `clocks may differ by ${seconds(CLOCK_SKEW_MS)}`,
      `at \`exp\` + ${seconds(CLOCK_SKEW_MS)}`,
      `in a log of its own of ${count(MAX_ORDERS)} orders`,
      `The latest ${count(MAX_SECURITY_EVENTS)} other events`,
    ]
  ) assert(text.includes(sentence), sentence);
});
