/**
 * One trial of a commit: each message is judged after the ones before it, on the
 * folded state itself, and all steps are undone at the end. When the commit
 * succeeds, the same steps are applied permanently.
 *
 * @module
 */
import { Refusal } from "../protocol/refusals.ts";
import type { Draft } from "../store/event_log.ts";
import type {
  HeadMove,
  Judgement,
  LogSource,
  Rehearsal,
  RehearsalOptions,
} from "../store/ingest.ts";
import { BlockJudge } from "./block_judge.ts";
import type { Chain } from "./block_judge.ts";
import type { Dag } from "./dag.ts";
import { DagJudge } from "./dag_judge.ts";
import type { TakenBack } from "./taken_back.ts";
import { TransactionJudge } from "./transaction_judge.ts";
import type { Transactions } from "./transactions.ts";
import { Trial } from "./trial.ts";
import type { ChainFault } from "./trial.ts";

/** Parts that a {@link ChainRehearsal} needs. */
export interface ChainRehearsalOptions extends RehearsalOptions {
  /** Refuses a block whose parent is unknown, and an impossible status. */
  readonly isRefused: boolean;
  /** Events that are reverted together with blocks. */
  readonly taken: TakenBack;
  /** The chain of a name, created for `owner` if it is new. */
  readonly chain: (name: string, owner: string) => Chain;
  /** The chain of a name, if it exists. */
  readonly find: (name: string) => Chain | undefined;
  /** The newest statuses of transactions. */
  readonly transactions: Transactions;
  /** The nodes of the DAG. */
  readonly dag: Dag;
  /** Receives faults of events that were stored. */
  readonly onFault: (fault: ChainFault) => void;
  /**
   * The commit succeeded.
   *
   * @returns whether its events of a channel are the next ones.
   */
  readonly settled: (channel: string, move: HeadMove) => boolean;
}

/** Judges the requests of one commit. */
export class ChainRehearsal implements Rehearsal {
  readonly #options: ChainRehearsalOptions;
  readonly #trial: Trial;
  readonly #blocks: BlockJudge;
  readonly #transactions: TransactionJudge;
  readonly #nodes: DagJudge;

  /** Starts without any messages. */
  constructor(options: ChainRehearsalOptions) {
    const { isRefused, taken, chain, find, transactions, dag } = options;
    const trial = new Trial(options);
    this.#options = options;
    this.#trial = trial;
    this.#transactions = new TransactionJudge({
      trial,
      transactions,
      spine: (name) => find(name)?.spine,
      isRefused,
    });
    this.#blocks = new BlockJudge({
      trial,
      isRefused,
      taken,
      chain,
      transactions: this.#transactions,
    });
    this.#nodes = new DagJudge(trial, dag);
  }

  get wants(): ((log: LogSource) => Promise<void>) | undefined {
    const { unread } = this.#blocks;
    if (unread.size === 0) return undefined;
    return (log) => this.#options.taken.read([...unread], log);
  }

  get lacks(): ReadonlySet<string> {
    return this.#trial.lacks;
  }

  get relies(): ReadonlySet<string> {
    return this.#trial.relies;
  }

  get isCramped(): boolean {
    return this.#trial.isCramped;
  }

  judge(
    drafts: readonly Draft[],
    isUsed: (draft: Draft) => boolean,
  ): readonly Judgement[] | Refusal {
    const back = this.#trial.mark();
    const own = new Set<string>();
    const judged: Judgement[] = [];
    for (const draft of drafts) {
      const isKnown = isUsed(draft) ||
        (draft.id !== undefined && own.has(`${draft.channel} ${draft.id}`));
      if (draft.id !== undefined) own.add(`${draft.channel} ${draft.id}`);
      const each = this.#judge(draft, isKnown);
      if (each instanceof Refusal || !each.step) {
        this.#trial.relies.add(draft.channel);
      }
      if (each instanceof Refusal) {
        back();
        return each;
      }
      judged.push(each);
    }
    return judged;
  }

  end(): void {
    this.#trial.end();
    // The events read are valid for one trial.
    if (this.#blocks.unread.size === 0) this.#options.taken.clear();
  }

  settle(moves: ReadonlyMap<string, HeadMove>): void {
    const { settled, onFault } = this.#options;
    this.#trial.settle(moves, settled);
    for (const fault of this.#trial.faults) onFault(fault);
  }

  #judge(draft: Draft, isKnown: boolean): Judgement | Refusal {
    const asIs = { before: [], step: { draft } };
    const payload = () => draft.payload ?? JSON.parse(draft.payloadText);
    switch (draft.channel) {
      case "blocks":
        return this.#blocks.judge(draft, payload(), isKnown);
      case "transactions":
        return isKnown ? asIs : this.#transactions.judge(draft, payload());
      case "dag":
        return isKnown ? asIs : this.#nodes.judge(draft, payload());
      default:
        return asIs;
    }
  }
}
