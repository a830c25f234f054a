/**
 * One try at a commit, as `blocks` sees it: each message is judged after those
 * before it, on the standing blocks themselves, and undone at the end. When the
 * commit took effect the same steps are made for good.
 *
 * @module
 */
import { Refusal } from "../protocol/refusals.ts";
import type {
  Draft,
  Head,
  Missing,
  StreamPosition,
} from "../store/event_log.ts";
import type {
  Judgement,
  LogSource,
  Rehearsal,
  RehearsalOptions,
  Step,
} from "../store/ingest.ts";
import { blockOf, chainOf, Corrections } from "./chain_events.ts";
import type { ChainBlock, Payload } from "./chain_events.ts";
import type { Reset, Spine, Verdict } from "./spine.ts";
import type { TakenBack } from "./taken_back.ts";

/** Most blocks reverted one by one in a commit; more are a reset. */
export const MAX_REVERTS = 128;

/** What was found wrong with a chain that a publisher says. */
export interface ChainFault {
  /** Which fault. */
  readonly type: "blocks_missing" | "finality_broken";
  /** The chain; `""`: the default one. */
  readonly chain: string;
  /** The message at which it was found. */
  readonly blockId: string;
  /** Its height. */
  readonly height: number;
  /** Heights that are unknown. */
  readonly missing?: Missing | undefined;
}

/** A chain, and who began it here. */
export interface Chain {
  /** Its standing blocks. */
  readonly spine: Spine<ChainBlock>;
  /** The publisher's subject; `""` when it was read from the log. */
  readonly owner: string;
  /** The height up to which the chain is called safe; -1: none yet. */
  safe: number;
  /** Where the newest `FINALITY` of level `final` stands. */
  finality?: Head & { readonly id: string } | undefined;
}

/** What a {@link ChainRehearsal} needs. */
export interface ChainRehearsalOptions extends RehearsalOptions {
  /** A block whose parent is unknown is refused. */
  readonly isRefused: boolean;
  /** Transactions of blocks that are about to leave. */
  readonly taken: TakenBack;
  /** The chain of a name, begun by `owner` if it is new. */
  readonly chain: (name: string, owner: string) => Chain;
  /**
   * The commit took effect.
   *
   * @returns whether its steps follow what was followed before.
   */
  readonly settled: (head: Head, faults: readonly ChainFault[]) => boolean;
}

/** A message being judged. */
interface Asked {
  readonly draft: Draft;
  readonly payload: Payload;
  readonly name: string;
  readonly chain: Chain;
}

/** Judges the requests of one commit. */
export class ChainRehearsal implements Rehearsal {
  readonly #options: ChainRehearsalOptions;
  readonly #touched = new Set<Chain>();
  readonly #steps: (() => void)[] = [];
  readonly #faults: ChainFault[] = [];
  readonly #added: Draft[] = [];
  /** Blocks whose transactions have to be read first. */
  readonly #unread = new Set<ChainBlock>();
  #isCramped = false;
  #relies = false;

  /** Judges nothing yet. */
  constructor(options: ChainRehearsalOptions) {
    this.#options = options;
  }

