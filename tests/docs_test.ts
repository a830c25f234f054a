import assert from "node:assert/strict";
import type { z } from "zod";
import { CHANNELS } from "../protocol/channels.ts";
import {
  COMMANDS,
  DEFAULT_HISTORY_LIMIT,
  MAX_CHANNELS_PER_COMMAND,
  MAX_HISTORY_LIMIT,
  MAX_TOKEN_LENGTH,
  MAX_WATCH_ITEMS,
} from "../protocol/commands.ts";
import {
  decode,
  decodePublications,
  MAX_BATCH_MESSAGES,
  MAX_ISSUE_LENGTH,
  MAX_ISSUES,
} from "../protocol/decode.ts";
import { SUBPROTOCOL, VERSION } from "../protocol/envelope.ts";
import {
  filterFields,
  MAX_FILTER_CLAUSES,
  MAX_FILTER_VALUES,
  passesFilters,
} from "../protocol/filters.ts";
import { MESSAGES, typesOf } from "../protocol/messages.ts";
import type { MessageType } from "../protocol/messages.ts";
import { REFUSALS } from "../protocol/refusals.ts";
import { GAP_REASONS, REPLIES } from "../protocol/replies.ts";
import { MAX_DEPTH } from "../protocol/json_limits.ts";
import {
  MAX_ADDRESS_VALUES,
  MAX_CONNECTION_VALUES,
  MAX_FILTERED_SUBSCRIPTIONS,
  MAX_INSTANCE_VALUES,
} from "../realtime/filter_budget.ts";
import { PROGRESS_MS } from "../realtime/progress.ts";
import { MAX_ANSWER_BYTES } from "../realtime/history.ts";
import { COMMIT_BYTES } from "../store/commit_size.ts";
import { ID_MEMORY_MS } from "../store/id_memory.ts";
import { STATE_MS } from "../store/latest_states.ts";
import { STALL_MS } from "../realtime/outbox.ts";
import {
  MAX_COMMANDS_IN_FLIGHT,
  MAX_PUBLISHES_IN_FLIGHT,
} from "../realtime/command_queue.ts";
import {
  AUTH_DEADLINE_MS,
  HEARTBEAT_MS,
  MAX_FAULTS,
} from "../realtime/session.ts";
import {
  CHANNELS_PER_MESSAGE,
  READ_LENGTH_PER_MESSAGE,
} from "../realtime/prices.ts";
import { MAX_STREAMS_PER_ADDRESS } from "../realtime/streams.ts";
import { MAX_SUBSCRIPTIONS } from "../realtime/subscribe.ts";
import { TOKEN_WARNING_MS } from "../realtime/token_timer.ts";
import { CONNECTION_BURST, CONNECTION_PER_SECOND } from "../routes/budgets.ts";
import { MAX_BODY_BYTES } from "../routes/publish.ts";
import { IDLE_TIMEOUT_S } from "../routes/socket.ts";
import { KEEP_ALIVE_MS } from "../routes/sse.ts";
import { readSettings } from "../server/settings.ts";
import { checkServerFrame } from "./frames.ts";

const DOCUMENT = await Deno.readTextFile(
  new URL("../PROTOCOL.md", import.meta.url),
);
const { MAX_MESSAGE_BYTES } = readSettings(() => undefined, { dev: true });

function examples(kind: string): string[] {
  const blocks = DOCUMENT.matchAll(/```json (\w+)\n(.*?)```/gs);
  return [...blocks].filter(([, found]) => found === kind)
    .map(([, , text]) => text!);
}

/** The rows of every table under a heading, as cells. */
function tableUnder(heading: string): string[][] {
  const section = DOCUMENT.split(/^## /m).find((text) =>
    text.startsWith(`${heading}\n`)
  );
  assert(section, `no heading ${heading}`);
  return section.split("\n").filter((line) => line.startsWith("|"))
    .map((line) => line.slice(1, -1).split("|").map((cell) => cell.trim()))
    .filter(([first]) => !/^-+$/.test(first!));
}

