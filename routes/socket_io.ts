/**
 * The endpoint for Socket.IO's clients: `/socket.io/`. Its implementation is
 * loaded when the first client connects.
 *
 * @module
 */
import type { Context, Hono } from "hono";
import { z } from "zod";
import type { EngineParts } from "./engine_door.ts";
import type { Env } from "./http.ts";
import { connection } from "./route.ts";
import type { Route } from "./route.ts";
import { wantsUpgrade } from "./socket.ts";

/** The path that clients use when they are given only a host. */
export const SOCKET_IO_PATH = "/socket.io/";

/** Arguments that clients send; those of applications are ignored. */
const Query = z.object({
  EIO: z.literal("4").meta({
    description: "Version of Engine.IO",
    example: "4",
  }),
  transport: z.enum(["polling", "websocket"]).meta({
    description: "How packets travel",
    example: "polling",
  }),
  sid: z.string().optional().meta({
    description: "The session that the request belongs to; a new one without",
  }),
});

/** Declares `/socket.io/`. */
export function socketIoRoutes(parts: EngineParts): Route[] {
  const door = lazy(parts);
  const shared = {
    path: SOCKET_IO_PATH,
    right: "greet",
    query: Query,
  } as const;
  // Its clients implement the protocol: no document describes it.
  return [
    connection({
      ...shared,
      open: async (c) => (await door()).get(c),
    }),
    connection({
      ...shared,
      method: "post",
      open: async (c) => (await door()).post(c),
    }),
  ];
}

/** Takes the upgrades, which have none of the headers of other answers. */
export function mountSocketIo(app: Hono<Env>, parts: EngineParts): void {
  const door = lazy(parts);
  app.get(
    SOCKET_IO_PATH,
    async (c: Context<Env>, next) =>
      wantsUpgrade(c) ? (await door()).upgrade(c) : await next(),
  );
}

function lazy(parts: EngineParts) {
  return async () => new (await import("./engine_door.ts")).EngineDoor(parts);
}
