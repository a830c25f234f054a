/**
 * Messages that are too long for the service, shortened step by step, each step
 * marked in the message.
 *
 * @module
 */
import type { AnyMessage, Message } from "../protocol/messages.ts";

type Transaction = Message<"TX_RECEIVED">["payload"];

const encoder = new TextEncoder();

/**
 * The length of a message on the wire.
 *
 * @param message to be measured.
 * @returns bytes of UTF-8 of its JSON text.
 */
export function sizeOf(message: AnyMessage): number {
  return encoder.encode(JSON.stringify(message)).byteLength;
}

/**
 * The same message with less in it. A transaction loses its call data
 * (`dataOmitted`: bytes), then its transfers (`transfersOmitted`: how many). A
 * block loses the call data of its transactions, then the transactions but for
 * their ids, then those too (`transactionsOmitted`: how many). A transaction's
 * logs lose their data (`dataOmitted`), then go (`logsOmitted`: how many).
 * Everything else stays, so the message still counts as what it is about.
 *
 * @param message to be shortened.
 * @returns the shorter message, or nothing when there is nothing to leave out.
 */
export function slimmer(message: AnyMessage): AnyMessage | undefined {
  switch (message.type) {
    case "TX_RECEIVED": {
      const payload = withoutData(message.payload) ??
        withoutTransfers(message.payload);
      return payload && { ...message, payload };
    }
    case "NEW_BLOCK":
      return slimmerBlock(message);
    case "TX_LOGS":
      return slimmerLogs(message);
    default:
      return undefined;
  }
}

function slimmerBlock(
  message: Message<"NEW_BLOCK"> & { type: "NEW_BLOCK" },
): AnyMessage | undefined {
  const { transactions, transactionIds, ...rest } = message.payload;
  if (transactions?.some(({ data }) => data !== undefined)) {
    const shorter = transactions.map((tx) => withoutData(tx) ?? tx);
    return { ...message, payload: { ...rest, transactions: shorter } };
  }
  const transactionCount = rest.transactionCount ??
    (transactions ?? transactionIds)?.length;
  if (transactions) {
    const ids = transactions.map(({ txId }) => txId);
    const payload = { ...rest, transactionCount, transactionIds: ids };
    return { ...message, payload };
  }
  if (!transactionIds) return undefined;
  const transactionsOmitted = transactionIds.length;
  return {
    ...message,
    payload: { ...rest, transactionCount, transactionsOmitted },
  };
}

function slimmerLogs(
  message: Message<"TX_LOGS"> & { type: "TX_LOGS" },
): AnyMessage | undefined {
  const { logs, ...rest } = message.payload;
  if (logs.length === 0) return undefined;
  const shorter = logs.some(({ data }) => data !== undefined)
    ? {
      ...rest,
      logs: logs.map(({ data, ...log }) =>
        data === undefined ? log : { ...log, dataOmitted: bytesOf(data) }
      ),
    }
    : { ...rest, logs: [], logsOmitted: logs.length };
  return { ...message, payload: shorter };
}

function withoutData({ data, ...rest }: Transaction): Transaction | undefined {
  if (data === undefined) return undefined;
  return { ...rest, dataOmitted: bytesOf(data) };
}

function withoutTransfers(
  { transfers, ...rest }: Transaction,
): Transaction | undefined {
  if (!transfers?.length) return undefined;
  return { ...rest, transfersOmitted: transfers.length };
}

/** Number of bytes that a hexadecimal text with `0x` encodes. */
function bytesOf(hex: string): number {
  return Math.max(0, Math.floor((hex.length - 2) / 2));
}
