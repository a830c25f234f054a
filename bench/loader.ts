/**
 * A process that makes load: `bench.ts` starts several, sends them tasks
 * on their standard input, and reads how it went from their standard output.
 *
 * @module
 */
import process from "node:process";
import { Times } from "./histogram.ts";
import { jsonLines } from "./job.ts";
import type { FinishJob, Job, LoaderMessage, OpenJob, RunJob } from "./job.ts";
import { Pacer, preciseNow } from "./pacer.ts";
import { echoText, eventText, Receipts } from "./receipts.ts";
import type { Place } from "./receipts.ts";

/** Handshakes open at a time. */
const CONNECTING = 64;
/** How long one may take, in milliseconds. */
const CONNECT_TIMEOUT_MS = 20_000;
/** How often what is due is looked for, in milliseconds. */
const TICK_MS = 1;
/** How often what is owed is looked for, in milliseconds. */
const OWED_MS = 20;
/** Microseconds in a millisecond. */
const US = 1_000;

interface Client extends Place {
  readonly socket: WebSocket;
}

const clients: Client[] = [];
const receipts = new Receipts();
const late = new Times();
let room = "";
let accepted = 0;
let refused = 0;
let sent = 0;
let why: string | undefined;
let published = 0;
let cpuPercent = 0;
let sampleCount = 1;

const encoder = new TextEncoder();

