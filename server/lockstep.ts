/**
 * Starts the instances of one process together: none accepts connections before
 * all are built, and none is ready before all accept connections. So one ready
 * instance means that all are ready.
 *
 * @module
 */

/** One instance, here or in a worker. */
export interface Member {
  /** Resolves when it is able to listen. */
  built(): Promise<void>;
  /** Makes it listen; resolves when it listens. */
  listen(): Promise<void>;
  /** Notifies it that all members listen. */
  ready(): void;
}

/** Messages between the two ends of a worker. */
type Word = "built" | "listen" | "listening" | "ready";

/** Either end of a worker. */
interface Port {
  postMessage(word: Word): void;
  addEventListener(
    type: "message",
    listener: (event: MessageEvent<Word>) => void,
  ): void;
  addEventListener(
    type: "error",
    listener: (event: ErrorEvent) => void,
  ): void;
}

/**
 * Starts members together.
 *
 * @throws the error of the first member that cannot start.
 */
export async function beginTogether(members: readonly Member[]): Promise<void> {
  await Promise.all(members.map((member) => member.built()));
  await Promise.all(members.map((member) => member.listen()));
  for (const member of members) member.ready();
}

/** The member in a worker, on the side of the process that created the worker. */
export function remote(worker: Port): Member {
  const built = Promise.withResolvers<void>();
  const listening = Promise.withResolvers<void>();
  worker.addEventListener("message", ({ data }) => {
    if (data === "built") built.resolve();
    if (data === "listening") listening.resolve();
  });
  worker.addEventListener("error", ({ message }) => {
    const error = new Error(message);
    built.reject(error);
    listening.reject(error);
  });
  // A worker may fail before its result is awaited.
  built.promise.catch(() => {});
  listening.promise.catch(() => {});
  return {
    built: () => built.promise,
    listen: () => {
      worker.postMessage("listen");
      return listening.promise;
    },
    ready: () => worker.postMessage("ready"),
  };
}

/** Lets the process that created this worker control its member. */
export function follow(leader: Port, member: Member): void {
  leader.addEventListener("message", async ({ data }) => {
    // A failure is the worker's own uncaught error, which the leader receives.
    if (data === "listen") {
      await member.listen();
      leader.postMessage("listening");
    }
    if (data === "ready") member.ready();
  });
  void member.built().then(() => leader.postMessage("built"));
}
