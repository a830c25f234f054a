/**
 * The terminal program as the published package brings it: packed and installed
 * by npm, run by npx on the Node that is there.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { buildIfStale } from "../../client/build.ts";
import { SERVICE_VERSION } from "../../platform/version.ts";
import { environment, SECRET, TestServer } from "../server.ts";
import { until } from "../until.ts";

const folder = fileURLToPath(
  new URL("../../client/dist/package/", import.meta.url),
);

/** Whether there is an npm, and a Node that the package is for. */
async function hasNode(): Promise<boolean> {
  try {
    const { stdout } = await new Deno.Command("node", { args: ["-v"] })
      .output();
    await new Deno.Command("npm", { args: ["-v"] }).output();
    return parseInt(new TextDecoder().decode(stdout).slice(1)) >= 20;
  } catch {
    return false;
  }
}

/** How a program ended. */
interface Ended {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** A folder in which npm has installed the package. */
class Installed implements AsyncDisposable {
  readonly #directory: string;

  private constructor(directory: string) {
    this.#directory = directory;
  }

  /** Packs and installs it, from nothing but the files that were built. */
  static async open(): Promise<Installed> {
    await buildIfStale();
    const directory = await Deno.makeTempDir({ prefix: "kaldrix-npx-" });
    const installed = new Installed(directory);
    const packed = await installed.#run("npm", [
      "pack",
      "--silent",
      "--pack-destination",
      directory,
      folder,
    ]);
    assert.equal(packed.code, 0, packed.err);
    await Deno.writeTextFile(join(directory, "package.json"), "{}");
    const added = await installed.#run("npm", [
      "install",
      "--offline",
      "--no-audit",
      "--no-fund",
      packed.out.trim(),
    ]);
    assert.equal(added.code, 0, added.err);
    return installed;
  }

  /** Runs `npx kaldrix` with `args` to its end. */
  npx(args: readonly string[]): Promise<Ended> {
    return this.#run("npx", ["--no-install", "kaldrix", ...args]);
  }

  /** Starts what npx would run. */
  spawn(
    args: readonly string[],
    env: Readonly<Record<string, string>> = {},
  ): Deno.ChildProcess {
    const program = join(this.#directory, "node_modules/.bin/kaldrix");
    return this.#command(program, args, env).spawn();
  }

  /** Runs it to its end. */
  async kaldrix(
    args: readonly string[],
    env: Readonly<Record<string, string>> = {},
    input = "",
  ): Promise<Ended> {
    const process = this.spawn(args, env);
    const writer = process.stdin.getWriter();
    await writer.write(new TextEncoder().encode(input));
    await writer.close();
    return textOf(await process.output());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.#directory, { recursive: true });
  }

  async #run(command: string, args: readonly string[]): Promise<Ended> {
    const process = this.#command(command, args, {}).spawn();
    await process.stdin.close();
    return textOf(await process.output());
  }

  #command(
    command: string,
    args: readonly string[],
    env: Readonly<Record<string, string>>,
  ): Deno.Command {
    return new Deno.Command(command, {
      args: [...args],
      cwd: this.#directory,
      env: { ...environment(), NO_COLOR: "1", ...env },
      clearEnv: true,
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    });
  }
}

function textOf({ code, stdout, stderr }: Deno.CommandOutput): Ended {
  const decoder = new TextDecoder();
  return { code, out: decoder.decode(stdout), err: decoder.decode(stderr) };
}

const message = (event: string) => ({
  type: "ROOM_MESSAGE" as const,
  channel: "room:lobby",
  payload: { event },
});

