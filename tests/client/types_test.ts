/**
 * What the compiler refuses in programs that use the client: each mistake is
 * expected, so that a type that lets it pass is an error of its own.
 */
import type { Client } from "../../client/client.ts";

/** Never called: only checked. */
export function mistakes(client: Client, name: string): void {
  client.joinChannel("blocks");
  client.joinChannel("validator_updates");
  client.joinChannel(`room:${name}`);
  client.joinChannel(name);
  // @ts-expect-error no channel has this name
  client.joinChannel("blokcs");
  // @ts-expect-error nor this
  client.channel("transaction");

  client.subscribe("NEW_BLOCK", ({ payload, seq, epoch }) => {
    const { height }: { height: number } = payload;
    const position: { epoch: string; seq: number } = { epoch, seq };
    void [height, position];
    // @ts-expect-error no such field
    void payload.heigth;
    // @ts-expect-error nor in what it holds
    void payload.transactions?.[0]?.txid;
  });
  // @ts-expect-error no such type
  client.subscribe("NEW_BLOK", () => {});
  client.subscribe("METRICS_UPDATE", (message) => {
    // @ts-expect-error nothing is kept of it, so it has no number
    const seq: number = message.seq;
    void seq;
  });

  const blocks = client.channel("blocks");
  blocks.on("FINALITY", ({ payload }) => payload.level);
  // @ts-expect-error another channel carries it
  blocks.on("TX_RECEIVED", () => {});
  blocks.onAny((message) => {
    if (message.type === "NEW_BLOCK") void message.payload.height;
    // @ts-expect-error another channel carries it
    if (message.type === "TX_RECEIVED") void message;
  });

  const room = client.room<{ chat: { text: string } }>("lobby");
  room.on("chat", ({ text }) => text);
  room.send("chat", { text: "hello" });
  // @ts-expect-error no such event
  room.on("chta", () => {});
  // @ts-expect-error no such field
  room.on("chat", ({ txt }) => txt);
  // @ts-expect-error nor here
  room.send("chat", { txt: "hello" });
  client.room("any").on("event", (data: unknown) => data);

  client.track("0x1", { until: "included" });
  // @ts-expect-error no such goal
  client.track("0x1", { until: "mined" });
  client.chain({ level: "safe" });
  client.chain({ level: 12 });
  // @ts-expect-error no such level
  client.chain({ level: "finalized" });
  const filter = { address: "0xa" };
  client.watch("transactions", { filter });
  client.watch(name, { filter });
  // @ts-expect-error no channel has this name
  client.watch("transaction", { filter });
}
