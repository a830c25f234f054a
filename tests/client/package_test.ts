/**
 * The package as it is published: read by those who judge packages, and used
 * from Node, where there is one, and from Deno.
 */
import { checkPackage, Package } from "@arethetypeswrong/core";
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { publint } from "publint";
import { buildIfStale } from "../../client/build.ts";
import { MODULES } from "../../client/build.ts";
import { GLOBAL_NAME } from "../../client/package.ts";
import { TestServer } from "../server.ts";

await buildIfStale();
const folder = new URL("../../client/dist/package/", import.meta.url);
const read = (name: string) => Deno.readTextFile(new URL(name, folder));

/** Whether there is a Node that the package is for. */
async function hasNode(): Promise<boolean> {
  try {
    const { stdout } = await new Deno.Command("node", { args: ["-v"] })
      .output();
    return parseInt(new TextDecoder().decode(stdout).slice(1)) >= 20;
  } catch {
    return false;
  }
}

/** Runs a module of Node; returns what it printed. */
async function node(
  code: string,
  type: "module" | "commonjs" = "module",
): Promise<string> {
  const { stdout, stderr, success } = await new Deno.Command("node", {
    signal: AbortSignal.timeout(30_000),
    args: [`--input-type=${type}`, "--eval", code],
    // A package may name itself.
    cwd: fileURLToPath(folder),
    env: { NO_COLOR: "1", NODE_NO_WARNINGS: "1" },
  }).output();
  assert.ok(success, new TextDecoder().decode(stdout.length ? stdout : stderr));
  return new TextDecoder().decode(stdout).trim();
}

const named = (name: string) =>
  `@kaldrix/realtime-client${name === "client" ? "" : `/${name}`}`;
/** Of a browser's page, or of React's: not to be had here. */
const NEEDS: Readonly<Record<string, string>> = {
  react: "react",
  vue: "vue",
};
const importable = MODULES.filter((name) => !(name in NEEDS));

Deno.test("publint finds nothing", async () => {
  const pkgDir = fileURLToPath(folder);
  const { messages } = await publint({ pkgDir, pack: false, strict: true });
  assert.deepEqual(messages, []);
});

Deno.test("types are found and true, for require and import, old resolution and new", async () => {
  const { name, version } = JSON.parse(await read("package.json"));
  const files: Record<string, string> = {};
  for (const directory of ["", "cjs/"]) {
    for await (const entry of Deno.readDir(new URL(directory || ".", folder))) {
      const path = `${directory}${entry.name}`;
      if (entry.isFile && !path.endsWith(".map")) {
        files[`/node_modules/${name}/${path}`] = await read(path);
      }
    }
  }
  const found = await checkPackage(new Package(files, name, version));
  assert.ok(found.types);
  assert.deepEqual(found.problems, []);
  assert.equal(
    Object.keys(found.entrypoints).length,
    MODULES.length + 1,
    "every module, and package.json",
  );
});

Deno.test("a source map leads from each module to its sources", async () => {
  for (const name of [...MODULES.map((it) => `${it}.js`), "client.iife.js"]) {
    const code = await read(name);
    assert.ok(code.endsWith(`\n//# sourceMappingURL=${name}.map\n`), name);
    const { sources, sourcesContent, mappings } = JSON.parse(
      await read(`${name}.map`),
    );
    assert.ok(mappings.length > 100, name);
    assert.equal(sources.length, sourcesContent.length, name);
    for (const source of sources) {
      assert.doesNotMatch(source, /^\/|\.\.|:/, source);
    }
  }
  const { sources } = JSON.parse(await read("client.js.map"));
  assert.ok(sources.includes("client/connection.ts"));
});

Deno.test("the package declares its requirements, and includes its licence", async () => {
  const manifest = JSON.parse(await read("package.json"));
  assert.match(manifest.engines.node, /^>=20/);
  assert.match(manifest.repository.url, /^git\+https:/);
  assert.match(await read("LICENSE"), /^MIT License/);
  assert.equal(manifest.dependencies, undefined);
});

