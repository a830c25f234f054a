// Bun with its native publish.
import process from "node:process";

const server = globalThis.Bun.serve({
  port: Number(process.env.PORT),
  hostname: "127.0.0.1",
  fetch(request, server) {
    if (server.upgrade(request)) return;
    return new Response("WebSocket only", { status: 426 });
  },
  websocket: {
    message(socket, data) {
      const { type, channel, payload, id } = JSON.parse(data);
      if (type === "join") {
        socket.subscribe(channel);
        socket.send(JSON.stringify({ type: "joined", channel }));
      } else if (type === "publish") {
        const timestamp = new Date().toISOString();
        const event = { type: "NEW_BLOCK", channel, payload, timestamp };
        server.publish(channel, JSON.stringify(event));
      } else if (type === "ping") {
        socket.send(JSON.stringify({ type: "pong", id }));
      }
    },
  },
});
