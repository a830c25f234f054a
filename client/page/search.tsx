/**
 * Finds a block, a transaction or an address by what a person has copied, and
 * opens its page.
 *
 * @module
 */
/** @jsxRuntime automatic */
/** @jsxImportSource preact */
/// <reference lib="dom" />
import { Component, createRef } from "preact";
import type { VNode } from "preact";
import { readBlock, readTransaction } from "./answers.ts";
import { addressPath, blockPath, transactionPath } from "./words.ts";

/** A height, with or without the separators that the pages write. */
const HEIGHT = /^#?\d{1,3}(,?\d{3})*$|^#?\d+$/;
/** What a chain of EVM names addresses by. */
const ADDRESS = /^0x[0-9a-f]{40}$/i;

/** How the service is asked; the pages' own way when absent. */
export interface Lookups {
  /** A block by id. */
  readonly readBlock: typeof readBlock;
  /** A transaction by id. */
  readonly readTransaction: typeof readTransaction;
}

/**
 * Where the thing of a name is shown.
 *
 * @param text a height, or the id of a block, a transaction or an address.
 * @param lookups queries the service.
 * @returns a path; absent when nothing of that name is known.
 * @throws {AnswerError} when the service cannot answer.
 */
export async function pathOf(
  text: string,
  lookups: Lookups = { readBlock, readTransaction },
): Promise<string | undefined> {
  const name = text.trim();
  if (HEIGHT.test(name)) return blockPath(name.replace(/[#,]/g, ""));
  if (ADDRESS.test(name)) return addressPath(name);
  const [block, transaction] = await Promise.all([
    lookups.readBlock(name, 0),
    lookups.readTransaction(name),
  ]);
  if (block.status !== "unknown") return blockPath(name);
  if (transaction.state !== "unknown") return transactionPath(name);
  return undefined;
}

interface SearchState {
  /** What is wrong with what was sought. */
  readonly fault: VNode | string | null;
  readonly isBusy: boolean;
}

/** The field; `/` leads to it from anywhere on the page. */
export class Search extends Component<Record<never, never>, SearchState> {
  /** What is shown. */
  override state: SearchState = { fault: null, isBusy: false };
  readonly #input = createRef<HTMLInputElement>();

  /** Starts; called by Preact. */
  override componentDidMount(): void {
    addEventListener("keydown", this.#key);
  }

  /** Ends; called by Preact. */
  override componentWillUnmount(): void {
    removeEventListener("keydown", this.#key);
  }

  /** The elements; called by Preact. */
  render(): VNode {
    const { fault, isBusy } = this.state;
    return (
      <form role="search" class="search" onSubmit={this.#submit}>
        <input
          ref={this.#input}
          type="search"
          name="q"
          aria-label="Search blocks, transactions and addresses"
          aria-describedby="search-fault"
          aria-keyshortcuts="/"
          placeholder="Height, block, transaction or address"
          maxLength={256}
          required
          autoComplete="off"
          autoCapitalize="off"
          spellcheck={false}
          onInput={() => this.state.fault && this.setState({ fault: null })}
        />
        <button type="submit" aria-busy={isBusy}>
          {isBusy ? "Searching" : "Search"}
        </button>
        <p id="search-fault" class="fault" role="alert">{fault}</p>
      </form>
    );
  }

  #key = (pressed: KeyboardEvent): void => {
    const { key, ctrlKey, metaKey, altKey, target } = pressed;
    if (key !== "/" || ctrlKey || metaKey || altKey) return;
    if ((target as Element).closest("input, textarea, select")) return;
    pressed.preventDefault();
    this.#input.current?.select();
  };

  #submit = async (submitted: SubmitEvent): Promise<void> => {
    submitted.preventDefault();
    if (this.state.isBusy) return;
    const name = this.#input.current!.value.trim();
    if (name === "") return;
    this.setState({ isBusy: true, fault: null });
    try {
      const path = await pathOf(name);
      if (path !== undefined) location.assign(path);
      const fault = path === undefined
        ? (
          <>
            No block or transaction of this name is known.{" "}
            <a href={addressPath(name)}>Look for an address</a>
          </>
        )
        : null;
      this.setState({ isBusy: false, fault });
    } catch (error) {
      this.setState({ isBusy: false, fault: (error as Error).message });
    }
  };
}