function codesIn(cell: string | undefined): string[] {
  return [...(cell ?? "").matchAll(/`([^`]+)`/g)].map(([, code]) => code!);
}

Deno.test("every example of a client's frame is understood", () => {
  const seen = examples("client").map((text) => {
    decode(text, MAX_MESSAGE_BYTES);
    return JSON.parse(text).type as string;
  });
  for (const verb of Object.keys(COMMANDS)) {
    assert(seen.includes(verb), `no example of ${verb}`);
  }
});

Deno.test("every example of a server's frame is one", () => {
  const seen = examples("server").map((text) => {
    const frame = JSON.parse(text);
    checkServerFrame(frame);
    return frame.type as string;
  });
  for (const type of Object.keys(REPLIES)) {
    assert(seen.includes(type), `no example of ${type}`);
  }
});

Deno.test("every example of a body is understood", () => {
  const bodies = examples("http");
  assert(bodies.length > 0);
  for (const body of bodies) decodePublications(body, MAX_MESSAGE_BYTES);
});

Deno.test("no example of JSON goes unchecked", () => {
  const all = DOCUMENT.match(/```json/g)!.length;
  const checked = ["client", "server", "http"].flatMap(examples).length;
  assert.equal(checked, all);
});

Deno.test("the table of refusals is the code's", () => {
  const rows = tableUnder("Refusals and close codes").slice(1);
  assert.deepEqual(
    Object.fromEntries(rows.map(([code, text, http, close]) => [
      codesIn(code)[0],
      { text, http: Number(http), close: Number(close) },
    ])),
    REFUSALS,
  );
  assert.equal(rows.length, Object.keys(REFUSALS).length);
});

Deno.test("the table of channels is the code's", () => {
  const rows = tableUnder("Channels").slice(1);
  assert.deepEqual(
    rows.map(([name, types, read, publish, retention]) => ({
      kind: codesIn(name)[0]!.split(":")[0],
      types: codesIn(types),
      read,
      publish,
      retention,
    })),
    Object.entries(CHANNELS).map(([kind, { read, publish, retention }]) => ({
      kind,
      types: typesOf(kind as keyof typeof CHANNELS),
      read,
      publish,
      retention,
    })),
  );
});

Deno.test("the table of messages names every field, and what is required", () => {
  const rows = tableUnder("Application messages").slice(1);
  assert.deepEqual(
    rows.map(([type]) => codesIn(type)[0]),
    Object.keys(MESSAGES),
  );
  for (const [type, required, optional] of rows) {
    const { shape } = MESSAGES[codesIn(type)[0] as MessageType].payload;
    const isRequired = ([, field]: [string, z.ZodType]) =>
      !field.safeParse(undefined).success;
    const fields = Object.entries<z.ZodType>(shape);
    const names = (chosen: [string, z.ZodType][]) =>
      chosen.map(([name]) => name).toSorted();
    assert.deepEqual(
      codesIn(required).toSorted(),
      names(fields.filter(isRequired)),
      `${type}`,
    );
    assert.deepEqual(
      codesIn(optional).toSorted(),
      names(fields.filter((field) => !isRequired(field))),
      `${type}`,
    );
  }
});

Deno.test("the table of verbs is the code's", () => {
  const rows = tableUnder("Verbs and replies").slice(1);
  const verbs = rows.map(([verb]) => codesIn(verb)[0]).filter((verb) =>
    verb !== undefined && verb in COMMANDS
  );
  assert.deepEqual(verbs.toSorted(), Object.keys(COMMANDS).toSorted());
  for (const [verb, payload, reply] of rows) {
    const name = codesIn(verb)[0]!;
    if (!(name in COMMANDS)) continue;
    assert(codesIn(reply)[0]! in REPLIES, `${reply}`);
    const { shape } = COMMANDS[name as keyof typeof COMMANDS];
    for (const field of Object.keys(shape)) {
      assert(
        codesIn(payload).some((code) => code.startsWith(field)),
        `${name} takes ${field}`,
      );
    }
  }
});

