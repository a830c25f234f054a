import assert from "node:assert/strict";
import fc from "fast-check";
import { encodeAbiParameters, encodeEventTopics, parseAbi } from "viem/utils";
import { transfersOf } from "../../sources/evm_transfers.ts";
import type { EvmLog, EvmTransaction } from "../../sources/evm_view.ts";

const A = `0x${"a1".repeat(20)}` as const;
const B = `0x${"b2".repeat(20)}` as const;
const TOKEN = `0x${"70".repeat(20)}` as const;
const ERC20 = parseAbi([
  "event Transfer(address indexed from, address indexed to, uint256 value)",
]);
const ERC721 = parseAbi([
  "event Transfer(address indexed from, address indexed to, uint256 indexed id)",
]);
const ERC1155 = parseAbi([
  "event TransferSingle(address indexed operator, address indexed from, address indexed to, uint256 id, uint256 value)",
  "event TransferBatch(address indexed operator, address indexed from, address indexed to, uint256[] ids, uint256[] values)",
]);

function transaction(
  logs: readonly EvmLog[],
  { value = 0n, succeeded = true } = {},
): EvmTransaction {
  return {
    hash: "0x1",
    from: A,
    to: B,
    creates: undefined,
    value,
    gasPrice: 1n,
    maxFeePerGas: undefined,
    maxPriorityFeePerGas: undefined,
    maxFeePerBlobGas: undefined,
    blobVersionedHashes: undefined,
    authorizations: undefined,
    gas: 1n,
    nonce: 0,
    input: "0x",
    kind: 2,
    blockHash: "0x2",
    outcome: { succeeded, gasUsed: 1n, gasPrice: 1n, logs },
    missing: [],
  };
}

function log(topics: unknown, data = "0x"): EvmLog {
  return { address: TOKEN, topics: topics as string[], data, logIndex: 0 };
}

const words = (count: number) =>
  Array.from({ length: count }, () => ({ type: "uint256" as const }));

Deno.test("transfersOf() finds native and token movements as an ABI encoder writes them", () => {
  const single = encodeEventTopics({
    abi: ERC1155,
    eventName: "TransferSingle",
    args: { operator: A, from: A, to: B },
  });
  const batch = encodeEventTopics({
    abi: ERC1155,
    eventName: "TransferBatch",
    args: { operator: A, from: A, to: B },
  });
  const most = 2n ** 256n - 1n;
  const logs = [
    log(
      encodeEventTopics({ abi: ERC20, args: { from: A, to: B } }),
      encodeAbiParameters(words(1), [most]),
    ),
    log(encodeEventTopics({ abi: ERC721, args: { from: A, to: B, id: 7n } })),
    log(single, encodeAbiParameters(words(2), [8n, 9n])),
    log(
      batch,
      encodeAbiParameters(
        [{ type: "uint256[]" }, { type: "uint256[]" }],
        [[1n, 2n], [3n, 4n]],
      ),
    ),
  ];

  const [from, to, token] = [A, B, TOKEN];
  assert.deepEqual(transfersOf(transaction(logs, { value: 5n })), [
    { asset: "native", from, to, amount: "5" },
    { asset: "erc20", token, from, to, amount: String(most) },
    { asset: "erc721", token, from, to, tokenId: "7" },
    { asset: "erc1155", token, from, to, tokenId: "8", amount: "9" },
    { asset: "erc1155", token, from, to, tokenId: "1", amount: "3" },
    { asset: "erc1155", token, from, to, tokenId: "2", amount: "4" },
  ]);
});

Deno.test("transfersOf() moves nothing for a failed transaction", () => {
  const failed = { value: 5n, succeeded: false };
  assert.deepEqual(transfersOf(transaction([], failed)), []);
});

Deno.test("transfersOf() takes logs of any shape", () => {
  const kinds = [
    ...encodeEventTopics({ abi: ERC20, args: { from: A, to: B } }).slice(0, 1),
    ...encodeEventTopics({ abi: ERC1155, eventName: "TransferSingle" }),
    ...encodeEventTopics({ abi: ERC1155, eventName: "TransferBatch" }),
  ] as string[];
  const digits = (length: number) =>
    fc.string({
      unit: fc.constantFrom(..."0123456789abcdef"),
      minLength: length,
      maxLength: length,
    }).map((text) => `0x${text}`);
  const data = fc.array(
    fc.oneof(
      fc.constantFrom(0n, 32n, 64n, 2n ** 255n).map((value) =>
        value.toString(16).padStart(64, "0")
      ),
      digits(64).map((word) => word.slice(2)),
      fc.constant("ab"),
    ),
    { maxLength: 8 },
  ).map((parts) => `0x${parts.join("")}`);
  fc.assert(fc.property(
    fc.constantFrom(...kinds),
    fc.array(fc.oneof(digits(64), digits(3)), { maxLength: 3 }),
    data,
    (kind, topics, data) => {
      for (
        const { asset, amount, tokenId } of transfersOf(
          transaction([log([kind, ...topics], data)]),
        )
      ) {
        assert.match(amount ?? tokenId ?? "", /^\d{1,78}$/, asset);
      }
    },
  ));
});
