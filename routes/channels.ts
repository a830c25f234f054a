/**
 * The catalogue of channels, and their history.
 *
 * @module
 */
import { z } from "zod";
import { CHANNELS, ROLES } from "../protocol/channels.ts";
import type { ChannelKindName } from "../protocol/channels.ts";
import {
  DEFAULT_HISTORY_LIMIT,
  MAX_HISTORY_LIMIT,
} from "../protocol/commands.ts";
import type { Position } from "../protocol/commands.ts";
import type { Description } from "../describe/openapi.ts";
import { REPLIES } from "../protocol/replies.ts";
import { MAX_ANSWER_BYTES } from "../realtime/history.ts";
import type { History } from "../realtime/history.ts";
import { requireChannel } from "../realtime/channel.ts";
import type { Hub } from "../realtime/hub.ts";
import type { Instances } from "../monitoring/instances.ts";
import { mayMeasure, maySee, visibleTo } from "../security/rights.ts";
import type { Gate } from "./gate.ts";
import { position, wholeNumber } from "./input.ts";
import type { BarePosition } from "./input.ts";
import { route } from "./route.ts";
import type { Route } from "./route.ts";

/** What the channel routes need. */
export interface ChannelParts {
  /** Charges for what is read. */
  gate: Gate;
  /** Reads heads. */
  hub: Hub;
  /** Answers from the log. */
  history: History;
  /** Knows all instances. */
  instances: Instances;
}

/** Declares `GET /api/channels` and `GET /api/channels/:channel/history`. */
export function channelRoutes(
  { gate, hub, history, instances }: ChannelParts,
): Route[] {
  return [
    route({
      method: "get",
      path: "/api/channels",
      right: "catalogue",
      compresses: true,
      describe: catalogue,
      async handle(c, { principal }) {
        const [channels, all] = await Promise.all([
          history.channels(),
          instances.list(),
        ]);
        return c.json({
          channels: channels.filter(({ channel }) => maySee(principal, channel))
            .map((channel) => ({
              ...channel,
              subscribers: sum(
                all.map((it) => it.subscribers[channel.channel] ?? 0),
              ),
            })),
          instances: mayMeasure(principal)
            ? all.map((it) => ({
              ...it,
              subscribers: visibleTo(principal, it.subscribers),
            }))
            : [],
        });
      },
    }),
    route({
      method: "get",
      path: "/api/channels/:channel/history",
      right: "history",
      compresses: true,
      maxAnswerBytes: MAX_ANSWER_BYTES,
      params: z.object({ channel: channelName }),
      query: z.object({
        after: position("Only later than this: epoch:seq, or a number", "0"),
        before: position(
          "Only earlier than this: epoch:seq, or a number",
          "1000",
        ),
        limit: wholeNumber(1, MAX_HISTORY_LIMIT).default(DEFAULT_HISTORY_LIMIT)
          .meta({ description: "Most events answered", example: 10 }),
      }),
      describe: () => ({
        tag: "events",
        summary: "A page of a channel's events, oldest first",
        answers: [{
          status: 200,
          description: "Events, and whether there are more",
          schema: REPLIES.query_result,
        }],
        refuses: ["UNKNOWN_CHANNEL", "INVALID_PAYLOAD", "FORBIDDEN"],
      }),
      async handle(c, { principal, params, query }) {
        const { name } = requireChannel(params.channel);
        const { after, before, limit } = query;
        // A bare number is of the present epoch.
        const whole = async (at: BarePosition): Promise<Position> => ({
          epoch: at.epoch ?? (await hub.heads([name]))[0]!.epoch,
          seq: at.seq,
        });
        return c.json(
          await history.query(
            {
              channel: name,
              limit,
              ...(after ? { after: await whole(after) } : {}),
              ...(before ? { before: await whole(before) } : {}),
            },
            principal,
            gate.reader(c, principal),
          ),
        );
      },
    }),
  ];
}

const channelName = z.string().meta({
  description: "A channel's name or alias, or room:<name>",
  example: "blocks",
});

function sum(numbers: readonly number[]): number {
  return numbers.reduce((a, b) => a + b, 0);
}

function catalogue(): Description {
  const count = z.int().nonnegative();
  const Throughput = z.looseObject({
    messagesPerSecond: z.number().describe("Frames received"),
    eventsPerSecond: z.number().describe("Events handed to connections"),
    broadcastsPerSecond: z.number().describe("Events committed"),
  }).meta({ id: "Throughput" });
  const InstanceInfo = z.looseObject({
    id: z.string().describe("Its unique name"),
    startedAt: count.describe("When it started, in epoch milliseconds"),
    at: count.describe("When it reported this, in epoch milliseconds"),
    connections: count.describe("Connected clients"),
    subscribers: z.record(z.string(), count)
      .describe("Its fullest channels, with their subscribers"),
    throughput: Throughput.describe("How much passes it each second"),
    traffic: z.looseObject({
      wireBytes: count.describe("Bytes sent, as they were written"),
      textBytes: count.describe("Bytes of the same as text"),
    }).optional().describe("What it sent since it started"),
    memoryUsage: count.describe("Resident memory of its process, in bytes"),
  }).meta({ id: "Instance" });
  const ChannelInfo = z.looseObject({
    channel: z.enum(
      Object.keys(CHANNELS) as [ChannelKindName, ...ChannelKindName[]],
    ).describe("Its canonical name"),
    summary: z.string().describe("What it carries"),
    aliases: z.array(z.string()).describe("Its other names"),
    read: z.enum(ROLES).describe("The least role that reads it"),
    publish: z.enum(ROLES).describe("The least role that publishes to it"),
    retention: z.enum(["log", "none"]).describe("Whether its events are kept"),
    epoch: z.string().nullable().describe("Identity of its log"),
    seq: count.nullable().describe("Number of its newest event"),
    subscribers: count.describe("Subscriptions on all instances"),
  }).meta({ id: "Channel" });
  return {
    tag: "events",
    summary: "The catalogue of channels, where each ends, and who serves them",
    description:
      "Channels that the caller may read. Instances are listed for callers that may read metrics; names of rooms only with a token that covers them.",
    answers: [{
      status: 200,
      description: "Channels and instances",
      schema: z.looseObject({
        channels: z.array(ChannelInfo).describe("Those the caller may read"),
        instances: z.array(InstanceInfo)
          .describe("Those that run, for callers that may read metrics"),
      }),
    }],
  };
}
