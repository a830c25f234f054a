/**
 * The server that is measured: how to get in, and what it costs.
 *
 * @module
 */
import { SignJWT } from "jose";
import type { BenchOptions } from "./options.ts";
import { preciseNow } from "./pacer.ts";
import { cpuSeconds } from "./server.ts";
import type { BenchServer } from "./server.ts";

/** Life of the tokens of a run; beyond its longest. */
const TOKEN_LIFE = "3h";

/** What is measured, and how to get in. */
export interface Target {
  /** Of its WebSocket. */
  readonly url: string;
  /** Started for this run; none when it ran already. */
  readonly server: BenchServer | undefined;
  /** A room of this run alone. */
  readonly room: string;
  /** A publisher's. */
  readonly token: string | null;
  /** One for each client. */
  readonly clientTokens: readonly (string | null)[];
}

/** A token for each client; `null` where none is needed. */
export async function clientTokens(
  { clients, security }: BenchOptions,
  secret: string | undefined,
  token: string | undefined,
): Promise<(string | null)[]> {
  const each = Array.from({ length: clients }, (_, i) => `bench-${i}`);
  if (!security) return each.map(() => null);
  if (secret === undefined) return each.map(() => token ?? null);
  return await Promise.all(each.map((user) => sign(secret, user, "user")));
}

/** Signs a token that outlives the run. */
export function sign(
  secret: string,
  user: string,
  role: string,
): Promise<string> {
  return new SignJWT({ role, jti: crypto.randomUUID() })
    .setProtectedHeader({ alg: "HS256", typ: "JWT" })
    .setSubject(user)
    .setIssuedAt()
    .setExpirationTime(TOKEN_LIFE)
    .sign(new TextEncoder().encode(secret));
}

/** Resident memory of the server in bytes, where it reports it. */
export async function memoryOf(
  { url, token }: Target,
): Promise<number | null> {
  const page = new URL("/api/metrics?type=resourceUsage", url);
  page.protocol = page.protocol === "wss:" ? "https:" : "http:";
  try {
    const response = await fetch(page, {
      headers: token === null ? {} : { authorization: `Bearer ${token}` },
    });
    const body = await response.json();
    return body.resourceUsage?.memoryUsage ?? null;
  } catch {
    return null;
  }
}

/** Percent of one core that the server used, where the system reports it. */
export async function cpuBetween(
  { server }: Target,
  startAt: number,
  endAt: number,
): Promise<number | null> {
  if (!server) return null;
  const until = (at: number) =>
    new Promise((resolve) => setTimeout(resolve, at - preciseNow()));
  await until(startAt);
  const before = await cpuSeconds(server.pid);
  await until(endAt);
  const after = await cpuSeconds(server.pid);
  if (before === undefined || after === undefined) return null;
  return (after - before) / (endAt - startAt) * 1_000 * 100;
}
