/**
 * The frames of a connection, as they passed.
 *
 * @module
 */
/** @jsxRuntime automatic */
/** @jsxImportSource preact */
/// <reference lib="dom" />
import type { VNode } from "preact";
import { bytes, clockTime, counted } from "../page/words.ts";
import type { TappedFrame } from "../types.ts";

/** Frames kept; older ones are forgotten. */
export const MAX_FRAMES = 100;

/** A frame that is kept. */
export interface KeptFrame extends TappedFrame {
  /** Running number, from 1. */
  readonly key: number;
}

/** The newest frames. */
export class Frames {
  #kept: readonly KeptFrame[] = [];
  #passed = 0;

  /** Newest first. */
  get kept(): readonly KeptFrame[] {
    return this.#kept;
  }

  /** How many passed. */
  get passed(): number {
    return this.#passed;
  }

  /** Keeps one more. */
  take(frame: TappedFrame): void {
    this.#kept = [{ ...frame, key: ++this.#passed }, ...this.#kept]
      .slice(0, MAX_FRAMES);
  }

  /** Forgets those that are kept. */
  clear(): void {
    this.#kept = [];
  }
}

/** What a frame is about, in a few words. */
export function gistOf(frame: TappedFrame["frame"]): string {
  const { channel, sub, seq, payload } = frame;
  const { updates, code, channels } = Object(payload) as Record<
    string,
    unknown
  >;
  const count = Array.isArray(updates) ? counted(updates.length, "event") : "";
  const named = Array.isArray(channels)
    ? channels.map((it) => it?.as ?? it?.channel ?? it).join(", ")
    : channel;
  return [
    named,
    sub === channel ? undefined : sub,
    seq === undefined ? undefined : `#${seq}`,
    code,
    count,
  ].filter(Boolean).join(" ");
}

/** The frames, each with its text. */
export function FrameList({ frames }: { readonly frames: Frames }): VNode {
  const { kept } = frames;
  if (kept.length === 0) return <p class="empty">No frame passed yet.</p>;
  return (
    <ol class="frames">
      {kept.map(({ key, direction, frame, at, length, wireBytes }) => (
        <li key={key}>
          <details>
            <summary>
              <span class={`way ${direction}`} aria-hidden="true">
                {direction === "in" ? "↓" : "↑"}
              </span>
              <span class="hidden">
                {direction === "in" ? "received" : "sent"}
              </span>
              <time>{clockTime(at)}</time>
              <strong class="mono">{String(frame["type"])}</strong>
              <span class="gist mono">{gistOf(frame)}</span>
              <span class="sub">{bytes(wireBytes ?? length)}</span>
            </summary>
            <pre
              class="mono"
              tabIndex={0}
            >{JSON.stringify(frame, null, 2)}</pre>
          </details>
        </li>
      ))}
    </ol>
  );
}
