/**
 * The sessions: search, disconnect, block.
 *
 * @module
 */
/** @jsxRuntime automatic */
/** @jsxImportSource preact */
/// <reference lib="dom" />
import type { VNode } from "preact";
import type { SessionInfo } from "./api.ts";
import { found, lagOf, SLOW_LAG, span } from "./model.ts";
import { Table } from "./panel.tsx";
import { Sure } from "./sure.tsx";
import type { View } from "./watch.ts";

/** Most sessions drawn; the search reaches all. */
const MAX_DRAWN = 200;

/** The sessions that match the search, the furthest behind first. */
export function Sessions(
  { view, sought, onSeek, onDisconnect, onBlock }: {
    readonly view: View;
    readonly sought: string;
    readonly onSeek: (text: string) => void;
    readonly onDisconnect: (session: SessionInfo) => void;
    readonly onBlock: (session: SessionInfo) => void;
  },
): VNode {
  const all = found(view.sessions, sought);
  const drawn = all.slice(0, MAX_DRAWN);
  return (
    <>
      <div class="form">
        <label class="hidden" for="sought">Search sessions</label>
        <input
          id="sought"
          type="search"
          placeholder="Address, user, client or channel"
          value={sought}
          onInput={({ currentTarget }) => onSeek(currentTarget.value)}
        />
        <span class="sub">
          {drawn.length < all.length
            ? `${drawn.length} of ${all.length}, the furthest behind first`
            : `${all.length} sessions`}
        </span>
      </div>
      {drawn.length === 0 ? <p class="empty">No sessions match</p> : (
        <Table
          label="Sessions"
          columns={["Who", "Address", "Client", "For", "Follows", "Lag", ""]}
        >
          {drawn.map((it) => {
            const lag = lagOf(it);
            return (
              <tr key={it.id}>
                <th scope="row">
                  {it.user ?? "anonymous"} <span class="sub">{it.role}</span>
                  <span class="sub mono block" title={it.id}>
                    {short(it.id)}
                  </span>
                </th>
                <td class="mono">{it.ip}</td>
                <td class="cut">{it.client ?? "–"}</td>
                <td class="number">{span(view.asOf - it.since)}</td>
                <td class="cut">
                  {it.channels.map(({ channel }) => channel).join(", ") || "–"}
                </td>
                <td class={`number${lag >= SLOW_LAG ? " late" : ""}`}>{lag}</td>
                <td class="actions">
                  <Sure word="Disconnect" onSure={() => onDisconnect(it)} />
                  <Sure word="Block 1 h" onSure={() => onBlock(it)} />
                </td>
              </tr>
            );
          })}
        </Table>
      )}
    </>
  );
}

/** The end of a long id, in which ids differ. */
export function short(id: string): string {
  return id.length > 12 ? `…${id.slice(-10)}` : id;
}
