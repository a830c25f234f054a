/**
 * Judges messages before they enter `dag`: a node whose parents are unknown is
 * marked, and its publisher receives their names.
 *
 * @module
 */
import type { Draft } from "../store/event_log.ts";
import type { Judgement } from "../store/ingest.ts";
import { chainOf } from "./chain_events.ts";
import type { Payload } from "./chain_events.ts";
import type { Dag, NodePlace } from "./dag.ts";
import { ownerOf } from "./equal_parts.ts";
import { keptHeight } from "./transaction_judge.ts";
import type { Trial } from "./trial.ts";

/** The channel that is judged. */
export const CHANNEL = "dag";

/** Judges the nodes of one trial. */
export class DagJudge {
  readonly #trial: Trial;
  readonly #dag: Dag;

  /** Starts without any messages. */
  constructor(trial: Trial, dag: Dag) {
    this.#trial = trial;
    this.#dag = dag;
  }

  /** Judges a message. */
  judge(draft: Draft, payload: Payload): Judgement {
    const dag = this.#dag;
    if (draft.type !== "DAG_UPDATE") {
      if (draft.type === "CHAIN_RESET" && keptHeight(payload) < 0) {
        this.#trial.do(CHANNEL, dag.undoLog, () => dag.reset());
      }
      return { before: [], step: { draft } };
    }
    const isAdded = payload["updateType"] === "NODE_ADDED";
    const missingParents = isAdded ? dag.missing(payload) : [];
    const at: NodePlace = {};
    const owner = ownerOf(draft.publisher?.subject, chainOf(payload));
    this.#trial.do(CHANNEL, dag.undoLog, () => dag.apply(payload, at, owner));
    const { missingParents: claimed, ...rest } = payload;
    const isMarked = missingParents.length > 0;
    const fresh = claimed === undefined
      ? draft
      : { ...draft, payloadText: JSON.stringify(rest) };
    return {
      before: [],
      step: {
        draft: isMarked
          ? this.#trial.marked(fresh, { ...rest, missingParents })
          : fresh,
        placed: ({ id, epoch, seq }) => at.place = { id, epoch, seq },
      },
      ...(isMarked ? { remarks: { missingParents } } : {}),
    };
  }
}
