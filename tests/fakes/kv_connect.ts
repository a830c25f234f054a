/**
 * A service that speaks KV Connect, its data in memory: the handshake, and the
 * data path of protocol version 3.
 *
 * @see {@link https://github.com/denoland/denokv/blob/main/proto/kv-connect.md}
 * @module
 */

type Bytes = Uint8Array<ArrayBuffer>;

/** A field of a message: its number, and a number or bytes. */
type Field = readonly [number, bigint | Bytes];

interface Row {
  readonly key: Bytes;
  readonly value: Bytes;
  readonly encoding: bigint;
  readonly versionstamp: Bytes;
  readonly until: number;
}

/** Numbers of the protocol. */
const MUTATION = { set: 1n, delete: 2n, sum: 3n } as const;
const LE64 = 2n;
const READ_SUCCESS = 1n;
const WRITE = { success: 1n, checkFailure: 2n } as const;

/** A service on a port of its own. */
export class KvConnectService implements AsyncDisposable {
  /** The secret that opens it. */
  static readonly TOKEN = "a secret of the operator";
  readonly #rows = new Map<string, Row>();
  readonly #watchers = new Set<() => void>();
  readonly #server: Deno.HttpServer<Deno.NetAddr>;
  #version = 0n;

  /** Empty, and listening. */
  constructor() {
    this.#server = Deno.serve(
      { hostname: "127.0.0.1", port: 0, onListen: () => {} },
      (request) => this.#answer(request),
    );
  }

  /** As `KV_PATH` has it. */
  get url(): string {
    return `http://127.0.0.1:${this.#server.addr.port}/`;
  }

  /** Ends it; streams that clients hold too. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.shutdown();
  }

  async #answer(request: Request): Promise<Response> {
    const { pathname } = new URL(request.url);
    const body = new Uint8Array(await request.arrayBuffer());
    const token = request.headers.get("authorization");
    if (pathname === "/") {
      if (token !== `Bearer ${KvConnectService.TOKEN}`) {
        return new Response("Another token", { status: 401 });
      }
      return Response.json({
        version: 3,
        databaseId: "11111111-1111-4111-8111-111111111111",
        endpoints: [{ url: "/data", consistency: "strong" }],
        token: "for the data",
        expiresAt: new Date(Date.now() + 3_600_000).toISOString(),
      });
    }
    if (token !== "Bearer for the data") {
      return new Response("Another token", { status: 401 });
    }
    if (pathname === "/data/snapshot_read") return answer(this.#read(body));
    if (pathname === "/data/atomic_write") return answer(this.#write(body));
    if (pathname === "/data/watch") return this.#watch(body);
    return new Response("Nothing here", { status: 404 });
  }

  #row(key: Bytes): Row | undefined {
    const row = this.#rows.get(key.toHex());
    return row && row.until > Date.now() ? row : undefined;
  }

  #read(body: Bytes): Bytes {
    const ranges = all(body, 1).map((range) => {
      const [start, end] = [
        bytesIn(range, 1).toHex(),
        bytesIn(range, 2).toHex(),
      ];
      const limit = Number(numberIn(range, 3));
      const names = [...this.#rows.keys()]
        .filter((name) => name >= start && name < end).sort();
      if (numberIn(range, 4)) names.reverse();
      const rows = names.flatMap((name) =>
        this.#row(this.#rows.get(name)!.key) ?? []
      );
      const entries = rows.slice(0, limit).map((it): Field => [1, entry(it)]);
      return [1, message(...entries)] as const;
    });
    return message(...ranges, [4, 1n], [8, READ_SUCCESS]);
  }

  #write(body: Bytes): Bytes {
    const failed = all(body, 1).some((check) => {
      const { versionstamp } = this.#row(bytesIn(check, 1)) ?? {};
      return (versionstamp?.toHex() ?? "") !== bytesIn(check, 2).toHex();
    });
    if (failed) return message([1, WRITE.checkFailure]);
    const stamp = (++this.#version).toString(16).padStart(20, "0");
    const versionstamp = Uint8Array.fromHex(stamp);
    for (const mutation of all(body, 2)) this.#mutate(mutation, versionstamp);
    for (const ring of this.#watchers) ring();
    return message([1, WRITE.success], [2, versionstamp]);
  }

  #mutate(mutation: Bytes, versionstamp: Bytes): void {
    const key = bytesIn(mutation, 1);
    const kind = numberIn(mutation, 3);
    if (kind === MUTATION.delete) return void this.#rows.delete(key.toHex());
    const given = bytesIn(mutation, 2);
    const until = Number(numberIn(mutation, 4)) || Infinity;
    let value = bytesIn(given, 1);
    let encoding = numberIn(given, 2);
    if (kind === MUTATION.sum) {
      const before = this.#row(key);
      const sum = BigInt.asUintN(64, le64(value) + le64(before?.value));
      value = new Uint8Array(8);
      new DataView(value.buffer).setBigUint64(0, sum, true);
      encoding = LE64;
    }
    this.#rows.set(key.toHex(), { key, value, encoding, versionstamp, until });
  }

  /**
   * One frame at once, and one after each commit that concerns the keys. All
   * keys stand in it as changed: Deno 2.9.6 takes one that is not for deleted.
   */
  #watch(body: Bytes): Response {
    const keys = all(body, 1).map((it) => bytesIn(it, 1));
    const seen = new Map<string, string>();
    let ring = () => {};
    const stream = new ReadableStream<Bytes>({
      start: (controller) => {
        ring = () => {
          let isNew = false;
          const outputs = keys.map((key): Field => {
            const row = this.#row(key);
            const now = row?.versionstamp.toHex() ?? "";
            isNew ||= seen.get(key.toHex()) !== now;
            seen.set(key.toHex(), now);
            const fields: Field[] = row ? [[2, entry(row)]] : [];
            return [2, message([1, 1n], ...fields)];
          });
          if (!isNew) return;
          const frame = message([1, READ_SUCCESS], ...outputs);
          const length = new Uint8Array(4);
          new DataView(length.buffer).setUint32(0, frame.length, true);
          controller.enqueue(Uint8Array.of(...length, ...frame));
        };
        this.#watchers.add(ring);
        ring();
      },
      cancel: () => void this.#watchers.delete(ring),
    });
    return new Response(stream, {
      headers: { "content-type": "application/octet-stream" },
    });
  }
}

