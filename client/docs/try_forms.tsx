/**
 * The forms by which the API page sends something, and what it follows.
 *
 * @module
 */
/** @jsxRuntime automatic */
/** @jsxImportSource preact */
/// <reference lib="dom" />
import type { VNode } from "preact";
import type { Client } from "../types.ts";
import type { Watch } from "../watch.ts";
import type { Trial, Way } from "./trials.ts";

/** Called when a form is sent. */
type Submit = (event: SubmitEvent) => void;

/** What a form is called. */
export const WAYS: Readonly<Record<Way, string>> = {
  subscribe: "Subscribe",
  publish: "Publish",
  request: "Request",
  watch: "Watch",
};

/** A filtered subscription. */
export interface Followed {
  /** Of which channel. */
  readonly channel: string;
  /** Its handle. */
  readonly watch: Watch;
}

/** Sends a message or a request, beginning with an example. */
export function TrialForm(
  { way, trials, name, written, choose, write, onSubmit }: {
    readonly way: "publish" | "request";
    readonly trials: readonly Trial[];
    /** Which is chosen. */
    readonly name: string;
    /** What was written in place of an example, by its name. */
    readonly written: Readonly<Record<string, string>>;
    readonly choose: (name: string) => void;
    readonly write: (name: string, text: string) => void;
    readonly onSubmit: Submit;
  },
): VNode {
  const { text = "" } = trials.find((it) => it.name === name) ?? {};
  return (
    <form class="trial" onSubmit={onSubmit}>
      <label for="try-name">{way === "publish" ? "Message" : "Verb"}</label>
      <select
        id="try-name"
        value={name}
        onChange={({ currentTarget: { value } }) => choose(value)}
      >
        {trials.map((it) => (
          <option key={it.name} value={it.name}>{it.name}</option>
        ))}
      </select>
      <label for="try-text">
        {way === "publish" ? "What is sent, as JSON" : "Payload, as JSON"}
      </label>
      <textarea
        id="try-text"
        class="mono"
        rows={12}
        spellcheck={false}
        value={written[name] ?? text}
        onInput={({ currentTarget: { value } }) => write(name, value)}
      />
      <button type="submit">{WAYS[way]}</button>
    </form>
  );
}

/** Follows a channel, or what a filter selects of it. */
export function SubscribeForm(
  { channels, onSubmit }: {
    readonly channels: readonly string[];
    readonly onSubmit: Submit;
  },
): VNode {
  return (
    <form class="trial" onSubmit={onSubmit}>
      <label for="try-channel">Channel</label>
      <input
        id="try-channel"
        name="channel"
        list="try-channels"
        required
        defaultValue="blocks"
        autoComplete="off"
        spellcheck={false}
      />
      <datalist id="try-channels">
        {channels.map((name) => <option key={name} value={name} />)}
      </datalist>
      <label for="try-last">Newest events to begin with</label>
      <input
        id="try-last"
        name="last"
        type="number"
        min={0}
        max={1000}
        defaultValue="3"
      />
      <label for="try-filter">Filter, as JSON; none for all events</label>
      <textarea
        id="try-filter"
        name="filter"
        class="mono"
        rows={4}
        spellcheck={false}
        placeholder='{ "address": ["0x123"] }'
      />
      <button type="submit">Subscribe</button>
    </form>
  );
}

/** Edits the filter of a subscription. */
export function WatchForm(
  { followed, onSubmit }: {
    readonly followed: ReadonlyMap<string, Followed>;
    readonly onSubmit: Submit;
  },
): VNode {
  const names = [...followed.keys()];
  if (names.length === 0) {
    return (
      <p class="empty">
        Watching edits the filter of a subscription: subscribe with a filter
        first.
      </p>
    );
  }
  return (
    <form class="trial" onSubmit={onSubmit}>
      <label for="try-as">Filtered subscription</label>
      <select id="try-as" name="as">
        {names.map((name) => (
          <option key={name} value={name}>
            {name} of {followed.get(name)!.channel}
          </option>
        ))}
      </select>
      <label for="try-field">Field; where the filter has several</label>
      <input id="try-field" name="field" placeholder="address" />
      <label for="try-add">Values to add, with commas between them</label>
      <input id="try-add" name="added" placeholder="0x456, 0x789" />
      <label for="try-remove">Values to remove</label>
      {/* A field called remove would hide the form's own method. */}
      <input id="try-remove" name="removed" />
      <button type="submit">Watch</button>
    </form>
  );
}

/** What the connection follows, each with its end. */
export function Subscriptions(
  { channels, followed, leave }: {
    readonly channels: Client["state"]["channels"];
    readonly followed: ReadonlyMap<string, Followed>;
    readonly leave: (name: string) => void;
  },
): VNode | null {
  const plain = Object.entries(channels).map((
    [name, { status, code }],
  ) => ({ name, what: name, status, code }));
  const filtered = [...followed].map(([name, { channel, watch }]) => ({
    name,
    what: `${name} of ${channel}, filtered`,
    status: watch.status,
    code: watch.code,
  }));
  const all = [...plain, ...filtered];
  if (all.length === 0) return null;
  return (
    <ul class="subscriptions" aria-label="Subscriptions">
      {all.map(({ name, what, status, code }) => (
        <li key={name}>
          <span class="mono">{what}</span>
          <span class={`chip ${status}`}>{code ?? status}</span>
          <button
            type="button"
            aria-label={`Unsubscribe ${name}`}
            onClick={() => leave(name)}
          >
            Unsubscribe
          </button>
        </li>
      ))}
    </ul>
  );
}
