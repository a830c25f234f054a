/**
 * The part of the `Deno` namespace that commands use, implemented on Node for the
 * published package. Under Deno itself it changes nothing.
 *
 * @module
 */
import { openSync, readFileSync, writeSync } from "node:fs";
import { createReadStream } from "node:fs";
import process from "node:process";
import { Readable } from "node:stream";
import { isatty } from "node:tty";

/** Pause before a full pipe is written again, in milliseconds. */
const FULL_PIPE_MS = 5;

class BrokenPipe extends Error {}

/** A stream of bytes from a descriptor or the standard input. */
function readable(stream: Readable): ReadableStream<Uint8Array> {
  return Readable.toWeb(stream) as ReadableStream<Uint8Array>;
}

/** An output as in Deno: the data is written when the call returns. */
function output(descriptor: 1 | 2) {
  const sleep = new Int32Array(new SharedArrayBuffer(4));
  return {
    isTerminal: () => isatty(descriptor),
    writeSync(bytes: Uint8Array): number {
      for (;;) {
        try {
          return writeSync(descriptor, bytes);
        } catch (error) {
          const { code } = error as { code?: string };
          if (code === "EPIPE") throw new BrokenPipe("The reader has left");
          if (code !== "EAGAIN") throw error;
          Atomics.wait(sleep, 0, 0, FULL_PIPE_MS);
        }
      }
    },
  };
}

const onNode = {
  args: process.argv.slice(2),
  env: {
    get: (name: string) => process.env[name],
    toObject: () => ({ ...process.env }),
  },
  noColor: Boolean(process.env["NO_COLOR"]),
  errors: { BrokenPipe },
  stdout: output(1),
  stderr: output(2),
  stdin: {
    isTerminal: () => isatty(0),
    get readable() {
      return readable(process.stdin);
    },
  },
  consoleSize: () => ({
    columns: process.stdout.columns,
    rows: process.stdout.rows,
  }),
  exit: (code: number) => process.exit(code),
  // deno-lint-ignore require-await -- it rejects, as Deno's does.
  async open(path: string) {
    const fd = openSync(path, "r");
    return { readable: readable(createReadStream("", { fd })) };
  },
  readTextFileSync: (path: string) => readFileSync(path, "utf8"),
  addSignalListener: (name: string, listener: () => void) => {
    process.on(name, listener);
  },
};

/** As the standard has it; Node 20 does not. */
function withResolvers<Value>() {
  let resolve!: (value: Value) => void;
  let reject!: (reason: unknown) => void;
  const promise = new Promise<Value>((onValue, onReason) => {
    resolve = onValue;
    reject = onReason;
  });
  return { promise, resolve, reject };
}

/** As the standard has it; Node 20 does not. */
function parse(text: string, base?: string): URL | null {
  return URL.canParse(text, base) ? new URL(text, base) : null;
}

Reflect.set(globalThis, "Deno", Reflect.get(globalThis, "Deno") ?? onNode);
Promise.withResolvers ??= withResolvers as never;
URL.parse ??= parse;
