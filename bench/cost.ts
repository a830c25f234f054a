/**
 * `deno run -A bench/cost.ts`: what a connection, a channel, a delivery and a
 * commit cost one instance, as a curve over the number of connections or, with
 * `--channels`, of channels with ten subscribers each. Reads the server's CPU
 * time and memory from Linux, not from the server.
 *
 * @module
 */
import { SignJWT } from "jose";
import { parseArgs } from "node:util";
import { BenchServer } from "./server.ts";

/** Subscribers of each channel in the curve over channels. */
const PER_CHANNEL = 10;
/** Most channels that one connection follows in it. */
const MOST_FOLLOWED = 250;
/** Bytes of data in each event. */
const DATA_BYTES = 400;
/** Linux counts CPU time in hundredths of a second. */
const TICK_MS = 10;
/** Time for memory to settle, in milliseconds. */
const SETTLE_MS = 1_500;
/** Sockets opened at a time. */
const OPEN_AT_ONCE = 50;

/** Who follows what. */
export interface Shape {
  /** Clients on sockets of their own. */
  readonly connections: number;
  /** Channels in all. */
  readonly channels: number;
  /** Channels that each client follows. */
  readonly followed: number;
}

/** What was measured in one shape. */
export interface Point extends Shape {
  /** Resident memory of the server, in bytes. */
  readonly memory: number;
  /** CPU time of the server over an idle second, in milliseconds. */
  readonly idleCpuMs: number;
  /** Events published while it was measured. */
  readonly events: number;
  /** Deliveries that arrived. */
  readonly deliveries: number;
  /** CPU time of the server for all of them, in milliseconds. */
  readonly cpuMs: number;
  /** How long it took, in milliseconds. */
  readonly ms: number;
}

async function linux(path: string): Promise<string> {
  const { stdout } = await new Deno.Command("cat", { args: [path] }).output();
  return new TextDecoder().decode(stdout);
}

async function cpuMs(pid: number): Promise<number> {
  const stat = await linux(`/proc/${pid}/stat`);
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) * TICK_MS;
}

async function memory(pid: number): Promise<number> {
  const status = await linux(`/proc/${pid}/status`);
  return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) * 1_024;
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

const roomOf = (channel: number) => `room:cost-${channel}`;

/** Opens sockets that follow their rooms and count what arrives. */
async function open(
  url: string,
  { connections, channels, followed }: Shape,
  isBatch: boolean,
  counted: { deliveries: number },
): Promise<WebSocket[]> {
  const sockets: WebSocket[] = [];
  for (let i = 0; i < connections; i += OPEN_AT_ONCE) {
    const some = Array.from(
      { length: Math.min(OPEN_AT_ONCE, connections - i) },
      (_, k) => {
        const first = (i + k) * followed;
        const socket = new WebSocket(url);
        return new Promise<WebSocket>((resolve, reject) => {
          socket.onerror = () => reject(new Error("A socket did not open"));
          socket.onopen = () => {
            if (isBatch) {
              socket.send('{"type":"connect","payload":{"batch":true}}');
            }
            const rooms = Array.from(
              { length: followed },
              (_, j) => roomOf((first + j) % channels),
            );
            const payload = { channels: rooms };
            socket.send(JSON.stringify({ type: "subscribe", payload }));
          };
          socket.onmessage = ({ data }: MessageEvent<string>) => {
            if (data.includes('"type":"subscribed"')) resolve(socket);
            // Counted, not parsed: this program must not be what is slow.
            else counted.deliveries += data.split('"event":"cost"').length - 1;
          };
        });
      },
    );
    sockets.push(...await Promise.all(some));
  }
  return sockets;
}

/**
 * Measures one fresh server.
 *
 * @param shape who follows what.
 * @param options `events` published to the channels in turn, `perRequest` at a
 * time, `isBatch` whether clients take joined frames.
 */
