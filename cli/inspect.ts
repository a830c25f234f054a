/**
 * Shows the contents of a running service: channels, rooms, instances, sessions,
 * one block or transaction.
 *
 * @module
 */
import type { Command } from "commander";
import { reaching, Remote } from "./remote.ts";
import { paint, print, printable } from "./terminal.ts";

/** The shown part of the answer of `/api/channels`. */
interface Catalogue {
  readonly channels: readonly {
    readonly channel: string;
    readonly seq: number | null;
    readonly retention: string;
    readonly read: string;
    readonly publish: string;
    readonly subscribers: number;
  }[];
  readonly instances: readonly {
    readonly id: string;
    readonly startedAt: number;
    readonly at: number;
    readonly connections: number;
    readonly memoryUsage: number;
    readonly throughput: { readonly eventsPerSecond: number };
    readonly traffic?: {
      readonly wireBytes: number;
      readonly textBytes: number;
    };
    readonly subscribers: Readonly<Record<string, number>>;
  }[];
}

/** The shown part of a page of a list of `/api/admin/`. */
interface Page {
  readonly complete: boolean;
  readonly next: string | null;
}

/** The shown part of a session. */
interface Session {
  readonly id: string;
  readonly user: string | null;
  readonly role: string;
  readonly ip: string;
  readonly client: string | null;
  readonly lag: number;
  readonly channels: readonly { readonly channel: string }[];
}

/** The shown part of a room. */
interface Room {
  readonly room: string;
  readonly followers: number;
  readonly seq: number;
  readonly lag: number;
}

/** Options of the command line. */
interface Flags {
  readonly url: string;
  readonly json?: true;
}

type Row = readonly (string | number)[];
/** Options that narrow a list. */
type Words = readonly string[] | "";

/** Adds `inspect` and its commands. */
export function inspectCommand(program: Command): void {
  const inspect = program.command("inspect")
    .description("show what a running service has")
    .addHelpText(
      "after",
      `
Examples:
  kaldrix inspect channels
  kaldrix inspect sessions alice
  kaldrix inspect block 15420 --json`,
    );
  const add = (
    signature: string,
    description: string,
    show: (remote: Remote, sought: never) => Promise<Shown>,
  ) =>
    reaching(inspect.command(signature)).description(description)
      .option("--json", "write the whole answer as JSON")
      .action(async (...args: unknown[]) => {
        // After the arguments of the signature: flags, then the command.
        const sought = (args.length > 2 ? args[0] ?? "" : "") as never;
        const { url, json } = args.at(-2) as Flags;
        const { answer, lines } = await show(new Remote(url), sought);
        if (json) print(printable(JSON.stringify(answer, null, 2)));
        else for (const line of lines()) print(line);
      });
  add("channels", "channels, where each ends, who may use it", channels);
  add(
    "rooms [words...]",
    "rooms that have events or subscribers, the most followed first",
    rooms,
  );
  add("instances", "running instances and their load", instances);
  add(
    "sessions [words...]",
    "who is connected, the furthest behind first; words narrow it",
    sessions,
  );
  add("block <id>", "a block, by id or height, and whether it stands", block);
  add("transaction <id>", "how far a transaction has come", transaction);
}

/** Bytes as megabytes, to the tenth; a dash while unknown. */
function megabytes(bytes: number | undefined): string {
  return bytes === undefined ? "-" : (bytes / 1e6).toFixed(1);
}

/** An answer, and its form for a person. */
interface Shown {
  readonly answer: unknown;
  readonly lines: () => string[];
}

async function channels(remote: Remote): Promise<Shown> {
  const { channels } = await remote.get<Catalogue>("/api/channels");
  const names = ["channel", "head", "subscribers", "kept", "read", "publish"];
  return {
    answer: channels,
    lines: () =>
      table(
        names,
        channels.map((it) => [
          it.channel,
          it.seq ?? "-",
          it.subscribers,
          it.retention,
          it.read,
          it.publish,
        ]),
      ),
  };
}

async function rooms(remote: Remote, words: Words): Promise<Shown> {
  const asked = await remote.ask("/api/admin/rooms?limit=1");
  await asked.body?.cancel();
  if (asked.status === 401 || asked.status === 403) return visibleRooms(remote);
  const answer = await every<Room>(remote, "rooms", words);
  const rows = answer.rows.map((it): Row => [
    it.room,
    it.followers,
    it.seq,
    it.lag,
  ]);
  return {
    answer: answer.rows,
    lines: () => [
      ...table(["room", "subscribers", "head", "lag"], rows),
      ...missing(answer),
    ],
  };
}

