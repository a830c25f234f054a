/**
 * The command that follows an EVM node and publishes to a server:
 *
 *     PUBLISH_TOKEN=... deno task source:evm --rpc ws://... --publish http://...
 *
 * It ends with 0 after SIGINT or SIGTERM, with 1 when the server does not let
 * it publish, with 2 when it was called wrongly.
 *
 * @module
 */
import { parseArgs } from "node:util";
import { evmSource, readRpcUrls } from "./evm.ts";
import { HttpPublisher } from "./http_publisher.ts";
import { describe } from "./source.ts";

const USAGE = `Follows an EVM node and publishes its chain to a KALDRIX service.

  deno task source:evm --rpc <url>[,<url>] --publish <url> [options]

  --rpc <url>[,<url>]        nodes' JSON-RPC: ws://, wss://, http:// or https://...;
                             of several, the head that most agree on is followed
  --publish <url>            service to publish to: http://... or https://...
  --from <height>            first block, where none was published before;
                             16 blocks before the head by default
  --final-after <n>          blocks above one that make it final;
                             the node's own levels by default
  --node-id <name>           node's name in NODE_STATUS; the host of --rpc by default
  --max-message-bytes <n>    longest message the service takes; 65536 by default
  --help                     prints this

The environment variable PUBLISH_TOKEN holds a publisher's token:
  deno task token --user source --role publisher --expires 24h
`;

/** How long a request under way may take after a signal, in milliseconds. */
const GRACE_MS = 2_000;

/** Highest number of blocks that `--final-after` takes. */
const MAX_FINAL_AFTER = 1_000;

/** What the command line asks for. */
export interface Arguments {
  /** The nodes, separated by commas. */
  readonly rpcUrl: string;
  /** The service. */
  readonly publishUrl: string;
  /** The node's name. */
  readonly nodeId: string | undefined;
  /** Longest message the service takes, in bytes. */
  readonly maxMessageBytes: number | undefined;
  /** Height of the first block. */
  readonly from: number | undefined;
  /** Blocks above one that make it final. */
  readonly finalAfter: number | undefined;
}

/**
 * Reads the command line.
 *
 * @param args without the program's name.
 * @returns what was asked for; nothing when it was `--help`.
 * @throws {Error} a sentence for the person who typed it.
 */
export function readArguments(args: string[]): Arguments | undefined {
  const { values } = parseArgs({
    args,
    options: {
      rpc: { type: "string" },
      publish: { type: "string" },
      "node-id": { type: "string" },
      "max-message-bytes": { type: "string" },
      from: { type: "string" },
      "final-after": { type: "string" },
      help: { type: "boolean", short: "h" },
    },
  });
  if (values.help) return undefined;
  const nodeId = values["node-id"];
  if (nodeId !== undefined && !/^.{1,256}$/.test(nodeId)) {
    throw new Error("--node-id must be 1 to 256 characters");
  }
  return {
    rpcUrl: nodes(values.rpc),
    publishUrl: address("--publish", values.publish, ["http:", "https:"]),
    nodeId,
    maxMessageBytes: number(
      "--max-message-bytes",
      values["max-message-bytes"],
      [1_024, 2 ** 26],
    ),
    from: number("--from", values.from, [0, Number.MAX_SAFE_INTEGER]),
    finalAfter: number(
      "--final-after",
      values["final-after"],
      [0, MAX_FINAL_AFTER],
    ),
  };
}

function nodes(value: string | undefined): string {
  const example = "ws://..., wss://..., http://... or https://...";
  if (value === undefined) throw new Error(`--rpc is missing: ${example}`);
  try {
    readRpcUrls(value);
  } catch {
    throw new Error(`--rpc must be one URL or several: ${example}`);
  }
  return value;
}

function address(
  name: string,
  value: string | undefined,
  protocols: readonly string[],
): string {
  const example = protocols.map((protocol) => `${protocol}//...`).join(" or ");
  if (value === undefined) throw new Error(`${name} is missing: ${example}`);
  if (!URL.canParse(value) || !protocols.includes(new URL(value).protocol)) {
    throw new Error(`${name} must be a URL: ${example}`);
  }
  return value;
}

function number(
  name: string,
  value: string | undefined,
  [least, most]: readonly [number, number],
): number | undefined {
  if (value === undefined) return undefined;
  const number = Number(value);
  if (!/^\d+$/.test(value) || number < least || number > most) {
    throw new Error(`${name} must be from ${least} to ${most}`);
  }
  return number;
}

/** One line of JSON for each thing an operator may want to know. */
function print(event: string, fields: Readonly<Record<string, unknown>>): void {
  const at = new Date().toISOString();
  // deno-lint-ignore no-console -- the command's own log.
  console.error(JSON.stringify({ at, event, ...fields }));
}

/**
 * Runs the command.
 *
 * @param args without the program's name.
 * @param token a publisher's token, from the environment.
 * @returns the exit code.
 */
export async function main(
  args: string[],
  token: string | undefined,
): Promise<number> {
  let asked: Arguments | undefined;
  try {
    asked = readArguments(args);
    if (asked && !token) {
      throw new Error("PUBLISH_TOKEN is missing from the environment");
    }
  } catch (error) {
    // deno-lint-ignore no-console -- an answer to the person who typed it.
    console.error(`${(error as Error).message}\n\n${USAGE}`);
    return 2;
  }
  if (!asked || !token) {
    // deno-lint-ignore no-console -- as above.
    console.log(USAGE);
    return 0;
  }
  const { publishUrl, ...chain } = asked;
  using publisher = new HttpPublisher({ base: publishUrl, token });
  const stop = new AbortController();
  const onSignal = () => {
    stop.abort();
    // What is being published may finish, but not for long.
    Deno.unrefTimer(
      setTimeout(() => publisher[Symbol.dispose](), GRACE_MS),
    );
  };
  Deno.addSignalListener("SIGINT", onSignal);
  Deno.addSignalListener("SIGTERM", onSignal);
  try {
    await evmSource({ ...chain, publisher, log: print }).run(stop.signal);
    print("source_stopped", {});
    return 0;
  } catch (error) {
    print("source_refused", describe(error));
    return 1;
  } finally {
    Deno.removeSignalListener("SIGINT", onSignal);
    Deno.removeSignalListener("SIGTERM", onSignal);
  }
}

if (import.meta.main) {
  Deno.exit(await main(Deno.args, Deno.env.get("PUBLISH_TOKEN")));
}
