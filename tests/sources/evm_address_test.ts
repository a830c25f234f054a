import assert from "node:assert/strict";
import fc from "fast-check";
import { getContractAddress } from "viem/utils";
import { contractAddress } from "../../sources/evm_address.ts";

Deno.test("contractAddress() returns the known addresses of real chains", () => {
  // The first four of one account, as go-ethereum's tests have them.
  const creator = "0x970e8128ab834e8eac17ab8e3812f010678cf791";
  for (
    const [from, nonce, address] of [
      [creator, 0, "0x333c3310824b7c685133f2bedb2ca4b8b4df633d"],
      [creator, 1, "0x8bda78331c916a08481428e4b07c96d3e916d165"],
      [creator, 2, "0xc9ddedf451bc62ce88bf9292afb13df35b670699"],
      // CryptoKitties' core contract.
      [
        "0xba52c75764d6f594735dc735be7f1830cdf58ddf",
        3_515,
        "0x06012c8cf97bead5deae237070f9587f8e7a266d",
      ],
    ] as const
  ) {
    assert.equal(contractAddress(from, nonce), address);
  }
});

Deno.test("contractAddress() agrees with viem for any account and nonce", () => {
  const from = fc.uint8Array({ minLength: 20, maxLength: 20 })
    .map((bytes) => `0x${bytes.toHex()}` as const);
  // Where the nonce's encoding changes its length, and in between.
  const nonce = fc.oneof(
    fc.constantFrom(0, 1, 127, 128, 255, 256, 65_535, 65_536, 2 ** 53 - 1),
    fc.maxSafeNat(),
  );
  fc.assert(fc.property(from, nonce, (from, nonce) => {
    const expected = getContractAddress({ from, nonce: BigInt(nonce) });
    assert.equal(contractAddress(from, nonce), expected.toLowerCase());
  }));
});
