/**
 * A second kind of EVM node for tests, in a process of its own: ganache, which
 * refuses what newer nodes offer.
 *
 * @module
 */
import { until } from "../until.ts";

const PROGRAM = `
import ganache from "npm:ganache@7.9.2";
const server = ganache.server({
  logging: { quiet: true },
  miner: { blockTime: 1e6 },
  wallet: { totalAccounts: 3 },
});
await server.listen(0, "127.0.0.1");
console.log("port " + server.address().port);
`;

/** Starts a node, and waits until it listens. */
export async function startGanache() {
  const process = new Deno.Command(Deno.execPath(), {
    args: [
      ...["run", "--allow-all", "--no-lock", "--ext=ts"],
      // It looks its methods up by `__proto__`.
      "--unstable-unsafe-proto",
      "-",
    ],
    stdin: "piped",
    stdout: "piped",
    stderr: "null",
  }).spawn();
  const writer = process.stdin.getWriter();
  await writer.write(new TextEncoder().encode(PROGRAM));
  await writer.close();
  let text = "";
  const output = (async () => {
    for await (
      const chunk of process.stdout.pipeThrough(new TextDecoderStream())
    ) text = (text + chunk).slice(-8_192);
  })();
  let port = "";
  await until(() => {
    port = /port (\d+)/.exec(text)?.[1] ?? "";
    return port !== "";
  }, "ganache listens");
  return {
    /** Its address for sources. */
    url: `ws://127.0.0.1:${port}`,
    /** Asks it something over HTTP. */
    // deno-lint-ignore no-explicit-any -- what a node answers has no static type.
    async ask(method: string, ...params: unknown[]): Promise<any> {
      const response = await fetch(`http://127.0.0.1:${port}`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ jsonrpc: "2.0", id: 1, method, params }),
      });
      const { result, error } = await response.json();
      if (error) throw new Error(`${method}: ${error.message}`);
      return result;
    },
    /** Ends it. */
    async [Symbol.asyncDispose]() {
      process.kill("SIGKILL");
      await process.status;
      await output;
    },
  };
}
