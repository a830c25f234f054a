/**
 * The page of a transaction: its progress, its fields, its history.
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
import { readTransaction } from "./answers.ts";
import type { TransactionAnswer } from "./answers.ts";
import { NEWEST } from "./block_page.tsx";
import type { SubjectProps } from "./block_page.tsx";
import { Fact, Facts, Fault, Heading, Id, Instant } from "./facts.tsx";
import { Loading, Notice } from "./facts.tsx";
import { Subject } from "./subject.ts";
import { addressPath, blockPath, clockTime, exact, integer } from "./words.ts";
import { brief, transactionPath } from "./words.ts";

/** Newest events of the channel that are searched for its history. */
export const PAST = 1_000;
/** Events about it that are kept; the newest of them. */
export const MAX_STEPS = 50;

/** States on the way, and what each means. */
const WAY = [
  ["seen", "Seen", "waits for a block"],
  ["included", "In a block", "its block stands"],
  ["confirmed", "Confirmed", "others stand on it"],
  ["final", "Final", "is reverted no more"],
] as const;

type Received = Event<"TX_RECEIVED">;

interface TransactionState {
  /** The events about it, oldest first. */
  readonly steps: readonly Received[];
}

/** The page. */
export class TransactionPage extends Component<SubjectProps, TransactionState> {
  /** What is shown besides the subject. */
  override state: TransactionState = { steps: [] };
  readonly #undo: (() => void)[] = [];
  readonly #subject = new Subject<TransactionAnswer>({
    read: () => readTransaction(this.props.id),
    changed: () => this.forceUpdate(),
  });

  /** Starts; called by Preact. */
  override componentDidMount(): void {
    const { client, id } = this.props;
    this.#subject.ring();
    const own = watch(client, "transactions", {
      filter: { txId: id },
      last: PAST,
    });
    const ring = () => this.#subject.ring();
    this.#undo.push(
      own.on("TX_RECEIVED", (event) => {
        this.setState(({ steps }) => ({
          steps: [...steps, event].slice(-MAX_STEPS),
        }));
        ring();
      }),
      own.onGap(ring),
      () => own.close(),
      client.subscribe("NEW_BLOCK", () => {
        if (this.#subject.value?.state === "included") ring();
      }),
      client.subscribe("FINALITY", ({ payload: { height } }) => {
        const { height: own = Infinity, state } = this.#subject.value ?? {};
        if (state !== "final" && height >= own) ring();
      }),
      client.subscribe("BLOCK_REVERTED", ({ payload: { blockId } }) => {
        if (this.#subject.value?.blockId === blockId) ring();
      }),
      client.subscribe("CHAIN_RESET", ring),
      client.onGap(ring),
    );
    client.joinChannel("blocks", { last: NEWEST });
  }

  /** Ends; called by Preact. */
  override componentWillUnmount(): void {
    for (const undo of this.#undo) undo();
    this.#subject.end();
  }

  /** The elements; called by Preact. */
  render(): VNode {
    const { id } = this.props;
    const { value, fault } = this.#subject;
    return (
      <article>
        <Heading
          kind="Transaction"
          name={brief(id, 10, 8)}
          {...stateOf(value)}
        />
        {fault !== undefined && <Fault text={fault} />}
        {value
          ? this.#content(value)
          : fault === undefined && <Loading rows={9} />}
      </article>
    );
  }

  #content(value: TransactionAnswer): VNode {
    const { event, state } = value;
    if (!event) {
      return (
        <Notice>
          The service keeps no transaction of this id. Should it arrive, it is
          shown here.
        </Notice>
      );
    }
    return (
      <>
        {notes(value)}
        <ol class="way" aria-label="How far it has come">
          {WAY.map(([name, title, meaning], i) => (
            <li
              key={name}
              class={i <= placeOf(state) ? "reached" : ""}
              aria-current={i === placeOf(state) && !isOver(state)
                ? "step"
                : undefined}
            >
              <strong>{title}</strong>
              <span class="sub">{meaning}</span>
            </li>
          ))}
        </ol>
        <div class="columns">
          <section class="panel" aria-labelledby="facts-title">
            <header>
              <h2 id="facts-title">Facts</h2>
            </header>
            {this.#facts(value, event.payload)}
          </section>
          <section class="panel" aria-labelledby="steps-title">
            <header>
              <h2 id="steps-title">What happened</h2>
              <p class="note">newest first</p>
            </header>
            {this.#steps()}
          </section>
        </div>
      </>
    );
  }

  #facts(
    { blockId, height }: TransactionAnswer,
    payload: Received["payload"],
  ): VNode {
    const { transfers = [] } = payload;
    const price = (amount: string | undefined) =>
      amount === undefined ? undefined : `${exact(amount)} a gas`;
    return (
      <Facts>
        <Fact name="Id">
          <Id id={payload.txId} />
        </Fact>
        <Fact name="Time">
          <Instant iso={payload.timestamp} />
        </Fact>
        <Fact name="Block">
          {blockId === undefined ? undefined : (
            <a href={blockPath(blockId)}>
              {height === undefined ? blockId : integer(height)}
            </a>
          )}
        </Fact>
        <Fact name="From">
          <Address address={payload.from} />
        </Fact>
        <Fact name="To">
          <Address address={payload.to} />
        </Fact>
        <Fact name="Creates">
          {payload.creates && <Address address={payload.creates} />}
        </Fact>
        <Fact name="Amount">{exact(payload.amount)} smallest units</Fact>
        {transfers.map((each, i) => (
          <Fact key={i} name={`Moves ${each.asset}`}>
            <Address address={each.from} /> <span aria-label="to">→</span>{" "}
            <Address address={each.to} />
            <span class="sub">
              {each.amount && `${exact(each.amount)} smallest units`}
              {each.tokenId && ` token ${each.tokenId}`}
              {each.token && " of "}
              {each.token && <Address address={each.token} />}
            </span>
          </Fact>
        ))}
        <Fact name="Fee">
          {payload.fee && `${exact(payload.fee)} smallest units`}
        </Fact>
        <Fact name="Gas price">{price(payload.gasPrice)}</Fact>
        <Fact name="Gas">
          {payload.gasUsed === undefined
            ? `at most ${integer(payload.gasLimit)}`
            : `${integer(payload.gasUsed)} of ${integer(payload.gasLimit)}`}
        </Fact>
        <Fact name="Nonce">{integer(payload.nonce)}</Fact>
        <Fact name="Chain">{payload.chain}</Fact>
      </Facts>
    );
  }

  #steps(): VNode {
    const { steps } = this.state;
    if (steps.length === 0) {
      return (
        <p class="empty">
          Nothing among the newest {integer(PAST)} events of the channel
        </p>
      );
    }
    return (
      <ol class="happened">
        {steps.toReversed().map((step) => (
          <li key={step.id}>
            <time class="mono" dateTime={step.timestamp}>
              {clockTime(Date.parse(step.timestamp))}
            </time>
            <span>{sentenceOf(step.payload)}</span>
          </li>
        ))}
      </ol>
    );
  }
}

