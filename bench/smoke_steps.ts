/**
 * What the smoke test looks at, one function a step. Each returns what it saw
 * and throws when something is wrong.
 *
 * @module
 */
import {
  answer,
  expectCode,
  follow,
  isType,
  STEP_MS,
  within,
} from "./smoke_peer.ts";
import { Fault, Skipped } from "./smoke_site.ts";
import type { Site } from "./smoke_site.ts";

/** An event must arrive within this; a proxy that buffers takes longer. */
const ARRIVE_MS = 5_000;
/** Round trips measured. */
const ECHOES = 10;
/** Clocks that differ by more than this confuse tokens, in milliseconds. */
const CLOCK_MS = 30_000;

/**
 * How long an idle connection should be tried, in seconds: beyond the read
 * timeout of 120 s in deploy/nginx.conf, so that pings alone keep it open.
 */
export const IDLE_S = 130;

/** A step: looks, and returns what it saw. */
export type Step = (site: Site) => Promise<string>;

/** The steps by name, in order; later ones use what earlier ones found. */
export const STEPS: Readonly<Record<string, Step>> = {
  health,
  ready,
  connect,
  subscribe,
  latency,
  refusals,
  publish,
  deliver,
  resume,
  sse,
  history,
  limits,
  idle,
};

/** The result of one readiness check. */
interface Check {
  readonly ok: boolean;
  readonly degraded?: boolean;
  readonly detail: string;
}

/** The process answers. */
async function health(site: Site): Promise<string> {
  const response = await site.ask("/health");
  const { status } = await response.json();
  if (response.status === 200 && status === "ok") return "alive";
  throw new Error(`answered ${response.status}`);
}

/** The service reports that it can serve. */
async function ready(site: Site): Promise<string> {
  const response = await site.ask("/ready");
  const { ready, degraded, checks } = await response.json();
  const poor = Object.entries(checks as Record<string, Check>)
    .filter(([, { ok, degraded }]) => !ok || degraded)
    .map(([name, { detail }]) => `${name}: ${detail}`);
  if (!ready) throw new Error(poor.join("; "));
  return degraded
    ? `degraded: ${poor.join("; ")}`
    : `all well, link: ${checks.link?.detail ?? "unknown"}`;
}

/** The upgrade passes, and a token is accepted. */
async function connect(site: Site): Promise<string> {
  const { peer, connected } = await site.enter();
  using _ = peer;
  const { identity, limits, serverTime } = connected.payload;
  site.maxMessageBytes = limits.maxMessageBytes;
  site.heartbeatMs = connected.payload.heartbeatMs;
  const apart = Date.parse(serverTime) - Date.now();
  if (Math.abs(apart) > CLOCK_MS) {
    throw new Fault(
      `clocks are ${Math.round(apart / 1_000)} s apart`,
      "Set the clocks: tokens expire too early or too late.",
    );
  }
  return identity.user === null
    ? "anonymous"
    : `${identity.user} as ${identity.role}`;
}

/** Channels are joined, unknown ones rejected. */
async function subscribe(site: Site): Promise<string> {
  const { peer } = await site.enter();
  using _ = peer;
  const { payload } = await follow(peer, [site.room, "blocks", "no-such"]);
  const [rejected] = payload.rejected;
  if (payload.channels.length !== 2 || rejected?.channel !== "no-such") {
    throw new Error(`answered ${JSON.stringify(payload)}`);
  }
  const blocks = payload.channels[1];
  return `blocks at ${blocks.seq}, an unknown channel rejected`;
}

/** Frames go there and back. */
async function latency(site: Site): Promise<string> {
  const { peer } = await site.enter();
  using _ = peer;
  const times: number[] = [];
  for (let i = 0; i < ECHOES; i++) {
    const since = performance.now();
    peer.send({ type: "ping", id: `p${i}` });
    await answer(peer, `p${i}`);
    times.push(performance.now() - since);
  }
  times.sort((a, b) => a - b);
  return `round trip ${times[ECHOES / 2]!.toFixed(1)} ms median, ${
    times.at(-1)!.toFixed(1)
  } ms worst of ${ECHOES}`;
}

/** What is wrong is refused as documented. */
async function refusals(site: Site): Promise<string> {
  const { peer } = await site.enter();
  using _ = peer;
  peer.send("not json");
  expectCode(await peer.next("error", isType("error")), "INVALID_JSON");
  peer.send({ type: "NO_SUCH_TYPE", payload: {} });
  expectCode(await peer.next("error", isType("error")), "UNKNOWN_TYPE");
  const response = await fetch(`${site.base}/api/publish`, {
    method: "POST",
    body: "{}",
    signal: AbortSignal.timeout(STEP_MS),
  });
  const { code } = await response.json();
  if (response.status !== 401 || code !== "UNAUTHENTICATED") {
    throw new Error(
      `publishing without a token: ${response.status} ${code}`,
    );
  }
  return "bad JSON, unknown types and publishing without a token are refused";
}

