/**
 * Access to a running service for commands.
 *
 * @module
 */
import { type Command, Option } from "commander";
import { connect, RequestError } from "../client/client.ts";
import type { Client, Failure, Options } from "../client/client.ts";
import { systemClock } from "../platform/clock.ts";
import { TimedOut, within } from "../platform/deadline.ts";
import { SERVICE_VERSION } from "../platform/version.ts";
import { type RefusalCode, REFUSALS } from "../protocol/refusals.ts";
import { Failed, Misused, progress } from "./terminal.ts";

/** Longest wait for an answer over HTTP, in milliseconds. */
const ANSWER_MS = 10_000;

/** The text below the help of commands that reach a service. */
export const TOKEN_HELP =
  "\nKALDRIX_TOKEN in the environment holds the token, if one is needed.";

/** The option with the address of the service. */
export function urlOption(): Option {
  return new Option("--url <url>", "where the service is")
    .env("KALDRIX_URL").default("http://localhost:3000");
}

/** A command with {@link urlOption}, whose help explains the token. */
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
   * @throws {Misused} when it does not.
   */
  constructor(url: string) {
    const parsed = URL.parse(url);
    if (!parsed || !/^(https?|wss?):$/.test(parsed.protocol)) {
      throw new Misused(
        "--url must be an address that begins with http:// or https://, as http://localhost:3000",
      );
    }
    this.base = url.replace(/^ws/, "http").replace(/\/(ws\/?)?$/, "");
    this.#token = Deno.env.get("KALDRIX_TOKEN")?.trim() || undefined;
  }

  /**
   * Requests a path.
   *
   * @returns the answer, whatever its status.
   * @throws {Failed} when the service is unreachable.
   */
  async ask(path: string): Promise<Response> {
    progress(`waiting for ${this.base} ...`);
    try {
      return await fetch(this.base + path, {
        signal: AbortSignal.timeout(ANSWER_MS),
        headers: this.#token ? { authorization: `Bearer ${this.#token}` } : {},
      });
    } catch (error) {
      throw new Failed(
        `${this.base} cannot be reached: ${reasonOf(rootOf(error))}`,
      );
    } finally {
      progress("");
    }
  }

  /**
   * Requests a path.
   *
   * @returns its JSON, in the shape that the documents describe.
   * @throws {Failed} when the service refuses or is unreachable.
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
    throw new Failed(`${code} ${message}${hintAt(code)}`);
  }

  /** Connects over a WebSocket, and stays connected. */
  connect(options: Options = {}): Client {
    // Unlike pages, programs can read why a socket failed.
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
   * Connects, and waits for the answer of the service.
   *
   * @throws {Failed} when it does not answer.
   */
  async connected(options: Options = {}): Promise<Client> {
    progress(`connecting to ${this.base} ...`);
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
      if (!(error instanceof TimedOut)) throw error;
      throw new Failed(`${this.base} cannot be reached: ${SILENT}`);
    } finally {
      stop();
      progress("");
    }
  }

  /** Why there is no connection, for a person. */
  why({ code, message }: Failure): string {
    if (code === "DRAINING") return `${this.base} restarts`;
    if (isRefusal(code)) {
      // The reason of a close contains only the code.
      const isBare = message === code || message.startsWith("Closed ");
      const text = isBare ? REFUSALS[code].text : message;
      return `${this.base} refuses: ${code} ${text}${hintAt(code)}`;
    }
    const reason = code === "TIMEOUT" ? SILENT : this.#reason;
    return reason === undefined
      ? `${this.base} ended the connection (${message})`
      : `${this.base} cannot be reached: ${reason}`;
  }
}

/**
 * The failure for a refused request, with its issues.
 *
 * @param error the error of the request.
 * @param placeOf translates a path in the frame for the user.
 * @returns the error itself when it is not a refusal.
 */
export function failureOf(
  error: unknown,
  placeOf: (path: string) => string,
): unknown {
  if (!(error instanceof RequestError)) return error;
  const { code, message, issues = [] } = error;
  const details = issues
    .filter((it) => it.message !== message)
    .map((it) => `\n  ${placeOf(it.path)}: ${it.message}`);
  const text = message === code ? "" : `: ${message}`;
  return new Failed(`${code}${text}${hintAt(code)}${details.join("")}`);
}

function isRefusal(code: string): code is RefusalCode {
  return Object.hasOwn(REFUSALS, code);
}

/** A hint for refusals that concern the token. */
function hintAt(code: string | number): string {
  if (code === "TOKEN_EXPIRED") return ". KALDRIX_TOKEN has to hold a new one";
  return code === "UNAUTHENTICATED" || code === "FORBIDDEN"
    ? ". KALDRIX_TOKEN has to hold a token for this"
    : "";
}

const SILENT = "it does not answer";

/** Messages of Deno and Node, with explanations for a person. */
const MEANINGS: readonly (readonly [RegExp, string])[] = [
  [/refused|ECONNREFUSED|tcp connect error/, "nothing listens there"],
  [/dns error|ENOTFOUND|EAI_AGAIN/, "no host has that name"],
  [
    /InvalidContentType|wrong version number/,
    "it does not speak TLS; try http:// in place of https://",
  ],
  [
    /(?:status code|server response): 50[234]$/,
    "it takes no connections at the moment",
  ],
  [
    /(?:status code|server response): (\d+)$/,
    "it answers $1 in place of a socket; is this a KALDRIX service?",
  ],
  [/timed out|due to timeout|operation canceled/, SILENT],
];

/** Why a request or a socket failed, for a person. */
function reasonOf(message: string): string {
  for (const [pattern, meaning] of MEANINGS) {
    const found = pattern.exec(message);
    if (found) return meaning.replace("$1", found[1] ?? "");
  }
  return message;
}

/** The message of the root cause. */
function rootOf(error: unknown): string {
  let root = error;
  while (root instanceof Error && root.cause) root = root.cause;
  return root instanceof Error ? root.message : String(root);
}
