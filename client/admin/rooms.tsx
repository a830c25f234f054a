/**
 * The rooms: how many follow each, and what happened in one.
 *
 * @module
 */
/** @jsxRuntime automatic */
/** @jsxImportSource preact */
/// <reference lib="dom" />
import { Component } from "preact";
import type { VNode } from "preact";
import { textOf } from "./api.ts";
import type { AlertEvent, OperatorApi, RoomInfo, SessionInfo } from "./api.ts";
import { Dialog } from "./dialog.tsx";
import type { List } from "./list.ts";
import { ListPanel } from "./list_panel.tsx";
import { SLOW_LAG, span, time, whole } from "./model.ts";
import { nameOf } from "./orders.ts";
import type { Column } from "./panel.tsx";
import { Facts } from "./sessions.tsx";

/** Newest events of a room that are shown. */
const EVENTS = 10;
/** Followers of a room that are shown. */
const FOLLOWERS = 20;

const COLUMNS: readonly Column[] = [
  { title: "Room", sort: "room" },
  { title: "Followers", sort: "followers", isNumber: true },
  { title: "Head", sort: "seq", isNumber: true },
  { title: "Last event", sort: "lastEventAt", isNumber: true },
  { title: "Lag", sort: "lag", isNumber: true },
];

/** The rooms of all instances. */
export function Rooms(
  { list, onShow }: {
    readonly list: List<RoomInfo>;
    readonly onShow: (room: RoomInfo) => void;
  },
): VNode {
  return (
    <ListPanel
      list={list}
      name="full"
      title="Rooms"
      seek="Name of a room"
      none="No room has events or followers."
      columns={COLUMNS}
      row={(it) => (
        <tr key={it.room}>
          <th scope="row">
            <button type="button" class="link" onClick={() => onShow(it)}>
              {it.room}
              <span class="hidden">, details</span>
            </button>
          </th>
          <td class="number">{whole(it.followers)}</td>
          <td class="number">{whole(it.seq)}</td>
          <td class="number">{ago(it, list.asOf)}</td>
          <td class={`number${it.lag >= SLOW_LAG ? " late" : ""}`}>
            {whole(it.lag)}
          </td>
        </tr>
      )}
    />
  );
}

function ago({ lastEventAt }: RoomInfo, asOf: number): string {
  return lastEventAt === null ? "–" : `${span(asOf - lastEventAt)} ago`;
}

interface RoomDetailProps {
  readonly room: RoomInfo;
  readonly api: OperatorApi;
  readonly onClose: () => void;
}

interface RoomDetailState {
  readonly events: readonly AlertEvent[] | undefined;
  readonly followers: readonly SessionInfo[] | undefined;
  readonly fault: string;
  readonly asOf: number;
}

/** One room: its newest events, and who follows it. */
export class RoomDetail extends Component<RoomDetailProps, RoomDetailState> {
  /** What is shown besides the props. */
  override state: RoomDetailState = {
    events: undefined,
    followers: undefined,
    fault: "",
    asOf: Date.now(),
  };

  /** Reads the room; called by Preact. */
  override async componentDidMount(): Promise<void> {
    const { room: { room }, api } = this.props;
    try {
      const [history, found] = await Promise.all([
        api.get<{ events: AlertEvent[] }>(
          `/api/channels/${encodeURIComponent(room)}/history?limit=${EVENTS}`,
        ),
        api.get<{ sessions: SessionInfo[] }>(
          `/api/admin/sessions?search=${
            encodeURIComponent(room)
          }&limit=${FOLLOWERS}`,
        ),
      ]);
      this.setState({
        events: history.events.toReversed(),
        followers: found.sessions,
        asOf: Date.now(),
      });
    } catch (error) {
      this.setState({ fault: textOf(error) });
    }
  }

  /** The elements; called by Preact. */
  render(): VNode {
    const { room, onClose } = this.props;
    const { events, followers, fault, asOf } = this.state;
    return (
      <Dialog title={room.room} onClose={onClose}>
        <Facts
          facts={[
            ["Followers", whole(room.followers)],
            ["Head", whole(room.seq)],
            ["Last event", ago(room, asOf)],
            ["As of", time(asOf)],
          ]}
        />
        {fault && <p class="wrong" role="alert">{fault}</p>}
        <h3>Newest events</h3>
        {events === undefined
          ? fault ? null : <p class="empty">Loading…</p>
          : events.length === 0
          ? <p class="empty">None are kept.</p>
          : (
            <ol class="events">
              {events.map(({ id, timestamp, payload }) => (
                <li key={id}>
                  <span class="sub">
                    {span(asOf - Date.parse(timestamp))} ago
                  </span>{" "}
                  <code class="mono">{JSON.stringify(payload)}</code>
                </li>
              ))}
            </ol>
          )}
        <h3>Followers</h3>
        {followers === undefined
          ? fault ? null : <p class="empty">Loading…</p>
          : (
            <p class="sub">
              {followers.map(nameOf).join(", ") || "None"}
              {room.followers > followers.length && followers.length > 0
                ? ` and ${whole(room.followers - followers.length)} more`
                : ""}
            </p>
          )}
        <div class="answers">
          <button type="button" onClick={onClose}>Close</button>
        </div>
      </Dialog>
    );
  }
}
