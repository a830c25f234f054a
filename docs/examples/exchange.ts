/**
 * Credits deposits, native and ERC-20, once they are final, and takes back what
 * the chain took back.
 *
 *     deno run -RW --allow-net docs/examples/exchange.ts SERVICE CHAIN ADDRESSES LEDGER
 *
 * SERVICE is `http://localhost:3000/ws`, CHAIN `evm:1`, ADDRESSES a file of up
 * to 1,000 addresses, LEDGER the file of deposits and of the cursor: they are
 * written together, so a killed exchange goes on exactly where it was. The
 * first start begins now. Where events are lost it ends: a node knows what they
 * were. Value that a contract moves without a log is not seen.
 */
import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import process from "node:process";
import { connect } from "../../client/client.ts";
import type { Event } from "../../client/client.ts";
import { settled } from "../../client/settled.ts";
import type { SettledCursor } from "../../client/settled.ts";

type Credit = { address: string; asset: string; amount: string };
type Deposit = { height: number; blockId: string; credits: Credit[] };
type Arguments = [string, string, string, string];
type Ledger = { cursor?: SettledCursor; deposits: Record<string, Deposit> };

const [url, chain, addresses, file] = process.argv.slice(2) as Arguments;
const text = readFileSync(addresses, "utf8").toLowerCase();
const own = new Set(text.match(/0x[0-9a-f]{40}/g));
const ledger: Ledger = existsSync(file)
  ? JSON.parse(readFileSync(file, "utf8"))
  : { deposits: {} };

function creditsIn({ payload }: Event<"TX_RECEIVED">): Credit[] {
  const { txId, status, transfers = [], missing = [] } = payload;
  if (status === "failed") return [];
  const isPartial = missing.includes("receipt") || missing.includes("logs");
  if (isPartial || payload["transfersOmitted"]) {
    throw new Error(`The transfers of ${txId} are not known`);
  }
  return transfers
    .filter(({ asset, to }) => /native|erc20/.test(asset) && own.has(to))
    .map(({ asset, token = asset, to, amount }) => (
      { address: to, asset: token, amount: amount! }
    ));
}

function end(error: unknown): never {
  process.stderr.write(`${error}\n`);
  process.exit(1);
}

// What it does not understand, it must not pass over.
const client = connect(url, { client: "exchange-example/2.0", onError: end });
const changes = settled(client, {
  filter: { address: [...own] },
  chain,
  after: ledger.cursor,
});
try {
  for await (const { reverted, added, cursor } of changes) {
    const news: string[] = [];
    for (const txId of reverted.filter((txId) => ledger.deposits[txId])) {
      delete ledger.deposits[txId];
      news.push(`take back ${txId}`);
    }
    for (const event of added) {
      const { txId, blockHeight, blockId } = event.payload;
      const credits = creditsIn(event);
      if (credits.length === 0) continue;
      const place = { height: blockHeight!, blockId: blockId! };
      ledger.deposits[txId] = { ...place, credits };
      for (const { address, asset, amount } of credits) {
        news.push(`credit ${txId} ${address} ${asset} ${amount}`);
      }
    }
    ledger.cursor = cursor;
    writeFileSync(`${file}.new`, JSON.stringify(ledger), { flush: true });
    renameSync(`${file}.new`, file);
    for (const line of news) process.stdout.write(`${line}\n`);
  }
} catch (error) {
  end(error);
}
