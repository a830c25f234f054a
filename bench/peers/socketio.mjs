// socket.io on Node, as its documentation shows a room.
import process from "node:process";
import { createServer } from "node:http";
import { Server } from "socket.io";

const http = createServer();
const io = new Server(http, { transports: ["websocket"] });
io.on("connection", (socket) => {
  socket.on("join", (channel) => {
    socket.join(channel);
    socket.emit("joined", channel);
  });
  socket.on("publish", (channel, payload) => {
    const timestamp = new Date().toISOString();
    const event = { type: "NEW_BLOCK", channel, payload, timestamp };
    io.to(channel).emit("message", event);
  });
  socket.on("ping", (_number, acknowledge) => acknowledge("pong"));
});
http.listen(Number(process.env.PORT), "127.0.0.1");
