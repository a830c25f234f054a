// ws on Node, with a Set of sockets for each channel.
import process from "node:process";
import { WebSocketServer } from "ws";

const channels = new Map();
const server = new WebSocketServer({
  port: Number(process.env.PORT),
  host: "127.0.0.1",
  backlog: 4_096,
});
server.on("connection", (socket) => {
  socket.on("message", (data) => {
    const { type, channel, payload, id } = JSON.parse(data.toString());
    const members = channels.get(channel) ?? new Set();
    if (type === "join") {
      channels.set(channel, members.add(socket));
      socket.send(JSON.stringify({ type: "joined", channel }));
    } else if (type === "publish") {
      const timestamp = new Date().toISOString();
      const event = { type: "NEW_BLOCK", channel, payload, timestamp };
      const text = JSON.stringify(event);
      for (const member of members) member.send(text);
    } else if (type === "ping") {
      socket.send(JSON.stringify({ type: "pong", id }));
    }
  });
  socket.on("close", () => {
    for (const members of channels.values()) members.delete(socket);
  });
  socket.on("error", () => {});
});
