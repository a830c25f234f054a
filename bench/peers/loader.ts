/**
 * A process that makes load on any server, in the protocol that its profile names:
 * `bench/peers.ts` sends it tasks.
 *
 * @module
 */
import process from "node:process";
import { Times } from "../histogram.ts";
import { jsonLines } from "../job.ts";
import { Pacer, preciseNow } from "../pacer.ts";

/** How a server is spoken to; `@` stands for a number. */
export interface Profile {
  /** After the address. */
  readonly path: string;
  /** What a client sends, and what the answer holds, in turn. */
  readonly steps: readonly { readonly send?: string; readonly wait: string }[];
  /** Publishes; `$` stands for the payload. */
  readonly publish: string;
  /** Asks for an acknowledgement. */
  readonly ping: string;
  /** What an acknowledgement holds. */
  readonly pong: string;
  /** What has to be answered, and with what. */
  readonly keepalive?: readonly [string, string];
}

/** What to do. */
export type PeerJob =
  | {
    readonly kind: "open";
    readonly url: string;
    readonly profile: Profile;
    readonly clients: number;
  }
  | {
    readonly kind: "run";
    readonly startAt: number;
    readonly endAt: number;
    /** Events published a second; 0: only listen. */
    readonly rate: number;
  }
  | {
    readonly kind: "echo";
    readonly window: number;
    readonly ms: number;
  };

/** How it went. */
export type PeerWord =
  | { readonly kind: "opened"; readonly ms: number }
  | {
    readonly kind: "ran";
    readonly published: number;
    readonly received: number;
    readonly times: string;
    readonly cpuPercent: number;
  }
  | {
    readonly kind: "echoed";
    readonly perSecond: number;
    readonly cpuPercent: number;
  };

const MARK = '"eventAt":';
/** Digits of a time, at most. */
const MARK_LENGTH = 20;
/** Handshakes open at a time. */
const CONNECTING = 128;
/** How long to wait for what has not arrived when a run is over. */
const DRAIN_MS = 1_500;
/** How often what is due is looked for. */
const TICK_MS = 1;

/** About 400 bytes, as a block explorer would send them. */
const BLOCK = `"hash":"${"0".repeat(64)}","previousHash":"${"a".repeat(64)}",` +
  `"merkleRoot":"${"b".repeat(64)}","height":840000,"size":1499021,` +
  `"weight":3992412,"txCount":3051,"difficulty":88104191118793.16,` +
  `"miner":"pool"`;

const sockets: WebSocket[] = [];
const times = new Times();
let profile: Profile;
let since = Infinity;
let received = 0;
let number = 0;
let acknowledged = () => {};

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

function report(message: PeerWord): void {
  const text = `${JSON.stringify(message)}\n`;
  Deno.stdout.writeSync(new TextEncoder().encode(text));
}

function connect(url: string): Promise<WebSocket> {
  const { promise, resolve, reject } = Promise.withResolvers<WebSocket>();
  const socket = new WebSocket(url);
  const steps = [...profile.steps];
  const next = () => {
    if (steps.length === 0) {
      socket.onmessage = ({ data }) => receive(socket, data);
      return resolve(socket);
    }
    if (steps[0]!.send) socket.send(steps[0]!.send);
  };
  socket.onopen = next;
  socket.onmessage = ({ data }) => {
    if (!data.includes(steps[0]!.wait)) return;
    steps.shift();
    next();
  };
  socket.onclose = ({ code }) => reject(new Error(`closed with ${code}`));
  return promise;
}

function receive(socket: WebSocket, text: string): void {
  if (text === profile.keepalive?.[0]) socket.send(profile.keepalive[1]);
  const now = preciseNow();
  let from = text.indexOf(MARK);
  if (from < 0) {
    for (let at = -1; (at = text.indexOf(profile.pong, at + 1)) >= 0;) {
      acknowledged();
      socket.send(fill(profile.ping));
    }
    return;
  }
  for (; from >= 0; from = text.indexOf(MARK, from + MARK.length)) {
    const at = from + MARK.length;
    const due = Number.parseFloat(text.slice(at, at + MARK_LENGTH));
    if (due < since) continue;
    received++;
    times.add(now - due);
  }
}

function fill(template: string): string {
  return template.replaceAll("@", `${number++}`);
}

async function open(url: string, count: number): Promise<void> {
  const began = preciseNow();
  let left = count;
  const worker = async () => {
    while (left-- > 0) sockets.push(await connect(url));
  };
  await Promise.all(Array.from({ length: CONNECTING }, worker));
  report({ kind: "opened", ms: preciseNow() - began });
}

function cpuSince(before: NodeJS.CpuUsage, at: number): number {
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1_000 / (preciseNow() - at) * 100;
}

async function run(
  { startAt, endAt, rate }: Extract<PeerJob, { kind: "run" }>,
): Promise<void> {
  const begun = preciseNow();
  const cpu = process.cpuUsage();
  since = startAt;
  received = 0;
  times.reset();
  let published = 0;
  const pacer = new Pacer({ rate, startAt: begun, endAt });
  while (preciseNow() < endAt) {
    await pause(TICK_MS);
    for (const at of pacer.take(preciseNow())) {
      if (at >= startAt) published++;
      const payload = `{${BLOCK},"eventAt":${at.toFixed(3)}}`;
      sockets[0]!.send(fill(profile.publish).replace("$", payload));
    }
  }
  const cpuPercent = cpuSince(cpu, begun);
  await pause(DRAIN_MS);
  const encoded = times.encode();
  report({ kind: "ran", published, received, times: encoded, cpuPercent });
}

async function echo(window: number, ms: number): Promise<void> {
  let count = 0;
  acknowledged = () => void count++;
  for (const socket of sockets) {
    for (let i = 0; i < window; i++) socket.send(fill(profile.ping));
  }
  await pause(ms / 3);
  const begun = preciseNow();
  const cpu = process.cpuUsage();
  count = 0;
  await pause(ms);
  const perSecond = count / (preciseNow() - begun) * 1_000;
  const cpuPercent = cpuSince(cpu, begun);
  report({ kind: "echoed", perSecond, cpuPercent });
}

if (import.meta.main) {
  for await (const job of jsonLines<PeerJob>(Deno.stdin.readable)) {
    if (job.kind === "open") {
      profile = job.profile;
      await open(job.url + profile.path, job.clients);
    } else if (job.kind === "run") await run(job);
    else await echo(job.window, job.ms);
  }
  Deno.exit(0);
}
