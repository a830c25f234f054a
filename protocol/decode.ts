/**
 * The only validation: untrusted text becomes a typed frame here, or a
 * {@link Refusal}. Code further in does not validate again.
 *
 * @module
 */
import { MAX_BATCH_MESSAGES } from "./batch.ts";
import { z } from "zod";
import { channelNamed, unknownChannel } from "./channels.ts";
import type { Channel } from "./channels.ts";
import { BARE_COMMANDS, COMMANDS } from "./commands.ts";
import type { CommandPayload, CommandType } from "./commands.ts";
import { clientFields, isId, VERSION } from "./envelope.ts";
import { requirePublishing, requireRights } from "./frame_rights.ts";
import type { FrameRights } from "./frame_rights.ts";
import { isCarriedBy, MESSAGES } from "./messages.ts";
import type { MessageType } from "./messages.ts";
import { Refusal } from "./refusals.ts";
import type { Issue, RefusalCode } from "./refusals.ts";
import { unsoundness } from "./json_limits.ts";
import { MAX_ISSUES, Shape } from "./shape.ts";

export { MAX_BATCH_MESSAGES, MAX_ISSUES };

/** Longest path or message of an issue, in characters. */
export const MAX_ISSUE_LENGTH = 200;

/** A decoded application message, on its way to a channel. */
export interface Publication {
  /** The message type. */
  readonly type: MessageType;
  /** The destination. */
  readonly channel: Channel;
  /** The publisher's idempotency key. */
  readonly id: string | undefined;
  /** Validated, otherwise unchanged. */
  readonly payload: Readonly<Record<string, unknown>>;
}

/** A decoded verb. */
export type Command = {
  [Type in CommandType]: {
    readonly kind: "command";
    readonly type: Type;
    readonly id: string | undefined;
    readonly payload: CommandPayload<Type>;
  };
}[CommandType];

/** A decoded frame from a client. */
export type ClientFrame =
  | Command
  | {
    readonly kind: "publish";
    readonly id: string | undefined;
    readonly publications: readonly Publication[];
  }
  | {
    readonly kind: "test";
    readonly id: string | undefined;
    readonly payload: Readonly<Record<string, unknown>>;
  };

const commands = new Map<string, Shape>(
  Object.entries(COMMANDS).map(([type, payload]) => {
    const bare = BARE_COMMANDS.has(type as CommandType);
    const schema: z.ZodType = bare ? payload.optional() : payload;
    return [
      type,
      new Shape(z.strictObject({
        ...clientFields,
        type: z.string(),
        payload: schema,
      })),
    ];
  }),
);

const messages = new Map<string, Shape>(
  Object.entries(MESSAGES).map(([type, { payload }]) => [
    type,
    new Shape(z.strictObject({
      ...clientFields,
      type: z.string(),
      channel: z.string().max(128).optional(),
      payload,
    })),
  ]),
);

const Batch = new Shape(z.strictObject({
  ...clientFields,
  type: z.string(),
  payload: z.strictObject({
    updates: z.array(z.unknown()).min(1).max(MAX_BATCH_MESSAGES),
  }),
}));

const Many = new Shape(z.strictObject({
  messages: z.array(z.unknown()).min(1).max(MAX_BATCH_MESSAGES),
}));

const encoder = new TextEncoder();

/** Length of `text` in UTF-8, counted only when its UTF-16 length leaves a doubt. */
function exceeds(text: string, maxBytes: number): boolean {
  if (text.length > maxBytes) return true;
  return text.length * 3 > maxBytes &&
    encoder.encode(text).byteLength > maxBytes;
}

/**
 * Refuses a frame that is too long.
 *
 * @param text the frame.
 * @param maxBytes longest frame accepted, in bytes of UTF-8.
 * @throws {Refusal} `MESSAGE_TOO_LARGE`.
 */
export function requireLength(text: string, maxBytes: number): void {
  if (exceeds(text, maxBytes)) throw tooLarge(maxBytes);
}

/**
 * Decodes one frame from a client.
 *
 * @param data the data of the socket's event.
 * @param maxBytes longest frame accepted, in bytes of UTF-8.
 * @param rights of its sender; all of them when omitted.
 * @returns the frame, narrowed by `kind` and `type`.
 * @throws {Refusal} `INVALID_JSON`, `INVALID_MESSAGE`, `UNKNOWN_TYPE`,
 * `INVALID_PAYLOAD`, `INVALID_SUBSCRIPTION`, `UNKNOWN_CHANNEL`,
 * `UNSUPPORTED_VERSION` or `MESSAGE_TOO_LARGE`, and what `rights` throws.
 */
export function decode(
  data: unknown,
  maxBytes: number,
  rights?: FrameRights,
): ClientFrame {
  return clientFrame(parse(data, maxBytes), true, maxBytes, rights);
}