function report(message: LoaderMessage): void {
  Deno.stdout.writeSync(encoder.encode(`${JSON.stringify(message)}\n`));
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Connects all, a few at a time. */
async function open(job: OpenJob): Promise<void> {
  room = job.room;
  const times = new Times();
  const tokens = job.tokens.values();
  let failed = 0;
  let reason: string | undefined;
  const worker = async () => {
    for (const token of tokens) {
      const since = preciseNow();
      try {
        clients.push(await connect(job, token));
        times.add(preciseNow() - since);
      } catch (error) {
        failed++;
        reason ??= (error as Error).message;
      }
    }
  };
  await Promise.all(Array.from({ length: CONNECTING }, worker));
  report({
    kind: "opened",
    connected: clients.length,
    failed,
    times: times.encode(),
    ...(reason === undefined ? {} : { why: reason }),
  });
}

function connect(
  { url, batch, follows }: OpenJob,
  token: string | null,
): Promise<Client> {
  const { promise, resolve, reject } = Promise.withResolvers<Client>();
  const socket = new WebSocket(url, "kaldrix.v1");
  const client: Client = { socket, seq: 0, count: 0 };
  const fail = (reason: string) => {
    socket.onclose = null;
    socket.close();
    reject(new Error(reason));
  };
  const timer = setTimeout(
    () => fail(`no answer within ${CONNECT_TIMEOUT_MS} ms`),
    CONNECT_TIMEOUT_MS,
  );
  const ready = () => {
    clearTimeout(timer);
    socket.onclose = () => drop(client);
    socket.onmessage = follows
      ? ({ data }) => receive(data, client)
      : ({ data }) => answered(data);
    resolve(client);
  };
  socket.onopen = () => {
    const auth = token === null ? {} : { auth: { token } };
    const payload = { ...auth, batch, client: "kaldrix-bench" };
    socket.send(JSON.stringify({ type: "connect", id: "bench", payload }));
  };
  socket.onmessage = ({ data }) => {
    const { type, ref, payload } = JSON.parse(data);
    if (type === "error") fail(`${payload.code}: ${payload.message}`);
    // An anonymous client is greeted before it has sent anything.
    if (type === "connected" && ref === "bench") {
      if (!follows) return ready();
      const channels = [room];
      socket.send(JSON.stringify({ type: "subscribe", payload: { channels } }));
    }
    if (type !== "subscribed") return;
    const [refusal] = payload.rejected;
    if (refusal) return fail(`${refusal.code}: ${refusal.channel}`);
    client.seq = payload.channels[0].seq;
    ready();
  };
  socket.onclose = ({ code, reason }) => {
    clearTimeout(timer);
    reject(new Error(`closed with ${code} ${reason}`.trim()));
  };
  return promise;
}

function drop(client: Client): void {
  clients.splice(clients.indexOf(client), 1);
}

function receive(text: string, client: Client): void {
  if (text.startsWith('{"type":"error"')) return answered(text);
  receipts.take(text, client, preciseNow());
}

/** Counts acknowledgements and refusals, those joined in one frame too. */
function answered(text: string): void {
  accepted += text.split(`"channel":"${room}"`).length - 1;
  const errors = text.split('"type":"error"').length - 1;
  if (errors > 0) why ??= text.slice(0, 300);
  refused += errors;
}

/** Makes load by the clock, whatever the server does. */
async function run(job: RunJob): Promise<void> {
  const { warmAt, startAt, endAt, sampleMs } = job;
  const pace = (rate: number) => new Pacer({ rate, startAt: warmAt, endAt });
  const events = pace(job.broadcastRate);
  const echoes = pace(job.messageRate);
  sampleCount = Math.max(1, Math.ceil((endAt - startAt) / sampleMs));
  receipts.begin(startAt);
  late.reset();
  accepted = refused = 0;
  for (const client of clients) client.count = 0;
  let broadcasts = 0;
  let messages = 0;
  let next = 0;
  let sample = 0;
  let cpu = process.cpuUsage();
  let begun = false;
  for (let before = preciseNow();;) {
    await pause(TICK_MS);
    const now = preciseNow();
    if (now >= startAt) {
      if (!begun) cpu = process.cpuUsage();
      begun = true;
      late.add(Math.max(0, now - before - TICK_MS));
    }
    before = now;
    for (const at of events.take(now)) {
      if (at >= startAt) broadcasts++;
      send(clients[0], eventText(room, at, published++));
    }
    for (const at of echoes.take(now)) {
      if (at >= startAt) messages++;
      send(clients[next++ % Math.max(1, clients.length)], echoText(at));
    }
    while (
      sample < sampleCount - 1 && now >= startAt + (sample + 1) * sampleMs
    ) {
      flushSample(sample++);
    }
    if (now >= endAt) break;
  }
  const { user, system } = process.cpuUsage(cpu);
  cpuPercent = (user + system) / US / (preciseNow() - startAt) * 100;
  sent = events.count;
  report({ kind: "sent", broadcasts, messages });
}

function send(client: Client | undefined, text: string): void {
  client?.socket.send(text);
}

function flushSample(index: number): void {
  const { events, echoes } = receipts;
  report({
    kind: "sample",
    index,
    events: events.encode(),
    echoes: echoes.encode(),
  });
  events.reset();
  echoes.reset();
}

async function finish({ expected, drainMs }: FinishJob): Promise<void> {
  const deadline = preciseNow() + drainMs;
  const missing = () =>
    clients.reduce((sum, { count }) => sum + Math.max(0, expected - count), 0);
  const unanswered = () => Math.max(0, sent - accepted - refused);
  while (missing() + unanswered() > 0 && preciseNow() < deadline) {
    await pause(OWED_MS);
  }
  flushSample(sampleCount - 1);
  const { lost, repeated } = receipts;
  report({
    kind: "finished",
    unanswered: unanswered(),
    refused,
    ...(why === undefined ? {} : { why }),
    missing: missing(),
    lost,
    repeated,
    active: clients.length,
    cpuPercent,
    late: late.encode(),
  });
}

/** One job after the other, until there are no more. */
export async function main(): Promise<void> {
  for await (const job of jsonLines<Job>(Deno.stdin.readable)) {
    if (job.kind === "open") await open(job);
    else if (job.kind === "run") await run(job);
    else await finish(job);
  }
  Deno.exit(0);
}

if (import.meta.main) await main();
