/**
 * Publishes one message, or one for each line of a file or of standard input.
 *
 * @module
 */
import type { Command } from "commander";
import type { Client, Outgoing } from "../client/client.ts";
import { MAX_BATCH_MESSAGES } from "../client/limits.ts";
import { RequestError } from "../client/client.ts";
import { systemClock as clock } from "../platform/clock.ts";
import { pause } from "../platform/pause.ts";
import { MESSAGES } from "../protocol/messages.ts";
import type { Accepted } from "../protocol/replies.ts";
import { failureOf, reaching, Remote } from "./remote.ts";
import {
  Failed,
  Misused,
  note,
  print,
  printable,
  progress,
} from "./terminal.ts";

/** Longest line, in characters: above every limit of a service. */
export const MAX_LINE = 2 ** 20;
/** Shortest interval between two updates of the progress, in milliseconds. */
const PROGRESS_MS = 200;

/** All types that can be published, wrapped to the width of a terminal. */
const TYPES = Object.keys(MESSAGES).join(", ").match(/.{1,72}(?:, |$)/g)!
  .map((line) => line.trimEnd()).join("\n  ");

/** Path of a message in its frame; the rest is a path in the message. */
const UPDATE = /^payload\.updates\.(\d+)\.?/;

/** Options of the command line. */
interface Flags {
  readonly url: string;
  readonly channel?: string;
  readonly id?: string;
  readonly file?: string;
  readonly json?: true;
}

/** A line of the input and its number, from 1. */
interface Line {
  readonly number: number;
  readonly text: string;
}

/** Adds `publish`. */
export function publishCommand(program: Command): void {
  reaching(program.command("publish"))
    .description("publish one message, or one for each line of JSON")
    .argument("[type]", "the message's type; without it, lines are read")
    .argument("[payload]", "its payload, as JSON", "{}")
    .option("--channel <name>", "the channel, where the type leaves a choice")
    .option("--id <id>", "idempotency key: publishes at most once")
    .option("--file <path>", "read lines from there; - is standard input")
    .option("--json", "write the position of each event as a line of JSON")
    .action(publish)
    .addHelpText(
      "after",
      `
A line holds {"type", "payload"} and, where needed, "channel" and "id". Lines
are published in order. The first that is refused ends the command; it names
the line, and nothing after that line's batch is published.

Types: ${TYPES}

Examples:
  kaldrix publish ROOM_MESSAGE '{"event":"hello"}' --channel room:lobby
  kaldrix publish --file events.jsonl
  producer | kaldrix publish --json > positions.jsonl`,
    );
}

async function publish(
  type: string | undefined,
  payload: string,
  { url, channel, id, file, json }: Flags,
): Promise<void> {
  if (type !== undefined && file !== undefined) {
    throw new Misused("name either a message or --file, not both");
  }
  if (type === undefined && file === undefined && Deno.stdin.isTerminal()) {
    throw new Misused(
      "name a message, or give lines of JSON on standard input",
    );
  }
  const remote = new Remote(url);
  const message = type === undefined ? undefined : {
    type,
    payload: parsed(payload, "the payload"),
    ...(channel === undefined ? {} : { channel }),
    ...(id === undefined ? {} : { id }),
  } as Outgoing;
  const client = await remote.connected();
  const report = (accepted: readonly Accepted[]) => {
    if (json) { for (const each of accepted) print(JSON.stringify(each)); }
  };
  try {
    if (message) {
      const { accepted } = await sent(client, [message]);
      report(accepted);
      if (!json) print(placeOf(accepted[0]!));
    } else await publishLines(client, file ?? "-", report);
  } catch (error) {
    throw failureOf(error, (path) => path.replace(UPDATE, ""));
  } finally {
    client.disconnect();
  }
}

/** `blocks#17`, or the channel alone where it keeps nothing. */
function placeOf({ channel, seq }: Accepted): string {
  return seq === undefined ? channel : `${channel}#${seq}`;
}

