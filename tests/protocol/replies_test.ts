import assert from "node:assert/strict";
import { builders } from "../../protocol/builders.ts";
import { channelNamed, CHANNELS, ROLES } from "../../protocol/channels.ts";
import type { Role } from "../../protocol/channels.ts";
import { asking } from "../asking.ts";
import { idSource } from "../../protocol/envelope.ts";
import { Refusal, REFUSALS } from "../../protocol/refusals.ts";
import type { RefusalCode } from "../../protocol/refusals.ts";
import { REPLIES } from "../../protocol/replies.ts";
import { schemaHash } from "../../protocol/schema.ts";
import type { Principal } from "../../security/principal.ts";
import { History } from "../../realtime/history.ts";
import { Hub } from "../../realtime/hub.ts";
import { StoredEventLog } from "../../store/stored_event_log.ts";
import { JSON_CODEC } from "../../realtime/json_codec.ts";
import { Session } from "../../realtime/session.ts";
import { TOKEN_WARNING_MS } from "../../realtime/token_timer.ts";
import { ManualClock, pass } from "../fakes/clock.ts";
import { checkServerFrame } from "../frames.ts";
import { until } from "../until.ts";
import { openStore } from "../../store/deno_kv.ts";
import { txReceived } from "../transactions.ts";

type Frame = {
  type: string;
  ref?: string;
  payload: Record<string, unknown>;
};

function principalOf(role: Role, expiresAt?: number): Principal {
  const may = (least: Role) => ROLES.indexOf(role) >= ROLES.indexOf(least);
  return {
    identity: {
      isAuthenticated: role !== "anonymous",
      user: role === "anonymous" ? null : "alice",
      role,
      ...(expiresAt === undefined
        ? {}
        : { expiresAt: new Date(expiresAt).toISOString() }),
    },
    expiresAt,
    isRevoked: () => false,
    mayRead: ({ kind }) => may(CHANNELS[kind].read),
    mayPublish: ({ kind }) => may(CHANNELS[kind].publish),
  };
}

/** A client that checks every frame that it is sent. */
class Client {
  readonly frames: Frame[] = [];
  readonly seen = new Set<string>();
  readonly bufferedAmount = 0;
  closed: number | undefined;
  #asked = 0;
  session!: Session;
  readonly #clock: ManualClock;

  constructor(clock: ManualClock) {
    this.#clock = clock;
  }

  send(text: string): void {
    const frame = JSON.parse(text);
    for (const type of checkServerFrame(frame)) this.seen.add(type);
    this.frames.push(
      ...(frame.type === "BATCH_UPDATE" ? frame.payload.updates : [frame]),
    );
  }

  close(code: number): void {
    this.closed = code;
  }

  /** Sends a frame and waits for its reply. */
  async ask(frame: object): Promise<Frame> {
    const id = `q${++this.#asked}`;
    this.session.receive(JSON.stringify({ ...frame, id }));
    let answer: Frame | undefined;
    await until(() => {
      this.#clock.turn();
      answer = this.frames.find(({ ref }) => ref === id);
      return answer !== undefined;
    }, `an answer to ${JSON.stringify(frame)}`);
    return answer!;
  }

  last(type: string): Frame | undefined {
    return this.frames.findLast((frame) => frame.type === type);
  }
}

async function serve(
  test: (client: Client, parts: {
    clock: ManualClock;
    hub: Hub;
  }) => Promise<void>,
): Promise<void> {
  const clock = new ManualClock();
  const nextId = idSource();
  await using kv = await openStore(":memory:");
  const log = new StoredEventLog({
    store: kv,
    clock,
    nextId,
    retention: () => ({ events: 10, ms: 86_400_000 }),
  });
  using hub = new Hub({ log, links: [], clock, nextId });
  const bugs: unknown[] = [];
  const tokens: Record<string, Principal> = {
    admin: principalOf("admin", clock.now() + 3_600_000),
  };
  const client = new Client(clock);
  client.session = new Session(client, {
    hub,
    history: new History(hub),
    ...asking(hub, clock),
    clock,
    nextId,
    maxMessageBytes: 65_536,
    schema: schemaHash(),
    requireAuth: false,
    measure: () => Promise.resolve({ uptime: 1 }),
    report: (error) => void bugs.push(error),
  }, {
    principal: principalOf("anonymous"),
    codec: JSON_CODEC,
    guard: {
      address: "192.0.2.1",
      admit: () => 0,
      spend: () => {},
      refused: () => {},
      authenticate: (token) => {
        const principal = tokens[token];
        if (principal) return Promise.resolve(principal);
        return Promise.reject(new Refusal("UNAUTHENTICATED"));
      },
    },
  });
  client.session.open();
  try {
    await test(client, { clock, hub });
  } finally {
    client.session.end();
    await log.settled();
  }
  assert.deepEqual(bugs, []);
}

