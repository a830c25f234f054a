/**
 * The channels of a connection: join, look, leave.
 *
 * @module
 */
/** @jsxRuntime automatic */
/** @jsxImportSource preact */
/// <reference lib="dom" />
import type { VNode } from "preact";
import type { Client } from "../types.ts";

/** The joined channels, and a form to join more. */
export function Channels({ client }: { readonly client: Client }): VNode {
  const channels = Object.entries(client.state.channels);
  return (
    <div class="channels">
      <form class="controls" onSubmit={(submitted) => join(client, submitted)}>
        <input
          name="channel"
          required
          maxLength={128}
          placeholder="Channel, for example blocks or room:lobby"
          aria-label="Channel to join"
          size={38}
        />
        <input
          name="last"
          type="number"
          min={0}
          max={1000}
          placeholder="last n"
          aria-label="How many past events to replay"
        />
        <button type="submit">Join</button>
      </form>
      {channels.length === 0 ? <p class="sub">No channel joined.</p> : (
        <table>
          <thead>
            <tr>
              <th scope="col">Channel</th>
              <th scope="col">Status</th>
              <th scope="col">Position</th>
              <th scope="col">Caught up</th>
              <th scope="col">
                <span class="hidden">Actions</span>
              </th>
            </tr>
          </thead>
          <tbody>
            {channels.map(([name, channel]) => (
              <tr key={name}>
                <th scope="row" class="mono">{name}</th>
                <td class={channel.status}>
                  {channel.code ?? channel.status}
                </td>
                <td>{channel.seq === null ? "–" : `#${channel.seq}`}</td>
                <td>
                  {channel.caughtUp}
                  {channel.recovered === false && ", some lost"}
                </td>
                <td>
                  <button
                    type="button"
                    aria-label={`Leave ${name}`}
                    onClick={() => client.leaveChannel(name)}
                  >
                    Leave
                  </button>
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </div>
  );
}

function join(client: Client, submitted: SubmitEvent): void {
  submitted.preventDefault();
  const form = submitted.currentTarget as HTMLFormElement;
  const data = new FormData(form);
  const last = String(data.get("last"));
  client.joinChannel(
    String(data.get("channel")).trim(),
    last === "" ? {} : { last: Number(last) },
  );
  form.reset();
}
