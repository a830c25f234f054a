import assert from "node:assert/strict";
import { systemClock as clock } from "../../platform/clock.ts";
import { idSource } from "../../protocol/envelope.ts";
import { BlockList } from "../../security/block_list.ts";
import { Revocations } from "../../security/revocations.ts";
import { SecurityLog } from "../../security/security_log.ts";
import { openStoreAt } from "../../store/open.ts";
import { StoredEventLog } from "../../store/stored_event_log.ts";
import { environment, TestServer } from "../server.ts";

/** A folder with a store, and the parts of a service that keep something there. */
async function setup() {
  const directory = await Deno.makeTempDir();
  const path = `${directory}/kv`;
  const nextId = idSource();
  return {
    directory,
    path,
    /** Uses the store as a service does. */
    async use<T>(work: (parts: Parts) => Promise<T>): Promise<T> {
      const store = await openStoreAt(path, { clock });
      const retention = () => ({ events: 1_000, ms: 3_600_000 });
      const log = new StoredEventLog({ store, clock, nextId, retention });
      const blocks = new BlockList({ kv: store, clock });
      const revocations = new Revocations({ kv: store, clock });
      const securityLog = new SecurityLog({ kv: store, clock });
      await Promise.all([blocks.ready, revocations.ready]);
      try {
        return await work({ log, blocks, revocations, securityLog });
      } finally {
        await log.settled();
        await blocks[Symbol.asyncDispose]();
        await revocations[Symbol.asyncDispose]();
        await securityLog[Symbol.asyncDispose]();
        await store.close();
      }
    },
    /** Runs `deno task store` on it. */
    command: (...args: string[]) => command(path, ...args),
    [Symbol.asyncDispose]: () => Deno.remove(directory, { recursive: true }),
  };
}

/** Runs `deno task store` on the store at `path`. */
async function command(
  path: string,
  ...args: string[]
): Promise<{ code: number; text: string }> {
  const { code, stdout, stderr } = await new Deno.Command(
    Deno.execPath(),
    {
      args: ["run", "-q", "-P=store", "cli/store.ts", ...args],
      env: { ...environment(), KV_PATH: path },
      clearEnv: true,
      cwd: new URL("../../", import.meta.url),
    },
  ).output();
  const decoder = new TextDecoder();
  return { code, text: decoder.decode(stdout) + decoder.decode(stderr) };
}

interface Parts {
  readonly log: StoredEventLog;
  readonly blocks: BlockList;
  readonly revocations: Revocations;
  readonly securityLog: SecurityLog;
}

const GRANT = {
  user: "mallory",
  role: "user",
  isAuthenticated: true,
  tokenId: "t1",
  issuedAt: 0,
} as const;

function draft(id: string) {
  return {
    channel: "blocks",
    type: "NEW_BLOCK",
    payloadText: `{"id":"${id}"}`,
    id,
    keys: [id],
    tags: {},
  };
}

/** What is in force, besides the log. */
function security({ blocks, revocations }: Parts): unknown {
  return [
    blocks.list().map(({ ip }) => ip).sort(),
    revocations.isRevoked(GRANT),
  ];
}

Deno.test("reset-log deletes all events, and nothing of what guards the service", async () => {
  await using all = await setup();
  const [first] = await all.use(async ({ log, ...parts }) => {
    await parts.blocks.blockIP("203.0.113.7");
    await parts.revocations.revokeUser("mallory");
    parts.securityLog.record({ kind: "revoked", reason: "user", by: "root" });
    return await log.append([draft("a"), draft("b")]);
  });
  const { code, text } = await all.command("reset-log");
  assert.equal(code, 0, text);
  assert.match(text, /^deleted [1-9]\d* rows of the log\n$/);
  await all.use(async (parts) => {
    const { log, securityLog } = parts;
    assert.equal((await log.heads(["blocks"]))[0]!.seq, 0);
    assert.deepEqual(security(parts), [["203.0.113.7"], true]);
    assert.equal((await securityLog.latest())[0]!.kind, "revoked");
    // Nothing remembers the ids either: it is another log.
    const [again] = await log.append([draft("a")]);
    assert.equal(again!.seq, 1);
    assert.notEqual(again!.epoch, first!.epoch);
  });
});

