/**
 * Blocked addresses, revoked tokens, and what happened at the guards.
 *
 * @module
 */
/** @jsxRuntime automatic */
/** @jsxImportSource preact */
/// <reference lib="dom" />
import { Component } from "preact";
import type { ComponentChildren, VNode } from "preact";
import type {
  BlockInfo,
  OperatorApi,
  RevocationInfo,
  SecurityEvent,
} from "./api.ts";
import { textOf } from "./api.ts";
import { fieldsOf } from "./form.ts";
import type { List } from "./list.ts";
import { ListPanel } from "./list_panel.tsx";
import { span, whole } from "./model.ts";
import { block, LENGTHS, restore, revoke, unblock } from "./orders.ts";
import type { Filled, Order } from "./order.tsx";
import { numbers, Panel, Table, texts } from "./panel.tsx";

/** What these panels need besides their lists. */
export interface SecurityActs {
  /** Carries orders out. */
  readonly api: OperatorApi;
  /** Asks for an order; `onDone` is called when it was carried out. */
  readonly onOrder: (order: Order, onDone?: () => void) => void;
}

/** Addresses that are blocked, and a form that blocks one. */
export function Blocks(
  { list, api, onOrder }:
    & { readonly list: List<BlockInfo> }
    & SecurityActs,
): VNode {
  return (
    <ListPanel
      list={list}
      name="half"
      title="Blocked addresses"
      seek="Address, reason or operator"
      none="No address is blocked."
      columns={[
        ...texts("Address", "Why"),
        ...numbers("Ends in"),
        ...texts(""),
      ]}
      row={(it) => (
        <tr key={it.ip}>
          <th scope="row" class="mono">{it.ip}</th>
          <td class="wrap">
            {it.reason} <span class="sub">by {it.by}</span>
          </td>
          <td class="number">{span(it.until - list.asOf)}</td>
          <td class="actions">
            <button
              type="button"
              class="small"
              onClick={() => onOrder(unblock(api, it))}
            >
              Unblock <span class="hidden">{it.ip}</span>
            </button>
          </td>
        </tr>
      )}
    >
      <OrderForm
        verb="Block"
        onOrder={onOrder}
        make={(filled) =>
          block(api, {
            ip: filled("ip"),
            reason: filled("reason"),
            forMs: filled("forMs"),
          })}
      >
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
          {LENGTHS.map(([ms, words]) => (
            <option key={ms} value={ms}>{words}</option>
          ))}
        </select>
      </OrderForm>
    </ListPanel>
  );
}

/** Tokens and users that are revoked, and a form that revokes. */
export function Revocations(
  { list, api, onOrder }:
    & { readonly list: List<RevocationInfo> }
    & SecurityActs,
): VNode {
  return (
    <ListPanel
      list={list}
      name="half"
      title="Revoked tokens"
      seek="User, token id, reason or operator"
      none="No token is revoked."
      columns={[...texts("What", "Why"), ...numbers("Since"), ...texts("")]}
      row={(it) => (
        <tr key={`${it.kind} ${it.id}`}>
          <th scope="row" class="wrap">
            {it.kind} <span class="mono">{it.id}</span>
          </th>
          <td class="wrap">
            {it.reason} <span class="sub">by {it.by}</span>
          </td>
          <td class="number">{span(list.asOf - it.at)}</td>
          <td class="actions">
            <button
              type="button"
              class="small"
              onClick={() => onOrder(restore(api, it))}
            >
              Restore <span class="hidden">{it.kind} {it.id}</span>
            </button>
          </td>
        </tr>
      )}
    >
      <OrderForm
        verb="Revoke"
        onOrder={onOrder}
        make={(filled) =>
          revoke(api, {
            kind: filled("kind") as RevocationInfo["kind"],
            id: filled("id"),
            reason: filled("reason"),
          })}
      >
        <select name="kind" aria-label="What to revoke">
          <option value="user">User</option>
          <option value="token">Token id</option>
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
      </OrderForm>
    </ListPanel>
  );
}

interface OrderFormProps {
  readonly verb: string;
  readonly make: (filled: Filled) => Order;
  readonly onOrder: SecurityActs["onOrder"];
  readonly children: ComponentChildren;
}

/**
 * A form whose order reports its effect before it is shown. A refusal is shown
 * beside the form, and the input stays.
 */
class OrderForm extends Component<
  OrderFormProps,
  { readonly fault: string; readonly isBusy: boolean }
> {
  /** What is shown besides the props. */
  override state = { fault: "", isBusy: false };

  #submit = async (event: SubmitEvent): Promise<void> => {
    const form = event.currentTarget as HTMLFormElement;
    const order = this.props.make(fieldsOf(event));
    this.setState({ fault: "", isBusy: true });
    try {
      const effect = await order.effect();
      this.props.onOrder(
        { ...order, effect: () => Promise.resolve(effect) },
        () => form.reset(),
      );
    } catch (error) {
      this.setState({ fault: textOf(error) });
    } finally {
      this.setState({ isBusy: false });
    }
  };

  /** The elements; called by Preact. */
  render(): VNode {
    const { verb, children } = this.props;
    const { fault, isBusy } = this.state;
    return (
      <form class="form" onSubmit={this.#submit} aria-busy={isBusy}>
        {children}
        <button type="submit" disabled={isBusy}>
          {isBusy ? `${verb} …` : verb}
        </button>
        {fault && <p class="wrong" role="alert">{fault}</p>}
      </form>
    );
  }
}

/** What happened at the guards, newest first; orders alone when asked for. */
export function Events(
  { events, asOf, ordersOnly, onOrdersOnly, note }: {
    readonly events: readonly SecurityEvent[];
    readonly asOf: number;
    readonly ordersOnly: boolean;
    readonly onOrdersOnly: (ordersOnly: boolean) => void;
    readonly note: string;
  },
): VNode {
  return (
    <Panel name="half" title="Security events" note={note}>
      <label class="check">
        <input
          type="checkbox"
          checked={ordersOnly}
          onChange={({ currentTarget }) => onOrdersOnly(currentTarget.checked)}
        />
        Operators' orders only
      </label>
      {events.length === 0 ? <p class="empty">No security events.</p> : (
        <Table
          label="Security events"
          columns={[...texts("What", "Who"), ...numbers("Times", "Last")]}
        >
          {events.map((it, i) => (
            <tr key={i}>
              <th scope="row" class="wrap">
                {it.kind}
                <span class="sub block">{it.detail ?? it.reason}</span>
              </th>
              <td class="mono">
                {it.ip ?? it.user ?? it.by ?? "–"}
                {it.ip && it.by ? <span class="sub block">{it.by}</span> : null}
              </td>
              <td class="number">{whole(it.count)}</td>
              <td class="number">{span(asOf - it.lastAt)} ago</td>
            </tr>
          ))}
        </Table>
      )}
    </Panel>
  );
}
