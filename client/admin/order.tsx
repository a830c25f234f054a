/**
 * An order: describes its effect, asks for its input, is carried out, and shows
 * the reason when it is refused.
 *
 * @module
 */
/** @jsxRuntime automatic */
/** @jsxImportSource preact */
/// <reference lib="dom" />
import { Component } from "preact";
import type { VNode } from "preact";
import { textOf } from "./api.ts";
import { Dialog } from "./dialog.tsx";
import { fieldsOf } from "./form.ts";

/** A field of an order. */
export interface Field {
  /** Its name. */
  readonly name: string;
  /** Label. */
  readonly label: string;
  /** Initial value. */
  readonly value?: string;
  /** What can be chosen: value and words; any text when omitted. */
  readonly choices?: readonly (readonly [string | number, string])[];
}

/** What a field holds, by its name. */
export type Filled = (name: string) => string;

/** Something that an operator may order. */
export interface Order {
  /** Heading, such as `Block 192.0.2.1`. */
  readonly title: string;
  /** Written on the button that carries it out. */
  readonly verb: string;
  /** What it will do, in sentences; rejects when it cannot be ordered. */
  readonly effect: () => Promise<readonly string[]>;
  /** What it needs to know. */
  readonly fields?: readonly Field[];
  /** Carries it out. */
  readonly run: (filled: Filled) => Promise<unknown>;
  /** Shown when it was carried out. */
  readonly done: string;
}

interface OrderState {
  readonly effect: readonly string[] | undefined;
  readonly fault: string;
  readonly isBusy: boolean;
}

/** Shows an order, and carries it out. */
export class OrderDialog extends Component<{
  readonly order: Order;
  /** Called when it was carried out. */
  readonly onDone: (order: Order) => void;
  /** Called when it was not. */
  readonly onCancel: () => void;
}, OrderState> {
  /** What is shown besides the props. */
  override state: OrderState = { effect: undefined, fault: "", isBusy: false };

  /** Asks what it would do; called by Preact. */
  override async componentDidMount(): Promise<void> {
    try {
      this.setState({ effect: await this.props.order.effect() });
    } catch (error) {
      this.setState({ fault: textOf(error) });
    }
  }

  #submit = async (event: SubmitEvent): Promise<void> => {
    const filled = fieldsOf(event);
    const { order, onDone } = this.props;
    this.setState({ isBusy: true, fault: "" });
    try {
      await order.run(filled);
      onDone(order);
    } catch (error) {
      this.setState({ isBusy: false, fault: textOf(error) });
    }
  };

  /** The elements; called by Preact. */
  render(): VNode {
    const { order, onCancel } = this.props;
    const { effect, fault, isBusy } = this.state;
    const { title, verb, fields = [] } = order;
    return (
      <Dialog title={title} onClose={onCancel}>
        <form onSubmit={this.#submit} aria-busy={isBusy}>
          <div class="effect" aria-live="polite">
            {effect
              ? effect.map((sentence) => <p key={sentence}>{sentence}</p>)
              : fault
              ? null
              : <p class="sub">Asking what this would do…</p>}
          </div>
          {fields.map(({ name, label, value = "", choices }) => (
            <label key={name}>
              {label}
              {choices
                ? (
                  <select name={name}>
                    {choices.map(([choice, words]) => (
                      <option
                        key={choice}
                        value={choice}
                        selected={String(choice) === value}
                      >
                        {words}
                      </option>
                    ))}
                  </select>
                )
                : (
                  <input
                    name={name}
                    defaultValue={value}
                    maxLength={200}
                    autoComplete="off"
                  />
                )}
            </label>
          ))}
          {fault && <p class="wrong" role="alert">{fault}</p>}
          <div class="answers">
            <button type="button" onClick={onCancel}>Cancel</button>
            <button type="submit" class="sure" disabled={!effect || isBusy}>
              {isBusy ? `${verb} …` : verb}
            </button>
          </div>
        </form>
      </Dialog>
    );
  }
}
