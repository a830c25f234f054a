/**
 * The databases of `deploy/compose.several.yaml`, made by their own script, in
 * the order in which the file starts them, and what operators do with them.
 * Needs `pg_basebackup`, as Debian's PostgreSQL has it; reports when missing.
 */
import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import { Audience } from "../faults/audience.ts";
import { binaries, freePort } from "../postgres.ts";
import { databaseSays, TestServer } from "../server.ts";
import { until } from "../until.ts";

const SCRIPT = new URL("../../deploy/database.sh", import.meta.url).pathname;
const COMPOSE = new URL("../../deploy/compose.several.yaml", import.meta.url);
const NAMES = ["db1", "db2", "db3"] as const;

const found = await Array.fromAsync(
  (await binaries()).map(async ({ bin }) => {
    const path = join(bin, "pg_basebackup");
    return await Deno.stat(path).then(() => bin, () => undefined);
  }),
);
const bin = found.find((it) => it !== undefined);
if (!bin) {
  await Deno.stderr.write(
    new TextEncoder().encode(
      "pg_basebackup is not installed: the test of deploy/database.sh is skipped\n",
    ),
  );
}

/** The user whom the file names: Debian's package makes it. */
const OWNER = await owner();

async function owner(): Promise<{ uid?: number; gid?: number }> {
  if (!bin || Deno.uid() !== 0) return {};
  const number = async (kind: "-u" | "-g") => {
    const { stdout } = await new Deno.Command("id", {
      args: [kind, "postgres"],
    }).output();
    return Number(new TextDecoder().decode(stdout));
  };
  return { uid: await number("-u"), gid: await number("-g") };
}

/** What the file gives to all databases. */
const compose = await Deno.readTextFile(COMPOSE);

/** Databases that know each other, each in a folder of its own. */
class Databases implements AsyncDisposable {
  readonly ports: readonly number[] = NAMES.map(() => freePort());
  readonly #folder: string;
  readonly #running = new Map<string, Deno.ChildProcess>();

  private constructor(folder: string) {
    this.#folder = folder;
  }

  static async open(): Promise<Databases> {
    const folder = await Deno.makeTempDir({ prefix: "kaldrix-several-" });
    if (OWNER.uid !== undefined) {
      await Deno.chown(folder, OWNER.uid, OWNER.gid!);
    }
    return new Databases(folder);
  }

  /** As the services know them. */
  get url(): string {
    const hosts = this.ports.map((port) => `127.0.0.1:${port}`).join();
    return `postgres://kaldrix:secret1@${hosts}/rt`;
  }

  start(name: string, role: "create" | "follow"): Deno.ChildProcess {
    const [standbys] = /(?<=STANDBYS: ).*/.exec(compose)!;
    const process = new Deno.Command("sh", {
      args: [SCRIPT, role, "-k", this.#folder],
      env: {
        NAME: name,
        STANDBYS: standbys,
        PEERS: `host=${NAMES.map(() => "127.0.0.1")} port=${this.ports}`,
        PORT: String(this.ports[NAMES.indexOf(name as "db1")]),
        PGDATA: this.#data(name),
        KALDRIX_PASSWORD: "secret1",
        STANDBY_PASSWORD: "secret2",
        PATH: `${bin}:${Deno.env.get("PATH")}`,
      },
      stdin: "null",
      stdout: "null",
      stderr: "null",
      ...OWNER,
    }).spawn();
    this.#running.set(name, process);
    return process;
  }

  async kill(name: string): Promise<void> {
    const process = this.#running.get(name)!;
    process.kill("SIGKILL");
    await process.status;
    // A killed server leaves children, which end by themselves.
    const pid = join(this.#data(name), "postmaster.pid");
    await Deno.remove(pid).catch(() => {});
  }

  /** Resolves when a database has its data. */
  async made(name: string): Promise<void> {
    await until(
      () => Deno.stat(this.#data(name)).then(() => true, () => false),
      `${name} has its data`,
    );
  }

  async forget(name: string): Promise<void> {
    await Deno.remove(this.#data(name), { recursive: true });
  }

  async promote(name: string): Promise<void> {
    const { success } = await new Deno.Command(join(bin!, "pg_ctl"), {
      args: ["promote", "-D", this.#data(name)],
      stdout: "null",
      ...OWNER,
    }).output();
    assert(success, "pg_ctl promote");
  }

  /** Orders of an operator, as the superuser at the database's own socket. */
  async order(name: string, ...orders: readonly string[]): Promise<void> {
    const port = this.ports[NAMES.indexOf(name as "db1")];
    const { success } = await new Deno.Command(join(bin!, "psql"), {
      args: [
        ...["-h", this.#folder, "-p", `${port}`, "-U", "postgres", "-q"],
        ...orders.flatMap((order) => ["-c", order]),
      ],
      stdout: "null",
      ...OWNER,
    }).output();
    assert(success, orders.join("; "));
  }

  #data(name: string): string {
    return join(this.#folder, name, "data");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const process of this.#running.values()) {
      try {
        process.kill("SIGQUIT");
      } catch {
        // It has ended.
      }
      await process.status;
    }
    await Deno.remove(this.#folder, { recursive: true });
  }
}

Deno.test("the file of several databases starts the databases of its script", () => {
  assert.match(
    compose,
    /db1:\n(?: +.*\n)*? +command: \[sh, \/database\.sh, create\]/,
  );
  assert.match(compose, /command: \[sh, \/database\.sh, follow\]/);
  for (const name of NAMES) assert.match(compose, new RegExp(`NAME: ${name} `));
  assert.equal(dirname(SCRIPT), dirname(COMPOSE.pathname));
});

Deno.test({
  name:
    "three databases set themselves up, one takes over from the primary, and the old one follows it",
  ignore: bin === undefined,
  async fn() {
    await using databases = await Databases.open();
    databases.start("db1", "create");
    databases.start("db2", "follow");
    databases.start("db3", "follow");
    // Before, a commit waits; a service that starts too soon is started again.
    for (const name of NAMES) await databases.made(name);
    const settings = { KV_PATH: databases.url, LOG_LEVEL: "warn" };
    const start = () => TestServer.start({ settings });
    await using one = await start();
    await using two = await start();
    const services = [one, two];
    await databaseSays(services, /commits wait for a standby, 2 connected/);
    await using audience = await Audience.gather(services);
    await audience.goesOn();

    // The other standby finds the new primary by itself.
    await databases.kill("db1");
    await databases.promote("db2");
    await audience.goesOn();
    await databaseSays(services, /commits wait for a standby, 1 connected/);

    const { code } = await databases.start("db1", "create").status;
    assert.equal(code, 1, "a second primary");
    await databases.forget("db1");
    databases.start("db1", "create");
    await databaseSays(services, /commits wait for a standby, 2 connected/);
    await audience.goesOn();

    // Both standbys are lost: nothing is acknowledged that one of them lacks.
    await databases.kill("db1");
    await databases.kill("db3");
    await databaseSays(services, /commits wait$/);
    if (OWNER.uid !== undefined) {
      const names = "alter system set synchronous_standby_names";
      const reload = "select pg_reload_conf()";
      await databases.order("db2", `${names} = ''`, reload);
      await audience.goesOn();
      await databaseSays(services, /no synchronous standby: /);
      databases.start("db3", "follow");
      await databases.order(
        "db2",
        `${names} = 'ANY 1 (db1, db2, db3)'`,
        reload,
      );
    } else databases.start("db3", "follow");
    await databaseSays(services, /commits wait for a standby, 1 connected/);
    await audience.goesOn();
    const { events } = await audience.settle();
    assert(events > 0);
  },
});
