/**
 * A client that is generated from the OpenAPI document, as its users make one.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import openapiTS, { astToString } from "openapi-typescript";
import { openApi } from "../../describe/openapi.ts";
import { openTestService } from "../test_service.ts";

/** Uses types that would be `unknown` if the document were less precise. */
const USE = `
import type { components, paths } from "./api.ts";

type Answer<Path extends keyof paths> = paths[Path] extends {
  get: { responses: { 200: { content: { "application/json": infer Body } } } };
} ? Body : never;

type History = Answer<"/api/channels/{channel}/history">;
type Event = components["schemas"]["Event"];

export function heightOf(page: History): number | undefined {
  for (const event of page.events) {
    if (event.type === "NEW_BLOCK") return event.payload.height;
    // @ts-expect-error no event is of this type
    if (event.type === "NEW_BLOK") return undefined;
  }
  return undefined;
}

export function statusOf(event: Event): "pending" | undefined {
  if (event.type !== "TX_RECEIVED") return undefined;
  return event.payload.status === "pending" ? event.payload.status : undefined;
}

export function room(event: string): components["schemas"]["PostPublishBody"] {
  return { type: "ROOM_MESSAGE", channel: "room:lobby", payload: { event } };
}

// @ts-expect-error a block needs its height
export const bad: components["schemas"]["NewBlock"] = { blockId: "0xb1" };

export const first = (it: Answer<"/api/admin/sessions">): string | undefined =>
  it.sessions[0]?.channels[0]?.channel;
`;

Deno.test("a client generated from the OpenAPI document compiles, its events typed", async () => {
  await using service = await openTestService();
  const document = JSON.stringify(openApi(service.endpoints()));
  const source = astToString(await openapiTS(document));
  const home = await Deno.makeTempDir();
  try {
    await Deno.writeTextFile(join(home, "api.ts"), source);
    await Deno.writeTextFile(join(home, "use.ts"), USE);
    await Deno.writeTextFile(join(home, "deno.json"), "{}");
    const { success, stderr } = await new Deno.Command(Deno.execPath(), {
      args: [
        "check",
        "--config",
        join(home, "deno.json"),
        join(home, "use.ts"),
      ],
      env: { NO_COLOR: "1" },
    }).output();
    assert(success, new TextDecoder().decode(stderr));
  } finally {
    await Deno.remove(home, { recursive: true });
  }
});
