/**
 * Measures what a user would pick instead, and this service, side by side on
 * the reader's own machine:
 *
 *     deno task bench:peers --only ours,socket.io --clients 500
 *
 * The others are installed by npm into a directory that is removed again.
 * They are small servers as their documentation shows them: they validate
 * nothing, know no users, limit nothing and keep nothing; this service does all
 * four.
 *
 * @module
 */
import { Command, CommanderError, InvalidArgumentError } from "commander";
import { SignJWT } from "jose";
import { Loader } from "./fleet.ts";
import { Times } from "./histogram.ts";
import type { TimeSummary } from "./histogram.ts";
import { preciseNow } from "./pacer.ts";
import type { PeerJob, PeerWord, Profile } from "./peers/loader.ts";
import { BenchServer, cpuSeconds, freePort } from "./server.ts";

/** Rate of the latency test, events a second. */
const CALM_RATE = 20;
/** Length of one measurement, in milliseconds. */
const RUN_MS = 3_000;
/** Load before it counts, in milliseconds. */
const WARM_MS = 1_000;
/** A rate holds while its 99th percentile is at most this many milliseconds. */
const HOLD_P99_MS = 100;
/** First rate of the search for the highest, and how much more each asks. */
const FIRST_RATE = 40;
const RATE_FACTOR = 1.5;
const MAX_RATES = 14;
/** A load process that uses more of a core makes the figures meaningless. */
const BUSY_PERCENT = 90;
/** Connections of the test of acknowledgements, and what each has under way. */
const ECHO_CLIENTS = 100;
const ECHO_WINDOW = 16;
/** How long a server may take to listen, in milliseconds. */
const START_MS = 20_000;

/** What npm installs, exactly. */
const VERSIONS = { bun: "1.4.5", "socket.io": "4.8.4", ws: "8.23.0" };

/** Who can be measured. */
export const PEERS = ["ours", "ours-plain", "socket.io", "ws", "bun"] as const;
/** One of {@link PEERS}. */
export type PeerName = (typeof PEERS)[number];

const PLAIN: Profile = {
  path: "/",
  steps: [{ send: '{"type":"join","channel":"blocks"}', wait: '"joined"' }],
  publish: '{"type":"publish","channel":"blocks","payload":$}',
  ping: '{"type":"ping","id":@}',
  pong: '"pong"',
};
const SOCKET_IO: Profile = {
  path: "/socket.io/?EIO=4&transport=websocket",
  steps: [
    { wait: '0{"sid"' },
    { send: "40", wait: "40{" },
    { send: '42["join","blocks"]', wait: '"joined"' },
  ],
  publish: '42["publish","blocks",$]',
  ping: '42@["ping",@]',
  pong: '"pong"',
  keepalive: ["2", "3"],
};

function ours(token: string, batch: boolean): Profile {
  const connect = {
    type: "connect",
    id: "c",
    payload: { batch, auth: { token } },
  };
  return {
    path: "",
    steps: [
      { wait: '"connected"' },
      { send: JSON.stringify(connect), wait: '"ref":"c"' },
      {
        send: '{"type":"subscribe","payload":{"channels":["blocks"]}}',
        wait: '"subscribed"',
      },
    ],
    publish:
      '{"type":"NEW_BLOCK","payload":{"blockId":"b@","height":1,"timestamp":"2025-08-07T10:00:00Z","block":$}}',
    ping: '{"type":"ping","id":"@"}',
    pong: '"type":"pong"',
  };
}

/** What one of them did. */
export interface PeerResult {
  readonly name: string;
  /** All clients, {@link CALM_RATE} events a second. */
  readonly calm: TimeSummary;
  /** The most deliveries a second that held; 0: none of the rates did. */
  readonly deliveries: number;
  /** Whether the load processes, not the server, ended the search. */
  readonly isSaturated: boolean;
  /** Server CPU for one delivery at that rate, µs; `null`: unknown. */
  readonly usPerDelivery: number | null;
  /** Acknowledgements a second. */
  readonly acks: number;
}

/** A server that runs. */
interface Running extends AsyncDisposable {
  readonly url: string;
  readonly pid: number;
  readonly profile: Profile;
}

/** A process that makes load on any server. */
class PeerLoader extends Loader<PeerJob, PeerWord> {
  constructor() {
    super("peers/loader.ts");
  }

  /** Gives it something to do, and waits until it is done. */
  async do<Kind extends PeerWord["kind"]>(
    job: PeerJob,
    kind: Kind,
  ): Promise<Extract<PeerWord, { kind: Kind }>> {
    await this.send(job);
    return await this.receive(kind);
  }
}