Deno.test({
  name: "npx runs kaldrix from the packed package",
  ignore: !await hasNode(),
  async fn(t) {
    await using installed = await Installed.open();
    await using server = await TestServer.start();
    const token = await server.token("publisher");
    const env = { KALDRIX_URL: server.url, KALDRIX_TOKEN: token };

    await t.step("version, help, and what is called wrongly", async () => {
      const version = await installed.npx(["--version"]);
      assert.deepEqual(version, {
        code: 0,
        out: `${SERVICE_VERSION}\n`,
        err: "",
      });
      const help = await installed.kaldrix(["help"]);
      for (const name of ["tail", "publish", "inspect", "token", "check"]) {
        assert.match(help.out, new RegExp(`^  ${name} `, "m"));
      }
      assert.equal((await installed.kaldrix(["tial"])).code, 2);
    });

    await t.step("publish takes a message, and lines of JSON", async () => {
      const one = await installed.kaldrix(
        ["publish", "ROOM_MESSAGE", '{"event":"a"}', "--channel", "room:lobby"],
        env,
      );
      assert.deepEqual(one, { code: 0, out: "room:lobby#1\n", err: "" });
      const lines = ["b", "c"].map((it) => JSON.stringify(message(it)));
      const more = await installed.kaldrix(
        ["publish", "--json"],
        env,
        `${lines.join("\n")}\n`,
      );
      assert.equal(more.code, 0, more.err);
      const seqs = more.out.trim().split("\n").map((it) => JSON.parse(it).seq);
      assert.deepEqual(seqs, [2, 3]);
    });

    await t.step("tail shows what is kept, and follows", async () => {
      const process = installed.spawn(
        ["tail", "room:lobby", "--last", "2", "--count", "3", "--json"],
        env,
      );
      await process.stdin.close();
      let out = "";
      const reading = (async () => {
        const texts = process.stdout.pipeThrough(new TextDecoderStream());
        for await (const text of texts) out += text;
      })();
      const lines = () => out.split("\n").length - 1;
      await until(() => lines() >= 2, "the kept ones");
      await server.publish([message("d")]);
      assert.equal((await process.status).code, 0);
      await Promise.all([reading, process.stderr.cancel()]);
      const events = out.trim().split("\n")
        .map((line) => JSON.parse(line).payload.event);
      assert.deepEqual(events, ["b", "c", "d"]);
    });

    await t.step("inspect shows what a service has", async () => {
      const { code, out } = await installed.kaldrix(
        ["inspect", "channels"],
        env,
      );
      assert.equal(code, 0);
      assert.match(out, /^blocks +0 /m);
    });

    await t.step("token makes one that the service accepts", async () => {
      const secret = { JWT_SECRET: SECRET };
      const made = await installed.kaldrix(
        ["token", "make", "--user", "alice", "--role", "publisher"],
        secret,
      );
      assert.equal(made.code, 0, made.err);
      const checked = await installed.kaldrix(
        ["token", "check", made.out.trim()],
        secret,
      );
      assert.match(checked.out, /^user +alice$/m);
      const response = await server.post(message("e"), made.out.trim());
      assert.equal(response.status, 200);
      await response.body?.cancel();
    });

    await t.step("says where the other commands are", async () => {
      for (const name of ["check", "smoke"]) {
        const { code, err } = await installed.kaldrix([name, "--all"]);
        assert.equal(code, 1, name);
        assert.match(err, new RegExp(`deno task kaldrix ${name}`));
      }
    });

    await t.step("names a service that is not there", async () => {
      const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
      const { port } = listener.addr;
      listener.close();
      const url = ["--url", `http://127.0.0.1:${port}`];
      const { code, err } = await installed.kaldrix(
        ["inspect", "channels", ...url],
      );
      assert.equal(code, 1);
      assert.match(err, /cannot be reached: nothing listens there/);
      const tail = await installed.kaldrix(["tail", "--no-retry", ...url]);
      assert.equal(tail.code, 1);
      assert.match(tail.err, new RegExp(`127.0.0.1:${port}`));
    });

    await t.step("ends quietly when its reader has enough", async () => {
      await server.publish(
        Array.from({ length: 50 }, (_, i) => message(`m${i}`)),
      );
      const process = installed.spawn(
        ["tail", "room:lobby", "--last", "50"],
        env,
      );
      await process.stdin.close();
      const reader = process.stdout.getReader();
      await reader.read();
      await reader.cancel();
      await server.publish([message("last")]);
      const [{ code }, err] = await Promise.all([
        process.status,
        new Response(process.stderr).text(),
      ]);
      assert.equal(code, 0, err);
    });
  },
});
