/**
 * A block and a transaction as the lists of all pages show them. Each leads to
 * its own page.
 *
 * @module
 */
/** @jsxRuntime automatic */
/** @jsxImportSource preact */
import type { VNode } from "preact";
import { seconds } from "./freshness.ts";
import type {
  BlockRow,
  Level,
  TransactionRow,
  TransactionStatus,
} from "./rows.ts";
import {
  blockPath,
  brief,
  bytes,
  compact,
  counted,
  integer,
  transactionPath,
} from "./words.ts";

/** A block of a list. `now` is the server's, in epoch milliseconds. */
export function BlockItem(
  { row, level, now }: {
    readonly row: BlockRow;
    readonly level: Level;
    readonly now: number;
  },
): VNode {
  return (
    <li class={`block arrives ${level}`}>
      <a href={blockPath(row.id)}>
        <span class="place">
          <span class="height">{integer(row.height)}</span>
          <span class={`level ${level}`}>{level === "new" ? "" : level}</span>
        </span>
        <span class="middle">
          <span class="mono">{brief(row.hash)}</span>
          <span class="sub">
            {row.validator && <>by {brief(row.validator, 14, 4)}</>}
          </span>
        </span>
        <span class="end">
          <span>{counted(row.transactions, "tx", "tx")}</span>
          <span class="sub">
            {row.size > 0 && <>{bytes(row.size)} ·{" "}</>}
            {seconds(Math.max(0, now - row.at))} ago
          </span>
        </span>
        {row.fullness !== undefined && (
          <meter
            class="fullness"
            min={0}
            max={1}
            value={row.fullness}
            aria-label={`gas used ${Math.round(row.fullness * 100)} %`}
          />
        )}
      </a>
    </li>
  );
}

/**
 * The state of a transaction, in a word: its status, or the finality of its
 * block.
 */
export function phaseOf(
  { status, isReverted }: TransactionRow,
  level: Level,
): TransactionStatus | Level {
  if (isReverted) return "reverted";
  return status === "confirmed" && level === "final" ? "final" : status;
}

/** A transaction of a list. `now` is the server's, in epoch milliseconds. */
export function TransactionItem(
  { row, level, now, of }: {
    readonly row: TransactionRow;
    readonly level: Level;
    readonly now: number;
    /** The address that the list is about; the amount is signed then. */
    readonly of?: string;
  },
): VNode {
  const phase = phaseOf(row, level);
  return (
    <li class={`transaction ${row.status}`}>
      <a href={transactionPath(row.id)}>
        <span class={`chip ${phase}`}>{phase}</span>
        <span class="middle">
          <span class="mono">
            <span class="party">
              {brief(row.from, 6, 3)} <span aria-label="to">→</span>
            </span>{" "}
            <span class="party">{brief(row.to, 6, 3)}</span>
          </span>
        </span>
        <span class="end">
          <span class="amount">{signed(row, of)}</span>
          <span class="sub">{settling(row, now)}</span>
        </span>
      </a>
    </li>
  );
}

/** The amount; what leaves `of` has a minus, what reaches it a plus. */
function signed(
  { from, to, amount, status }: TransactionRow,
  of?: string,
): string {
  const own = of?.toLowerCase();
  const moves = amount !== "0" &&
    (status === "pending" || status === "confirmed");
  if (!moves) return compact(amount);
  const leaves = from.toLowerCase() === own;
  const arrives = to.toLowerCase() === own;
  const sign = leaves === arrives ? "" : leaves ? "−" : "+";
  return sign + compact(amount);
}

function settling(row: TransactionRow, now: number): string {
  if (row.settledAt === undefined) return `for ${seconds(now - row.since)}`;
  return row.settledAt > row.since
    ? `in ${seconds(row.settledAt - row.since)}`
    : `${seconds(Math.max(0, now - row.since))} ago`;
}
