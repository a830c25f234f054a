/**
 * Current state of blocks and transactions.
 *
 * @module
 */
import type { Context } from "hono";
import { z } from "zod";
import type { Clock } from "../platform/clock.ts";
import { MAX_BLOCK_TRANSACTIONS } from "../protocol/commands.ts";
import { AnyEvent, REPLIES } from "../protocol/replies.ts";
import { GOALS, reaches, TrackedState } from "../protocol/states.ts";
import type { Goal } from "../protocol/states.ts";
import { MAX_FOUND } from "../realtime/address_search.ts";
import { MAX_BLOCK_ANSWER_LENGTH } from "../realtime/explorer.ts";
import type { Explorer } from "../realtime/explorer.ts";
import type { Tracks } from "../realtime/tracks.ts";
import { requireReading } from "../security/rights.ts";
import { assetOf, send } from "./files.ts";
import type { Gate } from "./gate.ts";
import type { Env } from "./http.ts";
import { position, wholeNumber } from "./input.ts";
import { route } from "./route.ts";
import type { Route } from "./route.ts";

/** Longest wait for a transaction, in seconds. */
export const MAX_WAIT_SECONDS = 60;
/** Wait for a transaction when none is named, in seconds. */
export const DEFAULT_WAIT_SECONDS = 30;

/** What the explorer's routes need. */
export interface ExplorerParts {
  /** Charges for what is read. */
  gate: Gate;
  /** Looks blocks up. */
  explorer: Explorer;
  /** Looks transactions up, and waits for them. */
  tracks: Tracks;
  /** Ends waits. */
  clock: Clock;
}

/**
 * Declares `GET /api/blocks/:idOrHeight`, `GET /api/transactions/:id` and
 * `GET /api/addresses/:address/transactions`.
 */
export function explorerRoutes(
  { gate, explorer, tracks, clock }: ExplorerParts,
): Route[] {
  return [
    route({
      method: "get",
      path: "/api/blocks/:idOrHeight",
      right: "history",
      compresses: true,
      maxAnswerBytes: MAX_BLOCK_ANSWER_LENGTH,
      params: z.object({
        idOrHeight: identifier("A block's id or height", "15420"),
      }),
      query: z.object({
        after: wholeNumber(0, 999_999).optional().meta({
          description: "Transactions after this place in the block",
          example: 99,
        }),
        limit: wholeNumber(0, MAX_BLOCK_TRANSACTIONS)
          .default(MAX_BLOCK_TRANSACTIONS)
          .meta({ description: "Most transactions answered", example: 10 }),
      }),
      describe: () => ({
        tag: "events",
        summary: "A block: whether it stands, is final, and what it holds",
        description:
          "The answer has an ETag, and is immutable once the block and all its transactions are final.",
        answers: [{
          status: 200,
          description: "The block as it stands now",
          schema: REPLIES.block_response,
        }, { status: 304, description: "Nothing has changed" }],
        refuses: ["INVALID_PAYLOAD", "FORBIDDEN"],
      }),
      async handle(c, { principal, params, query: { after = -1, limit } }) {
        const block = await explorer.block(
          { block: params.idOrHeight, after, limit },
          principal,
          gate.reader(c, principal),
        );
        const asked = Math.min(limit, block.total - after - 1);
        const isDone = block.status === "standing" &&
          block.finality === "final" && block.transactions.length === asked;
        return await tagged(c, block, isDone);
      },
    }),
    route({
      method: "get",
      path: "/api/addresses/:address/transactions",
      right: "history",
      maxAnswerBytes: MAX_BLOCK_ANSWER_LENGTH,
      params: z.object({ address: identifier("An address", "0xa1") }),
      query: z.object({
        before: position(
          "Only earlier ones: `next` of the answer before",
          "1000",
        ),
        limit: wholeNumber(1, MAX_FOUND).default(MAX_FOUND)
          .meta({ description: "Most transactions answered", example: 10 }),
      }),
      describe: () => ({
        tag: "events",
        summary: "Transactions of an address, the newest first",
        description:
          "Of transactions that name the address as sender, receiver, created contract or either end of a transfer, as far as the channel's log is kept. A page may hold fewer than there are, even none: `next` says whether to ask on.",
        answers: [{
          status: 200,
          description: "How far each has come, and the newest event about it",
          schema: AddressTransactions,
        }],
        refuses: ["INVALID_PAYLOAD", "FORBIDDEN"],
      }),
      async handle(c, { principal, params: { address }, query }) {
        const page = await explorer.address(
          { address, ...query },
          principal,
          gate.reader(c, principal),
        );
        return c.json(page);
      },
    }),
    route({
      method: "get",
      path: "/api/transactions/:id",
      right: "history",
      compresses: true,
      params: z.object({ id: identifier("A transaction's id", "tx_123") }),
      query: z.object({
        wait: z.enum(GOALS).optional().meta({
          description: "Answers once the transaction has come so far",
          example: "final",
        }),
        timeout: wholeNumber(1, MAX_WAIT_SECONDS).default(DEFAULT_WAIT_SECONDS)
          .meta({ description: "Longest wait, in seconds", example: 1 }),
      }),
      describe: () => ({
        tag: "events",
        summary: "How far a transaction has come, now or after a wait",
        description:
          "With `wait` the answer comes once that state is reached, or after `timeout` with the state of then.",
        answers: [{
          status: 200,
          description: "Its state, and the newest event about it",
          schema: Transaction,
        }],
        refuses: [
          "INVALID_PAYLOAD",
          "FORBIDDEN",
          "TOO_MANY_SUBSCRIPTIONS",
        ],
      }),
      async handle(c, { principal, params: { id }, query }) {
        requireReading(principal, {
          name: "transactions",
          kind: "transactions",
        });
        const { wait, timeout } = query;
        if (wait) await waitFor(c, id, wait, timeout * 1_000);
        const { state, event } = await tracks.look(id);
        return c.json({ ...state, event });
      },
    }),
  ];

  async function waitFor(
    c: Context<Env>,
    txId: string,
    until: Goal,
    ms: number,
  ): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    using track = await tracks.track({
      txId,
      until,
      address: c.get("visitor")!.bucket,
      moved: ({ state }) => {
        if (reaches(state, until)) resolve();
      },
    });
    if (track.state.end) return;
    using _timer = clock.after(ms, resolve);
    const { signal } = c.req.raw;
    signal.addEventListener("abort", () => resolve(), { once: true });
    await promise;
  }
}

const Transaction = TrackedState.omit({ end: true }).extend({
  event: AnyEvent.nullable()
    .describe("The newest event about it; `null` when none is known."),
});

const AddressTransactions = z.strictObject({
  address: z.string().describe("The address, as it is compared."),
  transactions: z.array(
    Transaction.extend({ event: AnyEvent.describe("The newest about it.") }),
  ).describe("Newest first."),
  next: z.string().nullable()
    .describe("The `before` of the next page; `null` on the last."),
});

function identifier(description: string, example: string): z.ZodString {
  return z.string().min(1).max(256).meta({ description, example });
}

/** Answers with a tag, so that what is unchanged is not sent again. */
async function tagged(
  c: Context<Env>,
  answer: unknown,
  isDone: boolean,
): Promise<Response> {
  const body = new TextEncoder().encode(JSON.stringify(answer));
  const asset = await assetOf(body, "application/json");
  return send(c, asset, {
    "cache-control": isDone
      ? "private, max-age=31536000, immutable"
      : "private, no-cache",
  });
}
