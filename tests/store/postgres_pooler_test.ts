/** PostgreSQL behind a pooler that hands out a connection for a transaction. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { openPostgres } from "../../store/postgres.ts";
import { binaries, freePort, NOBODY, TestPostgres } from "../postgres.ts";
import { until } from "../until.ts";

const PROGRAM = "/usr/sbin/pgbouncer";

const [version] = await binaries();
const isThere = await Deno.stat(PROGRAM).then(() => true, () => false);

/** A pooler in transaction mode before a database. */
class Pooler implements AsyncDisposable {
  readonly url: string;
  readonly #process: Deno.ChildProcess;

  private constructor(port: number, process: Deno.ChildProcess) {
    this.url = `postgres://kaldrix@127.0.0.1:${port}/postgres`;
    this.#process = process;
  }

  static async start(server: TestPostgres): Promise<Pooler> {
    const port = freePort();
    const path = (name: string) => join(server.folder, name);
    await Deno.writeTextFile(path("users"), `"kaldrix" ""\n`);
    await Deno.writeTextFile(
      path("pgbouncer.ini"),
      [
        "[databases]",
        `postgres = host=127.0.0.1 port=${server.port} user=kaldrix`,
        "[pgbouncer]",
        "listen_addr = 127.0.0.1",
        `listen_port = ${port}`,
        "unix_socket_dir =",
        "auth_type = trust",
        `auth_file = ${path("users")}`,
        "pool_mode = transaction",
        "default_pool_size = 3",
      ].join("\n"),
    );
    const process = new Deno.Command(PROGRAM, {
      args: ["-q", path("pgbouncer.ini")],
      stdin: "null",
      stdout: "null",
      stderr: "null",
      ...NOBODY,
    }).spawn();
    const pooler = new Pooler(port, process);
    await until(async () => {
      try {
        (await Deno.connect({ hostname: "127.0.0.1", port })).close();
        return true;
      } catch {
        return false;
      }
    }, "the pooler listens");
    return pooler;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#process.kill("SIGKILL");
    await this.#process.status;
  }
}

Deno.test({
  name:
    "PostgreSQL behind a pooler in transaction mode is right, only without wake-ups",
  ignore: version === undefined || !isThere,
  async fn() {
    await using server = await TestPostgres.start(version!);
    await using pooler = await Pooler.start(server);
    await using one = await openPostgres(pooler.url);
    await using two = await openPostgres(pooler.url);
    const again = async <T>(work: () => Promise<T>): Promise<T> => {
      for (let tries = 1;; tries++) {
        try {
          return await work();
        } catch (error) {
          if (tries === 50) throw error;
        }
      }
    };
    await Promise.all(
      Array.from(
        { length: 200 },
        (_, i) =>
          again(() => (i % 2 ? one : two).atomic().sum(["n"], 1n).commit()),
      ),
    );
    // Only what nothing was done for is tried again: none counts twice.
    assert.equal((await again(() => one.get<bigint>(["n"]))).value, 200n);
    const seen = await again(() => one.get(["a"]));
    const results = await Promise.all([
      again(() => one.atomic().check(seen).set(["a"], 1).commit()),
      again(() => two.atomic().check(seen).set(["a"], 2).commit()),
    ]);
    assert.equal(results.filter(({ ok }) => ok).length, 1);
    const keys = await Array.fromAsync(two.list({ prefix: [] }));
    assert.deepEqual(keys.map(({ key }) => [...key]), [["a"], ["n"]]);
  },
});
