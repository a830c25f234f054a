/**
 * Signing in.
 *
 * @module
 */
/** @jsxRuntime automatic */
/** @jsxImportSource preact */
/// <reference lib="dom" />
import { Component } from "preact";
import type { VNode } from "preact";
import { OperatorApi, textOf } from "./api.ts";
import { filled } from "./form.ts";
import { Operations } from "./operations.tsx";

/** Asks for a token, and keeps it as long as the tab shows the page. */
export class Door extends Component<
  Record<never, never>,
  { readonly api: OperatorApi | undefined; readonly why: string }
> {
  /** What is shown besides the props. */
  override state: {
    readonly api: OperatorApi | undefined;
    readonly why: string;
  } = { api: undefined, why: "" };

  /** Takes the token that `deno task dev` puts behind its link. */
  override componentDidMount(): void {
    const [, token] = /^#token=([\w.-]+)$/.exec(location.hash) ?? [];
    if (token === undefined) return;
    // It stays in no history and no bookmark.
    history.replaceState(null, "", location.pathname);
    void this.#signIn(token);
  }

  #submit = (event: SubmitEvent): Promise<void> =>
    this.#signIn(filled(event)("token"));

  #signIn = async (token: string): Promise<void> => {
    const api = new OperatorApi(token);
    try {
      await api.get("/api/admin/blocks");
      this.setState({ api, why: "" });
    } catch (error) {
      this.setState({ why: textOf(error) });
    }
  };

  /** The elements; called by Preact. */
  render(): VNode {
    const { api, why } = this.state;
    if (api) {
      return (
        <Operations
          api={api}
          onLeave={(reason) => this.setState({ api: undefined, why: reason })}
        />
      );
    }
    return (
      <main class="door">
        <form onSubmit={this.#submit}>
          <p class="brand">
            <img src="/icon.svg" alt="" width={26} height={26} />
            KALDRIX <span>operations</span>
          </p>
          <h1>An operator's token, please</h1>
          <label for="token">Token with the role admin</label>
          <input
            id="token"
            name="token"
            type="password"
            required
            autoComplete="off"
            spellcheck={false}
          />
          {why && <p class="wrong" role="alert">{why}</p>}
          <button type="submit">Enter</button>
          <p class="sub">
            It stays in this tab's memory, and is gone when you leave. Make one:
            {" "}
            <code class="mono">
              deno task token --user you --role admin --expires 1h
            </code>
          </p>
        </form>
      </main>
    );
  }
}
