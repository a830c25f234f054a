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

/** Asks for a token, and keeps it in memory while the page is open. */
export class SignIn extends Component<
  Record<never, never>,
  { readonly api: OperatorApi | undefined; readonly why: string }
> {
  /** What is shown besides the props. */
  override state: {
    readonly api: OperatorApi | undefined;
    readonly why: string;
  } = { api: undefined, why: "" };

  /** Takes the token that the link of `deno task dev` carries. */
  override componentDidMount(): void {
    const [, token] = /^#token=([\w.-]+)$/.exec(location.hash) ?? [];
    if (token === undefined) return;
    // Keeps it out of the history and of bookmarks.
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
          onSignOut={(reason) => this.setState({ api: undefined, why: reason })}
        />
      );
    }
    return (
      <main class="sign-in">
        <form onSubmit={this.#submit}>
          <p class="brand">
            <img src="/icon.svg" alt="" width={26} height={26} />
            KALDRIX <span>operations</span>
          </p>
          <h1>Sign in</h1>
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
          <button type="submit">Sign in</button>
          <p class="sub">
            The token is kept in this tab's memory only. Create one:{" "}
            <code class="mono">
              deno task token --user you --role admin --expires 1h
            </code>
          </p>
        </form>
      </main>
    );
  }
}
