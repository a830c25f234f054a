/**
 * Judges messages before they enter `blocks`: the service publishes missing
 * reverts, a block that is part of its chain is not stored again, and a block
 * whose parent is unknown is marked or refused.
 *
 * @module
 */
import { Refusal } from "../protocol/refusals.ts";
import type { Draft, Missing } from "../store/event_log.ts";
import type { Judgement, Step } from "../store/ingest.ts";
import { blockOf, chainOf, Corrections } from "./chain_events.ts";
import type { ChainBlock, Payload, Place } from "./chain_events.ts";
import type { Level, Reset, Spine, Verdict } from "./spine.ts";
import type { Taken, TakenBack } from "./taken_back.ts";
import type { TransactionJudge } from "./transaction_judge.ts";
import type { Trial } from "./trial.ts";

/** The channel that is judged. */
export const CHANNEL = "blocks";
/** Most blocks reverted one by one in a commit; more are reset at once. */
export const MAX_REVERTS = 128;

/** A `FINALITY` that was published. */
export interface Finality {
  /** The height up to which blocks have the level. */
  readonly height: number;
  /** The position of its event; set once it is known. */
  place?: Place | undefined;
}

/** A chain, and its first publisher. */
export interface Chain {
  /** Its standing blocks. */
  readonly spine: Spine<ChainBlock>;
  /** The publisher's subject; `""` when it was read from the log. */
  readonly owner: string;
  /** The newest `FINALITY` of each level. */
  readonly finality: Partial<Record<Level, Finality | undefined>>;
}

/** Parts that a {@link BlockJudge} needs. */
export interface BlockJudgeOptions {
  /** The trial that it is part of. */
  readonly trial: Trial;
  /** A block whose parent is unknown is refused. */
  readonly isRefused: boolean;
  /** Events that are reverted together with blocks. */
  readonly taken: TakenBack;
  /** The chain of a name, created for `owner` if it is new. */
  readonly chain: (name: string, owner: string) => Chain;
  /** Folds the reverted transactions. */
  readonly transactions: TransactionJudge;
}

/** A message being judged. */
interface Asked {
  readonly draft: Draft;
  readonly payload: Payload;
  readonly name: string;
  readonly chain: Chain;
}

/** Judges the blocks of one trial. */
export class BlockJudge {
  readonly #options: BlockJudgeOptions;
  /** Blocks whose transactions and logs must be read first. */
  readonly unread: Set<ChainBlock> = new Set();

  /** Starts without any messages. */
  constructor(options: BlockJudgeOptions) {
    this.#options = options;
  }

  /**
   * Judges a message.
   *
   * @param isKnown whether it was accepted before, with the same id.
   */
  judge(
    draft: Draft,
    payload: Payload,
    isKnown: boolean,
  ): Judgement | Refusal {
    const asIs = { before: [], step: { draft } };
    const name = chainOf(payload);
    const chain = this.#options.chain(name, draft.publisher?.subject ?? "");
    const asked = { draft, payload, name, chain };
    if (isKnown) return draft.type === "NEW_BLOCK" ? this.#again(asked) : asIs;
    switch (draft.type) {
      case "NEW_BLOCK":
        return this.#block(asked);
      case "BLOCK_REVERTED":
        return this.#revert(asked);
      case "FINALITY":
        return this.#finality(asked);
      case "CHAIN_RESET":
        this.#void(chain, payload["keeps"] as Reset["keeps"]);
        return asIs;
      default:
        return asIs;
    }
  }

