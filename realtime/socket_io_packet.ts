/**
 * Packets of Socket.IO v5 as text. Binary ones are recognised, so that the
 * caller refuses them. The reference parser is not used: it loads `debug`, which
 * reads the whole environment; tests compare this one with it.
 *
 * @module
 * @see {@link https://socket.io/docs/v4/socket-io-protocol/}
 */

/** Longest name of a namespace that is read, in characters. */
export const MAX_NAMESPACE_LENGTH = 64;

/** Names of events that are reserved by clients. */
const RESERVED: ReadonlySet<string> = new Set([
  "connect",
  "connect_error",
  "disconnect",
  "disconnecting",
  "newListener",
  "removeListener",
]);

/** A packet that a client may send. */
export type Packet =
  & {
    /** `/` by default. */
    readonly namespace: string;
  }
  & (
    | { readonly kind: "connect"; readonly auth: Fields }
    | { readonly kind: "disconnect" }
    | {
      readonly kind: "event";
      /** Its name; the parser's clients send numbers too. */
      readonly name: string | number;
      /** Its arguments. */
      readonly args: readonly unknown[];
      /** Number of the ack that its sender expects. */
      readonly ack: number | undefined;
    }
    | { readonly kind: "ack" }
    | { readonly kind: "binary"; readonly ack: number | undefined }
  );

/** An object of JSON. */
export type Fields = Readonly<Record<string, unknown>>;

/**
 * `<type>[<attachments>-][<namespace>,][<ack>][<JSON>]`; the comma is absent
 * when nothing follows.
 */
const PACKET = /^([0-6])(?:(\d{1,9})-)?(?:(\/[^,]*)(?:,|$))?(\d{1,15})?/;

/**
 * Reads one packet.
 *
 * @param text without the type of the message that carries it.
 * @returns nothing for an invalid packet.
 */
export function parsePacket(text: string): Packet | undefined {
  const match = PACKET.exec(text);
  if (!match) return undefined;
  const [head, type, attachments, namespace = "/", id] = match;
  if (namespace.length > MAX_NAMESPACE_LENGTH) return undefined;
  const ack = id === undefined ? undefined : Number(id);
  if (type === "5" || type === "6") {
    return attachments === undefined
      ? undefined
      : { kind: "binary", namespace, ack: type === "5" ? ack : undefined };
  }
  if (attachments !== undefined) return undefined;
  const data = jsonOf(text.slice(head.length));
  if (!data) return undefined;
  const { value } = data;
  switch (type) {
    case "0":
      if (value !== undefined && !isFields(value)) return undefined;
      return { kind: "connect", namespace, auth: value ?? {} };
    case "1":
      return value === undefined
        ? { kind: "disconnect", namespace }
        : undefined;
    case "2": {
      if (!Array.isArray(value)) return undefined;
      const [name, ...args] = value;
      if (typeof name !== "number" && typeof name !== "string") {
        return undefined;
      }
      if (RESERVED.has(String(name))) return undefined;
      return { kind: "event", namespace, name, args, ack };
    }
    case "3":
      return Array.isArray(value) ? { kind: "ack", namespace } : undefined;
    default:
      return undefined;
  }
}

/**
 * Writes an event.
 *
 * @param name needs no escaping.
 * @param args each JSON text.
 */
export function eventPacket(name: string, ...args: readonly string[]): string {
  return `2["${name}",${args.join(",")}]`;
}

/** Whether a value is an object and not an array. */
export function isFields(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function jsonOf(text: string): { value: unknown } | undefined {
  if (text === "") return { value: undefined };
  try {
    return { value: JSON.parse(text) };
  } catch {
    return undefined;
  }
}
