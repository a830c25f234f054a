/**
 * Looks at a deployed service from outside, as a client, a publisher and a
 * load balancer would.
 *
 * @module
 */

/** How long one step may take, in milliseconds. */
const STEP_MS = 10_000;
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

/** What is looked at, and how. */
export interface SmokeOptions {
  /** Where the service is: `https://rt.example.com`. */
  readonly url: string;
  /** A token of the role `user` or more; without one nothing is published. */
  readonly token?: string | undefined;
  /** How long a connection is left idle, in milliseconds; 0 or none: not at all. */
  readonly idleMs?: number | undefined;
}

/** What one look found. */
export interface Finding {
  /** What was looked at. */
  readonly name: string;
  /** How it is. */
  readonly state: "ok" | "failed" | "skipped";
  /** How long it took, in milliseconds. */
  readonly ms: number;
  /** What was seen. */
  readonly detail: string;
  /** What to look at when it failed. */
  readonly hint?: string | undefined;
}

/** A frame, as far as it is looked at. */
interface Frame {
  readonly type: string;
  // deno-lint-ignore no-explicit-any -- frames of any kind are looked into.
  readonly payload: any;
  readonly seq?: number;
  readonly epoch?: string;
  readonly replay?: boolean;
  readonly ref?: string;
}

/** Says that a step does not apply. */
class Skipped extends Error {}

/** Says what was wrong, and what to look at. */
class Fault extends Error {
  readonly hint: string;
  constructor(message: string, hint: string) {
    super(message);
    this.hint = hint;
  }
}

/** One WebSocket; its frames wait to be asked for. */
class Peer implements Disposable {
  readonly #socket: WebSocket;
  readonly #frames: Frame[] = [];
  readonly #opened: Promise<void>;
  #wake: () => void = () => {};
  #ended: string | undefined;

