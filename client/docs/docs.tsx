/**
 * The API, drawn from its own two documents.
 *
 * @module
 */
/** @jsxRuntime automatic */
/** @jsxImportSource preact */
/// <reference lib="dom" />
/// <reference lib="dom.iterable" />
import { Component, render } from "preact";
import type { ComponentChildren, VNode } from "preact";
import { boundsOf, referenceOf, typeOf, wordsOf } from "./model.ts";
import type {
  AsyncDocument,
  Entry,
  OpenDocument,
  Part,
  Reference,
  Schema,
  Section,
} from "./model.ts";

/** Deepest nesting of a shape that is drawn. */
const MAX_DEPTH = 6;
/** How long a copy is confirmed, in milliseconds. */
const COPIED_MS = 1_500;

interface DocsState {
  readonly sought: string;
  readonly isOpen: boolean;
}

/** The page. */
class Docs extends Component<{ readonly reference: Reference }, DocsState> {
  override state: DocsState = { sought: "", isOpen: false };

  override componentDidMount(): void {
    addEventListener("keydown", this.#onKey);
    // The anchor was not there yet when the browser looked for it.
    this.#reveal();
  }

  override componentWillUnmount(): void {
    removeEventListener("keydown", this.#onKey);
  }

  #reveal(): void {
    const id = decodeURIComponent(location.hash.slice(1));
    if (id) document.getElementById(id)?.scrollIntoView();
  }

  #onKey = (event: KeyboardEvent): void => {
    const isTyping = event.target instanceof HTMLInputElement;
    if (event.key === "/" && !isTyping) {
      event.preventDefault();
      document.querySelector<HTMLInputElement>("#sought")?.focus();
    }
    if (event.key === "Escape") this.setState({ sought: "" });
  };

  render(): VNode {
    const { reference } = this.props;
    const { sought, isOpen } = this.state;
    const words = sought.toLowerCase().split(/\s+/).filter(Boolean);
    const sections = reference.sections.map((section) => ({
      ...section,
      entries: section.entries.filter((entry) => {
        const all = wordsOf(entry);
        return words.every((word) => all.includes(word));
      }),
    })).filter(({ entries }) => entries.length > 0);
    const close = () => this.setState({ isOpen: false });
    return (
      <>
        <a class="skip" href="#main">Skip to the reference</a>
        <header class="bar">
          <p class="brand">
            <img src="/icon.svg" alt="" width={26} height={26} />
            KALDRIX <span>API {reference.version}</span>
          </p>
          <nav class="links" aria-label="Elsewhere">
            <a href="/">Live</a>
            <a href="/asyncapi.json">AsyncAPI</a>
            <a href="/openapi.json">OpenAPI</a>
            <button
              type="button"
              class="menu"
              aria-expanded={isOpen}
              aria-controls="contents"
              onClick={() => this.setState({ isOpen: !isOpen })}
            >
              Contents
            </button>
          </nav>
        </header>
        <div class="docs">
          <nav id="contents" class={isOpen ? "open" : ""} aria-label="Contents">
            <label class="hidden" for="sought">Search</label>
            <input
              id="sought"
              type="search"
              placeholder="Search  /"
              value={sought}
              onInput={({ currentTarget }) =>
                this.setState({ sought: currentTarget.value })}
            />
            {words.length === 0 && (
              <ul>
                {["start", "channels", "refusals"].map((id) => (
                  <li key={id}>
                    <a href={`#${id}`} onClick={close}>{TITLES[id]}</a>
                  </li>
                ))}
              </ul>
            )}
            {sections.map(({ id, title, entries }) => (
              <section key={id}>
                <h2>{title}</h2>
                <ul>
                  {entries.map((entry) => (
                    <li key={entry.id}>
                      <a href={`#${entry.id}`} onClick={close}>
                        <Badge word={entry.badge} />
                        <span>{entry.name}</span>
                      </a>
                    </li>
                  ))}
                </ul>
              </section>
            ))}
            <p class="sub" role="status">
              {words.length > 0 &&
                `${sections.flatMap((it) => it.entries).length} found`}
            </p>
          </nav>
          <main id="main">
            {words.length === 0 && <Start reference={reference} />}
            {words.length === 0 && <Channels reference={reference} />}
            {sections.map((section) => (
              <SectionView
                key={section.id}
                section={section}
                reference={reference}
              />
            ))}
            {sections.length === 0 && (
              <p class="empty">Nothing here is called that.</p>
            )}
            {words.length === 0 && <Refusals reference={reference} />}
          </main>
        </div>
      </>
    );
  }
}

