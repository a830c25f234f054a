/**
 * Makes a token for a person or a program and prints it:
 * `deno task token --user alice --role publisher --expires 24h`.
 *
 * @module
 */
import { Command } from "commander";
import { type Role, ROLES } from "../protocol/channels.ts";
import { secretIn } from "../server/settings.ts";
import { generateWebSocketToken, secretsOf } from "../security/tokens.ts";

/** What the command line says. */
interface Flags {
  readonly user: string;
  readonly role: string;
  readonly expires: string;
  readonly read?: string[];
  readonly publish?: string[];
}

const program = new Command("token")
  .description("Makes a token, signed with the first secret of JWT_SECRET")
  .requiredOption("--user <id>", "whom it is for")
  .option("--role <role>", `one of ${ROLES.join(", ")}`, "user")
  .option("--expires <life>", "its life: 90s, 15m, 24h, 7d", "24h")
  .option("--read <pattern...>", "the only channels it may read: room:team-*")
  .option("--publish <pattern...>", "the only channels it may publish to")
  .configureOutput({
    // Asking about colours would take rights that nothing else here needs.
    getOutHasColors: () => false,
    getErrHasColors: () => false,
  });

async function main(flags: Flags): Promise<string> {
  const path = Deno.env.get("JWT_SECRET_FILE");
  const text = Deno.env.get("JWT_SECRET") || (path && secretIn(path));
  const [secret] = secretsOf(text);
  if (secret === undefined) {
    throw new RangeError(
      path
        ? `JWT_SECRET_FILE names no readable secret: ${path}`
        : "JWT_SECRET is not set: the server's secret is needed to sign a token",
    );
  }
  return await generateWebSocketToken(
    {
      userId: flags.user,
      role: flags.role as Role,
      read: flags.read,
      publish: flags.publish,
    },
    secret,
    flags.expires,
    {
      issuer: Deno.env.get("JWT_ISSUER"),
      audience: Deno.env.get("JWT_AUDIENCE"),
    },
  );
}

program.action(async (flags: Flags) => {
  try {
    const token = await main(flags);
    await Deno.stdout.write(new TextEncoder().encode(`${token}\n`));
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    program.error(`error: ${error.message}`);
  }
});

await program.parseAsync(Deno.args, { from: "user" });
