/**
 * Texts to copy.
 *
 * @module
 */
/** @jsxRuntime automatic */
/** @jsxImportSource preact */
/// <reference lib="dom" />
import { Component } from "preact";
import type { ComponentChildren, VNode } from "preact";
import type { Part } from "./model.ts";

/** How long a copy is confirmed, in milliseconds. */
const COPIED_MS = 1_500;

/** Several examples, one at a time. */
export class Examples extends Component<
  { readonly examples: Part["examples"] },
  { readonly shown: number }
> {
  override state: { readonly shown: number } = { shown: 0 };

  render(): VNode {
    const { examples } = this.props;
    const example = examples[Math.min(this.state.shown, examples.length - 1)]!;
    return (
      <div class="examples">
        {examples.length > 1 && (
          <label class="choice">
            <span class="hidden">Example</span>
            <select
              value={this.state.shown}
              onChange={({ currentTarget }) =>
                this.setState({ shown: Number(currentTarget.value) })}
            >
              {examples.map(({ name }, i) => (
                <option key={name} value={i}>{name}</option>
              ))}
            </select>
          </label>
        )}
        <Code
          name={examples.length > 1 ? "" : example.name}
          text={example.text}
        />
      </div>
    );
  }
}

/** A text to copy. */
export class Code extends Component<
  { readonly name: string; readonly text: string },
  { readonly isCopied: boolean }
> {
  override state: { readonly isCopied: boolean } = { isCopied: false };
  #timer: ReturnType<typeof setTimeout> | undefined;

  override componentWillUnmount(): void {
    clearTimeout(this.#timer);
  }

  #copy = async (): Promise<void> => {
    try {
      await navigator.clipboard.writeText(this.props.text);
    } catch {
      // The browser does not allow it; the text can still be marked.
      return;
    }
    this.setState({ isCopied: true });
    clearTimeout(this.#timer);
    this.#timer = setTimeout(
      () => this.setState({ isCopied: false }),
      COPIED_MS,
    );
  };

  render(): VNode {
    const { name, text } = this.props;
    return (
      <figure class="code">
        <figcaption>
          <span>{name}</span>
          <button type="button" onClick={this.#copy}>
            {this.state.isCopied ? "Copied" : "Copy"}
          </button>
        </figcaption>
        <pre class="mono" tabIndex={0}>{coloured(text)}</pre>
      </figure>
    );
  }
}

/** JSON with its words set apart; any other text as it is. */
function coloured(text: string): ComponentChildren {
  if (!text.startsWith("{")) return text;
  return text.split(
    /("(?:[^"\\]|\\.)*"(?:\s*:)?|\b(?:true|false|null)\b|-?\d[\d.eE+-]*)/,
  )
    .map((word, i) => {
      if (i % 2 === 0) return word;
      if (word.endsWith(":")) {
        return <span key={i} class="key-word">{word}</span>;
      }
      if (word.startsWith('"')) {
        return <span key={i} class="text-word">{word}</span>;
      }
      return <span key={i} class="value-word">{word}</span>;
    });
}
