/**
 * The newest event about each subject that can be requested: `["state", key]`
 * holds its frame, or its position in the log.
 *
 * @module
 */
import type { Draft, Head } from "./event_log.ts";
import { PART_BYTES } from "./rows.ts";
import { seal, SEAL_BYTES, unseal } from "./seal.ts";
import type { Store } from "./store.ts";

/** Shortest retention of a latest state, in milliseconds: seven days. */
export const STATE_MS = 7 * 24 * 3_600_000;

/** First byte of a frame that an earlier version stored without a checksum. */
const BRACE = 0x7b;

/** A latest state: the frame, or its position in the log. */
export type State = Uint8Array | { readonly key: string } | EventPlace;

/** An event in the log. */
export interface EventPlace extends Head {
  /** Canonical name of its channel. */
  readonly channel: string;
}

/**
 * The latest states to store for an event.
 *
 * @param draft the published event.
 * @param json its frame.
 * @param head its position.
 * @returns states by key.
 */
export function statesOf(
  { keys, channel }: Draft,
  json: string,
  { epoch, seq }: Head,
): [string, State][] {
  const [lasting, ...others] = keys;
  if (lasting === undefined) return [];
  const sealed = seal(json);
  const isShort = sealed.byteLength <= PART_BYTES + SEAL_BYTES;
  // A block's name may equal its height.
  const aliases = others.filter((key) => key !== lasting);
  return [
    [lasting, isShort ? sealed : { channel, epoch, seq }],
    ...aliases.map((key): [string, State] => [key, { key: lasting }]),
  ];
}

/**
 * Reads a latest state.
 *
 * @param store holds it.
 * @param key as in {@link Draft.keys}.
 * @returns the frame, its position, or nothing when there is none.
 */
export async function readState(
  store: Store,
  key: string,
): Promise<string | EventPlace | undefined> {
  let { value: state } = await store.get<State>(["state", key]);
  if (state && "key" in state) {
    ({ value: state } = await store.get<State>(["state", state.key]));
  }
  if (!state || "key" in state) return undefined;
  return contentOf(state);
}

/**
 * Reads the latest states of a kind, in the order of their names.
 *
 * @param store holds them.
 * @param kind such as `validator`.
 */
export async function* readStates(
  store: Store,
  kind: string,
): AsyncGenerator<string | EventPlace> {
  // The colon ends a kind; the next character ends its names.
  const start = ["state", `${kind}:`];
  const range = { start, end: ["state", `${kind};`] };
  for await (const { value } of store.list<State>(range)) {
    const state = "key" in value ? undefined : contentOf(value);
    if (state !== undefined) yield state;
  }
}

function contentOf(
  state: Uint8Array | EventPlace,
): string | EventPlace | undefined {
  if (!(state instanceof Uint8Array)) return state;
  // A checksum may begin like a frame: only a failed checksum decides.
  const sealed = unseal(state);
  if (sealed !== undefined || state[0] !== BRACE) return sealed;
  const frame = new TextDecoder().decode(state);
  return isJson(frame) ? frame : undefined;
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
