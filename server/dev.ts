/**
 * `deno task dev`: builds the pages, serves with the simulated chain, prints
 * the addresses, and restarts when a file changes.
 *
 * @module
 */
import { systemClock as clock } from "../platform/clock.ts";
import { pause } from "../platform/pause.ts";
import { onEndAsked } from "../platform/signals.ts";
import { SERVICE_VERSION } from "../platform/version.ts";
import { generateWebSocketToken } from "../security/tokens.ts";
import { readCommandLine } from "./command_line.ts";
import { answerAndExit, exitIfTaken } from "./exits.ts";
import { rightsFor, SERVED_FOLDERS } from "./process_rights.ts";
import {
  secretFiles,
  settingsOrExit,
  warnOfUnknownSettings,
} from "./settings.ts";

/** Changes within this time, in milliseconds, are one. */
const QUIET_MS = 200;
/** Time between checks whether the service is ready, in milliseconds. */
const LOOK_MS = 100;
/** How long the tokens that are printed are valid. */
const TOKEN_LIFE = "24h";
/** What the command that is printed publishes. */
const HELLO = JSON.stringify({
  type: "ROOM_MESSAGE",
  channel: "room:lobby",
  payload: { event: "hello", data: { from: "alice" } },
});
/** Runs a program with what the lock file holds. */
const RUN = ["run", "-q", "--lock=deno.lock", "--frozen"];
/** Where the sources are. */
const ROOT = new URL("../", import.meta.url);
/** Folders whose changes matter; what lies in `client/` is built first. */
const WATCHED = [...SERVED_FOLDERS, "client"];

answerAndExit(readCommandLine(Deno.args));
warnOfUnknownSettings();
const settings = settingsOrExit({ dev: true });
const hostname = settings.HOST;
const port = exitIfTaken({ hostname, port: settings.PORT });
const secret = settings.JWT_SECRET[0] ??
  crypto.randomUUID() + crypto.randomUUID();
let isEnding = false;

if (await build() !== 0) Deno.exit(1);
print("Starting the service ...");
let child = serve();
onEndAsked((signal) => {
  isEnding = true;
  void child.status.then(({ code }) => Deno.exit(code));
  end(child, signal);
});
await announce();
await restartOnChange();

/** Builds what browsers load, and shows the progress. */
async function build(): Promise<number> {
  const { code } = await deno([...RUN, "-P=build", "client/build.ts"], {
    stdout: "null",
  }).status;
  return code;
}

/** Starts the service; one instance starts faster than several. */
function serve(): Deno.ChildProcess {
  const rights = rightsFor({ ...settings, PORT: port }, secretFiles());
  return deno(
    [...RUN, "--unstable-net", "-P=serve", ...rights, "start.ts", "--dev"],
    {
      env: {
        DENO_JOBS: "1",
        PORT: String(port),
        ...settings.JWKS_URL === undefined
          ? { JWT_SECRET: settings.JWT_SECRET.join() || secret }
          : {},
      },
    },
  );
}

function deno(
  args: string[],
  options: Pick<Deno.CommandOptions, "env" | "stdout">,
): Deno.ChildProcess {
  return new Deno.Command(Deno.execPath(), {
    args,
    cwd: ROOT,
    stdin: "null",
    ...options,
  }).spawn();
}

/** Prints the addresses, once the service is ready. */
async function announce(): Promise<void> {
  let ended: Deno.CommandStatus | undefined;
  child.status.then((status) => ended = status);
  const host = ["0.0.0.0", "::"].includes(hostname) ? "localhost" : hostname;
  const base = `${host.includes(":") ? `[${host}]` : host}:${port}`;
  while (!await isReady(`http://${base}/ready`)) {
    if (isEnding) return;
    // The program has printed the reason.
    if (ended) Deno.exit(ended.code || 1);
    await pause(clock, LOOK_MS);
  }
  const lines = [
    `KALDRIX Realtime ${SERVICE_VERSION} is ready.`,
    ``,
    `  Live page   http://${base}/`,
    `  Reference   http://${base}/docs`,
    `  Sockets     ws://${base}/ws`,
  ];
  if (settings.JWKS_URL === undefined) {
    const [admin, publisher] = await Promise.all([
      token("admin"),
      token("publisher"),
    ]);
    lines.push(
      `  Operators   http://${base}/admin#token=${admin}`,
      ``,
      `Token of a publisher, valid for ${TOKEN_LIFE}:`,
      publisher,
      ``,
      `Publish with it:`,
      `curl http://${base}/api/publish -H "Authorization: Bearer ${publisher}" -d '${HELLO}'`,
    );
  }
  print(`\n${lines.join("\n")}\n`);
}

function token(role: "admin" | "publisher"): Promise<string> {
  return generateWebSocketToken({ userId: "dev", role }, secret, TOKEN_LIFE);
}

async function isReady(url: string): Promise<boolean> {
  try {
    const response = await fetch(url);
    await response.body?.cancel();
    return response.ok;
  } catch {
    return false;
  }
}

/** Runs until the process ends. */
async function restartOnChange(): Promise<void> {
  const paths = [...WATCHED, "main.ts", "start.ts", "isolate.ts"]
    .map((path) => new URL(path, ROOT).pathname);
  let waiting: Disposable | undefined;
  let isBuildStale = false;
  for await (const { kind, paths: changed } of Deno.watchFs(paths)) {
    const sources = changed.filter((path) =>
      /\.(tsx?|css|html)$/.test(path) && !path.includes("/client/dist/")
    );
    if (kind === "access" || sources.length === 0 || isEnding) continue;
    isBuildStale ||= sources.some((path) => path.includes("/client/"));
    waiting?.[Symbol.dispose]();
    waiting = clock.after(QUIET_MS, () => {
      const isStale = isBuildStale;
      isBuildStale = false;
      void restart(isStale);
    });
  }
}

async function restart(isBuildStale: boolean): Promise<void> {
  print("A file changed; starting again ...");
  if (isBuildStale && await build() !== 0) return;
  const before = child;
  end(before, "SIGTERM");
  await before.status;
  if (isEnding || before !== child) return;
  child = serve();
}

function end(process: Deno.ChildProcess, signal: Deno.Signal): void {
  try {
    process.kill(signal);
  } catch {
    // It has ended by itself.
  }
}

function print(text: string): void {
  // deno-lint-ignore no-console -- for the person at the terminal.
  console.log(text);
}
