/**
 * Follows channels and prints one line for each event.
 *
 * @module
 */
import { type Command, InvalidArgumentError } from "commander";
import type { ClientState } from "../client/client.ts";
import type { Gap, TappedFrame } from "../client/types.ts";
import { watch } from "../client/watch.ts";
import { MAX_HISTORY_LIMIT, type Position } from "../protocol/commands.ts";
import { Filter } from "../protocol/filters.ts";
import { MESSAGES, type MessageType } from "../protocol/messages.ts";
import { systemClock as clock } from "../platform/clock.ts";
import { onEndAsked } from "../platform/signals.ts";
import { lineOf, type Received } from "./line.ts";
import { reaching, Remote } from "./remote.ts";
import {
  Failed,
  hint,
  Misused,
  note,
  print,
  printable,
  progress,
  width,
} from "./terminal.ts";

/** How often the same reason is repeated while the service is away, in milliseconds. */
const REPEAT_MS = 30_000;
/** Written as the service's own ids are: `epoch:seq`. */
const POSITION = /^([^:]{1,64}):(\d{1,15})$/;
/** Where a subscription stands in its frame. */
const SUBSCRIPTION = /^payload\.channels\.\d+\./;

/** What the command line asks for. */
interface Flags {
  readonly url: string;
  readonly last?: number;
  readonly after?: Position;
  readonly count?: number;
  readonly filter?: Filter;
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
    .option(
      "--filter <filter>",
      "only events that match: field=value,value or JSON",
      filterOf,
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
  kaldrix tail transactions --filter address=0xa1,0xb2
  kaldrix tail blocks --after 01M8BCB10N8E1ZADB800000032:17 --count 100`,
    );
}

async function tail(channels: readonly string[], flags: Flags): Promise<void> {
  const { url, last, after, count = Infinity, filter, json, retry } = flags;
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
  // It matches every filter: a marker for programs, noise for a person.
  const isMark = (type: string) =>
    type === "BLOCK_COMPLETE" && filter !== undefined && !json;
  const types = (Object.keys(MESSAGES) as MessageType[])
    .filter((type) => !isMark(type));
  const handler = take as (event: unknown) => void;
  const lost = ({ channel, from, to, reason }: Gap) => {
    const which = to < from ? `after ${from - 1}` : `${from} to ${to}`;
    note(`${channel}: events ${which} are lost (${reason})`);
  };
  client.onGap(lost);
  client.onState(reporter(remote, channels, reject));
  const from = {
    ...(last === undefined ? {} : { last }),
    ...(after ? { after } : {}),
  };
  if (filter) {
    client.onFrame(refusals(channels.length, reject));
    for (const channel of channels) {
      const watched = watch(client, channel, { filter, ...from });
      for (const type of types) watched.on(type, handler);
      watched.onGap(lost);
    }
  } else {
    for (const type of types) client.subscribe(type, handler);
    for (const channel of channels) client.joinChannel(channel, from);
  }
  onEndAsked(() => resolve());
  try {
    await promise;
  } finally {
    client.disconnect();
  }
}

/**
 * Reports filtered subscriptions that are refused.
 *
 * @param left how many there are.
 * @param fail receives the reason when none is left.
 */
function refusals(
  left: number,
  fail: (error: Error) => void,
): (tapped: TappedFrame) => void {
  return ({ direction, frame }) => {
    if (direction !== "in") return;
    const payload = frame["payload"] as Refused | undefined;
    if (frame["type"] === "error" && frame["ref"] !== undefined) {
      const [issue] = payload?.issues ?? [];
      const why = issue
        ? `${issue.path.replace(SUBSCRIPTION, "")}: ${issue.message}`
        : payload?.message;
      fail(new Failed(printable(`${payload?.code}: ${why}`)));
    }
    if (frame["type"] !== "subscribed") return;
    for (const { channel, as, code } of payload?.rejected ?? []) {
      if (as === undefined) continue;
      note(printable(`${channel}: refused (${code})`));
      if (--left === 0) fail(new Failed("no channel is left to follow"));
    }
  };
}

/** The parts of a refusal that are reported. */
interface Refused {
  readonly code?: string;
  readonly message?: string;
  readonly issues?: readonly {
    readonly path: string;
    readonly message: string;
  }[];
  readonly rejected?: readonly {
    readonly channel: string;
    readonly as?: string;
    readonly code: string;
  }[];
}

/**
 * Reports changes of the connection and the channels.
 *
 * @param asked the channels, as they were typed.
 * @param fail receives the reason when nothing more can arrive.
 */
function reporter(
  remote: Remote,
  asked: readonly string[],
  fail: (error: Error) => void,
): (state: ClientState) => void {
  const { base } = remote;
  let wasConnected = false;
  let isLost = false;
  let isRestarting = false;
  let reason = "";
  let reportedAt = -Infinity;
  const refused = new Set<string>();
  progress(`connecting to ${base} ...`);
  return ({ status, isConnected, connectionError, channels, ...state }) => {
    const all = Object.entries(channels);
    if (isConnected) {
      // A service that restarts answers requests, but refuses subscriptions.
      if (all.some(([, { status }]) => status === "joining")) return;
      progress("");
      if (isLost) note(`${base}: connected again`);
      else if (!wasConnected) hint(`following ${asked.join(", ")} at ${base}`);
      wasConnected = true;
      isLost = isRestarting = false;
    } else if (connectionError) {
      progress("");
      const why = remote.why(connectionError);
      if (status === "closed") return fail(new Failed(why));
      if (status !== "reconnecting") return;
      const now = clock.monotonic();
      // After the notice of a restart, its effects are not reported again.
      const isKnown = isLost && (why === reason || isRestarting);
      if (isKnown && now - reportedAt < REPEAT_MS) return;
      isLost = true;
      isRestarting = connectionError.code === "DRAINING";
      reason = why;
      reportedAt = now;
      const inMs = (state.nextRetryAt ?? 0) - clock.now();
      const next = isRestarting && inMs > 0
        ? `connecting again in ${(inMs / 1_000).toFixed(1)} s`
        : "trying again";
      note(printable(`${why}; ${next}`));
    }
    for (const [name, { status, code, alias }] of all) {
      if (status !== "rejected") refused.delete(name);
      else if (!refused.has(name)) {
        refused.add(name);
        const help = code === "UNKNOWN_CHANNEL"
          ? "; kaldrix inspect channels lists them, rooms are room:<name>"
          : "";
        note(printable(`${alias ?? name}: refused (${code})${help}`));
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

/** Reads `field=value,value`, or a filter as PROTOCOL.md writes it. */
function filterOf(text: string): Filter {
  const [, field, values] = /^(\w+)=(.+)$/.exec(text) ?? [];
  let given: unknown = field && { [field]: values!.split(",") };
  if (!field) {
    try {
      given = JSON.parse(text);
    } catch {
      throw new InvalidArgumentError("expected field=value,value or JSON");
    }
  }
  const { success, data, error } = Filter.safeParse(given);
  if (success) return data;
  throw new InvalidArgumentError(error.issues[0]?.message ?? "is no filter");
}