/**
 * Decodes one frame from a client that is already parsed, from JSON or another
 * notation.
 *
 * @param value the frame as a JSON value; other values in it are refused.
 * @param maxBytes longest message of a batch, in bytes of JSON.
 * @param rights of its sender; all of them when omitted.
 * @throws {Refusal} as {@link decode}.
 */
export function interpret(
  value: unknown,
  maxBytes: number,
  rights?: FrameRights,
): ClientFrame {
  return clientFrame(value, false, maxBytes, rights);
}

function clientFrame(
  value: unknown,
  isJson: boolean,
  maxBytes: number,
  rights: FrameRights | undefined,
): ClientFrame {
  const frame = envelope(value);
  const ref = refOf(frame);
  if (rights) permitted(frame, rights, ref);
  sound(frame, isJson);
  const command = commands.get(frame.type);
  if (command) {
    const { type, id, payload } = checked(command, frame, ref) as Command;
    return { kind: "command", type, id, payload: payload ?? {} } as Command;
  }
  if (frame.type === "BATCH_UPDATE") {
    const { payload } = checked(Batch, frame, ref);
    const publications = publicationsIn(
      payload.updates,
      "payload.updates",
      maxBytes,
      ref,
    );
    return { kind: "publish", id: ref, publications };
  }
  if (frame.type === "TEST") {
    checked(messages.get("TEST")!, frame, ref);
    return { kind: "test", id: ref, payload: frame.payload as Fields };
  }
  return { kind: "publish", id: ref, publications: [publication(frame, ref)] };
}

/** Longest refused frame whose `id` is still read, in characters. */
const MAX_GLANCE_LENGTH = 1_024;

/**
 * The `id` of a frame that is refused before decoding, so that the refusal can
 * name it.
 *
 * @param data the data of the socket's event.
 * @returns `undefined` for long frames, which are not parsed.
 */
export function glance(data: unknown): string | undefined {
  if (typeof data !== "string" || data.length > MAX_GLANCE_LENGTH) return;
  try {
    return refOf(JSON.parse(data));
  } catch {
    return undefined;
  }
}

/**
 * Decodes the body of an HTTP publish: one message, or
 * `{"messages": [...]}`.
 *
 * @param text the body.
 * @param maxBytes longest message accepted, in bytes of UTF-8.
 * @param rights of its sender; all of them when omitted.
 * @throws {Refusal} as {@link decode}.
 */
export function decodePublications(
  text: string,
  maxBytes: number,
  rights?: Pick<FrameRights, "requirePublishing">,
): readonly Publication[] {
  const value = parse(text, Infinity);
  const { messages: many = [value] } = Object(value) as Fields;
  if (rights && Array.isArray(many)) {
    requirePublishing(many.slice(0, MAX_BATCH_MESSAGES), rights);
  }
  sound(value, true);
  if (isObject(value) && "messages" in value) {
    const { messages } = checked(Many, value, undefined);
    return publicationsIn(messages, "messages", maxBytes, undefined);
  }
  if (exceeds(text, maxBytes)) throw tooLarge(maxBytes);
  const frame = envelope(value);
  return [publication(frame, refOf(frame))];
}

type Fields = Readonly<Record<string, unknown>>;
type Envelope = Fields & { readonly type: string };

function tooLarge(maxBytes: number): Refusal {
  return new Refusal(
    "MESSAGE_TOO_LARGE",
    `A message may hold at most ${maxBytes} bytes`,
  );
}

function parse(data: unknown, maxBytes: number): unknown {
  if (typeof data !== "string") {
    throw new Refusal("INVALID_MESSAGE", "Frame is binary; send JSON as text");
  }
  requireLength(data, maxBytes);
  let value: unknown;
  try {
    value = JSON.parse(data);
  } catch (cause) {
    const { message } = cause as SyntaxError;
    throw new Refusal("INVALID_JSON", `Frame is not JSON: ${message}`, {
      cause,
    });
  }
  return value;
}

/** Adds the `id` of the refused frame to a refusal. */
function permitted(
  frame: Envelope,
  rights: FrameRights,
  ref: string | undefined,
): void {
  try {
    requireRights(frame, rights, MAX_BATCH_MESSAGES);
  } catch (error) {
    const { code, message } = Refusal.of(error);
    throw new Refusal(code, message, { ref, cause: error });
  }
}

/** Refuses a value that cannot be stored and delivered unchanged. */
function sound(value: unknown, isJson: boolean): void {
  const issue = unsoundness(value, isJson);
  if (!issue) return;
  throw new Refusal(codeOf(value, issue), undefined, {
    issues: [bounded(issue)],
    ref: refOf(value),
  });
}

