/**
 * The processes that make load, as one.
 *
 * @module
 */
import { jsonLines } from "./job.ts";
import type { Job, Word } from "./job.ts";

/** One process that makes load: it is given tasks, and says how they go. */
export class Loader<
  Task = Job,
  Said extends { readonly kind: string } = Word,
> implements AsyncDisposable {
  readonly #process: Deno.ChildProcess;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array<ArrayBuffer>>;
  readonly #words: AsyncGenerator<Said>;
  readonly #encoder = new TextEncoder();

  /**
   * Starts it.
   *
   * @param program understands the tasks; its path from here.
   */
  constructor(program = "loader.ts") {
    this.#process = new Deno.Command(Deno.execPath(), {
      args: [
        "run",
        "--no-prompt",
        "--allow-net",
        new URL(program, import.meta.url).href,
      ],
      stdin: "piped",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    this.#writer = this.#process.stdin.getWriter();
    this.#words = jsonLines<Said>(this.#process.stdout);
  }

  /** Gives it something to do. */
  async tell(task: Task): Promise<void> {
    await this.#writer.write(this.#encoder.encode(`${JSON.stringify(task)}\n`));
  }

  /**
   * Waits for a word of one kind.
   *
   * @param hear is told of those that come before it.
   * @throws {Error} when the process ends first.
   */
  async hear<Kind extends Said["kind"]>(
    kind: Kind,
    hear: (word: Said) => void = () => {},
  ): Promise<Extract<Said, { kind: Kind }>> {
    for (;;) {
      const { value, done } = await this.#words.next();
      if (done) throw new Error("A process that makes load ended early");
      if (value.kind === kind) return value as Extract<Said, { kind: Kind }>;
      hear(value);
    }
  }

  /** Ends it. */
  async [Symbol.asyncDispose](): Promise<void> {
    try {
      await this.#writer.close();
    } catch {
      // It is gone already.
    }
    for await (const _ of this.#words);
    await this.#process.status;
  }
}

/** All processes of a run: subscribers, and one that publishes. */
export class Fleet implements AsyncDisposable {
  /** Subscribers. */
  readonly loaders: readonly Loader[];
  /** Publishes. */
  readonly publisher: Loader;

  /** Starts `loaders` of the first and one of the other. */
  constructor(loaders: number) {
    this.loaders = Array.from({ length: loaders }, () => new Loader());
    this.publisher = new Loader();
  }

  /** All of them. */
  get all(): readonly Loader[] {
    return [...this.loaders, this.publisher];
  }

  /** Ends all. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.all.map((each) => each[Symbol.asyncDispose]()));
  }
}
