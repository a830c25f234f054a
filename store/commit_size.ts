/**
 * The size of events in a commit, estimated from above before encoding: accepted
 * events must fit.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import type { Draft } from "./event_log.ts";
import { idKeyBytes } from "./id_memory.ts";
import { PART_BYTES, ROW_HEAD_BYTES, tagsText } from "./rows.ts";

/**
 * Largest commit, in bytes, keys included. KV allows 800 KiB.
 * @see {@link https://docs.deno.com/api/deno/~/Deno.AtomicOperation}
 */
export const COMMIT_BYTES = 700_000;
/** Largest total of a commit's keys, in bytes. KV allows 80 KiB. */
export const COMMIT_KEY_BYTES = 75_000;
/** Most mutations in a commit besides heads; KV allows 1,000 in all. */
export const COMMIT_MUTATIONS = 790;
/** Most channels in a commit; KV allows 100 checks. */
export const COMMIT_CHANNELS = 100;

/** Size of an event besides payload and tags, in bytes, at most. */
const ENVELOPE_BYTES = 600;
/** Size of a mutation besides names and values, in bytes. */
const MUTATION_BYTES = 100;
/** Size of a key besides names, in bytes. */
const KEY_BYTES = 40;
/** Bytes of UTF-8 in one UTF-16 unit, at most. */
const UNIT_BYTES = 3;

/** The size of events in a commit. */
export interface CommitSize {
  /** Keys and values, in bytes. */
  readonly bytes: number;
  /** Keys alone, in bytes. */
  readonly keyBytes: number;
  /** Mutations besides those of each channel. */
  readonly mutations: number;
  /** Canonical names of the channels. */
  readonly channels: ReadonlySet<string>;
}

/** Estimates from above the size of drafts in a commit. */
export function sizeOf(drafts: readonly Draft[]): CommitSize {
  let bytes = 0;
  let keyBytes = 0;
  let mutations = 0;
  const channels = new Set<string>();
  for (const draft of drafts) {
    const { channel, payloadText, tags, keys, id } = draft;
    channels.add(channel);
    const size = Buffer.byteLength(payloadText) +
      Buffer.byteLength(tagsText(tags)) +
      ENVELOPE_BYTES + ROW_HEAD_BYTES;
    const rows = Math.floor(size / PART_BYTES) + (id === undefined ? 1 : 2);
    mutations += rows + keys.length;
    bytes += size + (rows + keys.length) * MUTATION_BYTES;
    keyBytes += (rows + 1) * (channel.length + KEY_BYTES) + idKeyBytes(draft);
    if (keys.length > 0 && size < PART_BYTES) bytes += size;
    for (const key of keys) {
      keyBytes += Buffer.byteLength(key) + KEY_BYTES;
      // The lasting key is stored under each of the others.
      bytes += keys[0]!.length * UNIT_BYTES;
    }
  }
  return { bytes: bytes + keyBytes, keyBytes, mutations, channels };
}

/** Whether one commit can hold this size. */
export function fits(
  { bytes, keyBytes, mutations, channels }: CommitSize,
): boolean {
  return bytes <= COMMIT_BYTES && keyBytes <= COMMIT_KEY_BYTES &&
    mutations <= COMMIT_MUTATIONS && channels.size <= COMMIT_CHANNELS;
}

/** The requests of one commit. */
export class CommitLoad {
  #bytes = 0;
  #keyBytes = 0;
  #mutations = 0;
  readonly #channels = new Set<string>();
  #size = 0;

  /** Number of added requests. */
  get size(): number {
    return this.#size;
  }

  /**
   * Adds one more.
   *
   * @returns `false` when the commit cannot hold it too; none is added after
   * that.
   */
  take({ bytes, keyBytes, mutations, channels }: CommitSize): boolean {
    this.#bytes += bytes;
    this.#keyBytes += keyBytes;
    this.#mutations += mutations;
    for (const channel of channels) this.#channels.add(channel);
    const takes = fits({
      bytes: this.#bytes,
      keyBytes: this.#keyBytes,
      mutations: this.#mutations,
      channels: this.#channels,
    });
    if (takes) this.#size++;
    return takes;
  }
}