const block = (height: number) =>
  builders.buildNewBlockMessage({ blockId: `b${height}`, height });
const subscribe = (...channels: unknown[]) => ({
  type: "subscribe",
  payload: { channels },
});

Deno.test("every frame of the server matches the protocol, with and without batches", async () => {
  for (const batch of [false, true]) {
    await serve(async (client, { clock }) => {
      assert.equal(client.frames[0]?.type, "connected");
      const auth = { token: "admin" };
      const answers: [object, string][] = [
        [
          { type: "connect", payload: { auth, client: "test", batch } },
          "connected",
        ],
        [{ type: "ping" }, "pong"],
        [{ type: "TEST", payload: { hello: [1, null] } }, "TEST"],
        [
          subscribe(
            "blocks",
            "validator_updates",
            "metrics",
            "room:a",
            "nope",
            { channel: "dag", after: { epoch: "other", seq: 9 } },
            { channel: "nodes", after: { epoch: "0", seq: 0 } },
            { channel: "alerts", last: 5 },
          ),
          "subscribed",
        ],
        [
          subscribe({ channel: "blocks", as: "mine", filter: { blockId: [] } }),
          "subscribed",
        ],
        [
          { type: "watch", payload: { as: "mine", add: ["b3"] } },
          "watched",
        ],
        [{ type: "request_metrics" }, "metrics_response"],
        [
          { type: "request_metrics", payload: { type: "uptime" } },
          "metrics_response",
        ],
        [
          { type: "request_data", payload: { key: "block:1" } },
          "data_response",
        ],
        [{ type: "query", payload: { channel: "blocks" } }, "query_result"],
        [block(1), "published"],
        [{ type: "ping" }, "pong"],
        [{ type: "block", payload: { block: "1" } }, "block_response"],
        [{ type: "track", payload: { txId: "x" } }, "tracked"],
        [
          txReceived({ txId: "x", status: "pending" }),
          "published",
        ],
        [builders.buildMetricsUpdateMessage({}), "published"],
        [
          {
            type: "BATCH_UPDATE",
            payload: { updates: [block(2), block(3)] },
          },
          "published",
        ],
        [
          { type: "request_data", payload: { key: "block:3" } },
          "data_response",
        ],
        [
          { type: "request_data", payload: { key: "channel:blocks" } },
          "data_response",
        ],
        [
          { type: "query", payload: { channel: "blocks", limit: 2 } },
          "query_result",
        ],
        [subscribe({ channel: "blocks", last: 3 }), "subscribed"],
        [subscribe({ channel: "validators", snapshot: true }), "subscribed"],
        [
          subscribe({ channel: "blocks", after: { epoch: "other", seq: 2 } }),
          "subscribed",
        ],
        [{ type: "refresh", payload: { token: "admin" } }, "refreshed"],
        [{ type: "refresh", payload: { token: "bad" } }, "error"],
        [{ type: "query", payload: { channel: "metrics" } }, "error"],
        [{ type: "request_data", payload: { key: "color:red" } }, "error"],
        [{ type: "NEW_BLOCK", payload: { height: "x" } }, "error"],
        [{ type: "NOPE" }, "error"],
        [
          { type: "unsubscribe", payload: { channels: ["blocks", "dag"] } },
          "unsubscribed",
        ],
      ];
      for (const [frame, type] of answers) {
        const answer = await client.ask(frame);
        assert.equal(answer.type, type, JSON.stringify(answer));
      }
      await pass(clock, 100);
      client.session.drain(1_500);
      clock.advance(3_600_000 - TOKEN_WARNING_MS + 1);
      const missing = Object.keys(REPLIES).filter((type) =>
        !client.seen.has(type)
      );
      assert.deepEqual(missing, []);
      assert(client.seen.has("NEW_BLOCK") && client.seen.has("METRICS_UPDATE"));
      clock.advance(TOKEN_WARNING_MS);
      assert.equal(client.closed, REFUSALS.TOKEN_EXPIRED.close);
      assert.equal(client.last("error")?.payload["code"], "TOKEN_EXPIRED");
    });
  }
});