export async function measure(
  shape: Shape,
  { events, perRequest, isBatch }: {
    readonly events: number;
    readonly perRequest: number;
    readonly isBatch: boolean;
  },
): Promise<Point> {
  const secret = crypto.randomUUID() + crypto.randomUUID();
  await using server = await BenchServer.start({
    secret,
    requireAuth: false,
    isolates: 1,
  });
  const token = await new SignJWT({ role: "publisher", userId: "cost" })
    .setProtectedHeader({ alg: "HS256" }).setSubject("cost").setIssuedAt()
    .setExpirationTime("10m").sign(new TextEncoder().encode(secret));
  const counted = { deliveries: 0 };
  const sockets = await open(server.url, shape, isBatch, counted);
  await pause(SETTLE_MS);
  const resident = await memory(server.pid);
  const idleSince = await cpuMs(server.pid);
  await pause(1_000);
  const since = await cpuMs(server.pid);
  const begun = performance.now();
  const data = "x".repeat(DATA_BYTES);
  const publish = server.url.replace("ws", "http").replace(
    "/ws",
    "/api/publish",
  );
  for (let i = 0; i < events; i += perRequest) {
    const response = await fetch(publish, {
      method: "POST",
      headers: { authorization: `Bearer ${token}` },
      body: JSON.stringify({
        messages: Array.from({ length: perRequest }, (_, j) => ({
          type: "ROOM_MESSAGE",
          channel: roomOf((i + j) % shape.channels),
          payload: { event: "cost", data },
        })),
      }),
    });
    if (!response.ok) throw new Error(await response.text());
    await response.body?.cancel();
  }
  const { connections, channels, followed } = shape;
  const owed = events * connections * followed / channels;
  while (counted.deliveries < owed) {
    if (performance.now() - begun > 60_000) {
      throw new Error("Events are missing");
    }
    await pause(10);
  }
  const ms = performance.now() - begun;
  const used = await cpuMs(server.pid) - since;
  for (const socket of sockets) socket.close();
  return {
    ...shape,
    memory: resident,
    idleCpuMs: since - idleSince,
    events,
    deliveries: counted.deliveries,
    cpuMs: used,
    ms,
  };
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      clients: { type: "string", default: "0,250,500,1000,2000" },
      channels: { type: "string" },
      events: { type: "string", default: "500" },
      "per-request": { type: "string", default: "1" },
      batch: { type: "boolean", default: false },
    },
  });
  const encoder = new TextEncoder();
  const print = (text: string) => Deno.stdout.writeSync(encoder.encode(text));
  print(
    "channels  connections  memory MB  idle CPU %  events  deliveries  CPU ms  CPU us/delivery  deliveries/s\n",
  );
  const shapes: Shape[] = values.channels === undefined
    ? values.clients.split(",").map((clients) => ({
      connections: Number(clients),
      channels: 1,
      followed: 1,
    }))
    : values.channels.split(",").map(Number).map((channels) => {
      const followed = Math.min(channels, MOST_FOLLOWED);
      const connections = channels * PER_CHANNEL / followed;
      return { connections, channels, followed };
    });
  for (const shape of shapes) {
    const point = await measure(shape, {
      events: Number(values.events),
      perRequest: Number(values["per-request"]),
      isBatch: values.batch,
    });
    const { connections, deliveries } = point;
    const cells = [
      String(point.channels).padStart(8),
      String(connections).padStart(11),
      (point.memory / 1e6).toFixed(1).padStart(9),
      (point.idleCpuMs / 10).toFixed(0).padStart(10),
      String(point.events).padStart(6),
      String(deliveries).padStart(10),
      String(point.cpuMs).padStart(6),
      (deliveries ? (point.cpuMs * 1_000 / deliveries).toFixed(1) : "-")
        .padStart(15),
      (deliveries / (point.ms / 1_000)).toFixed(0).padStart(12),
    ];
    print(`${cells.join("  ")}\n`);
  }
}