  constructor(url: string) {
    this.#socket = new WebSocket(url);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    promise.catch(() => {});
    this.#opened = promise;
    this.#socket.onopen = () => resolve();
    this.#socket.onmessage = ({ data }) => {
      this.#frames.push(JSON.parse(data));
      this.#wake();
    };
    this.#socket.onerror = (event) => {
      reject(new Error((event as ErrorEvent).message || "upgrade failed"));
    };
    this.#socket.onclose = ({ code, reason }) => {
      this.#ended = `closed ${code} ${reason}`;
      reject(new Error(this.#ended));
      this.#wake();
    };
  }

  /** Resolves once open. */
  opened(): Promise<void> {
    return within(STEP_MS, "the upgrade", this.#opened);
  }

  send(frame: unknown): void {
    this.#socket.send(
      typeof frame === "string" ? frame : JSON.stringify(frame),
    );
  }

  /** The next frame that `fits`; others before it are dropped. */
  async next(
    what: string,
    fits: (frame: Frame) => boolean,
    ms: number = STEP_MS,
  ): Promise<Frame> {
    const deadline = performance.now() + ms;
    for (;;) {
      const at = this.#frames.findIndex(fits);
      if (at >= 0) return this.#frames.splice(0, at + 1).at(-1)!;
      if (this.#ended) throw new Error(`${this.#ended} before ${what}`);
      const left = deadline - performance.now();
      if (left <= 0) throw new Error(`${what} did not come in ${ms} ms`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }

  [Symbol.dispose](): void {
    this.#socket.onclose = null;
    if (this.#socket.readyState <= WebSocket.OPEN) this.#socket.close();
  }
}

/**
 * Looks at everything, one step after another.
 *
 * @param options what to look at.
 * @param tell hears of each finding as it is made.
 * @returns all findings, in order.
 */
export async function smoke(
  options: SmokeOptions,
  tell: (finding: Finding) => void = () => {},
): Promise<Finding[]> {
  const findings: Finding[] = [];
  for (const [name, look] of steps(options)) {
    const since = performance.now();
    let finding: Finding;
    try {
      const detail = await look();
      finding = { name, state: "ok", ms: performance.now() - since, detail };
    } catch (error) {
      const ms = performance.now() - since;
      const detail = error instanceof Error ? error.message : String(error);
      finding = {
        name,
        state: error instanceof Skipped ? "skipped" : "failed",
        ms,
        detail,
        hint: error instanceof Fault ? error.hint : HINTS[name],
      };
    }
    findings.push(finding);
    tell(finding);
    // Without an answer at all the rest would only say the same.
    if (name === "health" && finding.state === "failed") break;
  }
  return findings;
}

/** What to look at first when a step fails. */
const HINTS: Readonly<Record<string, string>> = {
  health:
    "Nothing answers: check the URL, DNS, TLS, the firewall, and that the service runs.",
  ready: "GET /ready names what is wrong; see docs/troubleshooting.md.",
  connect:
    "The upgrade fails: does the proxy pass Upgrade and Connection (HTTP/1.1), and is MAX_CONNECTIONS reached?",
  subscribe: "Frames do not come back: a proxy may hold them.",
  latency: "Frames do not come back in time.",
  refusals: "A refusal came out otherwise than documented: is it this service?",
  publish:
    "Is SMOKE_TOKEN of the role user or above, unexpired and signed with a secret of this instance?",
  deliver:
    "Kept but not delivered: look at the link in GET /ready (LINK=doorbell where instances share only KV).",
  resume: "Look at the log and RETENTION_EVENTS, RETENTION_MS.",
  sse: "Events are held back: switch response buffering off in the proxy.",
  history: "The log cannot be read: see store in GET /ready.",
  limits: "Answers say nothing of limits: does a proxy strip the headers?",
  idle:
    "A quiet connection was cut: raise the proxy's read timeout above 60 s.",
};

function steps(
  { url, token, idleMs = 0 }: SmokeOptions,
): (readonly [string, () => Promise<string>])[] {
  const base = url.replace(/\/+$/, "");
  const wsUrl = `${base.replace(/^http/, "ws")}/ws`;
  const room = `room:smoke-${crypto.randomUUID().slice(0, 8)}`;
  const bearer: Record<string, string> = token
    ? { authorization: `Bearer ${token}` }
    : {};
  const run = crypto.randomUUID().slice(0, 8);
  let maxMessageBytes = 0;
  let heartbeatMs = 25_000;
  let last: { epoch: string; seq: number } | undefined;

  const ask = async (path: string, init: RequestInit = {}) =>
    await fetch(base + path, {
      redirect: "manual",
      ...init,
      signal: init.signal ?? AbortSignal.timeout(STEP_MS),
      headers: { ...bearer, ...init.headers },
    });
  const read = async (path: string) => {
    const response = await ask(path);
    const body = await response.json();
    if (response.ok) return body;
    throw new Error(
      `${path} answered ${response.status} ${body.code ?? ""} ${
        body.message ?? ""
      }`,
    );
  };
  const publish = async (event: string, id: string) => {
    if (!token) throw new Skipped("set SMOKE_TOKEN to try this");
    const response = await ask("/api/publish", {
      method: "POST",
      body: JSON.stringify({
        type: "ROOM_MESSAGE",
        channel: room,
        id,
        payload: { event },
      }),
    });
    const body = await response.json();
    if (response.ok) {
      return body.accepted[0] as { epoch: string; seq: number };
    }
    throw new Error(`${response.status} ${body.code}: ${body.message}`);
  };
  const enter = async () => {
    const peer = new Peer(wsUrl);
    await peer.opened();
    let connected = await peer.next("connected", isType("connected"));
    if (token) {
      peer.send({ type: "connect", id: "c", payload: { auth: { token } } });
      connected = await answer(peer, "c");
    }
    return { peer, connected };
  };

  return [
    ["health", async () => {
      const response = await ask("/health");
      const { status } = await response.json();
      if (response.status === 200 && status === "ok") return "alive";
      throw new Error(`answered ${response.status}`);
    }],
    ["ready", async () => {
      const response = await ask("/ready");
      const { ready, degraded, checks } = await response.json();
      const poor = Object.entries(checks as Record<string, Check>)
        .filter(([, { ok, degraded }]) => !ok || degraded)
        .map(([name, { detail }]) => `${name}: ${detail}`);
      if (!ready) throw new Error(poor.join("; "));
      return degraded
        ? `degraded: ${poor.join("; ")}`
        : `all well, link: ${checks.link?.detail ?? "unknown"}`;
    }],
    ["connect", async () => {
      const { peer, connected } = await enter();
      using _ = peer;
      const { identity, limits, serverTime } = connected.payload;
      ({ maxMessageBytes } = limits);
      ({ heartbeatMs } = connected.payload);
      const apart = Date.parse(serverTime) - Date.now();
      if (Math.abs(apart) > CLOCK_MS) {
        throw new Fault(
          `clocks are ${Math.round(apart / 1_000)} s apart`,
          "Set the clocks: tokens expire too early or too late.",
        );
      }
      return `${identity.user ?? "stranger"} as ${identity.role}`;
    }],
    ["subscribe", async () => {
      const { peer } = await enter();
      using _ = peer;
      const { payload } = await follow(peer, [room, "blocks", "no-such"]);
      const [rejected] = payload.rejected;
      if (payload.channels.length !== 2 || rejected?.channel !== "no-such") {
        throw new Error(`answered ${JSON.stringify(payload)}`);
      }
      const blocks = payload.channels[1];
      return `blocks at ${blocks.seq}, an unknown channel rejected`;
    }],
    ["latency", async () => {
      const { peer } = await enter();
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
    }],
    ["refusals", async () => {
      const { peer } = await enter();
      using _ = peer;
      peer.send("not json");
      expectCode(await peer.next("error", isType("error")), "INVALID_JSON");
      peer.send({ type: "NO_SUCH_TYPE", payload: {} });
      expectCode(await peer.next("error", isType("error")), "UNKNOWN_TYPE");
      const response = await fetch(`${base}/api/publish`, {
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
      return "bad JSON, unknown types and strangers who publish are refused";
    }],
    ["publish", async () => {
      const first = await publish("one", `${run}-1`);
      const again = await publish("one", `${run}-1`);
      if (again.seq !== first.seq) {
        throw new Error(`one id took ${first.seq} and ${again.seq}`);
      }
      return `kept at ${first.seq}; the same id again is not kept twice`;
    }],
    ["deliver", async () => {
      const { peer } = await enter();
      using _ = peer;
      await follow(peer, [room]);
      const since = performance.now();
      const { seq } = await publish("two", `${run}-2`);
      const event = await peer.next(
        "the event",
        (frame) => frame.seq === seq && frame.payload.event === "two",
        ARRIVE_MS,
      );
      const ms = performance.now() - since;
      last = { epoch: event.epoch!, seq };
      return `published and received in ${ms.toFixed(1)} ms`;
    }],
    ["resume", async () => {
      const from = last;
      if (!from) throw new Skipped("needs what deliver publishes");
      const missed = ["three", "four", "five"];
      for (const event of missed) await publish(event, `${run}-${event}`);
      const { peer } = await enter();
      using _ = peer;
      const { payload } = await follow(peer, [{ channel: room, after: from }]);
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
    }],
    ["sse", async () => {
      const leaving = new AbortController();
      const timer = setTimeout(() => leaving.abort(), STEP_MS);
      try {
        const response = await ask(`/sse?channels=${room},blocks&last=1`, {
          signal: leaving.signal,
        });
        const type = response.headers.get("content-type") ?? "";
        if (!response.ok || !type.startsWith("text/event-stream")) {
          throw new Error(`answered ${response.status} ${type}`);
        }
        const text = response.body!.pipeThrough(new TextDecoderStream())
          .getReader();
        let heard = "";
        const hears = async (what: string) => {
          while (!heard.includes(what)) {
            const { value, done } = await within(
              ARRIVE_MS,
              what,
              text.read(),
            );
            if (done) throw new Error(`ended before ${what}`);
            heard += value;
          }
        };
        await hears("event: subscribed");
        if (!token) return "opens, and says where it begins";
        const since = performance.now();
        await publish("six", `${run}-6`);
        await hears('"six"');
        return `unbuffered: an event came in ${
          (performance.now() - since).toFixed(1)
        } ms`;
      } finally {
        clearTimeout(timer);
        leaving.abort();
      }
    }],
    ["history", async () => {
      const { channels, instances } = await read("/api/channels");
      const page = await read(
        `/api/channels/${
          encodeURIComponent(last ? room : "blocks")
        }/history?limit=100`,
      );
      if (last && page.events.length < 5) {
        throw new Error(`${page.events.length} events of at least 5`);
      }
      return `${channels.length} channels, ${instances.length} isolates, ${page.events.length} events read`;
    }],
    ["limits", async () => {
      const { peer } = await enter();
      using _ = peer;
      const message = "x".repeat(maxMessageBytes);
      peer.send({ type: "TEST", payload: { message } });
      expectCode(
        await peer.next("error", isType("error")),
        "MESSAGE_TOO_LARGE",
      );
      const plain = await fetch(`${base}/api/channels`, {
        signal: AbortSignal.timeout(STEP_MS),
      });
      await plain.body?.cancel();
      const policy = plain.headers.get("ratelimit-policy");
      if (!policy && plain.status !== 401) {
        throw new Error("no RateLimit-Policy on an answer to a stranger");
      }
      return `frames up to ${maxMessageBytes} bytes; ${
        policy ?? "strangers are refused"
      }`;
    }],
    ["idle", async () => {
      if (idleMs <= 0) {
        throw new Skipped(`--idle ${IDLE_S} tries proxies' timeouts`);
      }
      const { peer } = await enter();
      using _ = peer;
      const end = performance.now() + idleMs;
      let pings = 0;
      for (;;) {
        const left = end - performance.now();
        if (left <= 0) break;
        await new Promise((resolve) =>
          setTimeout(resolve, Math.min(left, heartbeatMs))
        );
        peer.send({ type: "ping", id: `i${++pings}` });
        await answer(peer, `i${pings}`);
      }
      return `still open after ${
        Math.round(idleMs / 1_000)
      } s with ${pings} pings`;
    }],
  ];
}

/** How one part of the service says that it is. */
interface Check {
  readonly ok: boolean;
  readonly degraded?: boolean;
  readonly detail: string;
}

function isType(type: string): (frame: Frame) => boolean {
  return (frame) => frame.type === type;
}

/** What answers the frame named `id`. */
async function answer(peer: Peer, id: string): Promise<Frame> {
  const frame = await peer.next(`an answer to ${id}`, ({ ref }) => ref === id);
  if (frame.type !== "error") return frame;
  throw new Error(`${frame.payload.code}: ${frame.payload.message}`);
}

async function follow(
  peer: Peer,
  channels: readonly unknown[],
): Promise<Frame> {
  peer.send({ type: "subscribe", id: "s", payload: { channels } });
  return await answer(peer, "s");
}

function expectCode({ payload }: Frame, code: string): void {
  if (payload.code === code) return;
  throw new Error(`${payload.code} came instead of ${code}`);
}

/** @throws when `promise` takes longer than `ms`. */
async function within<T>(
  ms: number,
  what: string,
  promise: Promise<T>,
): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new Error(`${what} did not come in ${ms} ms`)),
      ms,
    );
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

const SIGNS = { ok: "ok", failed: "FAILED", skipped: "skipped" } as const;

/** One finding as a line of the table. */
export function line({ name, state, ms, detail, hint }: Finding): string {
  const time = state === "skipped" ? "" : `${ms.toFixed(0)} ms`;
  const row = `${name.padEnd(10)} ${SIGNS[state].padEnd(8)} ${
    time.padStart(8)
  }  ${detail}`;
  return state === "failed" && hint ? `${row}\n${" ".repeat(30)}${hint}` : row;
}