  get wants(): ((log: LogSource) => Promise<void>) | undefined {
    if (this.#unread.size === 0) return undefined;
    return (log) => this.#options.taken.read([...this.#unread], log);
  }

  get relies(): boolean {
    return this.#relies;
  }

  get isCramped(): boolean {
    return this.#isCramped;
  }

  judge(
    drafts: readonly Draft[],
    isUsed: (draft: Draft) => boolean,
  ): readonly Judgement[] | Refusal {
    const marks = new Map(
      [...this.#touched].map((chain) => [chain, chain.spine.steps]),
    );
    const [steps, faults, added] = [
      this.#steps.length,
      this.#faults.length,
      this.#added.length,
    ];
    const own = new Set<string>();
    const judged: Judgement[] = [];
    for (const draft of drafts) {
      const isKnown = isUsed(draft) ||
        (draft.id !== undefined && own.has(`${draft.channel} ${draft.id}`));
      if (draft.id !== undefined) own.add(`${draft.channel} ${draft.id}`);
      const each = this.#judge(draft, isKnown);
      this.#relies ||= each instanceof Refusal || !each.step;
      if (each instanceof Refusal) {
        for (const chain of this.#touched) {
          chain.spine.undo(marks.get(chain) ?? 0);
        }
        this.#steps.length = steps;
        this.#faults.length = faults;
        this.#added.length = added;
        return each;
      }
      judged.push(each);
    }
    return judged;
  }

  end(): void {
    for (const { spine } of this.#touched) spine.end();
    // What was read holds for one try.
    if (this.#unread.size === 0) this.#options.taken.clear();
  }

  settle(head: Head): void {
    if (!this.#options.settled(head, this.#faults)) return;
    for (const step of this.#steps) step();
  }

  #judge(draft: Draft, isKnown: boolean): Judgement | Refusal {
    const asIs = { before: [], step: { draft } };
    if (draft.channel !== "blocks") return asIs;
    const payload = draft.payload ?? JSON.parse(draft.payloadText);
    const name = chainOf(payload);
    const chain = this.#options.chain(name, draft.publisher?.subject ?? "");
    if (!this.#touched.has(chain)) {
      this.#touched.add(chain);
      chain.spine.rehearse();
    }
    const asked = { draft, payload, name, chain };
    switch (draft.type) {
      case "NEW_BLOCK":
        return isKnown ? this.#again(asked) : this.#block(asked);
      case "BLOCK_REVERTED":
        return isKnown ? asIs : this.#revert(asked);
      case "FINALITY":
        return isKnown ? asIs : this.#finality(asked);
      case "CHAIN_RESET": {
        if (isKnown) return asIs;
        const keeps = payload.keeps as Reset["keeps"];
        this.#void(chain, keeps);
        return asIs;
      }
      default:
        return asIs;
    }
  }

  /** A block under an id that was accepted: what is missing still is. */
  #again({ draft, payload, chain: { spine } }: Asked): Judgement {
    const isStanding = spine.standing(blockOf(payload).key) !== undefined;
    return {
      before: [],
      step: { draft },
      missing: isStanding ? spine.hole : undefined,
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
        missing: spine.hole,
      };
    }
    const { gapBefore } = verdict;
    if (gapBefore && this.#options.isRefused) {
      return new Refusal(
        "PARENT_UNKNOWN",
        `Publish heights ${gapBefore.from} to ${gapBefore.to} first`,
      );
    }
    const before = this.#cleared(asked, verdict, fresh);
    return this.#stored(asked, { ...fresh, gapBefore }, before);
  }

  /** Stores a block, marked if there is a hole before it. */
  #stored(
    { draft, payload, name, chain: { spine } }: Asked,
    block: ChainBlock,
    before: readonly Step[],
  ): Judgement {
    const { gapBefore, blockId, height } = block;
    this.#do(() => spine.add(block));
    if (gapBefore) {
      const fault = { chain: name, blockId, height, missing: gapBefore };
      this.#faults.push({ type: "blocks_missing", ...fault });
    }
    const { gapBefore: said, ...rest } = payload;
    const isMarked = gapBefore !== undefined || said !== undefined;
    const marked = { ...rest, ...(gapBefore ? { gapBefore } : {}) };
    return {
      before,
      step: {
        draft: isMarked
          ? { ...draft, payloadText: JSON.stringify(marked) }
          : draft,
        placed: ({ id, epoch, seq }) => block.place = { id, epoch, seq },
      },
      // Until it is filled every publisher is told.
      missing: spine.hole,
    };
  }

  /** Takes back what must not stand below a block that joins. */
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
      this.#faults.push({ type: "finality_broken", ...fault });
    }
    if (reset) return this.#reset(asked, reset, spine.tail);
    return reverts.length === 0 ? [] : this.#reverts(asked, reverts);
  }

