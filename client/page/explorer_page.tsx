/**
 * The frame of the explorer's pages: the bar, and the page that the path names.
 *
 * @module
 */
/** @jsxRuntime automatic */
/** @jsxImportSource preact */
/// <reference lib="dom" />
import { Component } from "preact";
import type { VNode } from "preact";
import type { Client } from "../types.ts";
import { AddressPage } from "./address_page.tsx";
import { Bar, Foot } from "./bar.tsx";
import { BlockPage } from "./block_page.tsx";
import { Heading, Loading } from "./facts.tsx";
import { Freshness } from "./freshness.ts";
import { TransactionPage } from "./transaction_page.tsx";
import { brief } from "./words.ts";

/** What there are pages of, by the first part of the path. */
const PAGES = {
  block: { title: "Block", Page: BlockPage },
  tx: { title: "Transaction", Page: TransactionPage },
  address: { title: "Address", Page: AddressPage },
} as const;

/** What a page is about. */
export interface Place {
  /** Which page. */
  readonly kind: keyof typeof PAGES;
  /** What it is about. */
  readonly id: string;
}

/**
 * What the path of a page names.
 *
 * @param path as `location.pathname` gives it.
 * @returns absent when it names nothing.
 */
export function placeOf(path: string): Place | undefined {
  const [, kind, ...rest] = path.split("/");
  const text = rest.join("/");
  if (!kind || !Object.hasOwn(PAGES, kind) || text === "") return undefined;
  try {
    return { kind: kind as Place["kind"], id: decodeURIComponent(text) };
  } catch {
    return undefined;
  }
}

interface ExplorerState {
  /** Absent in the first drawing, which is that of the document. */
  readonly place: Place | undefined;
}

/** A page of the explorer. */
export class ExplorerPage
  extends Component<{ readonly client: Client }, ExplorerState> {
  /** What is shown. */
  override state: ExplorerState = { place: undefined };
  readonly #freshness = new Freshness();
  readonly #undo: (() => void)[] = [];
  #timer: ReturnType<typeof setInterval> | undefined;

  /** Starts; called by Preact. */
  override componentDidMount(): void {
    const { client } = this.props;
    const place = placeOf(location.pathname);
    if (place) {
      document.title = `${PAGES[place.kind].title} ${
        brief(place.id)
      } · KALDRIX`;
    }
    this.setState({ place });
    const state = () => {
      this.#freshness.sawState(client.state, performance.now());
      this.forceUpdate();
    };
    state();
    this.#undo.push(client.onState(state));
    for (const type of ["NEW_BLOCK", "TX_RECEIVED"] as const) {
      this.#undo.push(client.subscribe(type, (event) => {
        this.#freshness.sawEvent(event, performance.now());
      }));
    }
    // Ages and freshness move on also while nothing arrives.
    this.#timer = setInterval(() => this.forceUpdate(), 1_000);
  }

  /** Ends; called by Preact. */
  override componentWillUnmount(): void {
    for (const undo of this.#undo) undo();
    clearInterval(this.#timer);
  }

  /** The elements; called by Preact. */
  render(): VNode {
    const { client } = this.props;
    const { place } = this.state;
    const freshness = this.#freshness.describe(performance.now(), Date.now());
    return (
      <>
        <a class="skip" href="#main">Skip to the content</a>
        <Bar client={client} freshness={freshness} />
        <main id="main" class="explorer">{this.#page(place)}</main>
        <Foot />
      </>
    );
  }

  #page(place: Place | undefined): VNode {
    if (!place) {
      return (
        <article>
          <Heading kind="Explorer" name="" />
          <Loading rows={9} />
        </article>
      );
    }
    const { client } = this.props;
    const { Page } = PAGES[place.kind];
    const now = Date.now() + client.state.clockOffsetMs;
    return <Page client={client} id={place.id} now={now} />;
  }
}
