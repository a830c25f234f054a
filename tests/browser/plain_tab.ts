/**
 * Tabs that the driver of the browser does not hold: it has every page of its
 * own believe that it is looked at, and no browser freezes such a tab.
 *
 * @module
 */
import assert from "node:assert/strict";
import type { BrowserContext, CDPSession } from "playwright-core";
import { until } from "../until.ts";

/** A message of the browser about a tab. */
interface Message {
  readonly id?: number;
  readonly method?: string;
  // deno-lint-ignore no-explicit-any -- by method, as the browser sends it
  readonly result?: any;
  readonly error?: { readonly message: string };
}

/** Opens tabs that share storage, locks and channels. */
export async function plainTabs(
  context: BrowserContext,
): Promise<(url: string) => Promise<PlainTab>> {
  const browser = await context.browser()!.newBrowserCDPSession();
  const made = await browser.send("Target.createBrowserContext");
  return (url) => PlainTab.open(browser, made.browserContextId, url);
}

/** One tab. */
export class PlainTab {
  readonly #browser: CDPSession;
  readonly #targetId: string;
  readonly #sessionId: string;
  readonly #answers = new Map<number, (message: Message) => void>();
  readonly #events = new Map<string, () => void>();
  #last = 0;

  private constructor(
    browser: CDPSession,
    targetId: string,
    sessionId: string,
  ) {
    this.#browser = browser;
    this.#targetId = targetId;
    this.#sessionId = sessionId;
    browser.on("Target.receivedMessageFromTarget", (it) => {
      if (it.sessionId === sessionId) this.#take(JSON.parse(it.message));
    });
  }

  /** Opens one, and waits until its page is loaded. */
  static async open(
    browser: CDPSession,
    browserContextId: string,
    url: string,
  ): Promise<PlainTab> {
    const where = { url, browserContextId };
    const { targetId } = await browser.send("Target.createTarget", where);
    const how = { targetId, flatten: false };
    const { sessionId } = await browser.send("Target.attachToTarget", how);
    const tab = new PlainTab(browser, targetId, sessionId);
    const isLoaded = `location.href === ${JSON.stringify(url)} &&
      document.readyState === "complete"`;
    await until(
      // The page before it may go meanwhile.
      () => tab.evaluate<boolean>(isLoaded).catch(() => false),
      `${url} is loaded`,
    );
    return tab;
  }

  /**
   * Calls a method of the browser's protocol.
   *
   * @returns its result; never, once the tab has crashed.
   */
  // deno-lint-ignore no-explicit-any -- by method, as the browser sends it
  async send(method: string, params: object = {}): Promise<any> {
    const id = ++this.#last;
    const { promise, resolve } = Promise.withResolvers<Message>();
    this.#answers.set(id, resolve);
    await this.#browser.send("Target.sendMessageToTarget", {
      sessionId: this.#sessionId,
      message: JSON.stringify({ id, method, params }),
    });
    const { result, error } = await promise;
    assert.equal(error, undefined, `${method}: ${error?.message}`);
    return result;
  }

  /** Evaluates an expression, and waits for its promise if it gives one. */
  async evaluate<Value>(expression: string): Promise<Value> {
    const { result, exceptionDetails } = await this.send("Runtime.evaluate", {
      expression,
      awaitPromise: true,
      returnByValue: true,
    });
    assert.equal(exceptionDetails, undefined, expression);
    return result.value;
  }

  /** Resolves with the next event of a name. */
  next(event: string): Promise<void> {
    return new Promise((resolve) => this.#events.set(event, resolve));
  }

  /** Closes it. */
  async close(): Promise<void> {
    const which = { targetId: this.#targetId };
    await this.#browser.send("Target.closeTarget", which);
  }

  #take(message: Message): void {
    if (message.method !== undefined) this.#events.get(message.method)?.();
    if (message.id === undefined) return;
    this.#answers.get(message.id)?.(message);
    this.#answers.delete(message.id);
  }
}
