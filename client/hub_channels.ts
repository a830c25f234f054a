/**
 * Subscriptions of several tabs over one socket, and the routing of events to
 * them. Each tab has its own positions: no tab receives an event twice, and a
 * tab that joins a channel of another tab needs no request to the server.
 *
 * @module
 */
import type { At, Frame, Tab } from "./hub_tab.ts";

/** The channels of all tabs. */
export class HubChannels {
  readonly #tabs: ReadonlyMap<string, Tab>;
  /** The last event that arrived, of each channel that is followed. */
  readonly #heads = new Map<string, At>();
  /** Other names of followed channels. */
  readonly #aliases = new Map<string, string>();

  /** Nothing is followed yet. */
  constructor(tabs: ReadonlyMap<string, Tab>) {
    this.#tabs = tabs;
  }

  /**
   * Answers from local state where possible: a channel that others follow, from
   * their position.
   *
   * @returns what the server has to be asked for; may be empty.
   */
  subscribe(tab: Tab, { id, payload }: Frame): readonly Frame[] {
    const here = [];
    const asked = [];
    for (const each of payload.channels) {
      const { channel: requested = each, as, after, last } = Object(each);
      const channel = this.#aliases.get(requested) ?? requested;
      const head = this.#heads.get(channel);
      const isThere = after
        ? after.epoch === head?.epoch && after.seq >= head!.seq
        : !last;
      if (as !== undefined) {
        const name = `${tab.prefix}${as}`;
        tab.filtered.add(name);
        asked.push({ ...each, as: name });
      } else if (this.#heads.has(channel) && isThere) {
        const { epoch = null, seq = null } = after ?? head ?? {};
        tab.channels.set(channel, after ?? head);
        const alias = requested === channel ? {} : { requested };
        here.push({ channel, ...alias, epoch, seq, recovered: true });
      } else asked.push(each);
    }
    if (here.length > 0) {
      tab.answer({
        type: "subscribed",
        ref: id,
        payload: { channels: here, rejected: [] },
      });
    }
    return asked;
  }

  /** The server answered what {@link subscribe} left open. */
  subscribed(tab: Tab, answer: Frame): void {
    const { channels, rejected } = answer.payload;
    for (const { channel, requested, as, epoch, seq } of channels) {
      if (as !== undefined) continue;
      const at = epoch === null ? undefined : { epoch, seq };
      this.#reach(channel, at);
      tab.channels.set(channel, at);
      if (requested) this.#aliases.set(requested, channel);
    }
    const own = (each: Frame) =>
      each.as === undefined ? each : { ...each, as: tab.own(each.as) };
    for (const { as } of rejected) tab.filtered.delete(as);
    tab.answer({
      ...answer,
      payload: {
        channels: channels.map(own),
        rejected: rejected.map(own),
      },
    });
  }

  /**
   * A tab leaves channels and filtered subscriptions.
   *
   * @returns what no tab follows any more, by its names on the wire.
   */
  unsubscribe(tab: Tab, names: readonly string[]): string[] {
    return names.flatMap((name) => {
      const filtered = `${tab.prefix}${name}`;
      if (tab.filtered.delete(filtered)) return [filtered];
      const channel = this.#aliases.get(name) ?? name;
      tab.channels.delete(channel);
      return this.#drop(channel) ? [channel] : [];
    });
  }

  /** The same for all that a tab follows. */
  leave(tab: Tab): string[] {
    const names = [...tab.channels.keys()];
    const filtered = [...tab.filtered].map((name) => tab.own(name));
    return this.unsubscribe(tab, [...filtered, ...names]);
  }

  /** Delivers an event to those that follow its channel and do not have it. */
  event(frame: Frame, text: string): void {
    const { channel, sub, epoch, seq } = frame;
    if (sub !== undefined) {
      return this.#toFiltered(sub, (name) => ({ ...frame, sub: name }));
    }
    const at = seq === undefined ? undefined : { epoch, seq };
    if (this.#heads.has(channel)) this.#reach(channel, at);
    for (const tab of this.#tabs.values()) {
      if (!tab.channels.has(channel)) continue;
      const last = tab.channels.get(channel);
      if (at && last?.epoch === epoch && last!.seq >= seq) continue;
      tab.channels.set(channel, at);
      tab.deliver(text);
    }
  }

  /** Reports lost events to the tabs whose position is before them. */
  gap(frame: Frame, text: string): void {
    const { channel, as, epoch, to } = frame.payload;
    if (as !== undefined) {
      return this.#toFiltered(as, (name) => (
        { ...frame, payload: { ...frame.payload, as: name } }
      ));
    }
    for (const tab of this.#tabs.values()) {
      const last = tab.channels.get(channel);
      if (!last || last.epoch === epoch && last.seq > to) continue;
      tab.channels.set(channel, { epoch, seq: to });
      tab.deliver(text);
    }
  }

  /** Delivers the positions of filtered subscriptions. */
  progress(frame: Frame): void {
    for (const position of frame.payload.positions) {
      if (position.as === undefined) continue;
      this.#toFiltered(position.as, (name) => (
        { ...frame, payload: { positions: [{ ...position, as: name }] } }
      ));
    }
  }

  /** A token with fewer rights ended subscriptions. */
  revoked(names: readonly string[]): void {
    for (const name of names) {
      const answer = (own: string) => (
        { type: "unsubscribed", payload: { channels: [own] } }
      );
      this.#toFiltered(name, answer);
      for (const { filtered } of this.#tabs.values()) filtered.delete(name);
      this.#forget(name);
      for (const tab of this.#tabs.values()) {
        if (tab.channels.delete(name)) tab.answer(answer(name));
      }
    }
  }

  /** Events that are replayed for one tab are behind the head. */
  #reach(channel: string, at: At): void {
    const head = this.#heads.get(channel);
    const isBehind = at && head?.epoch === at.epoch && head.seq > at.seq;
    if (!isBehind) this.#heads.set(channel, at);
  }

  /** Forgets a channel that no tab follows. */
  #drop(channel: string): boolean {
    for (const { channels } of this.#tabs.values()) {
      if (channels.has(channel)) return false;
    }
    return this.#forget(channel);
  }

  #forget(channel: string): boolean {
    for (const [alias, name] of this.#aliases) {
      if (name === channel) this.#aliases.delete(alias);
    }
    return this.#heads.delete(channel);
  }

  #toFiltered(name: string, made: (own: string) => Frame): void {
    for (const tab of this.#tabs.values()) {
      if (tab.filtered.has(name)) tab.answer(made(tab.own(name)));
    }
  }
}