Deno.test("a restored store has the events of its copy under new epochs, and the security state of today", async () => {
  await using all = await setup();
  const copy = `${all.directory}/copy`;
  const before = await all.use(async ({ log, blocks }) => {
    await blocks.blockIP("203.0.113.1");
    const [position] = await log.append([draft("a")]);
    const { code, text } = await all.command("backup", "--to", copy);
    assert.equal(code, 0, text);
    return position!;
  });
  await all.use(async ({ log, blocks, revocations }) => {
    await log.append([draft("b")]);
    await blocks.blockIP("203.0.113.2");
    await blocks.unblockIP("203.0.113.1");
    await revocations.revokeUser("mallory");
  });
  const { code, text } = await all.command("restore", "--from", copy);
  assert.equal(code, 0, text);
  assert.match(text, /the store that was there is .*kv\.replaced\n$/);
  await all.use(async (parts) => {
    assert.deepEqual(security(parts), [["203.0.113.2"], true]);
    const [head] = await parts.log.heads(["blocks"]);
    assert.equal(head!.seq, 1);
    assert.notEqual(head!.epoch, before.epoch);
  });
});

Deno.test("a copy replaces a lost store", async () => {
  await using all = await setup();
  const copy = `${all.directory}/copy`;
  await all.use(async ({ log, revocations }) => {
    await log.append([draft("a")]);
    await revocations.revokeUser("mallory");
  });
  assert.equal((await all.command("backup", "--to", copy)).code, 0);
  await Deno.remove(all.path);
  await Deno.writeTextFile(`${all.path}-wal`, "of another store");
  const { code, text } = await all.command("restore", "--from", copy);
  assert.equal(code, 0, text);
  await all.use(async (parts) => {
    assert.deepEqual(security(parts), [[], true]);
    assert.equal((await parts.log.heads(["blocks"]))[0]!.seq, 1);
  });
});

Deno.test("what cannot be copied or restored is refused, and changes nothing", async () => {
  await using all = await setup();
  const { directory, path } = all;
  await all.use(({ log }) => log.append([draft("a")]));
  await Deno.writeTextFile(`${directory}/text`, "no database");
  const cases: readonly (readonly [string[], RegExp])[] = [
    [["backup", "--to", path], /kv: there is a file already/],
    [["restore", "--from", `${directory}/none`], /none: there is no file/],
    [["restore", "--from", `${directory}/text`], /text: .* not a sound store/],
  ];
  for (const [args, message] of cases) {
    const { code, text } = await all.command(...args);
    assert.equal(code, 1, text);
    assert.match(text, message);
    assert(!text.includes("    at "), text);
  }
  await all.use(async ({ log }) => {
    assert.equal((await log.heads(["blocks"]))[0]!.seq, 1);
  });
});

Deno.test("while the service runs it is copied, and nothing else is done to it", async () => {
  await using server = await TestServer.start();
  const copy = `${server.kvPath}.copy`;
  const event = {
    type: "ROOM_MESSAGE",
    channel: "room:a",
    payload: { event: "e" },
  } as const;
  await server.publish([event]);
  const run = (...args: string[]) => command(server.kvPath, ...args);
  assert.equal((await run("backup", "--to", copy)).code, 0);
  for (const args of [["restore", "--from", copy], ["reset-log"]]) {
    const { code, text } = await run(...args);
    assert.equal(code, 1, text);
    assert.match(text, /the service runs on it; stop all instances first/);
  }
  await server.publish([event]);

  // One that was killed left its row.
  await server.stop("SIGKILL");
  const { code, text } = await run("restore", "--from", copy);
  assert.equal(code, 0, text);
});

Deno.test("a store that was replaced is never written over", async () => {
  await using all = await setup();
  const copy = `${all.directory}/copy`;
  await all.use(({ log }) => log.append([draft("a")]));
  await all.command("backup", "--to", copy);
  await all.use(({ log }) => log.append([draft("b")]));
  for (const name of ["kv.replaced", "kv.replaced-2", "kv.replaced-3"]) {
    const { text } = await all.command("restore", "--from", copy);
    assert(text.endsWith(`/${name}\n`), text);
  }
  await Deno.rename(`${all.path}.replaced`, all.path);
  await all.use(async ({ log }) => {
    assert.equal((await log.heads(["blocks"]))[0]!.seq, 2);
  });
});
