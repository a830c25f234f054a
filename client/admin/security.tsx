/**
 * Blocked addresses, revoked tokens and security events.
 *
 * @module
 */
/** @jsxRuntime automatic */
/** @jsxImportSource preact */
/// <reference lib="dom" />
import type { VNode } from "preact";
import type { BlockInfo } from "./api.ts";
import { filled } from "./form.ts";
import { span } from "./model.ts";
import { Table } from "./panel.tsx";
import { Sure } from "./sure.tsx";
import type { View } from "./watch.ts";

/** Offered lengths of a block. */
const LENGTHS: readonly (readonly [string, number])[] = [
  ["10 minutes", 600_000],
  ["1 hour", 3_600_000],
  ["1 day", 86_400_000],
  ["30 days", 30 * 86_400_000],
];

/** A form that blocks an address. */
export function BlockForm(
  { onBlock }: {
    readonly onBlock: (ip: string, reason: string, forMs: number) => void;
  },
): VNode {
  const submit = (event: SubmitEvent): void => {
    const text = filled(event);
    onBlock(text("ip"), text("reason"), Number(text("forMs")));
  };
  return (
    <form class="form" onSubmit={submit}>
      <input
        name="ip"
        required
        maxLength={64}
        aria-label="Address or CIDR"
        placeholder="Address or CIDR"
        autoComplete="off"
      />
      <input
        name="reason"
        maxLength={200}
        aria-label="Reason"
        placeholder="Reason"
        autoComplete="off"
      />
      <select name="forMs" aria-label="For how long">
        {LENGTHS.map(([words, ms]) => (
          <option key={ms} value={ms}>{words}</option>
        ))}
      </select>
      <button type="submit">Block</button>
    </form>
  );
}

/** Addresses that are blocked. */
export function Blocks(
  { view, onUnblock }: {
    readonly view: View;
    readonly onUnblock: (block: BlockInfo) => void;
  },
): VNode {
  if (view.blocks.length === 0) {
    return <p class="empty">No address is blocked.</p>;
  }
  return (
    <Table
      label="Blocked addresses"
      columns={["Address", "Why", "Ends in", ""]}
    >
      {view.blocks.map((it) => (
        <tr key={it.ip}>
          <th scope="row" class="mono">{it.ip}</th>
          <td class="wrap">
            {it.reason} <span class="sub">by {it.by}</span>
          </td>
          <td class="number">{span(it.until - view.asOf)}</td>
          <td class="actions">
            <Sure word="Unblock" onSure={() => onUnblock(it)} />
          </td>
        </tr>
      ))}
    </Table>
  );
}

/** A form that revokes tokens. */
export function RevokeForm(
  { onRevoke }: {
    readonly onRevoke: (body: Record<string, string>) => void;
  },
): VNode {
  const submit = (event: SubmitEvent): void => {
    const text = filled(event);
    const reason = text("reason");
    onRevoke({
      [text("kind")]: text("id"),
      ...(reason ? { reason } : {}),
    });
  };
  return (
    <form class="form" onSubmit={submit}>
      <select name="kind" aria-label="What to revoke">
        <option value="user">User</option>
        <option value="tokenId">Token id</option>
      </select>
      <input
        name="id"
        required
        maxLength={256}
        aria-label="User or token id"
        placeholder="alice"
        autoComplete="off"
      />
      <input
        name="reason"
        maxLength={200}
        aria-label="Reason of the revocation"
        placeholder="Reason"
        autoComplete="off"
      />
      <button type="submit">Revoke</button>
    </form>
  );
}

/** Tokens and users that are revoked. */
export function Revocations({ view }: { readonly view: View }): VNode {
  if (view.revocations.length === 0) {
    return <p class="empty">No token is revoked.</p>;
  }
  return (
    <Table label="Revoked tokens" columns={["What", "Why", "Since"]}>
      {view.revocations.map((it) => (
        <tr key={`${it.kind} ${it.id}`}>
          <th scope="row">
            {it.kind} <span class="mono">{it.id}</span>
          </th>
          <td class="wrap">
            {it.reason} <span class="sub">by {it.by}</span>
          </td>
          <td class="number">{span(view.asOf - it.at)}</td>
        </tr>
      ))}
    </Table>
  );
}

/** Security events, newest first. */
export function Events({ view }: { readonly view: View }): VNode {
  if (view.events.length === 0) return <p class="empty">No security events.</p>;
  return (
    <Table label="Security events" columns={["What", "Who", "Times", "Last"]}>
      {view.events.map((it, i) => (
        <tr key={i}>
          <th scope="row" class="wrap">
            {it.kind}
            <span class="sub block">{it.detail ?? it.reason}</span>
          </th>
          <td class="mono">{it.ip ?? it.user ?? it.by ?? "–"}</td>
          <td class="number">{it.count}</td>
          <td class="number">{span(view.asOf - it.lastAt)} ago</td>
        </tr>
      ))}
    </Table>
  );
}