const TITLES: Readonly<Record<string, string>> = {
  start: "Start here",
  channels: "Channels",
  refusals: "Refusals",
};

function Start({ reference }: { readonly reference: Reference }): VNode {
  const { description, socket } = reference;
  const origin = location.origin;
  return (
    <section id="start" class="chapter">
      <h1>KALDRIX Realtime API</h1>
      <p class="lead">{description}</p>
      <Code
        name="In a browser"
        text={`import { connect } from "${origin}/client.js";

const client = connect("${socket}");
client.subscribe("NEW_BLOCK", ({ payload }) => console.log(payload.height));
client.joinChannel("blocks", { last: 10 });`}
      />
      <Code
        name="In a terminal"
        text={`npx -y wscat -c ${socket} -w 60 -x '{"type":"subscribe","payload":{"channels":["blocks"]}}'`}
      />
      <Code
        name="Without a WebSocket"
        text={`curl -N '${origin}/sse?channels=blocks&last=3'`}
      />
      <p>
        Every event of a channel has a number. Come back with the last{" "}
        <code>epoch</code> and <code>seq</code>{" "}
        you saw, to any instance, and what you missed comes first, in order;
        when it is no longer kept, you are told so.
      </p>
    </section>
  );
}

function Channels({ reference }: { readonly reference: Reference }): VNode {
  return (
    <section id="channels" class="chapter">
      <h1>Channels</h1>
      <div class="scroll" tabIndex={0} role="region" aria-label="Channels">
        <table>
          <thead>
            <tr>
              {["Channel", "Carries", "Read by", "Published by", "Kept"].map(
                (name) => <th key={name} scope="col">{name}</th>,
              )}
            </tr>
          </thead>
          <tbody>
            {Object.entries(reference.channels).map(([name, row]) => (
              <tr key={name}>
                <th scope="row">
                  <code>{name}</code>
                  {row.aliases.map((alias) => (
                    <span key={alias} class="sub">or {alias}</span>
                  ))}
                </th>
                <td>
                  {row.summary}
                  <span class="sub mono">{row.messages.join(", ")}</span>
                </td>
                <td>{row.read}</td>
                <td>{row.publish}</td>
                <td>{row.retention === "log" ? "yes" : "no"}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}

function Refusals({ reference }: { readonly reference: Reference }): VNode {
  return (
    <section id="refusals" class="chapter">
      <h1>Refusals</h1>
      <p class="lead">
        One table for all doors: <code>code</code>{" "}
        is what to switch on. After a close code below 4500 come back with your
        positions; from 4500 on, do not.
      </p>
      <div class="scroll" tabIndex={0} role="region" aria-label="Refusals">
        <table>
          <thead>
            <tr>
              {["Code", "Means", "HTTP", "Close"].map((name) => (
                <th key={name} scope="col">{name}</th>
              ))}
            </tr>
          </thead>
          <tbody>
            {Object.entries(reference.refusals).map(([code, row]) => (
              <tr key={code}>
                <th scope="row">
                  <code>{code}</code>
                </th>
                <td>{row.text}</td>
                <td>{row.http}</td>
                <td>{row.close}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}

function SectionView(
  { section, reference }: {
    readonly section: Section;
    readonly reference: Reference;
  },
): VNode {
  return (
    <section id={section.id} class="chapter">
      <h1>{section.title}</h1>
      <p class="lead">{section.note}</p>
      {section.entries.map((entry) => (
        <EntryView key={entry.id} entry={entry} reference={reference} />
      ))}
    </section>
  );
}

function EntryView(
  { entry, reference }: {
    readonly entry: Entry;
    readonly reference: Reference;
  },
): VNode {
  return (
    <article id={entry.id} class="entry">
      <h2>
        <a href={`#${entry.id}`}>
          <Badge word={entry.badge} /> <span class="mono">{entry.name}</span>
        </a>
      </h2>
      <p>{entry.summary}</p>
      {entry.description && <p class="sub">{entry.description}</p>}
      {entry.parts.map((part) => (
        <PartView key={part.title} part={part} reference={reference} />
      ))}
    </article>
  );
}

function PartView(
  { part, reference }: { readonly part: Part; readonly reference: Reference },
): VNode {
  const { title, note, schema, examples } = part;
  const rows = schema ? rowsOf(schema, reference) : [];
  return (
    <div class={examples.length > 0 ? "part" : "part plain"}>
      <div>
        <h3>
          {title} {note && <span class="sub">{note}</span>}
        </h3>
        {rows.length > 0 && (
          <dl class="fields">
            {rows.map(({ path, depth, type, bounds, isRequired }) => (
              <div key={path} class={`field depth-${depth}`}>
                <dt class="mono">
                  {path.slice(path.lastIndexOf("/") + 1)}
                  {isRequired && (
                    <span class="must" title="required">
                      *<span class="hidden">required</span>
                    </span>
                  )}
                </dt>
                <dd>
                  <span class="type">{type}</span>
                  {bounds && <span class="sub">{bounds}</span>}
                </dd>
              </div>
            ))}
          </dl>
        )}
      </div>
      {examples.length > 0 && <Examples examples={examples} />}
    </div>
  );
}

/** Several examples, one at a time. */
class Examples extends Component<
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
class Code extends Component<
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

function Badge({ word }: { readonly word: string }): VNode {
  return <span class={`badge ${word.toLowerCase()}`}>{word}</span>;
}

interface Row {
  readonly path: string;
  readonly depth: number;
  readonly type: string;
  readonly bounds: string;
  readonly isRequired: boolean;
}

/** A shape as lines: every field below the one it belongs to. */
function rowsOf(schema: Schema, reference: Reference): Row[] {
  const rows: Row[] = [];
  const walk = (inner: Schema, path: string, depth: number): void => {
    const shape = reference.resolve(inner);
    const several = shape.anyOf ?? shape.oneOf;
    if (several) {
      for (const each of several) {
        const named = each.$ref?.slice(each.$ref.lastIndexOf("/") + 1);
        const keys = Object.keys(each.properties ?? {});
        if (named && !/schema\d+$/.test(named)) {
          rows.push({
            path: `${path}/${named}`,
            depth,
            type: "as over the WebSocket",
            bounds: "",
            isRequired: false,
          });
        } else if (keys.length > 0 || each.oneOf) walk(each, path, depth);
      }
      return;
    }
    if (shape.type === "array" && shape.items) {
      return walk(shape.items, path, depth);
    }
    if (depth > MAX_DEPTH) return;
    for (const [name, field] of Object.entries(shape.properties ?? {})) {
      const at = `${path}/${name}`;
      rows.push({
        path: at,
        depth,
        type: typeOf(field),
        bounds: boundsOf(field),
        isRequired: shape.required?.includes(name) ?? false,
      });
      const leads = field.$ref ? {} : field;
      walk(leads, at, depth + 1);
    }
  };
  walk(schema, "", 0);
  const seen = new Set<string>();
  return rows.filter(({ path }) => !seen.has(path) && seen.add(path));
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

const root = document.getElementById("docs")!;
try {
  const [wire, doors] = await Promise.all(
    ["/asyncapi.json", "/openapi.json"].map(async (path) => {
      const response = await fetch(path);
      if (!response.ok) throw new Error(`${path} answered ${response.status}`);
      return await response.json();
    }),
  );
  const reference = referenceOf(
    wire as AsyncDocument,
    doors as OpenDocument,
    location.origin,
  );
  root.replaceChildren();
  render(<Docs reference={reference} />, root);
} catch (error) {
  const said = document.createElement("p");
  said.className = "noscript";
  said.textContent = `The documents cannot be read: ${
    error instanceof Error ? error.message : error
  }`;
  root.replaceChildren(said);
}
