/**
 * One socket for several tabs, in the tab that leads: admits tabs, forwards
 * what they send, and routes what arrives.
 *
 * @module
 */
import { HubChannels } from "./hub_channels.ts";
import { Tab } from "./hub_tab.ts";
import type { Frame } from "./hub_tab.ts";
import { monotonic } from "./timers.ts";
import type { Socket } from "./options.ts";

/** Most tabs on one socket; each has its share of the commands in flight. */
export const MAX_TABS = 16;
/** Most commands of all tabs that wait, for their turn or for an answer. */
export const MAX_ASKED = 1_024;

/** What a hub sends to a tab. */
export type Notice =
  /** A frame of the server. */
  | { readonly kind: "frame"; readonly text: string }
  /** The answer to a tab that asks whether another leads. */
  | { readonly kind: "alive" }
  /** The tab's connection ended; `isMoved`: it can reconnect at once. */
  | {
    readonly kind: "end";
    readonly code: number;
    readonly reason: string;
    readonly isMoved: boolean;
  }
  /** The tab needs a socket of its own. */
  | { readonly kind: "alone" };

/** Ends a tab's connection so that it makes another at once. */
export const MOVED: Notice = {
  kind: "end",
  code: 1006,
  reason: "",
  isMoved: true,
};

/** What a hub is given. */
export interface HubParts {
  /** Makes the one socket. */
  open(): Socket;
  /** Sends something to a tab. */
  post(tab: string, notice: Notice): void;
  /** Called once, when the socket is lost. */
  ended(): void;
}

/** Called with an answer, and with its text. */
type Answered = (answer: Frame, text: string) => void;

/** A change of subscriptions. */
interface Change {
  /** Whether the server may have to be asked first. */
  readonly isJoin: boolean;
  readonly run: () => void;
}

/** One socket for several tabs. */
export class Hub {
  readonly #parts: HubParts;
  readonly #socket: Socket;
  readonly #tabs = new Map<string, Tab>();
  readonly #channels = new HubChannels(this.#tabs);
  /** Those that wait for the socket, with their `connect`. */
  readonly #waiting = new Map<string, Frame>();
  /** What the server has not answered. */
  readonly #asked = new Map<string, Answered>();
  /** Changes of subscriptions that wait for their turn. */
  readonly #changes: Change[] = [];
  /** Subscriptions that the server was asked for. */
  #joining = 0;
  readonly #prefix: string = crypto.randomUUID();
  #serial = 0;
  #welcome: Frame;
  #welcomedAt = 0;
  /** The token that the server accepted last. */
  #token: string | undefined;
  #isOpen = false;
  #isOver = false;

  /** Opens the socket. */
  constructor(parts: HubParts) {
    this.#parts = parts;
    const socket = this.#socket = parts.open();
    socket.onopen = () => {
      this.#isOpen = true;
      this.#greet();
    };
    socket.onmessage = ({ data }: { data: string }) => this.#receive(data);
    socket.onerror = () => {};
    socket.onclose = (
      { code, reason }: { code: number; reason: string },
    ) => this.close(code, reason);
  }

