/**
 * Judges messages before they enter `transactions`: a status that was published
 * before is not stored again, the service publishes a missing revert, and a
 * status that cannot follow is marked or refused.
 *
 * @module
 */
import { Refusal } from "../protocol/refusals.ts";
import type { Draft } from "../store/event_log.ts";
import type { Judgement, Step } from "../store/ingest.ts";
import { chainOf, Corrections } from "./chain_events.ts";
import type { Payload } from "./chain_events.ts";
import { completionOf } from "./completions.ts";
import { ownerOf } from "./equal_parts.ts";
import type { Spine, Standing } from "./spine.ts";
import { judgeStatus, statusOf } from "./transactions.ts";
import type { Status, Transactions } from "./transactions.ts";
import type { Trial } from "./trial.ts";

/** The channel that is judged. */
export const CHANNEL = "transactions";

/** Parts that a {@link TransactionJudge} needs. */
export interface TransactionJudgeOptions {
  /** The trial that it is part of. */
  readonly trial: Trial;
  /** The newest statuses. */
  readonly transactions: Transactions;
  /** The current blocks of a chain, where any are known. */
  readonly spine: (chain: string) => Pick<Spine, "standingOf"> | undefined;
  /** Whether a status that cannot follow is refused. */
  readonly isRefused: boolean;
}

/** Judges the transactions of one trial. */
export class TransactionJudge {
  readonly #options: TransactionJudgeOptions;

  /** Starts without any messages. */
  constructor(options: TransactionJudgeOptions) {
    this.#options = options;
  }

  /** Judges a message. */
  judge(draft: Draft, payload: Payload): Judgement | Refusal {
    if (draft.type === "BLOCK_COMPLETE") return this.#complete(draft, payload);
    if (draft.type !== "TX_RECEIVED") {
      return { before: [], step: this.store(draft, payload) };
    }
    const { trial, transactions, isRefused } = this.#options;
    const chain = chainOf(payload);
    const txId = payload["txId"] as string;
    const before = transactions.get(chain, txId);
    const verdict = judgeStatus(
      before,
      payload,
      () => this.#standing(chain, before!),
    );
    const fresh = payload["contradicts"] === undefined
      ? draft
      : without(draft, payload);
    if (verdict === "follows") {
      return { before: [], step: this.store(fresh, payload) };
    }
    const { blockId, status } = before!;
    const contradicts = { status, ...(blockId ? { blockId } : {}) };
    if (verdict === "leaves") {
      const left = { blockId: blockId!, height: before!.height };
      const taken = new Corrections(chain, trial.options.now)
        .pending(payload, left);
      return {
        before: trial.add([this.store(taken, taken.payload!)]),
        step: this.store(fresh, payload),
      };
    }
    if (verdict !== "known" && isRefused) {
      return new Refusal(
        "STATUS_CONFLICT",
        `Transaction ${JSON.stringify(txId)} is ${status}, which ${
          JSON.stringify(payload["status"])
        } cannot follow`,
      );
    }
    if (verdict !== "contradicts") {
      return {
        before: [],
        // An event of the same request gets its position later.
        stands: () => ({ ...before!.place!, channel: CHANNEL }),
        ...(verdict === "late" ? { remarks: { contradicts } } : {}),
      };
    }
    trial.report({
      type: "status_contradicted",
      chain,
      txId,
      status: payload["status"] as string,
      before: status,
    });
    const marked = trial.marked(fresh, { ...payload, contradicts });
    return {
      before: [],
      step: this.store(marked, payload),
      remarks: { contradicts },
    };
  }

  /** Stores an event of the channel, and folds it. */
  store(draft: Draft, payload: Payload): Step {
    const { trial, transactions } = this.#options;
    const chain = chainOf(payload);
    const { undoLog } = transactions;
    if (draft.type === "CHAIN_RESET") {
      const height = keptHeight(payload);
      trial.do(CHANNEL, undoLog, () => transactions.reset(chain, height));
    }
    if (draft.type === "BLOCK_COMPLETE") {
      const completion = completionOf(payload);
      trial.do(
        CHANNEL,
        undoLog,
        () => transactions.completions.add(chain, completion),
      );
      return {
        draft,
        placed: ({ id, epoch, seq }) => completion.place = { id, epoch, seq },
      };
    }
    if (draft.type !== "TX_RECEIVED") return { draft };
    const status = statusOf(payload);
    const txId = payload["txId"] as string;
    const owner = ownerOf(draft.publisher?.subject, chain);
    trial.do(
      CHANNEL,
      undoLog,
      () => transactions.set(chain, txId, status, owner),
    );
    return {
      draft,
      placed: ({ id, epoch, seq }) => status.place = { id, epoch, seq },
    };
  }

  /** Does not store a second `BLOCK_COMPLETE` of a complete block. */
  #complete(draft: Draft, payload: Payload): Judgement {
    const { completions } = this.#options.transactions;
    const before = completions.find(chainOf(payload), completionOf(payload));
    return before
      ? {
        before: [],
        stands: () => ({ ...before.place!, channel: CHANNEL }),
      }
      : { before: [], step: this.store(draft, payload) };
  }

  /** Whether the block that contains a transaction is in the chain. */
  #standing(chain: string, { blockId, height }: Status): Standing {
    const { trial, spine } = this.#options;
    trial.relies.add("blocks");
    if (!trial.follows("blocks") || blockId === undefined) return "unknown";
    return spine(chain)?.standingOf(blockId, height) ?? "unknown";
  }
}

/** The height up to which a `CHAIN_RESET` keeps blocks; -1: none. */
export function keptHeight({ keeps }: Payload): number {
  return (keeps as { height: number } | null)?.height ?? -1;
}

/** Removes the mark, which only the service may set. */
function without(draft: Draft, payload: Payload): Draft {
  const { contradicts: _contradicts, ...rest } = payload;
  return { ...draft, payloadText: JSON.stringify(rest) };
}