async function startOurs(batch: boolean): Promise<Running> {
  const secret = crypto.randomUUID() + crypto.randomUUID();
  const token = await new SignJWT({ role: "publisher" })
    .setProtectedHeader({ alg: "HS256" }).setSubject("bench").setIssuedAt()
    .setExpirationTime("1h").sign(new TextEncoder().encode(secret));
  const server = await BenchServer.start({
    secret,
    requireAuth: false,
    isolates: 1,
  });
  return {
    url: server.url,
    pid: server.pid,
    profile: ours(token, batch),
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

async function startPeer(
  program: string,
  file: string,
  directory: string,
  profile: Profile,
): Promise<Running> {
  const port = freePort();
  const process = new Deno.Command(program, {
    args: [file],
    cwd: directory,
    env: { PORT: String(port) },
    stdin: "null",
    stdout: "null",
    stderr: "inherit",
  }).spawn();
  const deadline = performance.now() + START_MS;
  for (;;) {
    try {
      (await Deno.connect({ hostname: "127.0.0.1", port })).close();
      break;
    } catch (error) {
      if (performance.now() > deadline) throw error;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
  return {
    url: `ws://127.0.0.1:${port}`,
    pid: process.pid,
    profile,
    async [Symbol.asyncDispose]() {
      process.kill("SIGKILL");
      await process.status;
    },
  };
}

/** Installs the others; nothing outside of `directory` is touched. */
async function install(directory: string): Promise<void> {
  const from = new URL("peers/", import.meta.url);
  await Deno.writeTextFile(
    `${directory}/package.json`,
    JSON.stringify({ private: true, type: "module", dependencies: VERSIONS }),
  );
  for (const file of ["socketio.mjs", "ws.mjs", "bun.mjs"]) {
    const text = await Deno.readTextFile(new URL(file, from));
    await Deno.writeTextFile(`${directory}/${file}`, text);
  }
  const { success, stderr } = await new Deno.Command("npm", {
    args: ["install", "--ignore-scripts", "--no-audit", "--no-fund"],
    cwd: directory,
    stdin: "null",
  }).output();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
}

async function bunIn(directory: string): Promise<string> {
  for await (
    const { name } of Deno.readDir(`${directory}/node_modules/@oven`)
  ) {
    if (/^bun-[a-z]+-[a-z0-9]+(-musl)?$/.test(name)) {
      return `${directory}/node_modules/@oven/${name}/bin/bun`;
    }
  }
  throw new Error("Bun was not installed: it does not know this machine");
}

async function start(name: PeerName, directory: string): Promise<Running> {
  if (name === "ours") return await startOurs(true);
  if (name === "ours-plain") return await startOurs(false);
  if (name === "ws") return await startPeer("node", "ws.mjs", directory, PLAIN);
  if (name === "bun") {
    return await startPeer(await bunIn(directory), "bun.mjs", directory, PLAIN);
  }
  return await startPeer("node", "socketio.mjs", directory, SOCKET_IO);
}

interface RunResult {
  readonly times: Times;
  readonly deliveries: number;
  readonly missing: number;
  readonly busiest: number;
  readonly usPerDelivery: number | null;
}

async function runAt(
  rate: number,
  clients: number,
  { pid, listener, publisher }: {
    pid: number;
    listener: PeerLoader;
    publisher: PeerLoader;
  },
): Promise<RunResult> {
  const startAt = Math.ceil(preciseNow()) + WARM_MS;
  const endAt = startAt + RUN_MS;
  const both = Promise.all([
    listener.do({ kind: "run", startAt, endAt, rate: 0 }, "ran"),
    publisher.do({ kind: "run", startAt, endAt, rate }, "ran"),
  ]);
  const until = (at: number) =>
    new Promise((resolve) => setTimeout(resolve, at - preciseNow()));
  await until(startAt);
  const before = await cpuSeconds(pid);
  await until(endAt);
  const after = await cpuSeconds(pid);
  const [subscribed, sent] = await both;
  const cpu = before === undefined || after === undefined
    ? null
    : after - before;
  return {
    times: new Times(subscribed.times),
    deliveries: subscribed.received / RUN_MS * 1_000,
    missing: sent.published * clients - subscribed.received,
    busiest: Math.max(subscribed.cpuPercent, sent.cpuPercent),
    usPerDelivery: cpu === null || subscribed.received === 0
      ? null
      : cpu * 1e6 / subscribed.received,
  };
}

function holds({ missing, times }: RunResult): boolean {
  return missing <= 0 && times.at(99) <= HOLD_P99_MS;
}

async function measure(
  name: PeerName,
  directory: string,
  { clients, report }: { clients: number; report: (text: string) => void },
): Promise<PeerResult> {
  await using server = await start(name, directory);
  const { url, pid, profile } = server;
  await using listener = new PeerLoader();
  await using publisher = new PeerLoader();
  await listener.do({ kind: "open", url, profile, clients }, "opened");
  await publisher.do({ kind: "open", url, profile, clients: 1 }, "opened");
  const loaders = { pid, listener, publisher };
  const calm = await runAt(CALM_RATE, clients, loaders);
  let best: RunResult | undefined;
  let isSaturated = false;
  let rate = FIRST_RATE;
  for (let i = 0; i < MAX_RATES; i++, rate *= RATE_FACTOR) {
    let run = await runAt(rate, clients, loaders);
    // Something else on this machine may have been in the way.
    if (!holds(run)) run = await runAt(rate, clients, loaders);
    report(
      `${name}: ${Math.round(run.deliveries)} deliveries/s, 99 % within ${
        run.times.at(99).toFixed(1)
      } ms, missing ${run.missing}, load ${run.busiest.toFixed(0)} %`,
    );
    isSaturated = run.busiest > BUSY_PERCENT;
    if (!holds(run)) break;
    best = run;
    if (isSaturated) break;
  }
  await using asker = new PeerLoader();
  await asker.do({
    kind: "open",
    url,
    profile,
    clients: ECHO_CLIENTS,
  }, "opened");
  const echo = { kind: "echo", window: ECHO_WINDOW, ms: RUN_MS } as const;
  const { perSecond } = await asker.do(echo, "echoed");
  return {
    name,
    calm: calm.times.summary(),
    deliveries: best?.deliveries ?? 0,
    isSaturated,
    usPerDelivery: best?.usPerDelivery ?? null,
    acks: perSecond,
  };
}

/** Writes the table, with ratios to socket.io where it was measured too. */
export function tableOf(results: readonly PeerResult[]): string {
  const base = results.find(({ name }) => name === "socket.io");
  const times = (value: number, of: number | undefined) =>
    of ? ` (${(value / of).toFixed(2)}x)` : "";
  const rows = results.map((result) => {
    const { name, calm, deliveries, isSaturated, usPerDelivery, acks } = result;
    return `| ${name} | ${calm.avg.toFixed(1)} / ${calm.p99.toFixed(1)} | ${
      isSaturated ? "≥ " : ""
    }${Math.round(deliveries)}${times(deliveries, base?.deliveries)} | ${
      usPerDelivery?.toFixed(2) ?? "-"
    } | ${Math.round(acks)}${times(acks, base?.acks)} |`;
  });
  return [
    `| server | ${CALM_RATE}/s: avg / p99 ms | capacity, deliveries/s | server CPU, µs per delivery | acks/s |`,
    "|---|--:|--:|--:|--:|",
    ...rows,
  ].join("\n");
}

function method(clients: number): string {
  return `Method: one server at a time, one process of ${clients} subscribers of one channel and one that publishes events of about 600 bytes, all on this machine (${navigator.hardwareConcurrency} cores, ${Deno.build.os} ${Deno.build.arch}); latency from the moment an event was due; capacity is the highest rate, in steps of ${RATE_FACTOR}, whose 99th percentile is at most ${HOLD_P99_MS} ms with nothing lost over ${
    RUN_MS / 1_000
  } s ("≥": the load processes, not the server, were at their end there); acks: ${ECHO_CLIENTS} connections with ${ECHO_WINDOW} commands under way each. "ours" takes several events in a frame, "ours-plain" one. The others are bare; ours validates, authorises, limits and commits every event to disk.`;
}

interface Flags {
  readonly only: readonly PeerName[];
  readonly clients: number;
}

function program(): Command {
  return new Command("bench:peers")
    .description("Measures this service and others side by side")
    .allowExcessArguments(false)
    .exitOverride()
    .configureOutput({
      getOutHasColors: () => false,
      getErrHasColors: () => false,
    })
    .option("--only <names>", PEERS.join(" | "), names, [...PEERS])
    .option("--clients <n>", "subscribers, 1 to 5000", clientCount, 500);
}

function names(text: string): PeerName[] {
  return text.split(",").map((part) => {
    const wanted = part.trim();
    const found = PEERS.find((name) => name === wanted);
    if (found) return found;
    throw new InvalidArgumentError(`Known are ${PEERS.join("; ")}.`);
  });
}

function clientCount(text: string): number {
  const count = Number(text);
  if (/^\d+$/.test(text) && count >= 1 && count <= 5_000) return count;
  throw new InvalidArgumentError("It must be a whole number from 1 to 5000.");
}

/** @returns what the process should end with. */
export async function main(args: readonly string[]): Promise<number> {
  const encoder = new TextEncoder();
  const print = (text: string) =>
    void Deno.stdout.writeSync(encoder.encode(`${text}\n`));
  const report = (text: string) =>
    void Deno.stderr.writeSync(encoder.encode(`${text}\n`));
  let flags: Flags;
  try {
    flags = program().parse([...args], { from: "user" }).opts<Flags>();
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    return error.exitCode === 0 ? 0 : 2;
  }
  const { only, clients } = flags;
  const directory = await Deno.makeTempDir({ prefix: "kaldrix-peers-" });
  try {
    if (only.some((name) => !name.startsWith("ours"))) await install(directory);
    const results: PeerResult[] = [];
    for (const name of only) {
      try {
        results.push(await measure(name, directory, { clients, report }));
      } catch (error) {
        report(`${name} could not be measured: ${(error as Error).message}`);
      }
    }
    print(`${tableOf(results)}\n\n${method(clients)}`);
    return results.length > 0 ? 0 : 1;
  } catch (error) {
    report(`error: ${(error as Error).message}`);
    return 1;
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

if (import.meta.main) Deno.exit(await main(Deno.args));
