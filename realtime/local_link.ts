/**
 * The link between processes of one machine that share a store's file: the
 * store's own `watch` does not cross processes.
 *
 * @module
 */
import type { Clock } from "../platform/clock.ts";
import type { Entry } from "../store/entry.ts";
import type { Hint, Link, LinkObserver } from "./link.ts";
import { Ringer } from "./ringer.ts";

/** Shortest time between two rings, in milliseconds. */
const MIN_INTERVAL_MS = 5;
/** A bell not rung for this time belongs to a dead instance, in milliseconds. */
export const STALE_BELL_MS = 24 * 3_600_000;
/** Most bells of other instances that are stored. */
export const MAX_BELLS = 1_024;
/** Pause before a new watch after the system ended the last one, in milliseconds. */
const REWATCH_MS = 1_000;

/** How a {@link LocalLink} is opened. */
export interface LocalLinkOptions {
  /** Folder of the bells; created if missing. */
  readonly directory: string;
  /** Unique name of this instance, a valid file name. */
  readonly from: string;
  /** Paces rings. */
  readonly clock: Clock;
  /**
   * Whether a faster link carries the events of the instance of that name; its
   * bell is then ignored.
   */
  readonly isReachable?: (from: string) => boolean;
  /** Called with rings. */
  readonly observer?: LinkObserver;
}

/**
 * Whether this process may read and write `directory`. Without that right, only
 * the poll notices commits of other processes.
 */
export function mayRing(directory: string): boolean {
  return (["read", "write"] as const).every((name) =>
    Deno.permissions.querySync({ name, path: directory }).state === "granted"
  );
}

/**
 * Touches its own file in a folder that the other instances watch; carries no
 * events. An instance alone in its folder touches nothing.
 */
export class LocalLink implements Link {
  readonly #options: LocalLinkOptions;
  readonly #path: string;
  readonly #ringer: Ringer;
  readonly #others = new Set<string>();
  readonly #ready: Promise<void>;
  /** Whether a ring was skipped: a new instance may have started before it. */
  #hasSkipped = false;
  #watcher: Deno.FsWatcher | undefined;
  #rewatching: Disposable | undefined;
  #listener: (hint: Hint) => void = () => {};
  #open = true;

  /** Starts watching. */
  constructor(options: LocalLinkOptions) {
    const { directory, from, clock } = options;
    this.#options = options;
    this.#path = `${directory}/${from}`;
    const pacing = { minIntervalMs: MIN_INTERVAL_MS };
    this.#ringer = new Ringer(clock, pacing, () => this.#ring());
    this.#ready = this.#watch();
  }

  /** Resolves when this instance is watching and its bell exists. */
  get ready(): Promise<void> {
    return this.#ready;
  }

  /** Rings, unless no other instance needs it. */
  publish(_events: readonly Entry[]): void {
    if (!this.#open) return;
    for (const other of this.#others) {
      if (!this.#reaches(other)) return this.#ringer.announce();
    }
    this.#hasSkipped = true;
  }

  /** Registers the listener. */
  receive(listener: (hint: Hint) => void): void {
    this.#listener = listener;
  }

  /** Stops ringing and watching, and removes its bell. */
  [Symbol.dispose](): void {
    if (!this.#open) return;
    this.#open = false;
    this.#listener = () => {};
    this.#ringer[Symbol.dispose]();
    this.#rewatching?.[Symbol.dispose]();
    this.#watcher?.close();
    try {
      Deno.removeSync(this.#path);
    } catch {
      // It was removed with the folder, or never created.
    }
  }

  /** @returns whether it rang; otherwise the poll finds the missed events. */
  async #ring(): Promise<boolean> {
    try {
      await this.#touch();
      this.#options.observer?.posted?.("local");
      return true;
    } catch {
      this.#options.observer?.linkFailed?.("local");
      return false;
    }
  }

  /** Another instance may have mistaken the bell for that of a dead one. */
  async #touch(): Promise<void> {
    const now = this.#options.clock.now();
    try {
      await Deno.utime(this.#path, new Date(now), new Date(now));
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
      await this.#make();
      await Deno.utime(this.#path, new Date(now), new Date(now));
    }
  }

  async #make(): Promise<void> {
    const bell = await Deno.open(this.#path, { create: true, write: true });
    bell.close();
  }

  async #watch(): Promise<void> {
    const { directory, observer } = this.#options;
    try {
      await Deno.mkdir(directory, { recursive: true });
      if (!this.#open) return;
      const watcher = Deno.watchFs(directory, { recursive: false });
      this.#watcher = watcher;
      void this.#listen(watcher);
      await this.#find();
      if (!this.#open) return;
      await this.#make();
      if (!this.#open) Deno.removeSync(this.#path);
    } catch {
      if (this.#open) observer?.linkFailed?.("local");
      this.#watchAgain();
    }
  }

  /** Notes the bells of the others, and removes those of dead ones. */
  async #find(): Promise<void> {
    const { directory, from, clock } = this.#options;
    for await (const { name, isFile } of Deno.readDir(directory)) {
      if (!isFile || name === from) continue;
      const path = `${directory}/${name}`;
      try {
        const rangAt = (await Deno.stat(path)).mtime?.getTime() ?? 0;
        if (clock.now() - rangAt < STALE_BELL_MS) this.#note(name);
        else await Deno.remove(path);
      } catch (error) {
        // Its instance ended, or another instance removed it.
        if (!(error instanceof Deno.errors.NotFound)) throw error;
      }
    }
  }

  async #listen(watcher: Deno.FsWatcher): Promise<void> {
    try {
      for await (const { kind, paths } of watcher) {
        for (const path of paths) this.#changed(kind, nameIn(path));
      }
    } catch {
      if (this.#open) this.#options.observer?.linkFailed?.("local");
    }
    this.#watchAgain();
  }

  /** Watches again, once, after the system ended the watch. */
  #watchAgain(): void {
    if (!this.#open || this.#rewatching) return;
    this.#watcher?.close();
    this.#watcher = undefined;
    this.#rewatching = this.#options.clock.after(REWATCH_MS, () => {
      this.#rewatching = undefined;
      void this.#watch();
    });
  }

  #changed(kind: Deno.FsEvent["kind"], name: string): void {
    const { directory, from, observer } = this.#options;
    if (name === from || name === nameIn(directory) || !this.#open) return;
    if (kind === "access") return;
    if (kind === "remove") {
      this.#others.delete(name);
      return;
    }
    this.#note(name);
    if (kind === "create" || this.#reaches(name)) return;
    observer?.received?.("local", false);
    this.#listener({ events: [], incomplete: true });
  }

  #note(name: string): void {
    if (this.#others.has(name) || this.#others.size >= MAX_BELLS) return;
    this.#others.add(name);
    if (this.#hasSkipped && !this.#reaches(name)) this.#ringer.announce();
    this.#hasSkipped = false;
  }

  #reaches(name: string): boolean {
    return this.#options.isReachable?.(name) ?? false;
  }
}

function nameIn(path: string): string {
  return path.slice(
    Math.max(path.lastIndexOf("/"), path.lastIndexOf("\\")) + 1,
  );
}
