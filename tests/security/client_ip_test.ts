import assert from "node:assert/strict";
import fc from "fast-check";
import {
  MAX_ADDRESS_LENGTH,
  MAX_REMEMBERED,
  NetworkMap,
  parseAddress,
  parseNetwork,
} from "../../security/address.ts";
import {
  bucketOf,
  createClientIp,
  groupOf,
  MAX_FORWARDED_LENGTH,
  MAX_HOPS,
} from "../../security/client_ip.ts";

const clientIp = createClientIp({
  trustedProxies: ["10.0.0.0/8", " 2001:db8:f::/48", "::ffff:192.168.0.0/112"],
});

Deno.test("without trusted proxies the peer is the caller, whatever the header contains", () => {
  const direct = createClientIp();
  assert.equal(direct("203.0.113.7"), "203.0.113.7");
  assert.equal(direct("10.0.0.1", "198.51.100.1"), "10.0.0.1");
  assert.equal(direct("::ffff:203.0.113.7", null), "203.0.113.7");
});

Deno.test("a forged header from an untrusted peer is ignored", () => {
  assert.equal(clientIp("203.0.113.7", "127.0.0.1, 10.0.0.1"), "203.0.113.7");
});

Deno.test("behind trusted proxies the right-most untrusted address is the caller", () => {
  const cases = [
    ["198.51.100.1", "198.51.100.1"],
    ["127.0.0.1, 198.51.100.1", "198.51.100.1"],
    ["6.6.6.6,198.51.100.1 ,10.0.0.2,192.168.3.4", "198.51.100.1"],
    ["2001:DB8:0:0::1, 2001:db8:f::9", "2001:db8::1"],
    ["::ffff:198.51.100.1", "198.51.100.1"],
    ["198.51.100.1:5432", "198.51.100.1"],
    ["[2001:db8::1]:443", "2001:db8::1"],
    ["[2001:db8::1]", "2001:db8::1"],
  ] as const;
  for (const [header, principal] of cases) {
    assert.equal(clientIp("10.0.0.1", header), principal, header);
    assert.equal(clientIp("2001:db8:f::1", header), principal, header);
    assert.equal(clientIp("::ffff:192.168.0.1", header), principal, header);
  }
});

Deno.test("when all hops are trusted, the farthest is the caller", () => {
  assert.equal(clientIp("10.0.0.1", "10.9.9.9, 10.0.0.2"), "10.9.9.9");
  assert.equal(clientIp("10.0.0.1", ""), "10.0.0.1");
});

Deno.test("reading stops at what is no address", () => {
  for (const garbage of ["unknown", "", "1.2.3", "0x7f.1", "1.2.3.4.5", "é"]) {
    const header = `198.51.100.1, ${garbage}, 10.0.0.2`;
    assert.equal(clientIp("10.0.0.1", header), "10.0.0.2", garbage);
    assert.equal(clientIp("10.0.0.1", garbage), "10.0.0.1", garbage);
  }
});

Deno.test("no more hops are followed than the bound", () => {
  const hops = (count: number) =>
    ["198.51.100.1", ...Array(count).fill("10.0.0.2")].join(",");
  assert.equal(clientIp("10.0.0.1", hops(MAX_HOPS - 1)), "198.51.100.1");
  assert.equal(clientIp("10.0.0.1", hops(MAX_HOPS)), "10.0.0.2");
});

Deno.test("only the end of a long header counts, and never half an entry", () => {
  const end = ",198.51.100.1";
  const cut = "9".repeat(MAX_FORWARDED_LENGTH) + end;
  assert.equal(clientIp("10.0.0.1", cut), "198.51.100.1");
  // Cut in the middle, the left-most entry would read "1.2.3.4".
  const half = "101.2.3.4".padEnd(MAX_FORWARDED_LENGTH + 2, " ");
  assert.equal(clientIp("10.0.0.1", half), "10.0.0.1");
  const whole = "101.2.3.4".padEnd(MAX_FORWARDED_LENGTH, " ");
  assert.equal(clientIp("10.0.0.1", whole), "101.2.3.4");
});

