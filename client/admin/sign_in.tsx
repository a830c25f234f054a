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
import { ApiError, OperatorApi, textOf } from "./api.ts";
import { fieldsOf } from "./form.ts";
import { Operations } from "./operations.tsx";
import { isAboutToken } from "./watch.ts";

/** Where a tab keeps the token, if its operator wants that. */
const KEPT = "kaldrix-operator-token";

interface SignInState {
  readonly api: OperatorApi | undefined;
  readonly why: string;
  readonly isBusy: boolean;
}

/**
 * Asks for a token. It is kept in memory, and for reloads in the tab's own
 * storage where the operator chooses that.
 */
export class SignIn extends Component<Record<never, never>, SignInState> {
  /** What is shown besides the props. */
  override state: SignInState = { api: undefined, why: "", isBusy: false };

  /** Takes the token of the link of `deno task dev`, or the one kept. */
  override componentDidMount(): void {
    const [, given] = /^#token=([\w.-]+)$/.exec(location.hash) ?? [];
    // Keeps it out of the history and of bookmarks.
    if (given) history.replaceState(null, "", location.pathname);
    const token = given ?? sessionStorage.getItem(KEPT);
    if (token) void this.#signIn(token);
  }

  #submit = async (event: SubmitEvent): Promise<void> => {
    const filled = fieldsOf(event);
    const token = filled("token");
    if (!await this.#signIn(token)) return;
    if (filled("keep")) sessionStorage.setItem(KEPT, token);
  };

  #signIn = async (token: string): Promise<boolean> => {
    const api = new OperatorApi(token);
    this.setState({ isBusy: true, why: "" });
    try {
      await api.get("/api/admin/blocks?limit=1");
      this.setState({ api, isBusy: false });
      return true;
    } catch (error) {
      if (error instanceof ApiError && isAboutToken(error)) {
        sessionStorage.removeItem(KEPT);
      }
      this.setState({ why: textOf(error), isBusy: false });
      return false;
    }
  };

  #signOut = (why: string): void => {
    sessionStorage.removeItem(KEPT);
    this.setState({ api: undefined, why });
  };

  /** The elements; called by Preact. */
  render(): VNode {
    const { api, why, isBusy } = this.state;
    if (api) return <Operations api={api} onSignOut={this.#signOut} />;
    return (
      <main class="sign-in">
        <form onSubmit={this.#submit} aria-busy={isBusy}>
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
          <label class="check">
            <input type="checkbox" name="keep" />
            Keep it in this tab until I sign out
          </label>
          <button type="submit" disabled={isBusy}>
            {isBusy ? "Signing in …" : "Sign in"}
          </button>
          <p class="sub">
            Otherwise the token is kept in this page's memory only, and a reload
            asks for it again. Create one:{" "}
            <code class="mono">
              deno task token --user you --role admin --expires 1h
            </code>
          </p>
        </form>
      </main>
    );
  }
}
