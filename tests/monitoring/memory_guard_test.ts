import assert from "node:assert/strict";
import {
  MAX_SHED,
  MEMORY_LOOK_MS,
  MemoryGuard,
  RECOVERED_SHARE,
  SOCKET_BYTES,
} from "../../monitoring/memory_guard.ts";
import { Sessions } from "../../realtime/sessions.ts";
import { ManualClock } from "../fakes/clock.ts";
import { FakeConnection, IP } from "../system/instances.ts";
import { openTestService, tokenOf } from "../test_service.ts";

const LIMIT = 500 * 2 ** 20;

function setup(): {
  guard: MemoryGuard;
  look: (bytes: number) => void;
  join: (user: string | null) => FakeConnection;
  lines: string[];
} {
  const clock = new ManualClock();
  const sessions = new Sessions();
  const lines: string[] = [];
  const write = (event: string) => void lines.push(event);
  let memory = 0;
  return {
    lines,
    guard: new MemoryGuard({
      clock,
      sessions,
      instances: 2,
      memoryUsage: () => memory,
      limitBytes: LIMIT,
      logger: { warn: write, info: write },
    }),
    look: (bytes) => {
      memory = bytes;
      clock.advance(MEMORY_LOOK_MS);
    },
    join: (user) => {
      const connection = new FakeConnection(user);
      sessions.add(connection, { ip: IP, bucket: IP });
      return connection;
    },
  };
}

Deno.test("MemoryGuard sheds the newest clients without a token, and no others", () => {
  const { guard, look, join, lines } = setup();
  using _guard = guard;
  const user = join("alice");
  const unknown = Array.from({ length: MAX_SHED + 2 }, () => join(null));
  const newest = join("bob");
  const limit = LIMIT + (MAX_SHED + 4) * 2 * SOCKET_BYTES;
  look(limit);
  assert.equal(guard.isFull, false, "the limit itself is allowed");
  look(limit + 1);
  assert.equal(guard.isFull, true);
  const ended = unknown.map(({ ended }) => ended?.code);
  assert.deepEqual(ended.slice(0, 2), [undefined, undefined]);
  assert.deepEqual(new Set(ended.slice(2)), new Set(["TOO_MANY_CONNECTIONS"]));
  assert.deepEqual([user.ended, newest.ended], [undefined, undefined]);
  look(limit + 1);
  assert(unknown.every(({ ended }) => ended), "the rest at the next look");
  assert.deepEqual(lines, ["memory_full"]);
});

Deno.test("MemoryGuard admits clients again well below its limit", () => {
  const { guard, look, lines } = setup();
  using _guard = guard;
  look(LIMIT + 1);
  look(LIMIT * RECOVERED_SHARE);
  assert.equal(guard.isFull, true, "hovering about the limit changes nothing");
  look(LIMIT * RECOVERED_SHARE - 1);
  assert.equal(guard.isFull, false);
  assert.deepEqual(lines, ["memory_full", "memory_recovered"]);
});

Deno.test("while memory is short, clients without a token are refused with a delay, others are admitted", async () => {
  const clock = new ManualClock(Date.now());
  await using service = await openTestService({
    clock,
    // Less than any process holds.
    env: { ALERT_MEMORY_MB: "64" },
    memoryUsage: () => 2 ** 40,
  });
  clock.advance(MEMORY_LOOK_MS);
  const ask = (headers: Record<string, string>) =>
    service.request("/sse?channels=blocks", {
      headers: { accept: "text/event-stream", ...headers },
    });
  const refused = await ask({});
  assert.deepEqual(
    [refused.status, (await refused.text()).includes("TOO_MANY_CONNECTIONS")],
    // On an open stream, so that an EventSource comes back.
    [200, true],
  );
  const token = await tokenOf("user", "1h", () => clock.now());
  const entered = await ask({ authorization: `Bearer ${token}` });
  const reader = entered.body!.getReader();
  let text = "";
  while (!text.includes("event: subscribed")) {
    const { value, done } = await reader.read();
    assert(!done, text);
    text += new TextDecoder().decode(value);
  }
  await reader.cancel();
});
