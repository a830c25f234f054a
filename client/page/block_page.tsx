/**
 * The page of a block: its status, its finality and its content.
 *
 * @module
 */
/** @jsxRuntime automatic */
/** @jsxImportSource preact */
/// <reference lib="dom" />
import { Component } from "preact";
import type { VNode } from "preact";
import type { AnyEvent, Client } from "../types.ts";
import type { PayloadOf } from "../../protocol/messages.ts";
import { readBlock } from "./answers.ts";
import type { BlockAnswer } from "./answers.ts";
import { Fact, Facts, Fault, Heading, Id, Instant } from "./facts.tsx";
import { Loading, Notice } from "./facts.tsx";
import { TransactionItem } from "./items.tsx";
import type { Level } from "./rows.ts";
import { Subject } from "./subject.ts";
import { transactionRow } from "./transactions.ts";
import { blockPath, brief, bytes, counted } from "./words.ts";
import { exact, integer } from "./words.ts";

/** Transactions loaded at a time. */
export const PAGE = 25;

/** Newest events of the channel of blocks, to find the end of the chain. */
export const NEWEST = 20;

/** What a page about one thing is given. */
export interface SubjectProps {
  /** Brings what happens. */
  readonly client: Client;
  /** What it is about: an id, of a block also its height. */
  readonly id: string;
  /** The server's present time, in epoch milliseconds. */
  readonly now: number;
}

type Block = PayloadOf<"NEW_BLOCK">;
type Transactions = BlockAnswer["transactions"];

interface BlockState {
  /** The newest block of the chain; absent before it is known. */
  readonly tip: number | undefined;
  /** Transactions after the first page, as asked for. */
  readonly more: Transactions;
  /** Place after which there are further ones; `undefined`: as answered. */
  readonly next: number | null | undefined;
}