  /** A block whose id was accepted before: returns the same `missing` again. */
  #again({ draft, payload, chain: { spine } }: Asked): Judgement {
    const isStanding = spine.standing(blockOf(payload).key) !== undefined;
    return {
      before: [],
      step: { draft },
      ...remarked(isStanding ? spine.hole : undefined),
    };
  }

  #block(asked: Asked): Judgement | Refusal {
    const { payload, chain: { spine } } = asked;
    const fresh = { ...blockOf(payload), gapBefore: undefined };
    if (fresh.previous === undefined) return this.#stored(asked, fresh, []);
    const verdict = spine.judge(fresh);
    if (verdict.kind === "stands") {
      const { block } = verdict;
      return {
        before: [],
        stands: () => ({ ...block.place!, channel: "blocks" }),
        ...remarked(spine.hole),
      };
    }
    const { gapBefore } = verdict;
    if (gapBefore && this.#options.isRefused) {
      return new Refusal(
        "PARENT_UNKNOWN",
        `Publish heights ${gapBefore.from} to ${gapBefore.to} first`,
        { missing: gapBefore },
      );
    }
    const before = this.#cleared(asked, verdict, fresh);
    return this.#stored(asked, { ...fresh, gapBefore }, before);
  }

  /** Stores a block, marked if heights before it are missing. */
  #stored(
    { draft, payload, name, chain: { spine } }: Asked,
    block: ChainBlock,
    before: readonly Step[],
  ): Judgement {
    const { gapBefore, blockId, height } = block;
    this.#do(spine, () => spine.add(block));
    if (gapBefore) {
      const fault = { chain: name, blockId, height, missing: gapBefore };
      this.#options.trial.report({ type: "blocks_missing", ...fault });
    }
    const { gapBefore: claimed, ...rest } = payload;
    const isMarked = gapBefore !== undefined || claimed !== undefined;
    const marked = { ...rest, ...(gapBefore ? { gapBefore } : {}) };
    return {
      before,
      step: {
        draft: isMarked
          ? { ...draft, payloadText: JSON.stringify(marked) }
          : draft,
        placed: ({ id, epoch, seq }) => block.place = { id, epoch, seq },
      },
      // Every publisher's answer names the gap until it is filled.
      ...remarked(spine.hole),
    };
  }

  /** Reverts the blocks that conflict with a block that joins. */
  #cleared(
    asked: Asked,
    { reverts, reset, breaksFinality }: Extract<
      Verdict<ChainBlock>,
      { readonly kind: "joins" }
    >,
    { blockId, height }: ChainBlock,
  ): readonly Step[] {
    const { spine } = asked.chain;
    if (breaksFinality) {
      const fault = { chain: asked.name, blockId, height };
      this.#options.trial.report({ type: "finality_broken", ...fault });
    }
    if (reset) return this.#reset(asked, reset, spine.tail);
    return reverts.length === 0 ? [] : this.#reverts(asked, reverts);
  }

  /** Reverts blocks, newest first, with their transactions and logs. */
  #reverts(asked: Asked, blocks: readonly ChainBlock[]): readonly Step[] {
    const { chain: { spine } } = asked;
    const oldest = blocks.at(-1)!;
    const below = spine.tail[spine.tail.lastIndexOf(oldest) - 1] ?? null;
    const reset: Reset = { keeps: below, reason: "deeper_than_kept" };
    if (blocks.length > MAX_REVERTS) return this.#reset(asked, reset, blocks);
    const corrections = this.#corrections(asked);
    const all = blocks.flatMap((block) => {
      const taken = block.isFull ? this.#taken(block) : undefined;
      return [
        corrections.reverted(block),
        ...taken?.transactions.map((it) => corrections.pending(it, block)) ??
          [],
        ...(taken?.hasLogs ? [corrections.logsReverted(block)] : []),
      ];
    });
    const isWhole = blocks.every((it) => !it.isFull || this.#taken(it));
    const bare = [
      ...blocks.map((block) => corrections.reverted(block)),
      ...this.#resets(asked, reset, blocks),
    ];
    const drafts = [...(isWhole ? [all] : []), bare]
      .find((each) => this.#options.trial.fits(each));
    if (drafts === undefined) return this.#reset(asked, reset, blocks);
    this.#do(spine, () => spine.revert(oldest.blockId));
    return this.#written(drafts);
  }

  /** Voids all blocks above a block at once. */
  #reset(
    asked: Asked,
    reset: Reset,
    gone: readonly ChainBlock[],
  ): readonly Step[] {
    const resets = [
      this.#corrections(asked).reset("blocks", reset),
      ...this.#resets(asked, reset, gone),
    ];
    this.#void(asked.chain, reset.keeps);
    return this.#written(resets);
  }

  /** Voids the content of blocks that cannot be reverted one by one. */
  #resets(
    asked: Asked,
    reset: Reset,
    gone: readonly ChainBlock[],
  ): readonly Draft[] {
    if (!gone.some(({ isFull }) => isFull)) return [];
    const corrections = this.#corrections(asked);
    const hasLogs = this.#options.trial.options.isUsed("logs");
    return [
      corrections.reset("transactions", reset),
      ...(hasLogs ? [corrections.reset("logs", reset)] : []),
    ];
  }

  #revert(asked: Asked): Judgement {
    const { draft, payload, name, chain: { spine } } = asked;
    const { blockId, height, previousHash } = payload as {
      blockId: string;
      height: number;
      previousHash?: string;
    };
    const [oldest] = spine.tail;
    const isFinal = height <= spine.safe;
    if (!oldest && !isFinal) {
      this.#do(spine, () => spine.revert(blockId));
      return { before: [], step: { draft } };
    }
    const block = spine.named(blockId);
    if (oldest && !block && height >= oldest.height) {
      // It is not in the chain: a reader that pops a block for each revert must
      // not receive it.
      const tip = spine.tip!;
      return {
        before: [],
        stands: () => ({ ...tip.place!, channel: "blocks" }),
      };
    }
    if (block && !isFinal) {
      const above = spine.on(block);
      const before = above.length === 0 ? [] : this.#reverts(asked, above);
      this.#do(spine, () => spine.revert(blockId));
      return { before, step: { draft } };
    }
    if (isFinal) {
      const fault = { chain: name, blockId, height };
      this.#options.trial.report({ type: "finality_broken", ...fault });
    }
    const below = block
      ? spine.tail[spine.tail.lastIndexOf(block) - 1]
      : previousHash && { blockId: previousHash, height: height - 1 };
    const reason = isFinal ? "finality_broken" : "deeper_than_kept";
    const reset: Reset = { keeps: below || null, reason };
    const gone = block ? [block, ...spine.on(block)] : spine.tail;
    return { before: this.#reset(asked, reset, gone) };
  }

  /** A level only rises: a height that is not higher was published before. */
  #finality({ draft, payload, chain: { spine, finality } }: Asked): Judgement {
    const height = payload["height"] as number;
    const level = payload["level"] as Level;
    const before = [finality[level], finality.final]
      .find((it) => it && it.height >= height);
    if (before && height <= spine[level]) {
      return {
        before: [],
        stands: () => ({ ...before.place!, channel: "blocks" }),
      };
    }
    const next: Finality = { height };
    this.#do(spine, () => {
      const last = finality[level];
      finality[level] = next;
      spine.undoLog.push(() => finality[level] = last);
      spine.finalize(height, level);
    });
    return {
      before: [],
      step: { draft, placed: (place) => next.place = place },
    };
  }

  /** Events reverted together with a block; nothing when they are unknown. */
  #taken(block: ChainBlock): Taken | undefined {
    const taken = this.#options.taken.of(block);
    if (taken !== "unread") return taken;
    this.unread.add(block);
    return { transactions: [], hasLogs: false };
  }

  #corrections({ name }: Asked): Corrections {
    return new Corrections(name, this.#options.trial.options.now);
  }

  #written(drafts: readonly Draft[]): readonly Step[] {
    const { trial, transactions } = this.#options;
    return trial.add(
      drafts.map((draft) =>
        draft.channel === "transactions"
          ? transactions.store(draft, draft.payload!)
          : { draft }
      ),
    );
  }

  #void({ spine }: Chain, keeps: Reset["keeps"]): void {
    this.#do(spine, () => spine.reset(keeps));
  }

  #do({ undoLog }: Spine<ChainBlock>, step: () => void): void {
    this.#options.trial.do(CHANNEL, undoLog, step);
  }
}

function remarked(missing: Missing | undefined): Pick<Judgement, "remarks"> {
  return missing ? { remarks: { missing } } : {};
}
