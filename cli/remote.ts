/**
 * A running service, as a command reaches it.
 *
 * @module
 */
import { type Command, Option } from "commander";
import { connect, RequestError } from "../client/client.ts";
import type { Client, Failure, Options } from "../client/client.ts";
import { systemClock } from "../platform/clock.ts";
import { TimedOut, within } from "../platform/deadline.ts";
import { SERVICE_VERSION } from "../platform/version.ts";
import { Failed, Misused } from "./terminal.ts";

/** Longest wait for an answer over HTTP, in milliseconds. */
const ANSWER_MS = 10_000;

/** The text below the help of commands that reach a service. */
export const TOKEN_HELP =
  "\nKALDRIX_TOKEN in the environment holds the token, if one is needed.";

/** The option that says where the service is. */
export function urlOption(): Option {
  return new Option("--url <url>", "where the service is")
    .env("KALDRIX_URL").default("http://localhost:3000");
}

/** A command that has {@link urlOption}, and says where its token comes from. */
export function reaching(command: Command): Command {
  return command.addOption(urlOption()).addHelpText("after", TOKEN_HELP);
}

/** A service at an address, with the token from the environment. */
export class Remote {
  /** Base of its paths, without a slash at the end. */
  readonly base: string;
  readonly #token: string | undefined;
  #reason: string | undefined;

  /**
   * Reads KALDRIX_TOKEN; nothing is sent yet.
   *
   * @param url begins with `http:`, `https:`, `ws:` or `wss:`.
   * @throws {Misused} it does not.
   */
  constructor(url: string) {
    const parsed = URL.parse(url);
    if (!parsed || !/^(https?|wss?):$/.test(parsed.protocol)) {
      throw new Misused(
        "--url must be an address that begins with http:// or https://",
      );
    }
    this.base = url.replace(/^ws/, "http").replace(/\/(ws\/?)?$/, "");
    this.#token = Deno.env.get("KALDRIX_TOKEN")?.trim() || undefined;
  }

  /**
   * Requests a path.
   *
   * @returns the answer, whatever its status.
   * @throws {Failed} the service cannot be reached.
   */
  async ask(path: string): Promise<Response> {
    try {
      return await fetch(this.base + path, {
        signal: AbortSignal.timeout(ANSWER_MS),
        headers: this.#token ? { authorization: `Bearer ${this.#token}` } : {},
      });
    } catch (error) {
      throw new Failed(`${this.base} cannot be reached: ${rootOf(error)}`);
    }
  }

  /**
   * Requests a path.
   *
   * @returns its JSON, whose shape the caller knows from the documents.
   * @throws {Failed} the service refuses, or cannot be reached.
   */
  async get<T>(path: string): Promise<T> {
    const response = await this.ask(path);
    // deno-lint-ignore no-explicit-any -- a proxy may answer anything.
    let body: any;
    try {
      body = await response.json();
    } catch {
      throw new Failed(
        `${this.base}${path} answers ${response.status} and no JSON: is this a KALDRIX service?`,
      );
    }
    if (response.ok) return body;
    const { code = response.status, message = "" } = body ?? {};
    const isRight = response.status === 401 || response.status === 403;
    const hint = isRight ? ". KALDRIX_TOKEN has to hold a token for this" : "";
    throw new Failed(`${code} ${message}${hint}`);
  }

  /** Connects over a WebSocket, and stays connected. */
  connect(options: Options = {}): Client {
    // Pages may not learn why a socket failed, programs may.
    const keep = (reason?: string) => this.#reason = reason;
    class Socket extends WebSocket {
      constructor(url: string) {
        super(url);
        this.addEventListener("error", (event) => {
          keep(reasonOf((event as ErrorEvent).message));
        });
        this.addEventListener("open", () => keep());
      }
    }
    return connect(`${this.base}/ws`, {
      client: `kaldrix/${SERVICE_VERSION}`,
      WebSocket: Socket,
      ...(this.#token ? { auth: { token: this.#token } } : {}),
      ...options,
    });
  }

  /**
   * Connects, and waits until the service has answered.
   *
   * @throws {Failed} it does not.
   */
  async connected(options: Options = {}): Promise<Client> {
    const client = this.connect(options);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const stop = client.onState(({ isConnected, connectionError }) => {
      if (isConnected) resolve();
      else if (connectionError) reject(new Failed(this.why(connectionError)));
    });
    try {
      await within(systemClock, ANSWER_MS, this.base, promise);
      return client;
    } catch (error) {
      client.disconnect();
      if (error instanceof TimedOut) throw new Failed(error.message);
      throw error;
    } finally {
      stop();
    }
  }

  /** Why there is no connection, for a person. */
  why({ code, message }: Failure): string {
    if (code !== "CONNECTION_LOST" && code !== "CONNECT_FAILED") {
      return `${this.base} refuses: ${code}${
        message === code ? "" : ` ${message}`
      }`;
    }
    const reason = this.#reason;
    return reason === undefined
      ? `${this.base} ended the connection (${message})`
      : `${this.base} cannot be reached: ${reason}`;
  }
}

/** The failure that a refused request is, with what exactly was wrong. */
export function failureOf(error: unknown): unknown {
  if (!(error instanceof RequestError)) return error;
  const { code, message, issues = [] } = error;
  const details = issues.map((it) => `\n  ${it.path}: ${it.message}`).join("");
  return new Failed(
    `${code}${message === code ? "" : `: ${message}`}${details}`,
  );
}

/** Deno's message of a failed socket, without the words that say nothing. */
function reasonOf(message: string): string {
  return message.replace(/^.*failed to connect to WebSocket: /, "")
    .replace(
      /^Invalid status code: (\d+)$/,
      "it answers $1 in place of a socket",
    )
    .replace("tcp connect error", "nothing listens there");
}

/** Why a request failed, without the words that say nothing. */
function rootOf(error: unknown): string {
  let root = error;
  while (root instanceof Error && root.cause) root = root.cause;
  const message = root instanceof Error ? root.message : String(root);
  if (/Connection refused|actively refused|ECONNREFUSED/.test(message)) {
    return "nothing listens there";
  }
  return message.replace(/^.*client error \(Connect\): /, "");
}
