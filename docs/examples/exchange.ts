/**
 * Credits deposits, native and ERC-20, once they are final, and takes back what
 * the chain took back.
 *
 *     deno run -RW --allow-net docs/examples/exchange.ts SERVICE CHAIN ADDRESSES LEDGER
 *
 * SERVICE is `http://localhost:3000/ws`, CHAIN `evm:1`, ADDRESSES a file of up
 * to 1,000 addresses, LEDGER the file of cursors and deposits: they are written
 * together, so a killed exchange goes on exactly where it was. The first start
 * begins now. Where events are lost it ends: a node knows what they were. Value
 * that a contract moves without a log is not seen.
 */
import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import process from "node:process";
import { connect } from "../../client/client.ts";
import type { AnyEvent, Position } from "../../client/client.ts";
import { watch } from "../../client/watch.ts";

type Place = { height: number; blockId: string };
type Credit = { address: string; asset: string; amount: string };
type Deposit = Place & { credits: Credit[]; isCredited?: true };

const [url, chain, addresses, file] = process.argv.slice(2) as string[];
const own = new Set(
  readFileSync(addresses!, "utf8").toLowerCase().match(/0x[0-9a-f]{40}/g),
);
const ledger: {
  cursors: Record<string, Position | undefined>;
  deposits: Record<string, Deposit>;
  /** Standing blocks of which all transactions were received, oldest first. */
  complete: Place[];
  /** The newest final block, and the one up to which deposits are credited. */
  final?: Place;
  settled?: Place;
} = existsSync(file!)
  ? JSON.parse(readFileSync(file!, "utf8"))
  : { cursors: {}, deposits: {}, complete: [] };
const news: string[] = [];

function end(why: string): never {
  process.stderr.write(`${why}\n`);
  process.exit(1);
}

/** The blocks from this height on do not stand, or are not complete. */
function reopen(from: number): void {
  ledger.complete = ledger.complete.filter(({ height }) => height < from);
}

function remove(txId: string): void {
  if (ledger.deposits[txId]?.isCredited) news.push(`take back ${txId}`);
  delete ledger.deposits[txId];
}

/** The channels are not in step: `transactions` says what stands, `blocks` what is final. */
function fold({ type, channel, payload }: AnyEvent): void {
  if (type === "FINALITY" && payload.level === "final") {
    ledger.final = { height: payload.height, blockId: payload.blockId };
  } else if (type === "CHAIN_RESET" && channel === "blocks") {
    delete ledger.final;
  } else if (type === "CHAIN_RESET") {
    const kept = payload.keeps?.height ?? -1;
    reopen(kept + 1);
    for (const [txId, { height }] of Object.entries(ledger.deposits)) {
      if (height > kept) remove(txId);
    }
  } else if (type === "BLOCK_COMPLETE") {
    const { height, blockId, missing } = payload;
    if (missing) end(`Nothing says what block ${height} holds`);
    reopen(height);
    ledger.complete.push({ height, blockId });
  } else if (type === "TX_RECEIVED") {
    const { txId, status, blockId, blockHeight, left, missing } = payload;
    remove(txId);
    reopen((blockHeight ?? left?.height) ?? Infinity);
    if (status !== "confirmed") return;
    const isPartial = missing?.some((it) => it === "receipt" || it === "logs");
    if (isPartial || payload["transfersOmitted"]) {
      end(`Nothing says what ${txId} moved`);
    }
    const credits = (payload.transfers ?? []).flatMap((it): Credit[] => {
      const { asset, token = asset, to, amount } = it;
      const isMoney = asset === "native" || asset === "erc20";
      if (!isMoney || !own.has(to)) return [];
      return [{ address: to, asset: token, amount: amount! }];
    });
    if (credits.length === 0) return;
    const place = { height: blockHeight!, blockId: blockId! };
    ledger.deposits[txId] = { ...place, credits };
  }
}

/** Credits what is final and was received as a whole, and writes it down. */
function save(): void {
  const { final, complete } = ledger;
  if (final && complete.some(({ blockId }) => blockId === final.blockId)) {
    ledger.settled = final;
    for (const [txId, deposit] of Object.entries(ledger.deposits)) {
      if (deposit.isCredited || deposit.height > final.height) continue;
      deposit.isCredited = true;
      for (const { address, asset, amount } of deposit.credits) {
        news.push(`credit ${txId} ${address} ${asset} ${amount}`);
      }
    }
    ledger.complete = complete.filter(({ height }) => height >= final.height);
  }
  writeFileSync(`${file}.new`, JSON.stringify(ledger), { flush: true });
  renameSync(`${file}.new`, file!);
  for (const line of news.splice(0)) process.stdout.write(`${line}\n`);
}

let isDue = false;
function take(event: AnyEvent): void {
  const { channel, epoch, seq } = event;
  if ((event.payload as { chain?: string }).chain === chain) fold(event);
  ledger.cursors[channel] = { epoch: epoch!, seq: seq! };
  // Written once for all events of a frame.
  if (!isDue) queueMicrotask(() => (isDue = false, save()));
  isDue = true;
}

const { transactions, blocks } = ledger.cursors;
// What it does not understand, it must not pass over.
const onError = (error: unknown) => end(String(error));
const client = connect(url, { client: "exchange-example/1.0", onError });
client.joinChannel("blocks", blocks && { after: blocks });
const mine = watch(client, "transactions", {
  filter: { address: [...own] },
  onError,
  ...(transactions && { after: transactions }),
});
const ofBlocks = [
  "NEW_BLOCK",
  "BLOCK_REVERTED",
  "FINALITY",
  "CHAIN_RESET",
] as const;
for (const type of ofBlocks) client.on(type, take);
const ofMine = ["TX_RECEIVED", "BLOCK_COMPLETE", "CHAIN_RESET"] as const;
for (const type of ofMine) mine.on(type, take);
for (const source of [client, mine]) {
  source.onGap(({ channel, reason }) => end(`${channel}: lost, ${reason}`));
}
client.onState(({ status, lastError, channels: { blocks } }) => {
  if (status === "closed" || mine.status === "rejected") {
    end(`The service refuses: ${mine.code ?? lastError?.message}`);
  }
  const { cursors } = ledger;
  if (cursors["transactions"] && cursors["blocks"]) return;
  if (!mine.position || !blocks?.epoch) return;
  // From here on nothing may be missing.
  cursors["transactions"] ??= mine.position;
  cursors["blocks"] ??= { epoch: blocks.epoch, seq: blocks.seq! };
  save();
});
