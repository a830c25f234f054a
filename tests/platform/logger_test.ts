import assert from "node:assert/strict";
import {
  MAX_COUNTED_EVENTS,
  MAX_FIELD_LENGTH,
  MAX_LINES_PER_SECOND,
  openLogger,
} from "../../platform/logger.ts";
import type { Logger } from "../../platform/logger.ts";
import { ManualClock } from "../fakes/clock.ts";
import { SECRET, tokenOf } from "../test_service.ts";
import { TestServer } from "../server.ts";
import { until } from "../until.ts";

interface Kept {
  readonly clock: ManualClock;
  readonly logger: Logger;
  readonly lines: string[];
  /** What was written of `event`. */
  of(event: string): Record<string, unknown>[];
}

function keep(
  level: Parameters<typeof openLogger>[0] = "info",
  readable = false,
): Kept {
  const clock = new ManualClock();
  const lines: string[] = [];
  const logger = openLogger(level, {
    readable,
    clock,
    write: (line) => lines.push(line),
  });
  const of = (event: string) =>
    lines.map((line) => JSON.parse(line))
      .filter(({ message }) => message === event)
      .map(({ properties }) => properties);
  return { clock, logger, lines, of };
}

Deno.test("each level writes itself and what matters more", () => {
  const levels = ["error", "warn", "info", "debug", "verbose"] as const;
  for (const [i, level] of levels.entries()) {
    const { logger, lines } = keep(level);
    for (const each of levels) logger[each]?.("happened", { each });
    assert.equal(lines.length, i + 1, level);
    assert.equal(logger.verbose !== undefined, level === "verbose");
  }
});

Deno.test("a line is JSON in production and readable in dev", () => {
  const { logger, of } = keep();
  logger.info("listening", { port: 3000 });
  assert.deepEqual(of("listening"), [{ port: 3000 }]);
  const readable = keep("info", true);
  readable.logger.info("listening", { port: 3000 });
  assert.match(readable.lines[0]!, /listening port=3000/);
});

Deno.test("readable lines have colours only where requested", () => {
  for (const coloured of [false, true]) {
    const lines: string[] = [];
    const write = (line: string) => lines.push(line);
    const options = { readable: true, coloured, write };
    openLogger("info", options).warn("happened", { port: 3000 });
    assert.equal(lines[0]!.includes("\u001b["), coloured);
  }
});

Deno.test("an event that happens all the time is bounded, and what is left out is counted", () => {
  const { clock, logger, of } = keep();
  for (let i = 0; i < MAX_LINES_PER_SECOND; i++) logger.info("hot", { i });
  assert.equal(of("hot").length, MAX_LINES_PER_SECOND);
  for (let i = 0; i < 7; i++) logger.info("hot", { i });
  logger.info("rare", {});
  assert.equal(of("hot").length, MAX_LINES_PER_SECOND);
  assert.equal(of("rare").length, 1);

  // Nothing further happens: the suppressed lines are reported all the same.
  clock.advance(1_000);
  assert.equal(of("hot").at(-1)!["leftOut"], 7);
  assert.equal(of("hot").length, MAX_LINES_PER_SECOND + 1);
  logger.info("hot", {});
  assert.equal(of("hot").at(-1)!["leftOut"], undefined);
  assert.equal(clock.pending, 0);
});

Deno.test("the next line of a hot event reports how many were suppressed", () => {
  const { clock, logger, of } = keep();
  clock.advance(1_000 - clock.now() % 1_000 + 500);
  for (let i = 0; i < MAX_LINES_PER_SECOND + 3; i++) logger.info("hot", {});
  clock.advance(500);
  logger.info("hot", {});
  assert.equal(of("hot").at(-1)!["leftOut"], 3);
  assert.equal(clock.pending, 0);
});

Deno.test("lines that no sink reads are not counted either", () => {
  const { clock, logger, of } = keep("info");
  for (let i = 0; i < 2 * MAX_LINES_PER_SECOND; i++) logger.debug("hot", {});
  logger.info("hot", {});
  assert.equal(of("hot").length, 1);
  assert.equal(clock.pending, 0);
});

Deno.test("names of events beyond the bound share one count", () => {
  const { clock, logger, lines } = keep();
  for (let i = 0; i < MAX_COUNTED_EVENTS; i++) logger.info(`event-${i}`);
  lines.length = 0;
  for (let i = 0; i <= MAX_LINES_PER_SECOND; i++) logger.info(`other-${i}`);
  assert.equal(lines.length, MAX_LINES_PER_SECOND);
  clock.advance(1_000);
});