/** An event is kept once, also if sent twice. */
async function publish(site: Site): Promise<string> {
  const first = await site.publish("one", `${site.run}-1`);
  const again = await site.publish("one", `${site.run}-1`);
  if (again.seq !== first.seq) {
    throw new Error(`one id took ${first.seq} and ${again.seq}`);
  }
  return `kept at ${first.seq}; the same id again is not kept twice`;
}

/** An event reaches a subscriber. */
async function deliver(site: Site): Promise<string> {
  const { peer } = await site.enter();
  using _ = peer;
  await follow(peer, [site.room]);
  const since = performance.now();
  const { seq } = await site.publish("two", `${site.run}-2`);
  const event = await peer.next(
    "the event",
    (frame) => frame.seq === seq && frame.payload.event === "two",
    ARRIVE_MS,
  );
  const ms = performance.now() - since;
  site.last = { epoch: event.epoch!, seq };
  return `published and received in ${ms.toFixed(1)} ms`;
}

/** A client that was away gets what it missed. */
async function resume(site: Site): Promise<string> {
  const from = site.last;
  if (!from) throw new Skipped("needs what deliver publishes");
  const missed = ["three", "four", "five"];
  for (const event of missed) await site.publish(event, `${site.run}-${event}`);
  const { peer } = await site.enter();
  using _ = peer;
  const { payload } = await follow(peer, [{ channel: site.room, after: from }]);
  if (!payload.channels[0]?.recovered) {
    throw new Error(`not recovered: ${payload.channels[0]?.reason}`);
  }
  for (const [i, event] of missed.entries()) {
    const frame = await peer.next("an event", isType("ROOM_MESSAGE"));
    if (frame.seq !== from.seq + i + 1 || frame.payload.event !== event) {
      throw new Error(`${frame.seq} ${frame.payload.event} came instead`);
    }
  }
  return `${missed.length} missed events came back, in order`;
}

/** Events arrive unbuffered over HTTP. */
async function sse(site: Site): Promise<string> {
  const leaving = new AbortController();
  const timer = setTimeout(() => leaving.abort(), STEP_MS);
  try {
    const response = await site.ask(
      `/sse?channels=${site.room},blocks&last=1`,
      {
        signal: leaving.signal,
      },
    );
    const type = response.headers.get("content-type") ?? "";
    if (!response.ok || !type.startsWith("text/event-stream")) {
      throw new Error(`answered ${response.status} ${type}`);
    }
    const text = response.body!.pipeThrough(new TextDecoderStream())
      .getReader();
    let received = "";
    const arrives = async (what: string) => {
      while (!received.includes(what)) {
        const { value, done } = await within(
          ARRIVE_MS,
          what,
          text.read(),
        );
        if (done) throw new Error(`ended before ${what}`);
        received += value;
      }
    };
    await arrives("event: subscribed");
    if (!site.token) return "opens, and states where it begins";
    const since = performance.now();
    await site.publish("six", `${site.run}-6`);
    await arrives('"six"');
    return `unbuffered: an event came in ${
      (performance.now() - since).toFixed(1)
    } ms`;
  } finally {
    clearTimeout(timer);
    leaving.abort();
  }
}

/** The log can be read. */
async function history(site: Site): Promise<string> {
  const { channels, instances } = await site.read("/api/channels");
  const page = await site.read(
    `/api/channels/${
      encodeURIComponent(site.last ? site.room : "blocks")
    }/history?limit=100`,
  );
  if (site.last && page.events.length < 5) {
    throw new Error(`${page.events.length} events of at least 5`);
  }
  return `${channels.length} channels, ${instances.length} instances, ${page.events.length} events read`;
}

/** Limits are stated and hold. */
async function limits(site: Site): Promise<string> {
  const { peer } = await site.enter();
  using _ = peer;
  const message = "x".repeat(site.maxMessageBytes);
  peer.send({ type: "TEST", payload: { message } });
  expectCode(
    await peer.next("error", isType("error")),
    "MESSAGE_TOO_LARGE",
  );
  const plain = await fetch(`${site.base}/api/channels`, {
    signal: AbortSignal.timeout(STEP_MS),
  });
  await plain.body?.cancel();
  const policy = plain.headers.get("ratelimit-policy");
  if (!policy && plain.status !== 401) {
    throw new Error("no RateLimit-Policy on an anonymous answer");
  }
  return `frames up to ${site.maxMessageBytes} bytes; ${
    policy ?? "anonymous requests are refused"
  }`;
}

/** A quiet connection stays open. */
async function idle(site: Site): Promise<string> {
  if (site.idleMs <= 0) {
    throw new Skipped(`--idle ${IDLE_S} tries proxies' timeouts`);
  }
  const { peer } = await site.enter();
  using _ = peer;
  const end = performance.now() + site.idleMs;
  let pings = 0;
  for (;;) {
    const left = end - performance.now();
    if (left <= 0) break;
    await new Promise((resolve) =>
      setTimeout(resolve, Math.min(left, site.heartbeatMs))
    );
    peer.send({ type: "ping", id: `i${++pings}` });
    await answer(peer, `i${pings}`);
  }
  return `still open after ${
    Math.round(site.idleMs / 1_000)
  } s with ${pings} pings`;
}
