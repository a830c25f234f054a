import assert from "node:assert/strict";
import { io } from "socket.io-client";
import type { Socket } from "socket.io-client";
import { TestServer } from "../server.ts";
import { type Any, heightsOf, once, range } from "../socket_io_bench.ts";
import { until } from "../until.ts";

function block(height: number): Any {
  return {
    type: "NEW_BLOCK",
    payload: {
      blockId: `b${height}`,
      height,
      previousHash: `b${height - 1}`,
      timestamp: "2025-08-07T10:00:00.000Z",
    },
  };
}

async function follow(
  server: TestServer,
  transports: string[],
): Promise<{ socket: Socket; heights: number[] }> {
  const socket = io(server.url, {
    forceNew: true,
    transports,
    reconnectionDelay: 100,
    reconnectionDelayMax: 500,
    auth: { token: await server.token("user") },
  });
  const heights = heightsOf(socket);
  const ack = await socket.emitWithAck("subscribe", { channels: ["blocks"] });
  assert.equal(ack.type, "subscribed");
  return { socket, heights };
}

Deno.test({
  name:
    "clients of Socket.IO recover after a restart of a service of two instances",
  // The client leaves timers of its own behind.
  sanitizeOps: false,
  sanitizeResources: false,
  async fn() {
    await using server = await TestServer.start({ instances: 2 });
    const clients = await Promise.all(
      [["polling"], ["polling"], ["websocket"], ["polling", "websocket"]]
        .map((transports) => follow(server, transports)),
    );
    await server.publish(range(1, 50).map(block));
    for (const { heights } of clients) {
      await until(() => heights.length >= 50, "all events arrive");
    }

    const back = clients.map(({ socket }) => once(socket, "connect"));
    await server.stop("SIGKILL");
    await server.begin();
    await server.publish(range(51, 99).map(block));
    await Promise.all(back);
    for (const { socket, heights } of clients) {
      await until(() => heights.length >= 99, "what was missed arrives");
      assert.deepEqual(heights, range(1, 99));
      assert.equal(socket.recovered, true);
      socket.disconnect();
    }
    await until(
      () =>
        clients.every(({ socket: { io } }) =>
          io.engine.readyState === "closed"
        ),
      "all clients have left",
    );
  },
});

/** Connects as Debian's python3-socketio does, and prints what it gets. */
const PYTHON = `
import json, sys, threading, socketio
url, token, transport = sys.argv[1:4]
client = socketio.Client(reconnection=False)
done = threading.Event()
heights = []

@client.on("NEW_BLOCK")
def on_block(frame):
    heights.append(frame["payload"]["height"])
    if len(heights) == 3:
        done.set()

client.connect(url, transports=[transport], auth={"token": token, "recovery": False})
ack = client.call("subscribe", {"channels": [{"channel": "blocks", "last": 3}]})
echo = client.call("TEST", {"a": 1})
done.wait(20)
client.disconnect()
try:
    socketio.Client(reconnection=False).connect(url, transports=[transport], auth={"token": "x.y.z"})
    refused = ""
except socketio.exceptions.ConnectionError as error:
    refused = str(error)
print(json.dumps({"ack": ack["type"], "echo": echo["payload"], "heights": heights, "refused": refused}))
`;

/** Debian's own interpreter, which knows Debian's packages. */
const INTERPRETER = "/usr/bin/python3";

async function hasPython(): Promise<boolean> {
  try {
    const { success } = await new Deno.Command(INTERPRETER, {
      args: ["-c", "import socketio, requests, websocket"],
      stderr: "null",
    }).output();
    return success;
  } catch {
    return false;
  }
}

const isInstalled = await hasPython();

Deno.test({
  name: isInstalled
    ? "python3-socketio connects, subscribes and is refused"
    : "python3-socketio connects (skipped: apt install python3-socketio python3-requests python3-websocket)",
  ignore: !isInstalled,
  async fn() {
    await using server = await TestServer.start();
    await server.publish(range(1, 3).map(block));
    for (const transport of ["polling", "websocket"]) {
      const { success, stdout, stderr } = await new Deno.Command(INTERPRETER, {
        args: ["-c", PYTHON, server.url, await server.token("user"), transport],
      }).output();
      assert(success, new TextDecoder().decode(stderr));
      const { ack, echo, heights, refused } = JSON.parse(
        new TextDecoder().decode(stdout),
      );
      assert.equal(ack, "subscribed");
      assert.deepEqual(echo, { a: 1 });
      assert.deepEqual(heights, [1, 2, 3]);
      assert(refused.length > 0);
    }
  },
});