function Address({ address }: { readonly address: string }): VNode {
  return <a class="mono id" href={addressPath(address)}>{address}</a>;
}

/** What a reader must not miss. */
function notes({ state, ok, replacedBy }: TransactionAnswer): VNode | null {
  if (state === "reverted") {
    return (
      <Notice>The block that held it left the chain. It waits again.</Notice>
    );
  }
  if (state === "dropped") {
    return (
      <Notice>
        It is no longer in the pool, as far as is known. It may return.
      </Notice>
    );
  }
  if (state === "replaced") {
    return (
      <Notice>
        Another transaction took its place{replacedBy && (
          <>
            :{" "}
            <a class="mono id" href={transactionPath(replacedBy)}>
              {replacedBy}
            </a>
          </>
        )}.
      </Notice>
    );
  }
  return ok === false
    ? <Notice>It is in a block, but its execution failed.</Notice>
    : null;
}

function placeOf(state: TransactionAnswer["state"]): number {
  return Math.max(0, WAY.findIndex(([name]) => name === state));
}

/** Whether it left the way, as far as is known. */
function isOver(state: TransactionAnswer["state"]): boolean {
  return state === "dropped" || state === "replaced";
}

function stateOf(
  value: TransactionAnswer | undefined,
): { chip?: string; chipClass?: string } {
  if (!value) return {};
  const { state, ok } = value;
  if (state === "unknown") return { chip: "not known" };
  if (state === "seen") return { chip: "pending", chipClass: "pending" };
  const isBad = ok === false || ["reverted", "dropped", "replaced"]
    .includes(state);
  return {
    chip: ok === false ? `failed, ${state}` : state,
    chipClass: isBad
      ? "failed"
      : state === "included"
      ? "pending"
      : "confirmed",
  };
}

/** An event as a sentence. */
export function sentenceOf(
  { status, cause, left, blockHeight, replacedBy }: Received["payload"],
): string {
  const where = blockHeight === undefined
    ? ""
    : ` in block ${integer(blockHeight)}`;
  switch (status) {
    case "pending":
      if (cause !== "reorg") return "Seen, waits for a block";
      return left
        ? `Pending again: block ${integer(left.height)} left the chain`
        : "Pending again: its block left the chain";
    case "confirmed":
      return `Succeeded${where}`;
    case "failed":
      return `Failed${where}`;
    case "replaced":
      return replacedBy ? `Replaced by ${replacedBy}` : "Replaced";
    case "dropped":
      return "Dropped from the pool";
  }
}