/** Validates the envelope's fields that precede the lookup of its type. */
function envelope(value: unknown): Envelope {
  if (!isObject(value)) {
    throw new Refusal("INVALID_MESSAGE", "Frame is not a JSON object");
  }
  const { type, version } = value;
  if (typeof version === "string" && !sameMajor(version)) {
    throw new Refusal(
      "UNSUPPORTED_VERSION",
      `This server uses version ${VERSION}`,
      { ref: refOf(value) },
    );
  }
  if (typeof type !== "string") {
    throw new Refusal("INVALID_MESSAGE", undefined, {
      issues: [{ path: "type", message: "expected a string" }],
      ref: refOf(value),
    });
  }
  if (commands.has(type) || messages.has(type) || type === "BATCH_UPDATE") {
    return value as Envelope;
  }
  throw new Refusal(
    "UNKNOWN_TYPE",
    `Message type ${JSON.stringify(cut(type))} is not known: see /docs`,
    { ref: refOf(value) },
  );
}

function publicationsIn(
  values: readonly unknown[],
  path: string,
  maxBytes: number,
  ref: string | undefined,
): Publication[] {
  return values.map((value, index) => {
    try {
      if (exceeds(JSON.stringify(value), maxBytes)) throw tooLarge(maxBytes);
      return publication(envelope(value), undefined);
    } catch (error) {
      const { code, message, issues } = Refusal.of(error);
      const inside = issues ?? [{ path: "", message }];
      throw new Refusal(code, message, {
        ref,
        cause: error,
        issues: inside.map((issue) =>
          bounded({
            path: `${path}.${index}${issue.path && `.${issue.path}`}`,
            message: issue.message,
          })
        ),
      });
    }
  });
}

function publication(frame: Envelope, ref: string | undefined): Publication {
  const schema = messages.get(frame.type);
  if (!schema) {
    throw new Refusal(
      "UNKNOWN_TYPE",
      `${cut(frame.type)} cannot be published`,
      { ref },
    );
  }
  const { id, channel } = checked(schema, frame, ref) as {
    id?: string;
    channel?: string;
  };
  const type = frame.type as MessageType;
  return {
    type,
    id,
    channel: destination(type, channel, ref),
    // The value as parsed, not zod's copy of it: same keys in the same order.
    payload: frame.payload as Fields,
  };
}

function destination(
  type: MessageType,
  name: string | undefined,
  ref: string | undefined,
): Channel {
  const kind = MESSAGES[type].channel;
  if (kind === null) {
    throw new Refusal(
      "INVALID_MESSAGE",
      `${type} is only echoed over a socket, not published`,
      { ref },
    );
  }
  if (name === undefined && kind !== "room") return { name: kind, kind };
  const channel = name === undefined ? undefined : channelNamed(name);
  if (channel && isCarriedBy(type, channel.kind)) return channel;
  if (name !== undefined && !channel) throw unknownChannel(name, ref);
  const wanted = kind === "room" ? "room:<name>" : kind;
  throw new Refusal("INVALID_MESSAGE", `${type} goes to ${wanted}`, {
    ref,
    issues: [{ path: "channel", message: `expected ${wanted}` }],
  });
}

function checked<Value>(
  shape: Shape<Value>,
  value: unknown,
  ref: string | undefined,
): Value {
  return shape.check(value, (found) => {
    const issues = found.map(bounded);
    const outside = issues.find(({ path }) => !path.startsWith("payload"));
    throw new Refusal(codeOf(value, outside ?? issues[0]!), undefined, {
      issues,
      ref,
    });
  });
}

/** The refusal for an issue, by its path. */
function codeOf(value: unknown, { path }: Issue): RefusalCode {
  const { type, payload } = Object(value) as Fields;
  const inside = path.startsWith("payload.") ||
    // An unknown key of a payload is an issue of the payload as a whole.
    (path === "payload" && isObject(payload));
  if (!inside) return "INVALID_MESSAGE";
  return type === "subscribe" || type === "unsubscribe"
    ? "INVALID_SUBSCRIPTION"
    : "INVALID_PAYLOAD";
}

function isObject(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function refOf(value: unknown): string | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const { id } = value as Fields;
  return isId(id) ? id : undefined;
}

function sameMajor(version: string): boolean {
  const major = /^(\d+)\./.exec(version)?.[1];
  return major === undefined || major === VERSION.split(".")[0];
}

function cut(text: string): string {
  return text.length > 64 ? `${text.slice(0, 61)}...` : text;
}

function bounded({ path, message }: Issue): Issue {
  return {
    path: path.slice(0, MAX_ISSUE_LENGTH).toWellFormed(),
    message: message.slice(0, MAX_ISSUE_LENGTH).toWellFormed(),
  };
}
