/**
 * Makes tokens and looks into them. By itself it makes one:
 * `deno task token --user alice --role publisher --expires 24h`.
 *
 * @module
 */
import { type Command, Option } from "commander";
import { type Role, ROLES } from "../protocol/channels.ts";
import { Refusal } from "../protocol/refusals.ts";
import { secretIn } from "../security/secret_file.ts";
import {
  createTokens,
  generateWebSocketToken,
  isWeak,
  secretsOf,
  STRONG_SECRET_BYTES,
} from "../security/tokens.ts";
import { FAILED, Failed, note, print, programOf, run } from "./terminal.ts";

/** What the command line asks of a token to make. */
interface Wanted {
  readonly user: string;
  readonly role: Role;
  readonly expires: string;
  readonly read?: string[];
  readonly publish?: string[];
}

/** Adds `token make` and `token check`. */
export function tokenCommand(program: Command): void {
  const token = program.command("token")
    .description("make a token, or look into one");
  making(token.command("make")).addHelpText(
    "after",
    `
Examples:
  kaldrix token make --user alice --role publisher --expires 24h
  kaldrix token make --user bot --read blocks 'room:team-*' --expires 7d`,
  );
  token.command("check")
    .description("verify a token with the secrets of this environment")
    .argument("[token]", "the token; KALDRIX_TOKEN when omitted")
    .action(async (given?: string) => {
      const token = given ?? Deno.env.get("KALDRIX_TOKEN")?.trim();
      if (!token) throw new Failed("there is no token: set KALDRIX_TOKEN");
      await check(token);
    })
    .addHelpText(
      "after",
      `
Examples:
  KALDRIX_TOKEN=$(cat token) kaldrix token check`,
    );
}

/** Makes a command one that makes a token. */
function making(command: Command): Command {
  return command
    .description("make a token, signed with the first secret of JWT_SECRET")
    .requiredOption("--user <id>", "the user it is for")
    .addOption(
      new Option("--role <role>", "what it may do").choices(ROLES)
        .default("user"),
    )
    .option("--expires <life>", "its life: 90s, 15m, 24h, 7d", "24h")
    .option("--read <pattern...>", "the only channels it may read: room:team-*")
    .option("--publish <pattern...>", "the only channels it may publish to")
    .action(async (wanted: Wanted) => print(await make(wanted)));
}

function make(wanted: Wanted): Promise<string> {
  const [secret] = secrets();
  if (isWeak(secret!)) {
    note(
      `JWT_SECRET is shorter than ${STRONG_SECRET_BYTES} bytes: only deno task dev takes such a secret`,
    );
  }
  const { user, role, read, publish, expires } = wanted;
  return generateWebSocketToken(
    { userId: user, role, read, publish },
    secret!,
    expires,
    {
      issuer: Deno.env.get("JWT_ISSUER"),
      audience: Deno.env.get("JWT_AUDIENCE"),
    },
  );
}

/** Prints what a token allows. @throws {Failed} it would be refused. */
async function check(token: string): Promise<void> {
  const jwksUrl = Deno.env.get("JWKS_URL") || undefined;
  const tokens = createTokens({
    secrets: jwksUrl ? secretsOf(Deno.env.get("JWT_SECRET")) : secrets(),
    jwksUrl,
    issuer: Deno.env.get("JWT_ISSUER") || undefined,
    audience: Deno.env.get("JWT_AUDIENCE") || undefined,
  });
  try {
    const grant = await tokens.verify(token);
    const facts = {
      user: grant.user,
      role: grant.role,
      expires: instant(grant.expiresAt),
      issued: instant(grant.issuedAt),
      id: grant.tokenId,
      read: grant.read?.join(" "),
      publish: grant.publish?.join(" "),
    };
    for (const [name, value] of Object.entries(facts)) {
      if (value !== undefined) print(`${name.padEnd(8)} ${value}`);
    }
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    throw new Failed(`${error.code}: ${error.message}`);
  }
}

function instant(ms: number | undefined): string | undefined {
  return ms === undefined ? undefined : new Date(ms).toISOString();
}

/** The secrets of this environment. @throws {RangeError} there are none. */
function secrets(): string[] {
  const path = Deno.env.get("JWT_SECRET_FILE");
  const text = Deno.env.get("JWT_SECRET") || (path && secretIn(path));
  const all = secretsOf(text);
  if (all.length > 0) return all;
  throw new RangeError(
    path
      ? `JWT_SECRET_FILE names no readable secret: ${path}`
      : "JWT_SECRET is not set: the server's secret is needed",
  );
}

if (import.meta.main) await run(making(programOf("token")), FAILED);
