/**
 * The short examples in docs/examples, run as their readers would: each sees
 * blocks of a real service. React's have a test of their own.
 */
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { build } from "../../client/build.ts";
import { browserTest, withPage } from "./browser.ts";
import { TestServer } from "../server.ts";
import { until } from "../until.ts";

const examples = new URL("../../docs/examples/", import.meta.url);
/** The address that readers are asked to change. */
const ADDRESS = "http://localhost:3000";

function block(height: number) {
  const timestamp = new Date().toISOString();
  const hash = `0xb10c${height}`;
  const payload = { blockId: `b${height}`, height, hash, timestamp };
  return { type: "NEW_BLOCK" as const, payload };
}

/** Whether there is a Node, of 22.18 or later. */
async function nodeReadsTypeScript(): Promise<boolean> {
  try {
    const { stdout } = await new Deno.Command("node", { args: ["-v"] })
      .output();
    const [, major, minor] = /^v(\d+)\.(\d+)/.exec(
      new TextDecoder().decode(stdout),
    )!;
    return Number(major) > 22 || major === "22" && Number(minor) >= 18;
  } catch {
    return false;
  }
}

/** Runs a program until it printed `wanted`, and ends it. */
async function saysWhileRunning(
  command: string,
  args: readonly string[],
  wanted: RegExp,
  meanwhile: () => Promise<unknown>,
): Promise<void> {
  const process = new Deno.Command(command, {
    args: [...args],
    stdin: "null",
    stdout: "piped",
    stderr: "null",
  }).spawn();
  let output = "";
  const reading = (async () => {
    for await (const chunk of process.stdout) {
      output += new TextDecoder().decode(chunk);
    }
  })();
  try {
    await until(async () => {
      await meanwhile();
      return wanted.test(output);
    }, `${command} prints ${wanted}`);
  } finally {
    process.kill("SIGKILL");
    await process.status;
    await reading;
  }
}

browserTest("the examples in docs/examples run", async (t) => {
  await build();
  await using server = await TestServer.start();
  await server.publish([block(1), block(2)]);

  await t.step("page.html shows blocks, past and new", async () => {
    const html = await Deno.readTextFile(new URL("page.html", examples));
    assert.ok(html.includes(ADDRESS));
    const served = html.replaceAll(ADDRESS, server.url);
    await using host = Deno.serve(
      { port: 0, hostname: "127.0.0.1", onListen() {} },
      ({ url }) =>
        url.endsWith(".ico")
          ? new Response(null, { status: 204 })
          : new Response(served, { headers: { "content-type": "text/html" } }),
    );
    await withPage(async ({ page }) => {
      await page.goto(`http://127.0.0.1:${host.addr.port}/`);
      await page.getByText("0xb10c2 (caught up)").waitFor();
      await server.publish([block(3)]);
      await page.getByText("0xb10c3", { exact: true }).waitFor();
      assert.equal(await page.getByRole("status").innerText(), "connected");
      assert.equal(await page.getByRole("listitem").count(), 3);
    });
  });

  const bot = fileURLToPath(new URL("bot.ts", examples));
  for (
    const [name, command, args] of [
      ["Deno", Deno.execPath(), ["run", "--allow-net", "--no-check", bot]],
      ["Node", "node", [bot]],
    ] as const
  ) {
    await t.step({
      name: `bot.ts prints what it receives, on ${name}`,
      ignore: command === "node" && !await nodeReadsTypeScript(),
      fn: () =>
        saysWhileRunning(
          command,
          [...args, `${server.url}/ws`],
          /^block 2, 0 transactions\nblock 3, 0 transactions\n/m,
          () => Promise.resolve(),
        ),
    });
  }

  await t.step("sse.sh follows blocks with curl", () => {
    let height = 3;
    return saysWhileRunning(
      "sh",
      [fileURLToPath(new URL("sse.sh", examples)), server.url],
      /^id: \S+\n(?:.*\n)*?data: .*"height":\d+/m,
      () => server.publish([block(++height)]),
    );
  });
});
