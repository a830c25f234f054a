/**
 * What stands behind the name of the program on its command line.
 *
 * @module
 */
import { parseArgs } from "node:util";
import { SERVICE_VERSION } from "../platform/version.ts";

/** How the service was started. */
export interface CommandLine {
  /** Whether this is `deno task dev`. */
  readonly dev: boolean;
  /** Limit of file descriptors, as `serve_args.ts` found it. */
  readonly files: number | undefined;
  /** What to print instead of serving; `isError` when nothing was asked for. */
  readonly answer?: { readonly text: string; readonly isError: boolean };
}

/** What `--help` prints. */
export const USAGE = `KALDRIX Realtime ${SERVICE_VERSION}

Usage: deno task start
       deno task dev

Settings are environment variables; docs/settings.md lists them all. In
production JWT_SECRET (or JWKS_URL) must be set; PORT is 3000 by default.

Options:
  --help, -h     Print this text
  --version, -V  Print the version
`;

/**
 * Reads the command line.
 *
 * @param args without the program's name.
 */
export function readCommandLine(args: readonly string[]): CommandLine {
  const nothing = { dev: false, files: undefined };
  try {
    const { values } = parseArgs({
      args: [...args],
      options: {
        help: { type: "boolean", short: "h" },
        version: { type: "boolean", short: "V" },
        dev: { type: "boolean" },
        files: { type: "string" },
      },
    });
    if (values.help) return { ...nothing, answer: answerOf(USAGE) };
    if (values.version) {
      return { ...nothing, answer: answerOf(SERVICE_VERSION) };
    }
    const files = Number(values.files);
    return {
      dev: values.dev ?? false,
      files: Number.isSafeInteger(files) && files > 0 ? files : undefined,
    };
  } catch (error) {
    const text = `${
      error instanceof Error ? error.message : error
    }\n\n${USAGE}`;
    return { ...nothing, answer: { text, isError: true } };
  }
}

function answerOf(text: string): { text: string; isError: boolean } {
  return { text, isError: false };
}
