import assert from "node:assert/strict";
import { NotifyLink } from "../../realtime/notify_link.ts";
import type { Hint, Link } from "../../realtime/link.ts";
import type { Announcements, Commit } from "../../store/store.ts";
import type { Head } from "../../store/event_log.ts";
import { openPostgres } from "../../store/postgres.ts";
import { testLink } from "../contracts/link_contract.ts";
import { patientClock } from "../fakes/clock.ts";
import { binaries, TestPostgres } from "../postgres.ts";

const [version] = await binaries();
let server: TestPostgres | undefined;
let schemas = 0;

Deno.test.beforeAll(async () => {
  server = version && await TestPostgres.start(version);
});

Deno.test.afterAll(async () => {
  await server?.[Symbol.asyncDispose]();
});

if (version) {
  testLink("NotifyLink on PostgreSQL", async () => {
    const store = await openPostgres(server!.url, {
      schema: `n${++schemas}`,
      clock: patientClock,
    });
    let ends = 0;
    const commits = new Set<Promise<unknown>>();
    // What listens from the beginning is asked to look once.
    const begun = Promise.withResolvers<void>();
    store.announcements.listen(() => begun.resolve());
    await begun.promise;
    return {
      carriesEvents: false,
      join() {
        const link = new NotifyLink(store.announcements, `end${++ends}`);
        let isOpen = true;
        let heads = new Map<string, Head>();
        let committing: Promise<void> | undefined;
        // As the log does: what comes while a commit is in flight goes into
        // the next one, and the commit itself announces where channels end.
        const commit = async () => {
          while (heads.size > 0) {
            const { announcements } = store;
            const commit = store.atomic().set(["head"], 1);
            const text = link.announcement(heads, announcements.maxBytes);
            announcements.attach(commit, text);
            heads = new Map();
            await commit.commit();
          }
          committing = undefined;
        };
        const end: Link = {
          publish(events) {
            if (!isOpen) return;
            for (const { channel, epoch, seq } of events) {
              heads.set(channel, { epoch: epoch!, seq: seq! });
            }
            committing ??= commit();
            commits.add(committing);
          },
          receive: (listener) => link.receive(listener),
          [Symbol.dispose]() {
            isOpen = false;
            link[Symbol.dispose]();
          },
        };
        return Promise.resolve(end);
      },
      async [Symbol.asyncDispose]() {
        await Promise.all(commits);
        await store.close();
      },
    };
  });
}

/** Announcements that arrive at once. */
class Board implements Announcements {
  readonly maxBytes = 100;
  listener: (text: string | undefined) => void = () => {};

  attach(_commit: Commit, text: string): void {
    this.listener(text);
  }

  listen(listener: (text: string | undefined) => void): Disposable {
    this.listener = listener;
    return { [Symbol.dispose]: () => this.listener = () => {} };
  }
}

function listening() {
  const board = new Board();
  const link = new NotifyLink(board, "here");
  const hints: Hint[] = [];
  link.receive((hint) => hints.push(hint));
  return { board, link, hints };
}

Deno.test("NotifyLink announces the ends of channels, and compares all when they do not fit", () => {
  const { board, hints } = listening();
  using other = new NotifyLink(new Board(), "there");
  const heads = new Map([["blocks", { epoch: "e", seq: 7 }]]);
  board.listener(other.announcement(heads, 100));
  board.listener(other.announcement(heads, 10));
  assert.deepEqual(hints, [
    {
      events: [],
      heads: [{ channel: "blocks", epoch: "e", seq: 7 }],
      incomplete: false,
    },
    { events: [], heads: [], incomplete: true },
  ]);
});

Deno.test("NotifyLink looks everywhere when announcements may have been missed, or are odd", () => {
  const { board, hints } = listening();
  for (const text of [undefined, "", "there\nblocks", "there\na b c"]) {
    board.listener(text);
  }
  assert.deepEqual(hints.map(({ incomplete }) => incomplete), [
    true,
    true,
    true,
    true,
  ]);
});

Deno.test("NotifyLink does not answer its own announcements, nor any after its end", () => {
  const { board, link, hints } = listening();
  board.listener("here\nblocks e 1");
  link[Symbol.dispose]();
  board.listener("there\nblocks e 1");
  assert.deepEqual(hints, []);
});
