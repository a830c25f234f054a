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
import type { VNode } from "preact";
import { Code } from "./code.tsx";
import { Badge, SectionView } from "./entry.tsx";
import { trialsOf } from "./trials.ts";
import { TryIt } from "./try_it.tsx";
import type { Tried } from "./try_it.tsx";
import { referenceOf, wordsOf } from "./model.ts";
import type { Reference } from "./model.ts";
import type { AsyncDocument, OpenDocument } from "./documents.ts";

interface DocsState {
  readonly sought: string;
  readonly isOpen: boolean;
  /** What a person wants to try; another object each time. */
  readonly tried: Tried | undefined;
}

/** The page. */
class Docs extends Component<{ readonly reference: Reference }, DocsState> {
  override state: DocsState = { sought: "", isOpen: false, tried: undefined };
  readonly #trials = trialsOf(this.props.reference);
  /** What each entry is found by. */
  readonly #words = new Map(
    this.props.reference.sections.flatMap(({ entries }) =>
      entries.map((entry) =>
        [entry, wordsOf(entry, this.props.reference.resolve)] as const
      )
    ),
  );

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

  /** Shows what is found, from the first entry on. */
  #seek(sought: string): void {
    this.setState({ sought });
    scrollTo(0, 0);
  }

  #onKey = (event: KeyboardEvent): void => {
    const isTyping = event.target instanceof Element &&
      event.target.matches("input, textarea, select");
    if (event.key === "/" && !isTyping) {
      event.preventDefault();
      document.querySelector<HTMLInputElement>("#sought")?.focus();
    }
    if (event.key === "Escape") this.setState({ sought: "" });
  };

  render(): VNode {
    const { reference } = this.props;
    const { sought, isOpen, tried } = this.state;
    const words = sought.toLowerCase().split(/\s+/).filter(Boolean);
    const sections = reference.sections.map((section) => ({
      ...section,
      entries: section.entries.filter((entry) => {
        const all = this.#words.get(entry)!;
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
              onInput={({ currentTarget }) => this.#seek(currentTarget.value)}
            />
            {words.length === 0 && (
              <ul>
                {["start", "try", "channels", "refusals"].map((id) => (
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
            {/* Its connection outlives a search. */}
            <div hidden={words.length > 0}>
              <TryIt trials={this.#trials} tried={tried} />
            </div>
            {words.length === 0 && <Channels reference={reference} />}
            {sections.map((section) => (
              <SectionView
                key={section.id}
                section={section}
                reference={reference}
                onTry={(entry) =>
                  this.setState({ sought: "", tried: { entry } })}
              />
            ))}
            {sections.length === 0 && (
              <section class="chapter">
                <h1>No entries match</h1>
                <p class="lead">
                  Try a channel, a verb, a path, a field or the code of a
                  refusal.
                </p>
              </section>
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
  try: "Try it",
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
        Every event of a channel has a number. Connect again with the last{" "}
        <code>epoch</code> and <code>seq</code>{" "}
        you received, to any instance, and you receive what you missed first, in
        order; when it is no longer kept, a gap reports it.
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
        One table for HTTP and WebSocket: <code>code</code>{" "}
        is what to switch on. After a close code below 4500 connect again with
        your positions; from 4500 on, do not.
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

const root = document.getElementById("app")!;
try {
  const [asyncapi, openapi] = await Promise.all(
    ["/asyncapi.json", "/openapi.json"].map(async (path) => {
      const response = await fetch(path);
      if (!response.ok) throw new Error(`${path} answered ${response.status}`);
      return await response.json();
    }),
  );
  const reference = referenceOf(
    asyncapi as AsyncDocument,
    openapi as OpenDocument,
    location.origin,
  );
  root.replaceChildren();
  render(<Docs reference={reference} />, root);
} catch (error) {
  const opening = document.getElementById("opening")!;
  opening.role = "alert";
  opening.className = "notice bad";
  opening.textContent = `The documents cannot be read: ${
    // A request that gets no answer throws what each browser words differently.
    error instanceof TypeError
      ? "the service does not answer"
      : (error as Error).message}. Reload the page to try again.`;
}