Deno.test("the result of a subscription is reported channel by channel", async () => {
  await serve(async (client) => {
    const { payload } = await client.ask(
      subscribe("validator_updates", "metrics", "nope"),
    );
    assert.deepEqual(payload, {
      channels: [
        {
          channel: "validators",
          requested: "validator_updates",
          epoch: "0",
          seq: 0,
          recovered: true,
        },
        {
          channel: "metrics",
          epoch: null,
          seq: null,
          recovered: false,
          reason: "no_retention",
        },
      ],
      rejected: [{ channel: "nope", code: "UNKNOWN_CHANNEL" }],
    });
  });
});

Deno.test("a position before the first event brings the first event", async () => {
  await serve(async (client, { hub, clock }) => {
    const channel = channelNamed("blocks")!;
    const { payload } = block(1);
    await hub.publish([{ type: "NEW_BLOCK", channel, id: "first", payload }]);
    const answer = await client.ask(
      subscribe({ channel: "blocks", after: { epoch: "0", seq: 0 } }),
    );
    const [{ recovered }] = answer.payload["channels"] as [
      { recovered: boolean },
    ];
    assert.equal(recovered, true);
    await until(() => {
      clock.turn();
      return client.last("NEW_BLOCK") !== undefined;
    }, "the first event");
    const event = client.last("NEW_BLOCK") as Frame & {
      id: string;
      seq: number;
      replay: boolean;
    };
    assert.deepEqual([event.id, event.seq, event.replay], ["first", 1, true]);
  });
});

Deno.test("a frame of 10,000 channels or of nonsense costs an error, not the connection", async () => {
  await serve(async (client) => {
    const many = Array.from({ length: 10_000 }, (_, i) => `r${i % 10}`);
    const bad: [unknown, RefusalCode][] = [
      [JSON.stringify(subscribe(...many)), "INVALID_SUBSCRIPTION"],
      ["{", "INVALID_JSON"],
      [new ArrayBuffer(4), "INVALID_MESSAGE"],
      ["[".repeat(60_000), "INVALID_JSON"],
      [" ".repeat(65_537), "MESSAGE_TOO_LARGE"],
      ['{"type":"TEST","payload":{"__proto__":{}}}', "INVALID_PAYLOAD"],
      ['{"type":"TEST","payload":{"a":"\\ud800"}}', "INVALID_PAYLOAD"],
      ['{"type":"ping","version":"2.0.0"}', "UNSUPPORTED_VERSION"],
    ];
    for (const [frame, code] of bad) {
      client.session.receive(frame);
      assert.equal(client.last("error")?.payload["code"], code);
    }
    assert.equal((await client.ask({ type: "ping" })).type, "pong");
    assert.equal(client.closed, undefined);
  });
});

Deno.test("every refusal can be sent as an error", () => {
  for (const code of Object.keys(REFUSALS) as RefusalCode[]) {
    const refusal = new Refusal(code, undefined, {
      retryAfterMs: 1,
      issues: [{ path: "payload", message: "no" }],
    });
    REPLIES.error.parse(JSON.parse(JSON.stringify(refusal)));
    // What a WebSocket allows as a close code and reason.
    const { close } = refusal.kind;
    assert(close === 1011 || close === 1012 || (close >= 4000 && close < 5000));
    assert(new TextEncoder().encode(code).byteLength <= 123);
  }
});
