import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));

/** All that a new type of message needs. */
const ENTRY = `
  BRIDGE_TRANSFER: {
    summary: "Tokens crossed to another chain",
    channel: "transactions",
    stamp: "seenAt",
    about: { kind: "transfer", by: ["transferId"] },
    payload: z.looseObject({
      transferId: identifier,
      amount,
      seenAt: instant,
      memo: z.string().optional(),
    }),
  },`;

/** Uses the new type everywhere: any missing part is a type error or a throw. */
const USE = `
import assert from "node:assert/strict";
import type { Client } from "./client/types.ts";
import { builders } from "./protocol/builders.ts";
import { decode } from "./protocol/decode.ts";
import { channelAbout, keysOf, typesOf } from "./protocol/messages.ts";
import type { AnyEvent, AnyMessage, PayloadOf } from "./protocol/messages.ts";
import { schemaHash } from "./protocol/schema.ts";

const message = builders.buildBridgeTransferMessage(
  { transferId: "t1", amount: "12.5" },
  { now: 0 },
);
const any: AnyMessage = message;
const seenAt: string = message.payload.seenAt;
assert.equal(seenAt, "1970-01-01T00:00:00.000Z");

const frame = decode(JSON.stringify(any), 65_536);
assert(frame.kind === "publish");
assert.equal(frame.publications[0]!.type, "BRIDGE_TRANSFER");
assert.equal(frame.publications[0]!.channel.name, "transactions");
assert.throws(
  () => decode('{"type":"BRIDGE_TRANSFER","payload":{"transferId":"t1"}}', 999),
  { code: "INVALID_PAYLOAD" },
);
assert(typesOf("transactions").includes("BRIDGE_TRANSFER"));
assert.deepEqual(keysOf("BRIDGE_TRANSFER", { transferId: "t1" }), ["transfer:t1"]);
assert.equal(channelAbout("transfer"), "transactions");
assert.match(schemaHash(), /^[0-9a-f]{16}$/);

export function listen(client: Client): () => void {
  return client.subscribe("BRIDGE_TRANSFER", ({ payload, channel, seq }) => {
    const amount: string = payload.amount;
    const memo: string | undefined = payload.memo;
    const known: PayloadOf<"BRIDGE_TRANSFER"> = payload;
    // @ts-expect-error the amount is text
    const wrong: number = payload.amount;
    void [amount, memo, known, wrong, channel, seq];
  });
}
export function send(client: Client): void {
  client.sendMessage({
    type: "BRIDGE_TRANSFER",
    payload: { transferId: "t1", amount: "1", seenAt: "1970-01-01T00:00:00Z" },
  });
  // @ts-expect-error the transfer has no name
  client.sendMessage({
    type: "BRIDGE_TRANSFER",
    payload: { amount: "1", seenAt: "1970-01-01T00:00:00Z" },
  });
}
export function amountOf(event: AnyEvent): string | undefined {
  return event.type === "BRIDGE_TRANSFER" ? event.payload.amount : undefined;
}
// @ts-expect-error a transfer without its amount cannot be built
void (() => builders.buildBridgeTransferMessage({ transferId: "t1" }));

await Deno.stdout.write(new TextEncoder().encode(schemaHash()));
`;

async function deno(...args: string[]): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(
    Deno.execPath(),
    { args, env: { NO_COLOR: "1" } },
  ).output();
  assert(success, new TextDecoder().decode(stderr));
  return new TextDecoder().decode(stdout);
}

async function copy(from: string, to: string): Promise<void> {
  await Deno.mkdir(to);
  for await (const { name, isFile } of Deno.readDir(from)) {
    if (isFile) await Deno.copyFile(join(from, name), join(to, name));
  }
}

Deno.test("one entry in one file makes a message type", async () => {
  const home = await Deno.makeTempDir();
  try {
    await copy(join(ROOT, "protocol"), join(home, "protocol"));
    await copy(join(ROOT, "client"), join(home, "client"));
    const registry = join(home, "protocol/messages.ts");
    const source = await Deno.readTextFile(registry);
    const beginning = "export const MESSAGES = {";
    assert.equal(source.split(beginning).length, 2);
    await Deno.writeTextFile(
      registry,
      source.replace(beginning, beginning + ENTRY),
    );
    const use = join(home, "use.ts");
    await Deno.writeTextFile(use, USE);
    const { imports, compilerOptions, unstable } = JSON.parse(
      await Deno.readTextFile(join(ROOT, "deno.json")),
    );
    const config = join(home, "deno.json");
    await Deno.writeTextFile(
      config,
      JSON.stringify({
        imports: { zod: imports.zod },
        compilerOptions,
        unstable,
        lock: false,
      }),
    );
    await deno("check", "--config", config, use);
    const hash = await deno("run", "--no-check", "--config", config, use);
    const { schemaHash } = await import("../../protocol/schema.ts");
    assert.notEqual(hash, schemaHash(), "clients do not learn of the change");
  } finally {
    await Deno.remove(home, { recursive: true });
  }
});
