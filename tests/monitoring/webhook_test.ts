import assert from "node:assert/strict";
import {
  MAX_TRIES,
  MAX_WAITING,
  Webhook,
  webhookKey,
} from "../../monitoring/webhook.ts";
import { ManualClock, pass, settle } from "../fakes/clock.ts";

/** A webhook whose receiver gives these answers. */
function hook(answers: (number | "away")[]): {
  webhook: Webhook;
  clock: ManualClock;
  ids: string[];
  lines: unknown[];
} {
  const clock = new ManualClock();
  const ids: string[] = [];
  const lines: unknown[] = [];
  const webhook = new Webhook({
    url: "https://hooks.example/secret-path",
    key: undefined,
    clock,
    log: (event, fields) => lines.push({ event, ...fields }),
    random: () => 0.5,
    fetch: (_url, init) => {
      ids.push((init!.headers as Headers).get("x-kaldrix-delivery")!);
      const answer = answers.shift() ?? 200;
      return answer === "away"
        ? Promise.reject(new TypeError("connection refused"))
        : Promise.resolve(new Response(null, { status: answer }));
    },
  });
  return { webhook, clock, ids, lines };
}

Deno.test("a post is retried until it is accepted, in order", async () => {
  const { webhook, clock, ids, lines } = hook(["away", 503, 429, 200, 200]);
  await using _webhook = webhook;
  webhook.send("a", {});
  webhook.send("b", {});
  await pass(clock, 60_000);
  assert.deepEqual(ids, ["a", "a", "a", "a", "b"]);
  assert.deepEqual(lines, []);
});

Deno.test("a post that can never succeed, or not in time, is given up and noted without its path", async () => {
  const { webhook, clock, ids, lines } = hook([
    404,
    ...Array.from({ length: MAX_TRIES }, () => 500),
  ]);
  await using _webhook = webhook;
  webhook.send("a", {});
  webhook.send("b", {});
  await pass(clock, 600_000);
  assert.deepEqual(ids, ["a", ...Array.from({ length: MAX_TRIES }, () => "b")]);
  assert.deepEqual(lines, [
    {
      event: "webhook_failed",
      delivery: "a",
      origin: "https://hooks.example",
      outcome: "refused with 404",
    },
    {
      event: "webhook_failed",
      delivery: "b",
      origin: "https://hooks.example",
      outcome: "failed with 500",
    },
  ]);
});

Deno.test("an unreachable receiver costs a bounded queue, which drops the oldest", async () => {
  const { webhook, clock, ids } = hook(["away"]);
  await using _webhook = webhook;
  webhook.send("first", {});
  await settle();
  for (let i = 0; i <= MAX_WAITING; i++) webhook.send(`${i}`, {});
  assert.equal(webhook.dropped, 1);
  await pass(clock, 60_000);
  assert.deepEqual(ids.slice(0, 3), ["first", "first", "1"]);
  assert.equal(ids.at(-1), `${MAX_WAITING}`);
});

Deno.test("the webhook's key is what openssl makes of the secret", async () => {
  // printf 'kaldrix alert webhook' | openssl dgst -sha256 -hmac 'a secret'
  assert.equal(
    await webhookKey("a secret"),
    "bf28895c5fc1f10963642281368ab9c9c35d66728773226343d31b2f06f0b458",
  );
});