Deno.test({
  name: "in Node every module can be imported and required",
  ignore: !await hasNode(),
  async fn() {
    const list = JSON.stringify(importable.map(named));
    const names = `Object.keys(module).filter((it) => it !== "default").sort()`;
    const imported = await node(`
      for (const name of ${list}) {
        const module = await import(name);
        console.log(name, ${names}.join());
      }`);
    const required = await node(
      `for (const name of ${list}) {
        const module = require(name);
        console.log(name, ${names}.join());
      }`,
      "commonjs",
    );
    assert.equal(required, imported);
    assert.match(imported, /client RequestError,connect/);
    assert.match(imported, /protocol .*validateWebSocketMessage/);
    assert.match(imported, /devtoolbar .*KaldrixDevtoolbar/);
  },
});

/**
 * A program that publishes a transaction and three blocks, the first of a
 * height, and follows them by every verb.
 */
function program(
  load: string,
  url: string,
  token: string,
  first: number,
): string {
  return `
    ${load}
    (async () => {
    const client = connect(${JSON.stringify(url)}, {
      WebSocket, auth: { token: ${JSON.stringify(token)} }, compress: true,
    });
    const heights = [];
    const { value: track } = await client.track("0xt").next();
    const chain = client.chain({ level: 0 });
    const added = chain.next();
    const sent = await client.watch("transactions", { filter: { from: "0xa" } });
    const watched = new Promise((resolve) => sent.on("TX_RECEIVED", resolve));
    client.joinChannel("blocks");
    client.subscribe("NEW_BLOCK", async ({ payload }) => {
      if (heights.push(payload.height) < 3) return;
      const { value } = await added;
      const { payload: { txId } } = await watched;
      const { blockId } = value.block.payload;
      console.log([...heights, track.state, blockId, txId].join());
      client.disconnect();
    });
    const undo = client.onState(({ channels }) => {
      if (channels.blocks?.status !== "joined") return;
      if (sent.status !== "joined") return;
      undo();
      client.sendMessage(buildTxReceivedMessage({
        txId: "t" + ${first}, from: "0xa", to: "0xb", amount: "1",
        gasPrice: "1", gasLimit: 1, nonce: 0, status: "pending",
      }));
      for (const height of [${first}, ${first + 1}, ${first + 2}]) {
        client.sendMessage(buildNewBlockMessage({
          blockId: "b" + height, height, hash: "0x" + height,
        }));
      }
    });
    })();
    setTimeout(() => {
      console.log("late");
      process.exit(1);
    }, 25_000).unref();`;
}

Deno.test({
  name: "with the sockets of ws the client runs in Node, imported and required",
  ignore: !await hasNode(),
  async fn() {
    await using server = await TestServer.start();
    const token = await server.token("publisher");
    // Importing anything of a package has Deno fetch all of it.
    await import("ws");
    const ws = fileURLToPath(import.meta.resolve("ws"));
    const path = JSON.stringify(ws.replace(/wrapper\.mjs$/, "index.js"));
    const { origin } = new URL(server.url);
    const loads = {
      module: `import { connect } from "${named("client")}";
        import { buildNewBlockMessage, buildTxReceivedMessage } from "${
        named("protocol")
      }";
        import { createRequire } from "node:module";
        const WebSocket = createRequire(import.meta.url)(${path});`,
      commonjs: `const { connect } = require("${named("client")}");
        const { buildNewBlockMessage, buildTxReceivedMessage } = require("${
        named("protocol")
      }");
        const WebSocket = require(${path});`,
    };
    let first = 1;
    for (const [type, load] of Object.entries(loads)) {
      const code = program(load, `${origin}/ws`, token, first);
      const printed = await node(code, type as keyof typeof loads);
      const heights = [first, first + 1, first + 2];
      const followed = ["unknown", `b${first}`, `t${first}`];
      assert.equal(printed, [...heights, ...followed].join(), type);
      first += 3;
    }
  },
});

Deno.test("as a plain script the client is a global", async () => {
  const code = await read("client.iife.js");
  const run = new Function(`${code}; return ${GLOBAL_NAME};`);
  const { connect, RequestError } = run();
  assert.equal(new RequestError("OFFLINE").code, "OFFLINE");
  const client = connect("ws://127.0.0.1:9/ws", { autoReconnect: false });
  client.disconnect();
  assert.equal(client.state.status, "closed");
});