function answer(body: Bytes): Response {
  const headers = { "content-type": "application/x-protobuf" };
  return new Response(body, { headers });
}

function entry({ key, value, encoding, versionstamp }: Row): Bytes {
  return message([1, key], [2, value], [3, encoding], [4, versionstamp]);
}

function le64(bytes: Bytes | undefined): bigint {
  return bytes
    ? new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true)
    : 0n;
}

function all(body: Bytes, number: number): Bytes[] {
  return [...fieldsOf(body)]
    .filter(([it]) => it === number).map(([, value]) => value as Bytes);
}

function bytesIn(body: Bytes, number: number): Bytes {
  return all(body, number).at(-1) ?? new Uint8Array();
}

function numberIn(body: Bytes, number: number): bigint {
  const found = [...fieldsOf(body)].findLast(([it]) => it === number);
  return found ? found[1] as bigint : 0n;
}

/** Fields of numbers (wire type 0) and of bytes (wire type 2). */
function* fieldsOf(body: Bytes): Generator<Field> {
  let at = 0;
  const varint = () => {
    let value = 0n;
    for (let shift = 0n;; shift += 7n) {
      const byte = body[at++]!;
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  };
  while (at < body.length) {
    const tag = Number(varint());
    const value = varint();
    if ((tag & 7) === 0) {
      yield [tag >> 3, value];
      continue;
    }
    if ((tag & 7) !== 2) throw new TypeError(`Wire type ${tag & 7}`);
    yield [tag >> 3, body.slice(at, at += Number(value))];
  }
}

function message(...fields: readonly Field[]): Bytes {
  const parts = fields.flatMap(([number, value]) =>
    typeof value === "bigint"
      ? [varintOf(BigInt(number << 3)), varintOf(value)]
      : [
        varintOf(BigInt(number << 3 | 2)),
        varintOf(BigInt(value.length)),
        value,
      ]
  );
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  const body = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    body.set(part, at);
    at += part.length;
  }
  return body;
}

function varintOf(value: bigint): Bytes {
  const bytes: number[] = [];
  for (let rest = value;; rest >>= 7n) {
    const byte = Number(rest & 0x7fn);
    if (rest < 0x80n) return Uint8Array.of(...bytes, byte);
    bytes.push(byte | 0x80);
  }
}