/** The view of callers without an operator's rights: the fullest rooms of each instance. */
async function visibleRooms(remote: Remote): Promise<Shown> {
  const { instances } = await remote.get<Catalogue>("/api/channels");
  const counts = new Map<string, number>();
  for (const { subscribers } of instances) {
    for (const [name, count] of Object.entries(subscribers)) {
      if (!name.startsWith("room:")) continue;
      counts.set(name, (counts.get(name) ?? 0) + count);
    }
  }
  const rows = [...counts].sort(([, a], [, b]) => b - a);
  return {
    answer: rows.map(([room, followers]) => ({ room, followers })),
    lines: () => table(["room", "subscribers"], rows),
  };
}

async function instances(remote: Remote): Promise<Shown> {
  const { instances } = await remote.get<Catalogue>("/api/channels");
  const names = [
    "instance",
    "since",
    "connections",
    "events/s",
    "memory MB",
    "sent MB",
    "as text MB",
  ];
  return {
    answer: instances,
    lines: () =>
      table(
        names,
        instances.map((it) => [
          it.id,
          new Date(it.startedAt).toISOString(),
          it.connections,
          Math.round(it.throughput.eventsPerSecond),
          Math.round(it.memoryUsage / 1e6),
          megabytes(it.traffic?.wireBytes),
          megabytes(it.traffic?.textBytes),
        ]),
      ),
  };
}

async function sessions(remote: Remote, words: Words): Promise<Shown> {
  const answer = await every<Session>(remote, "sessions", words);
  const rows = answer.rows.map((it): Row => [
    it.id,
    it.user ?? "-",
    it.role,
    it.ip,
    it.lag,
    it.client ?? "-",
    it.channels.map(({ channel }) => channel).join(" "),
  ]);
  const names = ["session", "user", "role", "address", "lag", "client"];
  return {
    answer: { sessions: answer.rows, complete: answer.complete },
    lines: () => [...table([...names, "channels"], rows), ...missing(answer)],
  };
}

/** All rows of a list. */
interface Every<Row> {
  readonly rows: readonly Row[];
  readonly complete: boolean;
}

/** Reads all pages of a list. */
async function every<Row>(
  remote: Remote,
  name: "rooms" | "sessions",
  words: Words,
): Promise<Every<Row>> {
  const search = encodeURIComponent([words].flat().join(" "));
  const rows: Row[] = [];
  let complete = true;
  let after: string | null = "";
  while (after !== null) {
    const page: Page & { readonly [name: string]: unknown } = await remote.get(
      `/api/admin/${name}?search=${search}${after && `&after=${after}`}`,
    );
    rows.push(...page[name] as Row[]);
    complete &&= page.complete;
    after = page.next;
  }
  return { rows, complete };
}

function missing({ complete }: Every<unknown>): string[] {
  return complete
    ? []
    : ["an instance did not answer in time: what it has is missing"];
}

async function block(remote: Remote, id: string): Promise<Shown> {
  const answer = await remote.get<Record<string, unknown>>(
    `/api/blocks/${encodeURIComponent(id)}`,
  );
  return { answer, lines: () => sheet(answer) };
}

async function transaction(remote: Remote, id: string): Promise<Shown> {
  const answer = await remote.get<Record<string, unknown>>(
    `/api/transactions/${encodeURIComponent(id)}`,
  );
  return { answer, lines: () => sheet(answer) };
}

/** One line per fact; nested facts follow their name. */
function sheet(answer: Readonly<Record<string, unknown>>): string[] {
  const facts = factsOf(answer);
  const size = Math.max(...facts.map(([name]) => name.length));
  return facts.map(([name, value]) =>
    printable(
      `${name.padEnd(size)}  ${
        typeof value === "string" ? value : JSON.stringify(value)
      }`,
    )
  );
}

function factsOf(
  answer: Readonly<Record<string, unknown>>,
  path = "",
): (readonly [string, unknown])[] {
  return Object.entries(answer).flatMap(([name, value]) =>
    value !== null && typeof value === "object" && !Array.isArray(value)
      ? factsOf(value as Record<string, unknown>, `${path}${name}.`)
      : [[`${path}${name}`, value] as const]
  );
}

/** Rows below a header; numbers are right-aligned. */
function table(names: readonly string[], rows: readonly Row[]): string[] {
  if (rows.length === 0) return ["none"];
  const texts = rows.map((row) => row.map((it) => printable(String(it))));
  const sizes = names.map((name, i) =>
    Math.max(name.length, ...texts.map((row) => row[i]!.length))
  );
  const isNumber = names.map((_, i) =>
    rows.every((row) => typeof row[i] === "number" || row[i] === "-")
  );
  const line = (row: readonly string[]) =>
    row.map((it, i) =>
      isNumber[i] ? it.padStart(sizes[i]!) : it.padEnd(sizes[i]!)
    ).join("  ").trimEnd();
  return [paint("bold", line(names)), ...texts.map(line)];
}
