import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";

const MODULE = new URL("../../platform/signals.ts", import.meta.url).href;

/** A program that prints the signals it receives, and ends with the third. */
const PROGRAM = `
import { onEndAsked } from ${JSON.stringify(MODULE)};
onEndAsked((name) => console.log("end", name));
// As the runtime does for itself after the main module.
Deno.addSignalListener("SIGTERM", () => console.log("runtime SIGTERM"));
Deno.addSignalListener("SIGUSR1", () => {
  console.log("other SIGUSR1");
  Deno.exit(0);
});
setInterval(() => {}, 1_000);
console.log("ready");
`;

Deno.test("onEndAsked() receives the first signal once, in place of later listeners; other signals pass", async () => {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "--no-config", "--no-prompt", "-"],
    cwd: fileURLToPath(new URL(".", import.meta.url)),
    stdin: "piped",
    stdout: "piped",
    stderr: "null",
  }).spawn();
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode(PROGRAM));
  await writer.close();
  const lines: string[] = [];
  let text = "";
  const next: Record<string, Deno.Signal> = {
    "ready": "SIGTERM",
    "end SIGTERM": "SIGINT",
  };
  for await (
    const chunk of child.stdout.pipeThrough(new TextDecoderStream())
  ) {
    text += chunk;
    const parts = text.split("\n");
    text = parts.pop()!;
    for (const line of parts) {
      lines.push(line);
      const signal = next[line];
      if (!signal) continue;
      child.kill(signal);
      // Signals of one number are merged, different ones come in any order.
      if (signal === "SIGINT") child.kill("SIGUSR1");
    }
  }
  const { code } = await child.status;
  assert.equal(code, 0);
  assert.deepEqual(lines, ["ready", "end SIGTERM", "other SIGUSR1"]);
});
