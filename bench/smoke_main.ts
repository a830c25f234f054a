/**
 * `deno task smoke --url https://rt.example.com`: looks at a deployed service
 * from outside and prints a table. `SMOKE_TOKEN` holds a token of the role
 * `user` or more; without it nothing is published.
 *
 * Exits with 0 when all is well, 1 when something failed, 2 when it was
 * called wrongly.
 *
 * @module
 */
import { parseArgs } from "node:util";
import { line, smoke } from "./smoke.ts";
import { IDLE_S } from "./smoke_steps.ts";

const USAGE =
  `Usage: deno task smoke --url https://rt.example.com [--idle ${IDLE_S}]

  --url   where the service is
  --idle  seconds for which a connection is left idle but for pings; finds
          proxies' timeouts when it is longer than they are

SMOKE_TOKEN in the environment: a token of the role user or more, as made by
  deno task token --user smoke --role user --expires 10m
`;

const encoder = new TextEncoder();

async function print(text: string): Promise<void> {
  await Deno.stdout.write(encoder.encode(`${text}\n`));
}

/**
 * Looks and prints.
 *
 * @param args without the program's name.
 * @returns what the process should end with.
 */
export async function main(args: string[]): Promise<number> {
  let values: { url?: string; idle?: string; help?: boolean };
  try {
    ({ values } = parseArgs({
      args,
      options: {
        url: { type: "string" },
        idle: { type: "string" },
        help: { type: "boolean" },
      },
    }));
  } catch (error) {
    await print(
      `${error instanceof Error ? error.message : error}\n\n${USAGE}`,
    );
    return 2;
  }
  const { url, idle = "0", help } = values;
  if (help) {
    await print(USAGE);
    return 0;
  }
  if (!url || !/^https?:\/\//.test(url) || !URL.canParse(url)) {
    await print(
      `--url must be an address that begins with http:// or https://\n\n${USAGE}`,
    );
    return 2;
  }
  if (!/^\d{1,4}$/.test(idle)) {
    await print(`--idle must be a whole number of seconds\n\n${USAGE}`);
    return 2;
  }
  const token = Deno.env.get("SMOKE_TOKEN")?.trim() || undefined;
  await print(`${url}\n`);
  const findings = await smoke(
    { url, token, idleMs: Number(idle) * 1_000 },
    (finding) => Deno.stdout.writeSync(encoder.encode(`${line(finding)}\n`)),
  );
  const failed = findings.filter(({ state }) => state === "failed").length;
  const skipped = findings.filter(({ state }) => state === "skipped").length;
  const fine = findings.length - failed - skipped;
  await print(`\n${fine} ok, ${failed} failed, ${skipped} skipped`);
  return failed > 0 ? 1 : 0;
}

if (import.meta.main) Deno.exit(await main(Deno.args));