  /** Admits a tab, with its `connect`. */
  join(id: string, text: string): void {
    if (this.has(id)) return;
    if (this.#tabs.size + this.#waiting.size >= MAX_TABS) {
      return this.#parts.post(id, { kind: "alone" });
    }
    const frame = JSON.parse(text);
    this.#waiting.set(id, frame);
    if (this.#welcome) this.#admit(id, frame);
    else this.#greet();
  }

  /** Whether a tab is known. */
  has(id: string): boolean {
    return this.#tabs.has(id) || this.#waiting.has(id);
  }

  /** A tab is gone. */
  leave(id: string): void {
    this.#waiting.delete(id);
    const tab = this.#tabs.get(id);
    if (!tab) return;
    this.#tabs.delete(id);
    tab.close();
    this.#change(false, () => this.#release(this.#channels.leave(tab)));
  }

  /** A tab took frames. */
  took(id: string, count: number): void {
    this.#tabs.get(id)?.took(count);
  }

  /** A tab sends a frame. */
  send(from: string, text: string): void {
    const tab = this.#tabs.get(from);
    if (!tab) return;
    const frame = JSON.parse(text);
    const { type, id, payload } = frame;
    // Requests compression, which applies to the socket only.
    if (type === "connect") this.#greeted(tab, id);
    else if (type === "subscribe") {
      this.#change(true, () => this.#subscribe(tab, frame));
    } else if (type === "unsubscribe") {
      this.#change(false, () => this.#unsubscribe(tab, frame));
    } else if (type === "watch") {
      const { as } = payload;
      const name = `${tab.prefix}${as}`;
      this.#ask({ ...frame, payload: { ...payload, as: name } }, (answer) => {
        tab.answer({ ...answer, payload: { ...answer.payload, as } });
      });
    } else {
      this.#ask(frame, (answer, its) => {
        if (answer.type === "refreshed") this.#token = payload.token;
        tab.deliver(its);
      }, text);
    }
  }

  /**
   * Ends it.
   *
   * @param code of the socket; without one the tabs reconnect at once.
   * @param reason of the socket.
   */
  close(code?: number, reason = ""): void {
    if (this.#isOver) return;
    this.#isOver = true;
    const socket = this.#socket;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close();
    const notice: Notice = code === undefined
      ? MOVED
      : { kind: "end", code, reason, isMoved: false };
    for (const id of [...this.#tabs.keys(), ...this.#waiting.keys()]) {
      this.#parts.post(id, notice);
    }
    this.#parts.ended();
  }

  // Tabs that join

  /** The first waiting tab connects, unless a connection is being made. */
  #greet(): void {
    const [waiting] = this.#waiting;
    if (!waiting || !this.#isOpen || this.#asked.size > 0) return;
    const [id, first] = waiting;
    this.#token = first.payload.auth?.token;
    this.#ask(first, (answer, text) => {
      if (answer.type !== "connected") return this.#refuse(id, text);
      this.#welcome = answer;
      this.#welcomedAt = monotonic();
      for (const [each, connect] of this.#waiting) this.#admit(each, connect);
    });
  }

  /** The next waiting tab may have another token. */
  #refuse(id: string, text: string): void {
    this.#waiting.delete(id);
    this.#parts.post(id, { kind: "frame", text });
    if (!this.#welcome) this.#greet();
  }

  /** The server checks another token before its tab is admitted. */
  #admit(id: string, connect: Frame): void {
    const token = connect.payload.auth?.token;
    if (!token || token === this.#token) return this.#enter(id, connect);
    this.#command("refresh", { token }, (answer) => {
      if (answer.type === "refreshed") {
        this.#token = token;
        this.#enter(id, connect);
      } else if (answer.payload.code === "FORBIDDEN") {
        this.#waiting.delete(id);
        this.#parts.post(id, { kind: "alone" });
      } else {
        this.#refuse(id, JSON.stringify({ ...answer, ref: connect.id }));
      }
    });
  }

  #enter(id: string, connect: Frame): void {
    if (!this.#waiting.delete(id)) return;
    const tab = new Tab(`${++this.#serial}.`, {
      post: (text) => this.#parts.post(id, { kind: "frame", text }),
      overflow: () => {
        this.#parts.post(id, MOVED);
        this.leave(id);
      },
    });
    this.#tabs.set(id, tab);
    this.#greeted(tab, connect.id);
  }

  /** Answers a tab's `connect` with what the server answered the first. */
  #greeted(tab: Tab, ref: string): void {
    const { compress: _, ...payload } = this.#welcome.payload;
    const { serverTime, limits } = payload;
    const now = Date.parse(serverTime) + monotonic() - this.#welcomedAt;
    const most = Math.floor(limits.maxCommandsInFlight / MAX_TABS);
    tab.answer({
      ...this.#welcome,
      ref,
      payload: {
        ...payload,
        serverTime: new Date(now).toISOString(),
        limits: { ...limits, maxCommandsInFlight: Math.max(2, most) },
      },
    });
  }

  // Subscriptions

  /**
   * Changes take effect in the order in which they were requested. An
   * unsubscribe waits until the server has answered all subscribes before it:
   * otherwise it would end a subscription that another tab is about to share.
   */
  #change(isJoin: boolean, run: () => void): void {
    this.#changes.push({ isJoin, run });
    if (this.#changes.length > MAX_ASKED) return this.close(1006);
    this.#proceed();
  }

  #proceed(): void {
    for (;;) {
      const [next] = this.#changes;
      if (!next || !next.isJoin && this.#joining > 0) return;
      this.#changes.shift();
      next.run();
    }
  }

  #subscribe(tab: Tab, frame: Frame): void {
    const channels = this.#channels.subscribe(tab, frame);
    if (channels.length === 0) return;
    this.#joining++;
    this.#ask({ ...frame, payload: { channels } }, (answer, text) => {
      this.#joining--;
      if (answer.type === "subscribed") {
        this.#channels.subscribed(tab, answer);
      } else tab.deliver(text);
      this.#proceed();
    });
  }

  #unsubscribe(tab: Tab, { id, payload: { channels } }: Frame): void {
    this.#release(this.#channels.unsubscribe(tab, channels));
    tab.answer({ type: "unsubscribed", ref: id, payload: { channels } });
  }

  /** Unsubscribes from what no tab follows. */
  #release(channels: readonly string[]): void {
    if (channels.length > 0) this.#command("unsubscribe", { channels });
  }

  // The server

  /** Sends a command of its own. */
  #command(
    type: string,
    payload: object,
    answered: Answered = () => {},
  ): void {
    const id = `${this.#prefix}-${++this.#serial}`;
    this.#ask({ type, id, payload }, answered);
  }

  #ask(
    frame: Frame,
    answered: Answered,
    text: string = JSON.stringify(frame),
  ): void {
    if (this.#isOver) return;
    // A server that stopped answering is treated as lost.
    if (this.#asked.size >= MAX_ASKED) return this.close(1006);
    this.#asked.set(frame.id, answered);
    this.#socket.send(text);
  }

  #receive(text: string): void {
    const frame = JSON.parse(text);
    if (frame.type !== "BATCH_UPDATE") return this.#route(frame, text);
    for (const each of frame.payload.updates) {
      this.#route(each, JSON.stringify(each));
    }
  }

  #route(frame: Frame, text: string): void {
    const { type, ref, channel, payload } = frame;
    if (typeof channel === "string") this.#channels.event(frame, text);
    else if (ref !== undefined) this.#answered(frame, text);
    else if (type === "gap") this.#channels.gap(frame, text);
    else if (type === "progress") this.#channels.progress(frame);
    else if (type === "unsubscribed") this.#channels.revoked(payload.channels);
    else if (type !== "connected") {
      for (const tab of this.#tabs.values()) tab.deliver(text);
    }
  }

  #answered(frame: Frame, text: string): void {
    const { type, ref, payload } = frame;
    const answered = this.#asked.get(ref);
    this.#asked.delete(ref);
    if (type === "refreshed") {
      const { identity } = this.#welcome.payload;
      this.#welcome.payload.identity = { ...identity, ...payload };
    }
    answered?.(frame, text);
  }
}
