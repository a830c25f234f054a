/**
 * The catalogue of channels, and their history.
 *
 * @module
 */
import { Hono } from "hono";
import {
  DEFAULT_HISTORY_LIMIT,
  MAX_HISTORY_LIMIT,
} from "../protocol/commands.ts";
import type { Position } from "../protocol/commands.ts";
import { Refusal } from "../protocol/refusals.ts";
import type { History } from "../realtime/history.ts";
import { requireChannel } from "../realtime/hub.ts";
import type { Hub } from "../realtime/hub.ts";
import type { Instances } from "../monitoring/instances.ts";
import type { Gate } from "./gate.ts";
import type { Env } from "./http.ts";

/** `epoch:seq`, or a bare number. */
export const POSITION = /^(?:([0-9A-Za-z]{1,64}):)?(\d{1,15})$/;

/** What the channel routes need. */
export interface ChannelParts {
  /** Lets requests in. */
  gate: Gate;
  /** Reads heads. */
  hub: Hub;
  /** Answers from the log. */
  history: History;
  /** Knows all isolates. */
  instances: Instances;
}

/** Mounts `GET /api/channels` and `GET /api/channels/:channel/history`. */
export function channelRoutes(parts: ChannelParts): Hono<Env> {
  return new Hono<Env>()
    .get("/api/channels", async (c) => {
      await parts.gate.request(c);
      const [channels, instances] = await Promise.all([
        parts.history.channels(),
        parts.instances.list(),
      ]);
      return c.json({
        channels: channels.map((channel) => ({
          ...channel,
          subscribers: sum(
            instances.map((it) => it.subscribers[channel.channel] ?? 0),
          ),
        })),
        instances,
      });
    })
    .get("/api/channels/:channel/history", async (c) => {
      const principal = await parts.gate.request(c);
      const { name } = requireChannel(c.req.param("channel"));
      const epoch = async () => (await parts.hub.heads([name]))[0]!.epoch;
      const after = await positionOf("after", c.req.query("after"), epoch);
      const before = await positionOf("before", c.req.query("before"), epoch);
      return c.json(
        await parts.history.query({
          channel: name,
          limit: limitOf(c.req.query("limit")),
          ...(after ? { after } : {}),
          ...(before ? { before } : {}),
        }, principal),
      );
    });
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((a, b) => a + b, 0);
}

/** Reads `epoch:seq`, or a bare number, which is of the present epoch. */
async function positionOf(
  name: string,
  text: string | undefined,
  presentEpoch: () => Promise<string>,
): Promise<Position | undefined> {
  if (text === undefined) return undefined;
  const parts = POSITION.exec(text);
  if (!parts) {
    throw badQuery(name, "expected epoch:seq, or a number");
  }
  return { epoch: parts[1] ?? await presentEpoch(), seq: Number(parts[2]) };
}

function limitOf(text: string | undefined): number {
  if (text === undefined) return DEFAULT_HISTORY_LIMIT;
  const limit = /^\d{1,6}$/.test(text) ? Number(text) : 0;
  if (limit >= 1 && limit <= MAX_HISTORY_LIMIT) return limit;
  throw badQuery(
    "limit",
    `expected a whole number from 1 to ${MAX_HISTORY_LIMIT}`,
  );
}

function badQuery(path: string, message: string): Refusal {
  return new Refusal("INVALID_PAYLOAD", `Query argument ${path}: ${message}`, {
    issues: [{ path, message }],
  });
}
