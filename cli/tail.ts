/**
 * Follows channels, a line an event.
 *
 * @module
 */
import { type Command, InvalidArgumentError } from "commander";
import type { ClientState } from "../client/client.ts";
import type { TappedFrame } from "../client/types.ts";
import { MAX_HISTORY_LIMIT, type Position } from "../protocol/commands.ts";
import { MESSAGES, type MessageType } from "../protocol/messages.ts";
import { systemClock as clock } from "../platform/clock.ts";
import { onEndAsked } from "../platform/signals.ts";
import { lineOf, type Received } from "./line.ts";
import { reaching, Remote } from "./remote.ts";
import { Failed, Misused, note, print, printable, width } from "./terminal.ts";

/** How often the same reason is repeated while the service is away, in milliseconds. */
const REPEAT_MS = 30_000;
/** Written as the service's own ids are: `epoch:seq`. */
const POSITION = /^([^:]{1,64}):(\d{1,15})$/;

/** What the command line says. */
interface Flags {
  readonly url: string;
  readonly last?: number;
  readonly after?: Position;
  readonly count?: number;
  readonly json?: true;
  readonly retry: boolean;
}

/** Adds `tail`. */
export function tailCommand(program: Command): void {
  reaching(program.command("tail"))
    .description("follow channels, a line an event")
    .argument("[channels...]", "names, aliases or room:<name>", ["blocks"])
    .option("--last <n>", "begin with the newest events", counted(0))
    .option(
      "--after <epoch:seq>",
      "begin after this position of the channel",
      position,
    )
    .option("--count <n>", "end after this many events", counted(1))
    .option("--json", "write each event as a line of JSON")
    .option("--no-retry", "end when the connection is lost")
    .action(tail)
    .addHelpText(
      "after",
      `
Lost connections are made again and continue where they ended. What is lost
for good, and why there is no connection, is written to standard error.

Examples:
  kaldrix tail
  kaldrix tail blocks transactions --last 10
  kaldrix tail room:lobby --json | jq .payload
  kaldrix tail blocks --after 01M8BCB10N8E1ZADB800000032:17 --count 100`,
    );
}

async function tail(channels: readonly string[], flags: Flags): Promise<void> {
  const { url, last, after, count = Infinity, json, retry } = flags;
  if (after && (last !== undefined || channels.length > 1)) {
    throw new Misused("--after is for one channel, and not with --last");
  }
  const remote = new Remote(url);
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  let seen = 0;
  const take = (event: Received) => {
    if (seen >= count) return;
    print(json ? printable(JSON.stringify(event)) : lineOf(event, width()));
    if (++seen === count) resolve();
  };
  const client = remote.connect({ autoReconnect: retry });
  for (const type of Object.keys(MESSAGES) as MessageType[]) {
    client.subscribe(type, take as (event: unknown) => void);
  }
  client.onGap(({ channel, from, to, reason }) => {
    const which = to < from ? `after ${from - 1}` : `${from} to ${to}`;
    note(`${channel}: events ${which} are lost (${reason})`);
  });
  client.onFrame(closing);
  client.onState(reporter(remote, reject));
  for (const channel of channels) {
    client.joinChannel(channel, {
      ...(last === undefined ? {} : { last }),
      ...(after ? { after } : {}),
    });
  }
  onEndAsked(() => resolve());
  try {
    await promise;
  } finally {
    client.disconnect();
  }
}

/** Reports that the service is about to restart. */
function closing({ direction, frame }: TappedFrame): void {
  if (direction === "in" && frame["type"] === "closing") {
    note("the service restarts; continuing when it is back");
  }
}

/**
 * Reports what became of the connection and the channels.
 *
 * @param fail receives the reason when nothing more can arrive.
 */
function reporter(
  remote: Remote,
  fail: (error: Error) => void,
): (state: ClientState) => void {
  let isLost = false;
  let reason = "";
  let reportedAt = -Infinity;
  const refused = new Set<string>();
  return ({ status, isConnected, connectionError, channels }) => {
    if (isConnected) {
      if (isLost) note(`${remote.base}: connected again`);
      isLost = false;
    } else if (connectionError) {
      const why = remote.why(connectionError);
      if (status === "closed") return fail(new Failed(why));
      if (status !== "reconnecting") return;
      const isNews = !isLost || why !== reason;
      isLost = true;
      reason = why;
      const now = clock.monotonic();
      if (!isNews && now - reportedAt < REPEAT_MS) return;
      reportedAt = now;
      note(printable(`${why}; trying again`));
    }
    const all = Object.entries(channels);
    for (const [name, { status, code, alias }] of all) {
      if (status !== "rejected") refused.delete(name);
      else if (!refused.has(name)) {
        refused.add(name);
        note(printable(`${alias ?? name}: refused (${code})`));
      }
    }
    if (all.length > 0 && all.length === refused.size) {
      fail(new Failed("no channel is left to follow"));
    }
  };
}

/** Reads a whole number from `least`. */
function counted(least: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    const most = least === 0 ? MAX_HISTORY_LIMIT : Number.MAX_SAFE_INTEGER;
    if (/^\d+$/.test(text) && value >= least && value <= most) return value;
    throw new InvalidArgumentError(
      `expected a number from ${least} to ${most}`,
    );
  };
}

function position(text: string): Position {
  const [, epoch, seq] = POSITION.exec(text) ?? [];
  if (epoch !== undefined) return { epoch, seq: Number(seq) };
  throw new InvalidArgumentError("expected epoch:seq");
}
