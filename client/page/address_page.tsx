/**
 * The page of an address: its transactions, live, with those that were
 * reverted, replaced or dropped.
 *
 * @module
 */
/** @jsxRuntime automatic */
/** @jsxImportSource preact */
/// <reference lib="dom" />
import { Component } from "preact";
import type { VNode } from "preact";
import type { Event } from "../types.ts";
import { watch } from "../watch.ts";
import type { Watch } from "../watch.ts";
import { readAddress } from "./answers.ts";
import type { SubjectProps } from "./block_page.tsx";
import { Blocks } from "./blocks.ts";
import { Fault, Heading, Id, Loading, Notice } from "./facts.tsx";
import { lackOf } from "./freshness.ts";
import { Held } from "./held.tsx";
import { phaseOf, TransactionItem } from "./items.tsx";
import type { TransactionRow } from "./rows.ts";
import { transactionRow } from "./transactions.ts";
import { brief, counted, integer } from "./words.ts";

/** Newest events of the channel that are searched for its history. */
export const PAST = 1_000;
/** Most live transactions kept; the least recently updated is dropped first. */
export const MAX_ROWS = 200;
/** Most older transactions shown, loaded page by page. */
export const MAX_OLDER = 1_000;
/** Newest blocks that show what is final. */
const BLOCKS = 40;

interface AddressState {
  /** How often something changed. */
  readonly revision: number;
  /** Where older ones begin: `undefined` before any were asked for. */
  readonly next: string | null | undefined;
  readonly isLooking: boolean;
  /** Why older ones could not be loaded. */
  readonly fault: string | undefined;
}

/** The page. */
export class AddressPage extends Component<SubjectProps, AddressState> {
  /** What is shown besides the rows. */
  override state: AddressState = {
    revision: 0,
    next: undefined,
    isLooking: false,
    fault: undefined,
  };
  readonly #rows = new Map<string, TransactionRow>();
  /** Loaded afterwards, the newest first. */
  readonly #older = new Map<string, TransactionRow>();
  readonly #blocks = new Blocks();
  readonly #undo: (() => void)[] = [];
  #watch: Watch | undefined;
  #isLost = false;

  /** Starts; called by Preact. */
  override componentDidMount(): void {
    const { client, id } = this.props;
    const own = watch(client, "transactions", {
      filter: { address: id },
      last: PAST,
    });
    this.#watch = own;
    this.#undo.push(
      own.on("TX_RECEIVED", this.#take),
      own.onGap(() => {
        this.#isLost = true;
        this.#changed();
      }),
      () => own.close(),
      client.subscribe("FINALITY", ({ payload }) => {
        this.#blocks.settle(payload);
        this.#changed();
      }),
      client.subscribe("CHAIN_RESET", ({ payload }) => {
        this.#blocks.reset(payload);
        this.#changed();
      }),
      // Also reports that the subscription is active, or was refused.
      client.onState(this.#changed),
    );
    client.joinChannel("blocks", { last: BLOCKS });
  }

  /** Ends; called by Preact. */
  override componentWillUnmount(): void {
    for (const undo of this.#undo) undo();
  }

  /** The elements; called by Preact. */
  render(): VNode {
    const { id, client } = this.props;
    const isAway = ["reconnecting", "closed"].includes(client.state.status);
    const rows = [...this.#rows.values()].reverse()
      .concat([...this.#older.values()]);
    const code = this.#watch?.code;
    return (
      <article>
        <Heading
          kind="Address"
          name={brief(id, 10, 8)}
          chip={rows.length > 0 ? counted(rows.length, "transaction") : ""}
        />
        {code && <Notice>It cannot be followed: {code}</Notice>}
        {this.#isLost && (
          <Notice>Some of its events were lost: reload the page.</Notice>
        )}
        {this.#watch?.status !== "joined" && rows.length === 0
          ? isAway
            ? (
              <Fault
                text={lackOf(client.state)}
                isOver={client.state.status === "closed"}
              />
            )
            : !code && <Loading rows={8} />
          : (
            <section class="panel" aria-labelledby="rows-title">
              <header>
                <h2 id="rows-title">Transactions</h2>
                <p class="note">{this.#summary(rows)}</p>
              </header>
              <p class="sub">
                <Id id={id} />
              </p>
              {rows.length === 0
                ? (
                  <p class="empty">
                    None among the newest {integer(PAST)}{" "}
                    events. New ones are shown as they happen.
                  </p>
                )
                : (
                  <Held
                    revision={`${this.state.revision}:${
                      Math.floor(this.props.now / 1_000)
                    }`}
                    draw={() => this.#list(rows)}
                  />
                )}
              {this.#foot()}
            </section>
          )}
      </article>
    );
  }

  #list(rows: readonly TransactionRow[]): VNode {
    const { id, now } = this.props;
    return (
      <ol class="rows">
        {rows.map((row) => (
          <TransactionItem
            key={row.id}
            row={row}
            level={this.#blocks.level(row)}
            now={now}
            of={id}
          />
        ))}
      </ol>
    );
  }

  /** The link to older ones, or a note that there are none. */
  #foot(): VNode {
    const { next, isLooking, fault } = this.state;
    if (fault !== undefined) return <p class="sub foot">{fault}</p>;
    if (next === null || this.#older.size >= MAX_OLDER) {
      return <p class="sub foot">These are all that are kept.</p>;
    }
    return (
      <button
        type="button"
        class="more"
        aria-busy={isLooking}
        onClick={this.#look}
      >
        {isLooking ? "Looking" : "Look further back"}
      </button>
    );
  }

  #look = async (): Promise<void> => {
    const { next, isLooking } = this.state;
    if (isLooking) return;
    this.setState({ isLooking: true });
    try {
      const page = await readAddress(this.props.id, next ?? undefined);
      for (const { txId, event } of page.transactions) {
        if (!event || this.#rows.has(txId)) continue;
        const at = Date.parse(event.timestamp);
        this.#older.set(txId, transactionRow(event.payload, at));
      }
      this.setState({ next: page.next });
    } catch (error) {
      this.setState({ fault: (error as Error).message });
    }
    this.setState({ isLooking: false });
    this.#changed();
  };

  /** How many of each kind: `3 final · 1 pending`. */
  #summary(rows: readonly TransactionRow[]): string {
    const counts = new Map<string, number>();
    for (const row of rows) {
      const phase = phaseOf(row, this.#blocks.level(row));
      counts.set(phase, (counts.get(phase) ?? 0) + 1);
    }
    return [...counts].map(([phase, count]) => `${count} ${phase}`).join(" · ");
  }

  #take = ({ payload, timestamp }: Event<"TX_RECEIVED">): void => {
    const { txId } = payload;
    const before = this.#rows.get(txId) ?? this.#older.get(txId);
    const row = transactionRow(payload, Date.parse(timestamp), before);
    if (row === before) return;
    this.#older.delete(row.id);
    this.#rows.delete(row.id);
    this.#rows.set(row.id, row);
    for (const oldest of this.#rows.keys()) {
      if (this.#rows.size <= MAX_ROWS) break;
      this.#rows.delete(oldest);
    }
    this.#changed();
  };

  #changed = (): void =>
    this.setState(({ revision }) => ({ revision: revision + 1 }));
}