/** The page. */
export class BlockPage extends Component<SubjectProps, BlockState> {
  /** What is shown besides the subject. */
  override state: BlockState = { tip: undefined, more: [], next: undefined };
  readonly #undo: (() => void)[] = [];
  readonly #subject = new Subject<BlockAnswer>({
    read: () => readBlock(this.props.id, PAGE),
    changed: () => this.forceUpdate(),
  });

  /** Starts; called by Preact. */
  override componentDidMount(): void {
    const { client } = this.props;
    this.#subject.ring();
    const undo = [
      client.subscribe("NEW_BLOCK", ({ payload }) => {
        this.#reached(payload, payload.height);
        this.#ringIf(this.#isAbout(payload));
      }),
      client.subscribe("BLOCK_REVERTED", ({ payload }) => {
        this.#reached(payload, payload.height - 1);
        this.#ringIf(this.#isAbout(payload));
      }),
      client.subscribe("FINALITY", ({ payload }) => {
        const { value } = this.#subject;
        const height = heightOf(value) ?? Infinity;
        const isRaised = value?.finality !== payload.level;
        this.#ringIf(isRaised && payload.height >= height);
      }),
      client.subscribe("CHAIN_RESET", () => this.#ringIf(true)),
      client.onGap(() => this.#ringIf(true)),
    ];
    this.#undo.push(...undo);
    client.joinChannel("blocks", { last: NEWEST });
    addEventListener("keydown", this.#key);
  }

  /** Ends; called by Preact. */
  override componentWillUnmount(): void {
    for (const undo of this.#undo) undo();
    this.#subject.end();
    removeEventListener("keydown", this.#key);
  }

  /** The elements; called by Preact. */
  render(): VNode {
    const { id } = this.props;
    const { value, fault } = this.#subject;
    const height = heightOf(value);
    const name = height === undefined ? brief(id, 10, 8) : integer(height);
    return (
      <article>
        <Heading kind="Block" name={name} {...standingOf(value)}>
          <nav class="steps" aria-label="Blocks">
            {this.#step(-1, "prev", "Previous", "←")}
            {this.#step(1, "next", "Next", "→")}
          </nav>
        </Heading>
        {fault !== undefined && <Fault text={fault} />}
        {value
          ? this.#content(value)
          : fault === undefined && <Loading rows={8} />}
      </article>
    );
  }

  #content(value: BlockAnswer): VNode {
    if (value.status === "unknown") return this.#unknown();
    const event = value.event as unknown as AnyEvent;
    const block = event.payload as Block;
    const { previousHash, validator, gasUsed, gasLimit, size } = block;
    const { tip } = this.state;
    const above = tip === undefined ? undefined : tip - block.height;
    return (
      <>
        {value.status === "reverted" && (
          <Notice>
            This block left the chain
            {reasonOf(event)}.{" "}
            <a href={blockPath(block.height)}>
              The block that stands at {integer(block.height)}
            </a>
          </Notice>
        )}
        <div class="columns">
          <section class="panel" aria-labelledby="facts-title">
            <header>
              <h2 id="facts-title">Facts</h2>
            </header>
            <Facts>
              <Fact name="Id">
                <Id id={block.blockId} />
              </Fact>
              {block.hash !== block.blockId && (
                <Fact name="Hash">{block.hash && <Id id={block.hash} />}</Fact>
              )}
              <Fact name="Time">
                <Instant iso={block.timestamp} />
              </Fact>
              {value.status === "standing" && above !== undefined &&
                above >= 0 && (
                <Fact name="Depth">
                  {above === 0
                    ? "the newest block"
                    : `${counted(above, "block")} above it`}
                </Fact>
              )}
              <Fact name="Previous block">
                {previousHash && (
                  <a class="mono id" href={blockPath(previousHash)}>
                    {previousHash}
                  </a>
                )}
              </Fact>
              {parentsOf(block).length > 0 && (
                <Fact name="Parents in the DAG">
                  {parentsOf(block).map((parent) => (
                    <a key={parent} class="mono id" href={blockPath(parent)}>
                      {parent}
                    </a>
                  ))}
                </Fact>
              )}
              <Fact name="Validator">
                {validator && <span class="mono id">{validator}</span>}
              </Fact>
              <Fact name="Size">
                {size && <>{bytes(size)} ({integer(size)} bytes)</>}
              </Fact>
              <Fact name="Gas used">
                {gasUsed === undefined ? undefined : (
                  <>
                    {integer(gasUsed)}
                    {gasLimit ? ` of ${integer(gasLimit)}` : ""}
                  </>
                )}
              </Fact>
              <Fact name="Base fee">
                {block.baseFee &&
                  `${exact(block.baseFee)} smallest units a gas`}
              </Fact>
              <Fact name="Chain">{block.chain}</Fact>
            </Facts>
          </section>
          {event.type === "NEW_BLOCK" && this.#transactions(value, block)}
        </div>
      </>
    );
  }

  #transactions(value: BlockAnswer, block: Block): VNode {
    const { more, next = value.next } = this.state;
    const level: Level = value.finality === "none" ? "new" : value.finality;
    const known = [...value.transactions, ...more];
    const count = block.transactionCount ?? value.total;
    return (
      <section class="panel" aria-labelledby="transactions-title">
        <header>
          <h2 id="transactions-title">
            {counted(count, "transaction")}
          </h2>
        </header>
        {known.length === 0 && (
          <p class="empty">
            {count === 0
              ? "The block is empty"
              : "Its transactions are no longer kept"}
          </p>
        )}
        <ol class="rows">
          {known.map((each) => {
            const { payload, timestamp } = each as unknown as {
              payload: PayloadOf<"TX_RECEIVED">;
              timestamp: string;
            };
            const row = transactionRow(payload, Date.parse(timestamp));
            return (
              <TransactionItem
                key={row.id}
                row={row}
                level={level}
                now={this.props.now}
              />
            );
          })}
        </ol>
        {next !== null && (
          <button
            type="button"
            class="more"
            onClick={() => this.#more(next)}
          >
            Show more
          </button>
        )}
      </section>
    );
  }

  #unknown(): VNode {
    const { id } = this.props;
    const { tip } = this.state;
    const height = /^\d+$/.test(id) ? integer(Number(id)) : undefined;
    const isAhead = height && tip !== undefined && Number(id) > tip;
    return (
      <Notice>
        {isAhead
          ? `The chain has not got so far. Block ${height} is shown here once it is made.`
          : height
          ? `The service keeps no block of height ${height}. Should it arrive, it is shown here.`
          : "The service keeps no block of this id. Should it arrive, it is shown here."}
        {tip !== undefined && (
          <>
            {" "}The newest block is{" "}
            <a href={blockPath(tip)}>{integer(tip)}</a>.
          </>
        )}
      </Notice>
    );
  }

  #step(by: 1 | -1, rel: string, name: string, arrow: string): VNode {
    const height = this.#neighbour(by);
    const label = by < 0 ? `${arrow} ${name}` : `${name} ${arrow}`;
    return height === undefined ? <span class="step">{label}</span> : (
      <a
        class="step"
        rel={rel}
        href={blockPath(height)}
        aria-keyshortcuts={by < 0 ? "ArrowLeft" : "ArrowRight"}
      >
        {label}
      </a>
    );
  }

  #neighbour(by: 1 | -1): number | undefined {
    const height = heightOf(this.#subject.value);
    if (height === undefined) return undefined;
    const { tip = Infinity } = this.state;
    const wanted = height + by;
    return wanted < 0 || wanted > tip ? undefined : wanted;
  }

  #key = (pressed: KeyboardEvent): void => {
    const { key, ctrlKey, metaKey, altKey, shiftKey, target } = pressed;
    if (ctrlKey || metaKey || altKey || shiftKey) return;
    if ((target as Element).closest("input, textarea, select")) return;
    const by = key === "ArrowLeft" ? -1 : key === "ArrowRight" ? 1 : undefined;
    const height = by && this.#neighbour(by);
    if (height !== undefined && by) location.assign(blockPath(height));
  };

  #more = async (after: number): Promise<void> => {
    const { id } = this.props;
    try {
      const { transactions, next } = await readBlock(id, PAGE, after);
      this.setState(({ more }) => ({ more: [...more, ...transactions], next }));
    } catch {
      // The subject shows that the service does not answer.
      this.#subject.ring();
    }
  };

  /** The end of a chain; others than that of the block do not count. */
  #reached({ chain }: { readonly chain?: string | undefined }, tip: number) {
    const own = this.#subject.value?.event?.["payload"] as Block | undefined;
    if (!own || own.chain === chain) this.setState({ tip });
  }

  #ringIf(isAbout: boolean): void {
    if (isAbout) this.#subject.ring();
  }

  #isAbout(
    { blockId, height }: { readonly blockId: string; readonly height: number },
  ): boolean {
    const { id } = this.props;
    const shown = heightOf(this.#subject.value);
    return blockId === id || String(height) === id || height === shown;
  }
}

/** The height of the block that is shown. */
function heightOf(value: BlockAnswer | undefined): number | undefined {
  const payload = value?.event?.["payload"] as Block | undefined;
  return payload?.height;
}

/** Further parents of a block, on a chain that is a DAG. */
function parentsOf(block: Block): readonly string[] {
  const parents = block["parents"];
  if (!Array.isArray(parents)) return [];
  return parents.filter((it): it is string =>
    typeof it === "string" && it !== block.previousHash
  );
}

function reasonOf(event: AnyEvent): string {
  const { reason } = event.payload as { reason?: unknown };
  return typeof reason === "string" ? ` (${reason})` : "";
}

function standingOf(
  value: BlockAnswer | undefined,
): { chip?: string; chipClass?: string } {
  if (!value) return {};
  const { status, finality } = value;
  if (status === "reverted") return { chip: "reverted", chipClass: "failed" };
  if (status === "unknown") return { chip: "not known" };
  if (finality === "none") return { chip: "stands", chipClass: "pending" };
  return { chip: finality, chipClass: "confirmed" };
}