async function publishLines(
  client: Client,
  file: string,
  report: (accepted: readonly Accepted[]) => void,
): Promise<void> {
  const since = clock.monotonic();
  let count = 0;
  let shownAt = since;
  for await (const batch of batches(linesOf(await open(file)))) {
    try {
      const messages = batch.map(({ number, text }) =>
        parsed(text, `line ${number}`) as unknown as Outgoing
      );
      report((await sent(client, messages)).accepted);
    } catch (error) {
      const failure = failureOf(
        error,
        (path) =>
          path.replace(UPDATE, (_, at) => `line ${batch[at]!.number}: `),
      );
      if (!(failure instanceof Failed)) throw error;
      throw new Failed(
        `${failure.message}\nNothing from line ${
          batch[0]!.number
        } on is published; ${count} lines before it are`,
      );
    }
    count += batch.length;
    const now = clock.monotonic();
    if (now - shownAt < PROGRESS_MS) continue;
    shownAt = now;
    progress(`${count} published, ${rate(count, now - since)}`);
  }
  progress("");
  const ms = clock.monotonic() - since;
  note(
    `${count} published in ${(ms / 1_000).toFixed(1)} s, ${rate(count, ms)}`,
  );
}

/**
 * Sends a batch, and retries after the delay that a refusal names; the reason is
 * reported once.
 */
async function sent(
  client: Client,
  messages: readonly Outgoing[],
): Promise<{ accepted: readonly Accepted[] }> {
  // The same ids with every attempt: accepted messages are not stored twice.
  const named = messages.map((it) => ({ id: crypto.randomUUID(), ...it }));
  let reason = "";
  for (;;) {
    try {
      return await client.sendBatch(named as Outgoing[]);
    } catch (error) {
      if (!(error instanceof RequestError) || !error.retryAfterMs) throw error;
      const { code, message, retryAfterMs: wait } = error;
      if (code !== reason) note(printable(`${code}: ${message}; trying again`));
      reason = code;
      progress(`waiting ${Math.ceil(wait / 1_000)} s, as the service asks`);
      await pause(clock, wait);
    }
  }
}

function rate(count: number, ms: number): string {
  return `${Math.round(count / Math.max(ms, 1) * 1_000)} a second`;
}

/** Parses JSON that must be an object. @throws {Failed} naming `what`. */
function parsed(text: string, what: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new Failed(`${what} is not JSON`);
  }
  if (Object.prototype.toString.call(value) === "[object Object]") {
    return value as Record<string, unknown>;
  }
  throw new Failed(`${what} is not a JSON object`);
}

async function open(file: string): Promise<ReadableStream<Uint8Array>> {
  if (file === "-") return Deno.stdin.readable;
  try {
    return (await Deno.open(file)).readable;
  } catch (error) {
    throw new Failed(`${file} cannot be read: ${(error as Error).message}`);
  }
}

/** Lines that arrived together; blank ones are left out. */
async function* linesOf(
  bytes: ReadableStream<Uint8Array>,
): AsyncGenerator<readonly Line[]> {
  let rest = "";
  let number = 0;
  const read = (texts: readonly string[]) =>
    texts.map((text) => ({ number: ++number, text }))
      .filter(({ text }) => text.trim() !== "");
  for await (const chunk of textOf(bytes)) {
    const texts = (rest + chunk).split("\n");
    rest = texts.pop()!;
    if (rest.length > MAX_LINE) {
      throw new Failed(`line ${number + 1} is longer than ${MAX_LINE}`);
    }
    yield read(texts);
  }
  yield read([rest]);
}

async function* textOf(
  bytes: ReadableStream<Uint8Array>,
): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  try {
    for await (const chunk of bytes) {
      yield decoder.decode(chunk, { stream: true });
    }
  } catch (error) {
    throw new Failed(`the lines cannot be read: ${(error as Error).message}`);
  }
}

/** Splits lines that arrived together into batches for one frame. */
async function* batches(
  groups: AsyncIterable<readonly Line[]>,
): AsyncGenerator<readonly Line[]> {
  for await (const lines of groups) {
    for (let at = 0; at < lines.length; at += MAX_BATCH_MESSAGES) {
      yield lines.slice(at, at + MAX_BATCH_MESSAGES);
    }
  }
}
