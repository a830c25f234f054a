/**
 * What the filters of many subscribers cost an event; `deno task bench:micro`
 * compares it with a baseline. Apart from `micro_bench.ts`, since so many
 * subscribers leave work for the garbage collector to whatever runs beside.
 *
 * @module
 */
import { encodeEvent } from "../../protocol/encode.ts";
import { entryOf } from "../fakes/entry.ts";
import { emptyStream, envelope, EPOCH, outbox } from "../fakes/outboxes.ts";

/** Connections that each wait for the transactions of {@link ADDRESSES}. */
const FILTERS = 10_000;
/** Addresses of one filter. */
const ADDRESSES = 5;

const channel = "transactions";
const type = "TX_RECEIVED";

const stream = emptyStream(channel);
for (let i = 0; i < FILTERS; i++) {
  const address = Array.from(
    { length: ADDRESSES },
    (_, k) => `0x${(i * ADDRESSES + k).toString(16).padStart(40, "0")}`,
  );
  const filter = [{ address }];
  outbox().attach(stream, { epoch: EPOCH, seq: 0 }, { filter });
}

const text = encodeEvent(
  type,
  "{}",
  { channel, seq: 1, epoch: EPOCH },
  envelope(),
);
for (const [how, from] of [["none", "0xffff"], ["one", "0x00"]] as const) {
  const address = [from.padEnd(42, "0"), `0x${"e".repeat(40)}`];
  const rest = { channel, type, tags: { address } } as const;
  Deno.bench(`filter: an event to ${how} of ${FILTERS}`, () => {
    stream.offer(entryOf(EPOCH, stream.seq + 1, text, rest));
    stream.flush();
  });
}
