/**
 * `<kaldrix-devtoolbar>`: what a connection does, on any page.
 *
 * One script tag is enough: it adds the element, which shows the connection
 * that the page uses, and only if there is none opens one of its own to the
 * server that served the script. To choose a connection, set the element's
 * `client`. Loaded as `/devtoolbar.js?auto=off` the script only defines the
 * element.
 *
 * @module
 */
/// <reference lib="dom" />
import { connect } from "../client.ts";
import type { Client, ClientState } from "../types.ts";
import { Recording } from "./recording.ts";
import type { Exported, Recorded } from "./recording.ts";
import { replay } from "./replay.ts";
import { STYLES } from "./styles.ts";
import { mount } from "./panel.tsx";

export type { Exported, Recorded } from "./recording.ts";
export type { Grade } from "./health.ts";
export { gradeOf, GRADES } from "./health.ts";

/** The element's name. */
export const TAG = "kaldrix-devtoolbar";
/** Shortest time between two drawings, in milliseconds. */
export const DRAW_MS = 200;

/** How long the page may take to make its own connection, in milliseconds. */
export const FIND_MS = 1_000;

/** Connections that toolbars opened themselves. */
const own = new WeakSet<Client>();

/** What `replay` events carry. */
export interface ReplayDetail {
  /** The message, as it was recorded. */
  readonly message: Recorded;
}

/** Where there is no page, as on a server that renders one, it is only a name. */
const Element = globalThis.HTMLElement ??
  class {} as unknown as typeof HTMLElement;

/**
 * The element. Attributes: `url` of a connection of its own, which it then
 * opens at once (default: `/ws` on the script's server, when the page has made
 * no connection after {@link FIND_MS}), `open`. Dispatches `replay` ({@link ReplayDetail}) for
 * every message played again.
 */
export class KaldrixDevtoolbar extends Element {
  /** Attributes that matter after the start, too. */
  static readonly observedAttributes = ["open"];

  readonly #recording = new Recording();
  #imported: Recording | null = null;
  #client: Client | null = null;
  #chosen: Client | null = null;
  #own: Client | null = null;
  #finding: ReturnType<typeof setTimeout> | undefined;
  #undo: (() => void)[] = [];
  #stopReplay: (() => void) | null = null;
  #replaying: number | null = null;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #draw: (() => void) | null = null;

  /** Makes the shadow tree. */
  constructor() {
    super();
    const root = this.attachShadow({ mode: "open", delegatesFocus: true });
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(STYLES);
    root.adoptedStyleSheets = [sheet];
    // What is typed here must not trigger the page's shortcuts.
    for (const name of ["keydown", "keypress", "keyup"]) {
      root.addEventListener(name, (event) => event.stopPropagation());
    }
  }