Deno.test("a peer whose address cannot be read is refused", () => {
  // Deno gives 0.0.0.0 for a connection that was reset before it was asked.
  for (const peer of ["0.0.0.0", "::", "::ffff:0.0.0.0", "", "/run/socket"]) {
    const refused = { name: "Refusal", code: "FORBIDDEN" };
    assert.throws(() => clientIp(peer), refused, peer);
    assert.throws(() => clientIp(peer, "198.51.100.1"), refused, peer);
  }
  assert.equal(clientIp("10.0.0.1", "198.51.100.1,0.0.0.0"), "10.0.0.1");
});

Deno.test("a proxy that is neither address nor CIDR is named at the start", () => {
  for (const bad of ["10.0.0.0/33", "example.com", "", "10.0.0.0/-1"]) {
    assert.throws(() => createClientIp({ trustedProxies: [bad] }), {
      name: "RangeError",
      message: new RegExp(`"${bad}"`),
    });
  }
});

Deno.test("whatever the header, the answer is an address, and never what a caller claims", () => {
  const hop = fc.oneof(
    fc.ipV4(),
    fc.ipV6(),
    fc.string(),
    fc.constant("10.0.0.3"),
  );
  fc.assert(
    fc.property(fc.array(hop), fc.ipV4(), (hops, last) => {
      const principal = clientIp("10.0.0.1", hops.join(","));
      assert(parseAddress(principal));
      fc.pre(!/^(10\.|192\.168\.|0\.0\.0\.0$)/.test(last));
      const appended = clientIp("10.0.0.1", [...hops, last].join(","));
      assert.equal(appended, last);
    }),
    { numRuns: 2_000 },
  );
});

