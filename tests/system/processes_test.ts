import assert from "node:assert/strict";
import { TestServer } from "../server.ts";
import { until } from "../until.ts";

/** Events published one by one. */
const EVENTS = 60;
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
    took.sort((a, b) => a - b);
    const [p50, p95] = [0.5, 0.95].map((part) =>
      took[Math.floor(EVENTS * part)]!
    );
    await Deno.stderr.write(new TextEncoder().encode(
      `between processes: p50 ${p50!.toFixed(1)} ms, p95 ${
        p95!.toFixed(1)
      } ms\n`,
    ));
    // The poll, once a second, would find most of them together.
    const metrics = await (await fetch(`${two.url}/metrics?scope=isolate`))
      .text();
    const [, received] =
      /kaldrix_link_heard_total\{[^}]*link="local"[^}]*\} (\d+)/
        .exec(metrics) ?? [];
    assert(Number(received) > EVENTS / 2, `${received} rings`);
  } finally {
    socket.close();
    await closed;
  }
});