Deno.test("the table of filter fields is the code's", () => {
  const rows = tableUnder("Filters").slice(1);
  assert.deepEqual(
    rows.map(([channel, fields]) => [
      codesIn(channel)[0]!.split(":")[0],
      codesIn(fields),
    ]),
    (Object.keys(CHANNELS) as (keyof typeof CHANNELS)[])
      .map((kind) => [kind, [...filterFields(kind).keys()]])
      .filter(([, fields]) => fields!.length > 0),
  );
});

Deno.test("the messages that pass every filter are named", () => {
  const text = DOCUMENT.split("pass every filter:")[1]!.split("\n\n")[0];
  const all = Object.keys(CHANNELS).flatMap((kind) => {
    const types = typesOf(kind as keyof typeof CHANNELS);
    return kind === "metrics" ? [] : types.filter(passesFilters);
  });
  assert.deepEqual(codesIn(text).toSorted(), [...new Set(all)].toSorted());
});

Deno.test("the reasons of a gap are the code's", () => {
  const rows = tableUnder("Resume: what is promised").slice(1);
  assert.deepEqual(rows.map(([reason]) => codesIn(reason)[0]), GAP_REASONS);
});

Deno.test("every limit has the value that it has in the code", () => {
  const limits: Record<string, number> = {
    MAX_MESSAGE_BYTES,
    MAX_BATCH_MESSAGES,
    COMMIT_BYTES,
    MAX_BODY_BYTES,
    MAX_DEPTH,
    MAX_ISSUES,
    MAX_ISSUE_LENGTH,
    MAX_TOKEN_LENGTH,
    MAX_CHANNELS_PER_COMMAND,
    MAX_SUBSCRIPTIONS,
    MAX_STREAMS_PER_ADDRESS,
    CHANNELS_PER_MESSAGE,
    READ_LENGTH_PER_MESSAGE,
    MAX_FILTER_CLAUSES,
    MAX_FILTER_VALUES,
    MAX_WATCH_ITEMS,
    MAX_FILTERED_SUBSCRIPTIONS,
    MAX_CONNECTION_VALUES,
    MAX_ADDRESS_VALUES,
    MAX_INSTANCE_VALUES,
    PROGRESS_MS,
    MAX_COMMANDS_IN_FLIGHT,
    MAX_PUBLISHES_IN_FLIGHT,
    CONNECTION_BURST,
    CONNECTION_PER_SECOND,
    MAX_FAULTS,
    MAX_HISTORY_LIMIT,
    DEFAULT_HISTORY_LIMIT,
    MAX_ANSWER_BYTES,
    ID_MEMORY_MS,
    STATE_MS,
    HEARTBEAT_MS,
    IDLE_TIMEOUT_S,
    AUTH_DEADLINE_MS,
    TOKEN_WARNING_MS,
    STALL_MS,
    KEEP_ALIVE_MS,
  };
  const rows = tableUnder("Limits").slice(1);
  assert.deepEqual(
    Object.fromEntries(
      rows.map(([name, value]) => [
        codesIn(name)[0],
        Number(value!.replaceAll(",", "")),
      ]),
    ),
    limits,
  );
});

Deno.test("version and subprotocol are the code's", () => {
  assert(DOCUMENT.includes(`Version **${VERSION}**`));
  assert(DOCUMENT.includes(`\`${SUBPROTOCOL}\``));
});

Deno.test("every link inside the document leads somewhere", () => {
  const anchors = new Set(
    [...DOCUMENT.matchAll(/^#+ (.*)$/gm)].map(([, title]) =>
      title!.toLowerCase().replace(/[^\w\s-]/g, "").replaceAll(" ", "-")
    ),
  );
  for (const [, anchor] of DOCUMENT.matchAll(/\]\(#([^)]*)\)/g)) {
    assert(anchors.has(anchor!), `#${anchor} leads nowhere`);
  }
});
