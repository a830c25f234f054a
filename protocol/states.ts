/**
 * The states of a transaction, as clients that track it receive them.
 *
 * @module
 */
import { z } from "zod";

/**
 * States of a transaction. `included`: in a block of the chain. `confirmed`:
 * another block was built on that one, or the chain reports it safe. `final`:
 * never reverted. `reverted`: its block was reverted, it is pending again.
 */
export const TRANSACTION_STATES = [
  "unknown",
  "seen",
  "included",
  "confirmed",
  "final",
  "reverted",
  "replaced",
  "dropped",
] as const;
/** A state of a transaction. */
export type TransactionState = (typeof TRANSACTION_STATES)[number];

/** States that can be waited for, in their order. */
export const GOALS = ["included", "confirmed", "final"] as const;
/** A state that can be waited for. */
export type Goal = (typeof GOALS)[number];

/** Fields of a transaction's state. */
export const TrackedState = z.strictObject({
  txId: z.string().describe("The transaction's id."),
  state: z.enum(TRANSACTION_STATES).describe("The state of the transaction."),
  ok: z.boolean().optional().describe(
    "Whether it succeeded, once it is in a block.",
  ),
  blockId: z.string().optional().describe("The block that holds it."),
  height: z.int().nonnegative().optional().describe("That block's height."),
  replacedBy: z.string().optional().describe(
    "The transaction that replaced it.",
  ),
  end: z.literal(true).optional().describe("`true` on its last frame."),
}).meta({ id: "TrackedState" });
/** A transaction's state. */
export type TrackedState = z.infer<typeof TrackedState>;

/** Whether a state reaches or exceeds the goal. */
export function reaches(state: TransactionState, goal: Goal): boolean {
  const goals: readonly string[] = GOALS;
  return goals.indexOf(state) >= goals.indexOf(goal);
}