Deno.test("IPv4 counts by itself, IPv6 by its /64", () => {
  assert.equal(bucketOf("198.51.100.1"), "198.51.100.1");
  assert.equal(bucketOf("::ffff:198.51.100.1"), "198.51.100.1");
  assert.equal(bucketOf("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::/64");
  assert.equal(bucketOf("2001:db8:1:2::ffff"), "2001:db8:1:2::/64");
  assert.notEqual(bucketOf("2001:db8:1:3::"), bucketOf("2001:db8:1:2::"));
  assert.equal(bucketOf("fe80::1%eth0"), "fe80::/64");
});

Deno.test("callers behind a NAT64 count by their own IPv4 address", () => {
  assert.equal(bucketOf("64:ff9b::198.51.100.1"), "64:ff9b::/64");
  assert.equal(bucketOf("64:ff9b::8.8.8.8"), "8.8.8.8");
  assert.equal(bucketOf("64:ff9b::808:404"), "8.8.4.4");
  assert.equal(clientIp("64:ff9b::8.8.8.8"), "8.8.8.8");
  // A NAT64 carries no addresses that are not of the Internet.
  for (const own of ["127.0.0.1", "10.0.0.1", "192.168.0.1", "0.0.0.0"]) {
    const ip = clientIp(`64:ff9b::${own}`);
    assert.match(ip, /^64:ff9b::/, own);
    assert.equal(bucketOf(ip), "64:ff9b::/64");
  }
});

Deno.test("buckets of one IPv6 site form a group, those of IPv4 none", () => {
  assert.equal(groupOf("2001:db8:1:2::/64"), "2001:db8:1::/48");
  assert.equal(groupOf("2001:db8:1:ff::/64"), "2001:db8:1::/48");
  assert.equal(groupOf("2001:db8:2:2::/64"), "2001:db8:2::/48");
  assert.equal(groupOf("198.51.100.1"), undefined);
  assert.equal(groupOf("overflow-7"), undefined);
});

const nat64 = fc.ipV4().map((ip) => `64:ff9b::${ip}`);

Deno.test("what one bucket is called is what it is blocked by", () => {
  fc.assert(
    fc.property(fc.oneof(fc.ipV4(), fc.ipV6(), nat64), (ip) => {
      fc.pre(parseAddress(ip) !== undefined);
      const bucket = bucketOf(ip);
      assert.equal(parseNetwork(bucket)?.text, bucket);
    }),
    { numRuns: 2_000 },
  );
});

Deno.test("a network has one spelling, whatever was written", () => {
  const cases = [
    ["10.1.2.3/8", "10.0.0.0/8"],
    ["10.1.2.3/32", "10.1.2.3"],
    ["2001:DB8::1/32", "2001:db8::/32"],
    ["2001:db8::1/128", "2001:db8::1"],
    ["::ffff:10.1.2.3/104", "10.0.0.0/8"],
    ["::ffff:a01:203", "10.1.2.3"],
    ["0.0.0.0/0", "0.0.0.0/0"],
    ["::/0", "::/0"],
  ] as const;
  for (const [text, spelling] of cases) {
    assert.equal(parseNetwork(text)?.text, spelling, text);
  }
  // Some read 010 as 8, and ::1.2.3.4 as ::ffff:1.2.3.4.
  for (
    const text of [
      "::ffff:010.0.0.1",
      "::ffff:0x0a.0.0.1",
      "::ffff:10.1",
      "64:ff9b::010.0.0.1",
      "::127.0.0.1",
      "::127.0.0.1%eth0",
      "64:ff9b::/96",
      "64:ff9b::8.0.0.0/104",
    ]
  ) {
    assert.equal(parseNetwork(text), undefined, text);
    assert.equal(parseNetwork(`${text}/128`), undefined, text);
  }
  const bad = ["10.0.0.0/33", "::/129", "::ffff:10.0.0.0/95", "010.0.0.1"];
  for (
    const text of [...bad, "10.0.0.0/", "/8", "1", "0x7f000001", "a::b::c"]
  ) {
    assert.equal(parseNetwork(text), undefined, text);
  }
  assert.equal(
    parseAddress(`::1%${"z".repeat(MAX_ADDRESS_LENGTH)}`),
    undefined,
  );
});

Deno.test("an address read lately is read once, and a bounded number is remembered", () => {
  const address = parseAddress("2001:db8:2::1");
  assert.equal(parseAddress("2001:db8:2::1"), address);
  for (let i = 0; i < MAX_REMEMBERED; i++) {
    parseAddress(`10.7.${i >> 8}.${i & 255}`);
  }
  const again = parseAddress("2001:db8:2::1");
  assert.notEqual(again, address);
  assert.deepEqual(again, address);
});

Deno.test("a network holds exactly the addresses that begin like it", () => {
  const anyAddress = fc.oneof(fc.ipV4(), fc.ipV6())
    .filter((text) => parseAddress(text) !== undefined);
  fc.assert(
    fc.property(
      anyAddress,
      anyAddress,
      fc.nat(128),
      fc.boolean(),
      (a, b, bits, isNear) => {
        const base = parseAddress(a)!;
        const prefix = Math.min(bits, base.prefix);
        const network = parseNetwork(`${base.text}/${prefix}`)!;
        const other = isNear ? base : parseAddress(b)!;
        const map = new NetworkMap<string>();
        map.set(network, "x");
        const binary = ({ bytes }: { bytes: readonly number[] }) =>
          bytes.map((byte) => byte.toString(2).padStart(8, "0")).join("");
        const isInside = other.bytes.length === base.bytes.length &&
          binary(other).slice(0, prefix) === binary(base).slice(0, prefix);
        assert.equal([...map.holding(other)].length, isInside ? 1 : 0);
        map.delete(network);
        assert.equal([...map.holding(base)].length, 0);
      },
    ),
    { numRuns: 2_000 },
  );
});
