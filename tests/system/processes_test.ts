import assert from "node:assert/strict";
import { TestServer } from "../server.ts";
import { until } from "../until.ts";

/** Events published one by one. */
const EVENTS = 60;
/** Far below the second after which a process looks into the log by itself. */
const MOST_MS = 250;

Deno.test("two processes on one file deliver each other's events in milliseconds", async () => {
  await using one = await TestServer.start();
  await using two = await TestServer.start({
    settings: { KV_PATH: one.kvPath },
  });
  const receivedAt = new Map<number, number>();
  const socket = new WebSocket(two.socketUrl);
  const closed = new Promise((resolve) => socket.onclose = resolve);
  let isSubscribed = false;
  socket.onopen = () =>
    socket.send(
      JSON.stringify({ type: "subscribe", payload: { channels: ["blocks"] } }),
    );
  socket.onmessage = ({ data }) => {
    const { type, seq } = JSON.parse(data);
    if (type === "subscribed") isSubscribed = true;
    if (type === "NEW_BLOCK") receivedAt.set(seq, performance.now());
  };
  try {
    await until(() => isSubscribed, "the subscription");
    const took: number[] = [];
    for (let height = 1; height <= EVENTS; height++) {
      const [accepted] = await one.publish([{
        type: "NEW_BLOCK",
        payload: {
          blockId: `b-${height}`,
          height,
          timestamp: new Date().toISOString(),
        },
      }]);
      const publishedAt = performance.now();
      const seq = accepted!.seq!;
      await until(
        () => receivedAt.has(seq),
        `event ${seq} in the other process`,
      );
      took.push(receivedAt.get(seq)! - publishedAt);
    }
    const p95 = took.toSorted((a, b) => a - b)[Math.floor(EVENTS * 0.95)]!;
    await Deno.stderr.write(new TextEncoder().encode(
      `p95 between processes: ${p95.toFixed(1)} ms\n`,
    ));
    assert(p95 < MOST_MS, `p95 ${p95} ms: ${took.map(Math.round)}`);
    const metrics = await (await fetch(`${two.url}/metrics?scope=isolate`))
      .text();
    assert.match(
      metrics,
      /kaldrix_link_heard_total\{[^}]*link="local"[^}]*\} [1-9]/,
    );
  } finally {
    socket.close();
    await closed;
  }
});
