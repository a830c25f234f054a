/**
 * Compressed frames of the whole service, as its clients read them.
 */
import assert from "node:assert/strict";
import { dictionary } from "../../describe/dictionary.ts";
import { inflated } from "../inflate.ts";
import { listen, openTestService, tokenOf } from "../test_service.ts";
import type { TestService } from "../test_service.ts";

// deno-lint-ignore no-explicit-any -- tests look wherever they like.
type Received = Record<string, any>;

const ROOM = "room:compressed";

/** A client that keeps frames as they arrive. */
class RawClient {
  readonly frames: (string | ArrayBuffer)[] = [];
  readonly #socket: WebSocket;
  #wake: () => void = () => {};

  constructor(url: string) {
    this.#socket = new WebSocket(url);
    this.#socket.binaryType = "arraybuffer";
    this.#socket.onmessage = ({ data }) => {
      this.frames.push(data);
      this.#wake();
    };
  }

  /** Waits for a frame from `from` on that fulfils `condition`. */
  async until(
    condition: (frame: string | ArrayBuffer) => boolean,
    from = 0,
  ): Promise<string | ArrayBuffer> {
    for (;;) {
      const found = this.frames.slice(from).find(condition);
      if (found !== undefined) return found;
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
  }

  /** Sends a frame; returns the reply to it. */
  async ask(type: string, payload: object): Promise<Received> {
    const id = `${type}-${this.frames.length}`;
    this.#socket.send(JSON.stringify({ type, id, payload }));
    const reply = await this.until((frame) =>
      typeof frame === "string" && JSON.parse(frame).ref === id
    );
    return JSON.parse(reply as string);
  }

  send(data: Uint8Array<ArrayBuffer>): void {
    this.#socket.send(data);
  }

  async close(): Promise<void> {
    const closed = new Promise((resolve) => this.#socket.onclose = resolve);
    this.#socket.close();
    await closed;
  }
}

/** Serves on a port. */
function serve(service: TestService) {
  const server = listen(service);
  return {
    url: `http://127.0.0.1:${server.addr.port}`,
    async connect(): Promise<RawClient> {
      const client = new RawClient(`ws://127.0.0.1:${server.addr.port}/ws`);
      await client.until((frame) => typeof frame === "string");
      return client;
    },
    [Symbol.asyncDispose]: () => server.shutdown(),
  };
}

async function publish(service: TestService, text: string): Promise<void> {
  const message = {
    type: "ROOM_MESSAGE",
    channel: ROOM,
    payload: { event: "said", data: { text } },
  };
  const response = await service.request("/api/publish", {
    method: "POST",
    headers: { authorization: `Bearer ${await tokenOf("user")}` },
    body: JSON.stringify(message),
  });
  assert.equal(response.status, 200, await response.text());
}

const isBinary = (frame: string | ArrayBuffer) => typeof frame !== "string";

Deno.test("a client that asks for compression reads events with the dictionary that is served", async () => {
  await using service = await openTestService();
  await using server = serve(service);
  const compressed = await server.connect();
  const plain = await server.connect();
  const { payload } = await compressed.ask("connect", { compress: "deflate" });
  assert.equal(payload.compress.algorithm, "deflate-raw");
  const path = `/dictionary/${payload.compress.dictionary}`;
  const answer = await service.request(path);
  assert.equal(answer.status, 200);
  assert.match(answer.headers.get("cache-control")!, /immutable/);
  assert.equal(answer.headers.get("access-control-allow-origin"), "*");
  const dictionary = await answer.bytes();
  for (const client of [compressed, plain]) {
    await client.ask("subscribe", { channels: [ROOM] });
  }

  const text = "the same words, ".repeat(40);
  await publish(service, text);

  const isEvent = (frame: string | ArrayBuffer) =>
    typeof frame === "string" && JSON.parse(frame).type === "ROOM_MESSAGE";
  const frame = await compressed.until(isBinary) as ArrayBuffer;
  const event = await plain.until(isEvent) as string;
  assert.equal(inflated(frame, dictionary), event);
  assert(!plain.frames.some(isBinary), "who did not ask gets text");
  assert(frame.byteLength < event.length / 2);

  const { payload: metrics } = await plain.ask("request_metrics", {
    type: "traffic",
  });
  const { wireBytes, textBytes } = metrics.metrics.traffic;
  assert.equal(
    textBytes - wireBytes,
    event.length - frame.byteLength,
    "both count what was sent, and differ by what compression saved",
  );
  const page = await (await service.request("/metrics?scope=isolate")).text();
  const reading = (name: string) =>
    Number(new RegExp(`^${name}\\{.*\\} (\\d+)$`, "m").exec(page)![1]);
  const wire = reading("kaldrix_wire_bytes_total");
  assert.equal(
    reading("kaldrix_text_bytes_total") - wire,
    textBytes - wireBytes,
  );
  await compressed.close();
  await plain.close();
  assert.deepEqual(service.bugs, []);
});

Deno.test("compression ends with a connect that does not ask for it", async () => {
  await using service = await openTestService();
  await using server = serve(service);
  const client = await server.connect();
  const first = await client.ask("connect", { compress: "deflate-plain" });
  assert.deepEqual(first.payload.compress, {
    algorithm: "deflate-raw",
    dictionary: null,
  });
  await client.ask("subscribe", { channels: [ROOM] });
  await publish(service, "x".repeat(300));
  const frame = await client.until(isBinary) as ArrayBuffer;
  assert.equal(JSON.parse(inflated(frame)).type, "ROOM_MESSAGE");
  const again = await client.ask("connect", {});
  assert.equal("compress" in again.payload, false);
  const from = client.frames.length;
  await publish(service, "x".repeat(300));
  const event = await client.until(() => true, from);
  assert.equal(JSON.parse(event as string).type, "ROOM_MESSAGE");
  await client.close();
});

Deno.test("what a client sends is not inflated, and unknown compressions are refused", async () => {
  await using service = await openTestService();
  await using server = serve(service);
  const client = await server.connect();
  const refusal = await client.ask("connect", { compress: "gzip" });
  assert.equal(refusal.payload.code, "INVALID_PAYLOAD");
  await client.ask("connect", { compress: "deflate" });
  const from = client.frames.length;
  const { deflateRawSync } = await import("node:zlib");
  client.send(new Uint8Array(deflateRawSync('{"type":"ping","id":"p"}')));
  const answer = JSON.parse(await client.until(() => true, from) as string);
  assert.equal(answer.payload.code, "INVALID_MESSAGE");
  await client.close();
});

Deno.test("a dictionary of another build is not there", async () => {
  await using service = await openTestService();
  const answer = await service.request("/dictionary/0123456789abcdef");
  assert.equal(answer.status, 404);
  await answer.body?.cancel();
});

/** What reads frames in another language: an example of PROTOCOL.md. */
interface Program {
  /** Shows that it can be run here. */
  readonly probe: readonly string[];
  /** Where it comes from. */
  readonly packages: string;
  /** The whole file, made of the example and of what feeds it. */
  readonly file: (example: string) => readonly [name: string, text: string];
  /** Runs the file. */
  readonly run: readonly string[];
}

const PROGRAMS: Readonly<Record<string, Program>> = {
  python: {
    probe: ["python3", "--version"],
    packages: "python3",
    run: ["python3"],
    file: (example) => [
      "reader.py",
      `${example}
import sys
server, name = sys.argv[1:3]
read = reader(server, {"algorithm": "deflate-raw", "dictionary": name or None})
for line in sys.stdin:
    kind, _, rest = line.strip().partition(" ")
    print(json.dumps(read(rest if kind == "text" else bytes.fromhex(rest)), sort_keys=True))
`,
    ],
  },
  go: {
    probe: ["go", "version"],
    packages: "golang-go",
    run: ["go", "run"],
    file: (example) => [
      "reader.go",
      `package main

import (
	"bufio"
	"bytes"
	"compress/flate"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
)

${example}

func main() {
	read, err := Reader(os.Args[1], os.Args[2])
	if err != nil {
		panic(err)
	}
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<24)
	for lines.Scan() {
		kind, rest, _ := strings.Cut(lines.Text(), " ")
		frame := []byte(rest)
		if kind == "binary" {
			frame, _ = hex.DecodeString(rest)
		}
		text, err := read(kind == "binary", frame)
		if err != nil {
			panic(err)
		}
		fmt.Println(string(text))
	}
}
`,
    ],
  },
};

const PROTOCOL = await Deno.readTextFile(
  new URL("../../PROTOCOL.md", import.meta.url),
);

for (const [language, program] of Object.entries(PROGRAMS)) {
  const isHere = await succeeds(program.probe);
  const title =
    `the ${language} example of PROTOCOL.md reads frames of both kinds`;
  Deno.test({
    name: isHere
      ? title
      : `${title} (skipped: apt install ${program.packages})`,
    ignore: !isHere,
    fn: () => readsFrames(language, program),
  });
}

async function readsFrames(language: string, program: Program): Promise<void> {
  await using service = await openTestService();
  await using server = serve(service);
  const client = await server.connect();
  const { payload } = await client.ask("connect", {
    compress: "deflate",
    batch: true,
  });
  await client.ask("subscribe", { channels: [ROOM] });
  await publish(service, "ü€😀 some words ".repeat(20));
  await client.until(isBinary);
  const long = client.frames.length;
  await publish(service, "ü€😀 some words ".repeat(1_000));
  await client.until(isBinary, long);
  assert.equal(client.frames.filter(isBinary).length, 2);

  const lines = client.frames.map((frame) =>
    typeof frame === "string"
      ? `text ${frame}\n`
      : `binary ${new Uint8Array(frame).toHex()}\n`
  );
  const example = new RegExp(`\`\`\`${language}\n([\\s\\S]*?)\`\`\``)
    .exec(PROTOCOL)![1]!;
  const directory = await Deno.makeTempDir();
  const [name, text] = program.file(example);
  await Deno.writeTextFile(`${directory}/${name}`, text);
  const [command, ...args] = program.run;
  const child = new Deno.Command(command!, {
    args: [...args, name, server.url, payload.compress.dictionary],
    cwd: directory,
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode(lines.join("")));
  await writer.close();
  const { success, stdout } = await child.output();
  await Deno.remove(directory, { recursive: true });
  assert(success);
  const read = new TextDecoder().decode(stdout).trim().split("\n")
    .map((line) => JSON.parse(line));
  const { bytes } = await dictionary();
  assert.deepEqual(
    read,
    client.frames.map((frame) => JSON.parse(inflated(frame, bytes))),
  );
  await client.close();
}

async function succeeds([command, ...args]: readonly string[]): Promise<
  boolean
> {
  try {
    const { success } = await new Deno.Command(command!, {
      args,
      stdout: "null",
      stderr: "null",
    }).output();
    return success;
  } catch {
    return false;
  }
}
