/**
 * PostgreSQL for a test file, every version that is there: started before its
 * first test, and stopped after its last.
 *
 * @module
 */
import { openPostgres } from "../../store/postgres.ts";
import type { PostgresOptions, PostgresStore } from "../../store/postgres.ts";
import { binaries, TestPostgres } from "../postgres.ts";

/** The versions that can be started here; none on some platforms. */
export const versions = await binaries();

/** Killing a process loses nothing that only the disk does not have yet. */
const QUICK = ["fsync = off"];

const servers = new Map<string, TestPostgres>();
let schemas = 0;

Deno.test.beforeAll(async () => {
  for (const version of versions) {
    servers.set(version.name, await TestPostgres.start(version, QUICK));
  }
});

Deno.test.afterAll(async () => {
  for (const server of servers.values()) await server[Symbol.asyncDispose]();
});

/** The server of a version, by its name. */
export function serverOf(name: string): TestPostgres {
  return servers.get(name)!;
}

/** A schema that no other test of the file uses. */
export function nextSchema(): string {
  return `s${++schemas}`;
}

/** Connects several times to tables of its own. */
export async function openTogether(
  name: string,
  count: number,
  options: PostgresOptions = {},
): Promise<PostgresStore[]> {
  const schema = nextSchema();
  const stores: PostgresStore[] = [];
  for (let i = 0; i < count; i++) {
    const { url } = serverOf(name);
    stores.push(await openPostgres(url, { schema, ...options }));
  }
  return stores;
}