  /**
   * The connection watched: a client, or a hook, whose client it is. `null`
   * returns to the page's, or to one of the element's own. Recorded events are
   * kept.
   */
  get client(): Client | null {
    return this.#client;
  }
  set client(client: Client | { readonly client: Client } | null) {
    const chosen = client && "client" in client ? client.client : client;
    if (chosen === this.#client && chosen !== null) return;
    this.#forget();
    this.#client = this.#chosen = chosen;
    if (this.isConnected) this.#watch();
  }

  /** Whether the panel is open. */
  get open(): boolean {
    return this.hasAttribute("open");
  }
  set open(open: boolean) {
    this.toggleAttribute("open", open);
  }

  /**
   * Shows a recording that was exported before, in place of what is being
   * recorded, which continues meanwhile; {@link replay} plays it.
   *
   * @param json as exported; `null` returns to the connection's own.
   * @throws {TypeError} when it is not a recording; the text is for a person.
   */
  import(json: string | null): void {
    const imported = json === null ? null : Recording.read(json);
    this.stopReplay();
    this.#imported = imported;
    this.#draw?.();
  }

  /** What was recorded, with the state of the connection. */
  export(): Exported {
    return this.#recording.export(this.#client?.state ?? null, Date.now());
  }

  /**
   * Plays what was received again, or what was imported, in its rhythm, as
   * `replay` events; a replay under way is stopped first.
   *
   * @param speed times the original speed; `Infinity`: without pauses.
   */
  replay(speed = 1): void {
    this.stopReplay();
    const { messages } = this.#imported ?? this.#recording;
    const stop = replay([...messages], {
      speed,
      play: (message) => {
        this.#replaying = message.number;
        const detail: ReplayDetail = { message };
        this.dispatchEvent(new CustomEvent("replay", { detail }));
        this.#soon();
      },
      done: () => this.stopReplay(),
    });
    this.#stopReplay = stop;
    this.#soon();
  }

  /** Stops a replay, if there is one. */
  stopReplay(): void {
    this.#stopReplay?.();
    this.#stopReplay = null;
    this.#replaying = null;
    this.#soon();
  }

  /** Starts; called by the browser. */
  connectedCallback(): void {
    this.#draw = mount(this.shadowRoot!, {
      recording: this.#recording,
      imported: () => this.#imported,
      load: (json) => this.import(json),
      client: () => this.#client,
      isOpen: () => this.open,
      setOpen: (open) => this.open = open,
      replaying: () => this.#replaying,
      isReplaying: () => this.#stopReplay !== null,
      replay: (speed) => this.replay(speed),
      stopReplay: () => this.stopReplay(),
      save: () => this.#save(),
    });
    this.#watch();
    this.#draw();
  }

  /** Ends; called by the browser. */
  disconnectedCallback(): void {
    this.#forget();
    this.stopReplay();
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#draw = null;
  }

  /** Follows `open`; called by the browser. */
  attributeChangedCallback(): void {
    this.#draw?.();
  }

  #watch(): void {
    const url = this.getAttribute("url");
    const client = this.#chosen ?? (url === null ? this.#ofPage() : undefined);
    if (client) this.#follow(client);
    else if (url !== null) this.#openOwn(url);
    else this.#finding = setTimeout(() => this.#find(), FIND_MS);
    this.#soon();
  }

  /** Follows the page's connection, its own until there is one. */
  #find(): void {
    const client = this.#ofPage();
    if (client) {
      this.#forget();
      return this.#follow(client);
    }
    if (!this.#own) this.#openOwn(new URL("/ws", import.meta.url).href);
    this.#finding = setTimeout(() => this.#find(), FIND_MS);
  }

  /** The newest connection that the page made and has not closed. */
  #ofPage(): Client | undefined {
    const { kaldrix } = globalThis as { kaldrix?: Set<Client> };
    return [...kaldrix ?? []].filter((each) => !own.has(each)).at(-1);
  }

  #openOwn(url: string): void {
    this.#own = connect(url, { client: TAG });
    own.add(this.#own);
    this.#follow(this.#own);
  }

  #follow(client: Client): void {
    this.#client = client;
    this.#undo = [
      client.onFrame((tapped) => {
        this.#recording.add(tapped, client.state.clockOffsetMs);
        this.#soon();
      }),
      client.onState((_: ClientState) => this.#soon()),
    ];
    this.#soon();
  }

  #forget(): void {
    clearTimeout(this.#finding);
    for (const undo of this.#undo.splice(0)) undo();
    this.#own?.disconnect();
    this.#client = this.#own = null;
  }

  /** Draws soon, and then at most every {@link DRAW_MS}. */
  #soon(): void {
    if (this.#timer !== undefined || !this.#draw) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#draw?.();
    }, DRAW_MS);
  }

  #save(): void {
    const text = JSON.stringify(this.export(), null, 2);
    const link = document.createElement("a");
    link.href = URL.createObjectURL(
      new Blob([text], { type: "application/json" }),
    );
    link.download = `kaldrix-${
      new Date().toISOString().replaceAll(":", "-")
    }.json`;
    link.click();
    // The download has its own hold on the data once it began.
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  }
}

const isPage = "customElements" in globalThis;
if (isPage && !customElements.get(TAG)) {
  customElements.define(TAG, KaldrixDevtoolbar);
}

/** Adds the element once there is a page to add it to. */
function addToPage(): void {
  if (!document.querySelector(TAG)) {
    document.body.append(document.createElement(TAG));
  }
}

const { searchParams } = new URL(import.meta.url);
if (isPage && searchParams.get("auto") !== "off") {
  if (document.body) addToPage();
  else document.addEventListener("DOMContentLoaded", addToPage, { once: true });
}
