/**
 * The processes that make load, as one.
 *
 * @module
 */
import { jsonLines } from "./job.ts";
import type { Job, LoaderMessage } from "./job.ts";

/** One process that makes load: it receives tasks and reports on them. */
export class Loader<
  Task = Job,
  Message extends { readonly kind: string } = LoaderMessage,
> implements AsyncDisposable {
  readonly #process: Deno.ChildProcess;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array<ArrayBuffer>>;
  readonly #messages: AsyncGenerator<Message>;
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
    this.#messages = jsonLines<Message>(this.#process.stdout);
  }

  /** Sends it a task. */
  async send(task: Task): Promise<void> {
    await this.#writer.write(this.#encoder.encode(`${JSON.stringify(task)}\n`));
  }

  /**
   * Waits for a message of one kind.
   *
   * @param other receives those before it.
   * @throws {Error} when the process ends first.
   */
  async receive<Kind extends Message["kind"]>(
    kind: Kind,
    other: (message: Message) => void = () => {},
  ): Promise<Extract<Message, { kind: Kind }>> {
    for (;;) {
      const { value, done } = await this.#messages.next();
      if (done) throw new Error("A process that makes load ended early");
      if (value.kind === kind) return value as Extract<Message, { kind: Kind }>;
      other(value);
    }
  }

  /** Ends it. */
  async [Symbol.asyncDispose](): Promise<void> {
    try {
      await this.#writer.close();
    } catch {
      // It is gone already.
    }
    for await (const _ of this.#messages);
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
