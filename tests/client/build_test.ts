/**
 * What `deno task build` makes: complete, free of zod, and declared truly.
 */
import assert from "node:assert/strict";
import { fileURLToPath, pathToFileURL } from "node:url";
import { buildIfStale, MODULES, report } from "../../client/build.ts";
import { PACKAGE_VERSION } from "../../client/package.ts";

const client = new URL("../../client/", import.meta.url);

/** What bundles leave to be loaded from elsewhere. */
const EXTERNAL: Readonly<Record<string, readonly string[]>> = {
  track: ["./client.js"],
  chain: ["./client.js"],
  settled: ["./client.js"],
  react: ["react", "./connections.js", "./client.js"],
  connections: ["./client.js"],
  svelte: ["./connections.js", "./client.js"],
  vue: ["vue", "./connections.js", "./client.js"],
  publisher: ["node:timers"],
};

Deno.test("what is built", async (t) => {
  const directory = await Deno.makeTempDir({ prefix: "kaldrix-build-" });
  const dist = pathToFileURL(`${directory}/`);
  const read = (name: string) => Deno.readTextFile(new URL(name, dist));
  try {
    const steps: (readonly [number, number, string])[] = [];
    const made = await buildIfStale(dist, (...step) => steps.push(step));
    assert.ok(made);

    await t.step("is reported step by step, from the first", async () => {
      const all = steps.length - 1;
      assert.deepEqual(
        steps.map(([done, of]) => [done, of]),
        steps.map((_, i) => [i, all]),
      );
      const named = steps.map(([, , name]) => name);
      for (const each of ["client.js", "admin.js", "kaldrix", "types"]) {
        assert.ok(named.includes(each), each);
      }
      await buildIfStale(dist, (done) => assert.fail(`built again: ${done}`));
    });

    await t.step("is not built again while all of it is there", async () => {
      assert.equal(await buildIfStale(dist), undefined);
      await Deno.remove(new URL("client.js", dist));
      assert.equal((await buildIfStale(dist))?.length, made.length);
      const stamp = await read("stamp.json");
      await Deno.writeTextFile(
        new URL("stamp.json", dist),
        stamp.replace(/"source":"../, '"source":"xy'),
      );
      assert.equal((await buildIfStale(dist))?.length, made.length);
    });

    await t.step("is all that the page and the bundles need", async () => {
      const names = made.map(({ name }) => name);
      for (const name of MODULES) {
        assert.ok(names.includes(`${name}.js`), name);
        assert.ok(names.includes(`${name}.d.ts`), name);
      }
      const page = await read("index.html") + await read("explorer.html") +
        await read("app.css");
      const wanted = page.matchAll(
        /<(?:link|script|img)[^>]*?(?:href|src)="\/([^"?]+)[^"]*"|url\("\/([^"?]+)[^"]*"\)/g,
      );
      for (const [, linked, styled] of wanted) {
        assert.ok(names.includes((linked ?? styled)!), `${linked ?? styled}`);
      }
      assert.doesNotMatch(page, /<script>|<style|style=|https?:\/\//);
      for (const name of ["index.html", "explorer.html"]) {
        assert.match(await read(name), /<main /, "it is painted at once");
      }
      for (const { name, size, gzipped } of made) {
        assert.ok(report(made).includes(name));
        assert.ok(size > 0 && gzipped > 0, name);
      }
    });

    await t.step(
      "brings no zod, and loads nothing from elsewhere",
      async () => {
        for (
          const name of [
            "client",
            "watch",
            "track",
            "chain",
            "settled",
            "react",
            "devtoolbar",
            "publisher",
            "app",
          ]
        ) {
          const code = await read(`${name}.js`);
          assert.doesNotMatch(code, /ZodError|_zod|safeParse/, name);
          const imported = [...code.matchAll(/\bfrom"([^"]+)"/g)]
            .map(([, from]) => from);
          assert.deepEqual(
            [...new Set(imported)],
            EXTERNAL[name] ?? [],
          );
        }
      },
    );

    await t.step("declares types that are those of the sources", async () => {
      await Deno.writeTextFile(
        new URL("proof.ts", dist),
        proof(new URL("client.d.ts", dist), new URL("client.ts", client)),
      );
      const said = await check(new URL("proof.ts", dist));
      assert.equal(said, "");
    });

    await t.step("has hooks below 1.5 KB, for client components", async () => {
      const code = await read("react.js");
      assert.match(code, /^"use client";/);
      const { gzipped } = made.find(({ name }) => name === "react.js")!;
      assert.ok(gzipped < 1_500, `${gzipped} bytes`);
    });

    await t.step("passes the class of errors on as a value", async () => {
      const declared = await read("react.d.ts");
      assert.match(declared, /^export \{ RequestError \} from/m);
    });

    await t.step("reports mistakes of users", async () => {
      await Deno.writeTextFile(new URL("mistake.ts", dist), MISTAKES);
      const said = await check(new URL("mistake.ts", dist));
      assert.match(said, /Property 'hight' does not exist/);
      assert.match(said, /'"NEW_BLOK"'/);
      assert.match(said, /Type '"PAUSED"' is not assignable/);
      assert.match(said, /Found 3 errors/);
    });

    await t.step("is a package that others can install", async () => {
      const manifest = JSON.parse(await read("package/package.json"));
      assert.equal(manifest.version, PACKAGE_VERSION);
      assert.ok((await read("package/README.md")).includes(manifest.name));
      await Deno.writeTextFile(
        new URL("use.ts", dist),
        `import { connect } from "./package/client.js";
        const client = connect("ws://127.0.0.1:9/ws", { autoReconnect: false });
        client.disconnect();
        console.log(client.state.status);`,
      );
      const { stdout } = await new Deno.Command(Deno.execPath(), {
        args: ["run", "--no-check", "--allow-net", "use.ts"],
        cwd: directory,
      }).output();
      assert.equal(new TextDecoder().decode(stdout), "closed\n");
    });

    await t.step(
      "connects though what inflates and what shares cannot be loaded",
      async () => {
        await using server = Deno.serve(
          { port: 0, hostname: "127.0.0.1", onListen: () => {} },
          (request) => {
            const { socket, response } = Deno.upgradeWebSocket(request);
            socket.onmessage = ({ data }) => socket.send(data);
            return response;
          },
        );
        for (const lost of ["inflate", "shared"]) {
          await Deno.remove(new URL(`package/${lost}.js`, dist));
        }
        await Deno.writeTextFile(
          new URL("use.ts", dist),
          `import { connect } from "./package/client.js";
        const url = "ws://127.0.0.1:${server.addr.port}/ws";
        const client = connect(url, { compress: true, shared: true });
        client.onFrame(({ direction, frame }) => {
          if (direction !== "in") return;
          console.log(JSON.stringify(frame.payload));
          client.disconnect();
        });`,
        );
        const { success, stdout, stderr } = await new Deno.Command(
          Deno.execPath(),
          {
            args: [
              "run",
              "--no-check",
              "--allow-net",
              "--allow-read",
              "use.ts",
            ],
            cwd: directory,
          },
        ).output();
        assert.ok(success, new TextDecoder().decode(stderr));
        assert.equal(new TextDecoder().decode(stdout), '{"batch":true}\n');
      },
    );
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});

/** A program that compiles only when built and source types are the same. */
function proof(built: URL, source: URL): string {
  return `
import type * as Built from ${JSON.stringify(built.href)};
import type * as Source from ${JSON.stringify(source.href)};
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends
  (<T>() => T extends B ? 1 : 2) ? true : [A, B];
type Both<A, B> = [A] extends [B] ? [B] extends [A] ? true : "narrower" : "wider";
// Types that still wait for their parameter cannot be compared; what they
// come to for each parameter is, below.
type Waiting =
  | "subscribe" | "on" | "onAny" | "request" | "joinChannel" | "channel" | "room"
  | "watch";
export const client: Both<
  Omit<Built.Client, Waiting>, Omit<Source.Client, Waiting>> = true;
export const verbs: Same<keyof Built.Client, keyof Source.Client> = true;
export const connect: Both<
  Parameters<typeof Built.connect>, Parameters<typeof Source.connect>> = true;
type Handlers = {
  [Type in Source.MessageType]:
    | Both<Built.Handler<Type>, Source.Handler<Type>>
    | Both<Built.Outgoing<Type>, Source.Outgoing<Type>>
    | Both<Built.Sent<Type>, Source.Sent<Type>>;
};
export const handlers: Handlers[Source.MessageType] = true;
export const state: Both<Built.ClientState, Source.ClientState> = true;
export const types: Same<Built.MessageType, Source.MessageType> = true;
export const codes: Same<Built.RefusalCode, Source.RefusalCode> = true;
type Payloads = {
  [Type in Source.MessageType]: Both<
    Built.Event<Type>["payload"], Source.Event<Type>["payload"]>;
};
export const payloads: Payloads[Source.MessageType] = true;
type Requests = {
  [Verb in keyof Source.Requests]:
    | Both<Built.RequestPayload<Verb>, Source.RequestPayload<Verb>>
    | Both<Built.Response<Verb>, Source.Response<Verb>>;
};
export const requests: Requests[keyof Requests] = true;
type Known<Payload> = keyof {
  [Key in keyof Payload as string extends Key ? never : Key]: 1;
};
type Fields = {
  [Type in Source.MessageType]: Same<
    Known<Built.Event<Type>["payload"]>, Known<Source.Event<Type>["payload"]>>;
};
export const fields: Fields[Source.MessageType] = true;
`;
}

const MISTAKES = `
// @ts-types="./client.d.ts"
import { connect } from "./client.js";
const client = connect("/ws");
client.subscribe("NEW_BLOCK", (message) => message.payload.height.toFixed());
client.subscribe("NEW_BLOCK", (message) => message.hight);
client.subscribe("NEW_BLOK", () => {});
client.sendMessage({ type: "NODE_STATUS", payload: {
  nodeId: "n", status: "PAUSED", lastUpdate: "" } });
`;

/** Output of the type checker, "" without errors. */
async function check(file: URL): Promise<string> {
  const { success, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [
      "check",
      "--quiet",
      "--config",
      fileURLToPath(new URL("../deno.json", client)),
      fileURLToPath(file),
    ],
    env: { NO_COLOR: "1" },
  }).output();
  return success ? "" : new TextDecoder().decode(stderr);
}
