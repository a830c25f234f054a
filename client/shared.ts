/**
 * One socket for all tabs of a page's origin that connect to the same address
 * as the same user. One of them leads: it holds a lock, the socket and the
 * {@link Hub}. If its tab closes or crashes, the browser grants the lock to the
 * next tab; if it stops answering, another tab takes the lock.
 *
 * Loaded only when asked for. Where there are no locks between tabs, every
 * client has a socket of its own.
 *
 * @module
 */
import { deferred } from "./deferred.ts";
import { Hub } from "./hub.ts";
import { MOVED } from "./hub.ts";
import type { Notice } from "./hub.ts";
import type { Socket } from "./options.ts";
import type { Parts } from "./parts.ts";
import { claimsOf } from "./user.ts";

/** How often a tab that receives nothing checks for a leader, in milliseconds. */
export const CHECK_MS = 400;
/** Unanswered questions after which a tab takes the lead. */
export const MAX_UNANSWERED = 3;
/** Frames that a tab takes before it reports so; far below what may be unread. */
export const TAKEN_EVERY = 100;

/** What tabs send to the one that leads, and that one to all. */
type Report = {
  readonly from: string;
  readonly kind: "join" | "send" | "took" | "ask" | "leave" | "leads";
  readonly text?: string;
  readonly count?: number;
};

/** What the one that leads sends to a tab. */
type Sent = Notice & { readonly from: string };

/** What a page has and other runtimes may not. */
interface Page {
  readonly addEventListener?: EventTarget["addEventListener"];
  readonly document?: EventTarget;
}

/** How a lock is asked for. */
interface LockOptions {
  /** Ends the wait for it. */
  readonly signal?: AbortSignal;
  /** Takes it from the one that holds it. */
  readonly steal?: boolean;
}

/** Locks between the tabs of an origin, which not every runtime has. */
interface Locks {
  request(
    name: string,
    options: LockOptions,
    work: () => unknown,
  ): Promise<unknown>;
}

/** A message between tabs. */
type Received<Message> = { readonly data: Message };

/**
 * Has a client share a socket from its next connection on.
 *
 * @param parts of the client.
 */
export function share(parts: Parts): void {
  if (!locks() || !globalThis.BroadcastChannel) return;
  parts.dial = () => new SharedSocket(parts) as unknown as WebSocket;
}

/** What a client takes for its socket: its part of the one for all. */
class SharedSocket implements Socket {
  onopen: (() => void) | null = null;
  onmessage: ((event: Received<string>) => void) | null = null;
  onclose: ((end: { code: number; reason: string }) => void) | null = null;
  onerror = null;
  readonly bufferedAmount = 0;
  readonly #parts: Parts;
  readonly #id: string = crypto.randomUUID();
  readonly #over = new AbortController();
  /** Ends the wait for the lock, but not the holding of it. */
  #waiting = new AbortController();
  #name = "";
  #connect = "";
  #common: BroadcastChannel | undefined;
  #own: BroadcastChannel | undefined;
  #hub: Hub | undefined;
  /** The leader when this tab joined. */
  #leader: string | undefined;
  #unanswered = 0;
  #taken = 0;

  constructor(parts: Parts) {
    this.#parts = parts;
    queueMicrotask(() => this.onopen?.());
  }

  send(text: string): void {
    if (this.#name) this.#report("send", { text });
    else this.#begin(text);
  }

  close(): void {
    this.#end();
  }

  /** The first frame, `connect`, names the user of the connection. */
  #begin(text: string): void {
    const { token } = JSON.parse(text).payload.auth ?? {};
    const user = JSON.stringify(claimsOf(token).sub ?? token ?? null);
    const name = this.#name = `kaldrix ${this.#parts.address} ${user}`;
    this.#connect = text;
    this.#common = new BroadcastChannel(name);
    this.#common.onmessage = ({ data }: Received<Report>) =>
      this.#reported(data);
    this.#own = new BroadcastChannel(`${name} ${this.#id}`);
    this.#own.onmessage = ({ data }: Received<Sent>) => this.#notice(data);
    const { signal } = this.#over;
    // The leader waits for this lock, and is granted it when this tab is gone.
    hold(`${name} ${this.#id}`, { signal }, () => {
      this.#join();
      return ending(signal);
    }).catch(() => {});
    this.#queue({ signal: this.#waiting.signal });
    const timer = setInterval(() => this.#check(), CHECK_MS);
    signal.addEventListener("abort", () => clearInterval(timer));
    // A tab that is put away must not lead.
    const { addEventListener, document } = globalThis as Page;
    const away = () => this.#lose();
    addEventListener?.("pagehide", away, { signal });
    document?.addEventListener("freeze", away, { signal });
  }

  #report(kind: Report["kind"], more: Partial<Report> = {}): void {
    this.#common?.postMessage({ from: this.#id, kind, ...more });
  }