Deno.test("a token is hidden in any position, and long texts are cut", async () => {
  const { logger, lines, of } = keep();
  const token = await tokenOf("admin");
  logger.error("bug", {
    header: `Bearer ${token}`,
    deep: { list: [token, new Error(`bad ${token}`)] },
    long: "x".repeat(MAX_FIELD_LENGTH + 1),
    fine: "x".repeat(MAX_FIELD_LENGTH),
    count: 3,
  });
  const text = lines.join();
  for (const part of token.split(".")) assert(!text.includes(part));
  const [fields] = of("bug");
  assert.equal(fields!["header"], "Bearer [token]");
  assert.equal((fields!["long"] as string).length, MAX_FIELD_LENGTH + 3);
  assert.equal((fields!["fine"] as string).length, MAX_FIELD_LENGTH);
  assert.equal(fields!["count"], 3);
});

Deno.test("nothing in a line hides, turns round or gives orders to a terminal", () => {
  const hidden = [
    "\u001b[2J",
    "\u0007",
    "\u007f",
    "\u009b31m",
    "\u202e",
    "\u2066",
    "\u200f",
    "\u061c",
    "\u200b",
    "\u2028",
    "\ufeff",
  ];
  for (const readable of [false, true]) {
    const { logger, lines } = keep("info", readable);
    for (const text of hidden) {
      logger.info("seen", { path: `/a${text}b`, deep: [{ user: text }] });
    }
    const written = lines.join("\n");
    // The readable form has colours of its own.
    // deno-lint-ignore no-control-regex -- as a terminal reads them.
    const own = written.replaceAll(/\u001b\[\d*m/g, "");
    for (const text of hidden) {
      assert(!own.includes(text[0]!), `${readable} ${escape(text)}`);
      const code = text.codePointAt(0)!.toString(16);
      assert(own.includes(`u{${code}}`), `${readable} ${code}`);
    }
  }
  const { logger, of } = keep();
  const plain = "tabs\tand\nlines, Ünïcödé, 区块, 🚀";
  logger.info("seen", { plain });
  assert.equal(of("seen")[0]!["plain"], plain);
});

Deno.test("a running service logs connections, requests and ends, but never a token or a payload", async () => {
  await using server = await TestServer.start({
    settings: { LOG_LEVEL: "verbose" },
  });
  const token = await server.token("publisher", { user: "alice" });
  const good = { authorization: `Bearer ${token}` };
  const body = JSON.stringify({
    type: "ROOM_MESSAGE",
    channel: "room:hidden-room",
    payload: { event: "whispered", data: "hidden-words" },
  });
  const published = await fetch(`${server.url}/api/publish`, {
    method: "POST",
    headers: { ...good, "x-request-id": "from-a-proxy.1" },
    body,
  });
  assert.equal(published.status, 200);
  assert.equal(published.headers.get("x-request-id"), "from-a-proxy.1");
  await published.body?.cancel();

  const refused = await fetch(`${server.url}/api/publish?token=${token}`, {
    method: "POST",
    headers: { "x-request-id": "not a name\u00e9" },
    body,
  });
  assert.equal(refused.status, 400);
  const request = refused.headers.get("x-request-id")!;
  assert.match(request, /^[0-9A-Z]{26}$/);
  await refused.body?.cancel();
  const forged = await fetch(`${server.url}/api/metrics`, {
    headers: { authorization: `Bearer ${token.slice(0, -4)}AAAA` },
  });
  assert.equal(forged.status, 401);
  await forged.body?.cancel();

  const socket = new WebSocket(server.socketUrl);
  let session = "";
  socket.onmessage = ({ data }) => {
    const frame = JSON.parse(data);
    if (frame.type !== "connected") return;
    session = frame.payload.sessionId;
    if (frame.payload.identity.user !== null) return socket.close(1000);
    socket.send("no JSON at all: hidden-words");
    socket.send(body);
    const auth = { token };
    socket.send(JSON.stringify({ type: "connect", payload: { auth } }));
  };
  await until(
    () => server.log.includes('"session_closed"'),
    "the end of the session",
  );
  // All that it logs is read by then.
  await server.stop("SIGTERM");

  const lines = server.log.split("\n").flatMap((line) => {
    const at = line.indexOf("{");
    return at < 0 ? [] : [JSON.parse(line.slice(at))];
  });
  const of = (event: string) =>
    lines.filter(({ message }) => message === event)
      .map(({ properties }) => properties);
  const [opened] = of("session_opened");
  assert.equal(opened.session, session);
  assert.equal(opened.ip, "127.0.0.1");
  const [closed] = of("session_closed");
  assert.equal(closed.session, session);
  assert.equal(closed.user, "alice");
  assert.equal(closed.code, 1000);
  assert.equal(typeof closed.ms, "number");
  assert.deepEqual(
    of("command").map((it) => [it.session, it.type]),
    // What it had no right to publish was refused unread.
    [[session, "connect"]],
  );
  assert(
    of("request").some((it) =>
      it.request === "from-a-proxy.1" && it.status === 200
    ),
  );
  assert(
    of("request_refused").some((it) =>
      it.request === request && it.code === "INVALID_MESSAGE"
    ),
  );
  for (const secret of [SECRET, ...token.split("."), "hidden-"]) {
    assert(!server.log.includes(secret), "hidden from the log");
  }
});