  /** Reverts blocks, newest first, and takes their transactions back. */
  #reverts(asked: Asked, blocks: readonly ChainBlock[]): readonly Step[] {
    const { chain: { spine } } = asked;
    const oldest = blocks.at(-1)!;
    const below = spine.tail[spine.tail.lastIndexOf(oldest) - 1] ?? null;
    const reset: Reset = { keeps: below, reason: "deeper_than_kept" };
    if (blocks.length > MAX_REVERTS) return this.#reset(asked, reset, blocks);
    const corrections = this.#corrections(asked);
    const all = blocks.flatMap((block) => {
      const taken = block.isFull ? this.#taken(block) : [];
      return [
        corrections.reverted(block),
        ...taken?.map((payload) => corrections.pending(payload, block)) ?? [],
      ];
    });
    const isWhole = blocks.every((it) => !it.isFull || this.#taken(it));
    const bare = [
      ...blocks.map((block) => corrections.reverted(block)),
      ...(blocks.some(({ isFull }) => isFull)
        ? [corrections.reset("transactions", reset)]
        : []),
    ];
    const drafts = [...(isWhole ? [all] : []), bare]
      .find((each) => this.#fits(each));
    if (drafts === undefined) return this.#reset(asked, reset, blocks);
    this.#do(() => spine.revert(oldest.blockId));
    return this.#written(drafts);
  }

  /** Voids all above a block at once. */
  #reset(
    asked: Asked,
    reset: Reset,
    gone: readonly ChainBlock[],
  ): readonly Step[] {
    const corrections = this.#corrections(asked);
    this.#void(asked.chain, reset.keeps);
    return this.#written([
      corrections.reset("blocks", reset),
      ...(gone.some(({ isFull }) => isFull)
        ? [corrections.reset("transactions", reset)]
        : []),
    ]);
  }

  #revert(asked: Asked): Judgement {
    const { draft, payload, name, chain: { spine } } = asked;
    const { blockId, height, previousHash } = payload as {
      blockId: string;
      height: number;
      previousHash?: string;
    };
    const [oldest] = spine.tail;
    if (!oldest) return { before: [], step: { draft } };
    const block = spine.named(blockId);
    if (!block && height >= oldest.height) {
      // It does not stand: whoever pops a block for each revert must not see it.
      const tip = spine.tip!;
      return {
        before: [],
        stands: () => ({ ...tip.place!, channel: "blocks" }),
      };
    }
    const isFinal = height <= spine.final;
    if (block && !isFinal) {
      const above = spine.on(block);
      const before = above.length === 0 ? [] : this.#reverts(asked, above);
      this.#do(() => spine.revert(blockId));
      return { before, step: { draft } };
    }
    if (isFinal) {
      const fault = { chain: name, blockId, height };
      this.#faults.push({ type: "finality_broken", ...fault });
    }
    const below = block
      ? spine.tail[spine.tail.lastIndexOf(block) - 1]
      : previousHash && { blockId: previousHash, height: height - 1 };
    const reason = isFinal ? "finality_broken" : "deeper_than_kept";
    const reset: Reset = { keeps: below || null, reason };
    const gone = block ? [block, ...spine.on(block)] : spine.tail;
    return { before: this.#reset(asked, reset, gone) };
  }

  /** `final` only rises: what is not higher was published before. */
  #finality({ draft, payload, chain }: Asked): Judgement {
    const height = payload["height"] as number;
    this.#steps.push(() => chain.safe = Math.max(chain.safe, height));
    if (payload["level"] !== "final") return { before: [], step: { draft } };
    const { finality, spine } = chain;
    if (finality && height <= spine.final) {
      return {
        before: [],
        stands: () => ({ ...finality, channel: "blocks" }),
      };
    }
    let place: StreamPosition | undefined;
    this.#do(() => spine.finalize(height));
    this.#steps.push(() => chain.finality = place);
    return {
      before: [],
      step: { draft, placed: (position) => place = position },
    };
  }

  /** The transactions that a block takes along; nothing when not to be known. */
  #taken(block: ChainBlock): readonly Payload[] | undefined {
    const taken = this.#options.taken.of(block);
    if (taken === "unread") {
      this.#unread.add(block);
      return [];
    }
    return taken;
  }

  /** Whether the commit holds these too; others may have to give way. */
  #fits(drafts: readonly Draft[]): boolean {
    const { fits, isAlone } = this.#options;
    if (fits([...this.#added, ...drafts])) return true;
    if (isAlone) return false;
    this.#isCramped = true;
    return true;
  }

  #corrections({ name }: Asked): Corrections {
    return new Corrections(name, this.#options.now);
  }

  #written(drafts: readonly Draft[]): readonly Step[] {
    this.#added.push(...drafts);
    return drafts.map((draft) => ({ draft }));
  }

  #void(chain: Chain, keeps: Reset["keeps"]): void {
    this.#do(() => chain.spine.reset(keeps));
    const height = keeps?.height ?? -1;
    this.#steps.push(() => chain.safe = Math.min(chain.safe, height));
  }

  #do(step: () => void): void {
    step();
    this.#steps.push(step);
  }
}