  #join(): void {
    this.#report("join", { text: this.#connect });
  }

  #reported({ from, kind }: Report): void {
    if (kind !== "leads") return;
    this.#unanswered = 0;
    if (this.#leader === undefined) {
      this.#leader = from;
      this.#join();
    } else if (this.#leader !== from) this.#move();
  }

  #notice(notice: Sent): void {
    this.#leader ??= notice.from;
    // A tab that was frozen may not have learned yet that another leads.
    if (notice.from !== this.#leader) return;
    this.#unanswered = 0;
    if (notice.kind === "frame") {
      if (++this.#taken >= TAKEN_EVERY) {
        this.#report("took", { count: this.#taken });
        this.#taken = 0;
      }
      this.onmessage?.({ data: notice.text });
    } else if (notice.kind === "alone") {
      this.#parts.dial = undefined;
      this.#move();
    } else if (notice.kind === "end") {
      if (notice.isMoved) this.#move();
      else this.#lose(notice.code, notice.reason);
    }
  }

  /** Asks whether another leads; takes the lead when no answer arrives. */
  #check(): void {
    if (this.#hub || this.#unanswered++ === 0) return;
    if (this.#unanswered <= MAX_UNANSWERED + 1) return this.#report("ask");
    this.#unanswered = 0;
    this.#waiting.abort();
    this.#queue({ steal: true });
  }

  // The lead

  #queue(options: LockOptions): void {
    hold(this.#name, options, () => this.#lead()).catch(() => {
      // Another took it, since this tab did not answer.
      if (this.#hub) this.#move();
    });
  }

  /** Leads until that ends. A tab that followed another reconnects first. */
  async #lead(): Promise<void> {
    const { signal } = this.#over;
    if (signal.aborted) return;
    if (this.#leader !== undefined) return this.#move();
    const name = this.#name;
    const common = new BroadcastChannel(name);
    const tabs = new Map<string, BroadcastChannel>();
    const post = (tab: string, notice: Notice) => {
      const known = tabs.get(tab) ?? new BroadcastChannel(`${name} ${tab}`);
      tabs.set(tab, known);
      known.postMessage({ ...notice, from: this.#id });
    };
    const { address, options } = this.#parts;
    const over = deferred<void>();
    const hub = this.#hub = new Hub({
      open: () => new (options.WebSocket ?? WebSocket)(address),
      post,
      ended: () => over.resolve(),
    });
    common.onmessage = ({ data }: Received<Report>) => {
      const { from, kind, text, count } = data;
      if (kind === "join") {
        const isNew = !hub.has(from);
        hub.join(from, text!);
        if (!isNew) return;
        hold(`${name} ${from}`, { signal }, () => {
          hub.leave(from);
          tabs.get(from)?.close();
          tabs.delete(from);
        }).catch(() => {});
      } else if (kind === "send") hub.send(from, text!);
      else if (kind === "took") hub.took(from, count!);
      else if (kind === "leave") hub.leave(from);
      else if (kind === "ask") {
        if (hub.has(from)) post(from, { kind: "alive" });
        else post(from, MOVED);
      }
    };
    common.postMessage({ from: this.#id, kind: "leads" });
    await over.promise;
    common.close();
    for (const each of tabs.values()) each.close();
  }

  // The end

  /** Connects again, over the one that leads now. */
  #move(): void {
    this.#lose();
    this.#parts.self.connect();
  }

  #lose(code = 1006, reason = ""): void {
    const { onclose } = this;
    if (this.#end()) onclose?.({ code, reason });
  }

  #end(): boolean {
    if (this.#over.signal.aborted) return false;
    this.#report("leave");
    this.#over.abort();
    this.#waiting.abort();
    this.#hub?.close();
    this.#common?.close();
    this.#own?.close();
    return true;
  }
}

function locks(): Locks | undefined {
  return (globalThis.navigator as { locks?: Locks } | undefined)?.locks;
}

/** Holds a lock while `work` is under way. */
function hold(
  name: string,
  options: LockOptions,
  work: () => unknown,
): Promise<unknown> {
  return locks()!.request(name, options, work);
}

/** Resolves when a signal is aborted. */
function ending(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener("abort", () => resolve());
  });
}
