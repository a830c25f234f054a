/**
 * A bot that follows the chain and prints what it sees.
 *
 *     deno run --allow-net docs/examples/bot.ts http://localhost:3000/ws
 *     node docs/examples/bot.ts http://localhost:3000/ws
 *
 * The second line needs Node 22.18 or later, which reads TypeScript.
 */
import process from "node:process";
import { connect } from "../../client/client.ts";

const print = (line: string) => process.stdout.write(`${line}\n`);
const client = connect(process.argv[2] ?? "http://localhost:3000/ws", {
  client: "bot-example/1.0",
});

client.on("NEW_BLOCK", ({ payload: { height, transactions = [] } }) => {
  print(`block ${height}, ${transactions.length} transactions`);
});
client.on("ALERT_TRIGGERED", ({ payload: { severity, message } }) => {
  print(`${severity}: ${message}`);
});
client.onGap(({ channel, from, to }) => {
  print(`${channel}: ${from} to ${to} are lost`);
});
client.onState(({ status, connectionError }) => {
  if (status === "closed") {
    print(`closed: ${connectionError?.message ?? "bye"}`);
  }
});

client.joinChannel("blocks", { last: 5 });
client.joinChannel("alerts");
process.once("SIGINT", () => client.disconnect());
