/**
 * Edits of a filtered subscription's values, in place.
 *
 * @module
 */
import { channelNamed } from "../protocol/channels.ts";
import type { CommandPayload } from "../protocol/commands.ts";
import {
  filterFields,
  FilterValue,
  MAX_FILTER_VALUES,
  sizeOf,
  tagValue,
} from "../protocol/filters.ts";
import type { Clause } from "../protocol/filters.ts";
import { Refusal } from "../protocol/refusals.ts";
import type { RefusalCode } from "../protocol/refusals.ts";
import type { ReplyPayload } from "../protocol/replies.ts";
import type { Outbox } from "./outbox.ts";
import type { Subscription } from "./subscription.ts";

/** Most characters of a refused item that the reply repeats. */
const MAX_ECHO_LENGTH = 128;

/** A validated edit. */
interface Edit {
  readonly subscription: Subscription;
  /** Field whose values are edited. */
  readonly field: string;
  readonly add: readonly string[];
  readonly remove: readonly string[];
  readonly rejected: { item: string; code: RefusalCode }[];
}

/**
 * Edits the values of a filtered subscription. With `after`, later events that
 * match added items are sent first. The edit and its reply are settled in one
 * turn, so that the position in the reply is exact.
 *
 * @param command the decoded command.
 * @param outbox holds the subscription.
 * @param answer sends the result, before the first event that the edit admits.
 * @throws {Refusal} `INVALID_SUBSCRIPTION` without such a subscription or field.
 */
export async function watch(
  command: CommandPayload<"watch">,
  outbox: Outbox,
  answer: (payload: ReplyPayload<"watched">) => void,
): Promise<void> {
  const edit = editOf(command, outbox);
  const { subscription, field, add } = edit;
  const settle = () => answer(apply(edit, command.as, outbox));
  if (command.after && add.length > 0) {
    const missed: Clause = {
      ...subscription.selected!.filter[0],
      [field]: add,
    };
    await outbox.replay(subscription, [missed], command.after, settle);
  } else settle();
}

function editOf(
  { as, field, add = [], remove = [] }: CommandPayload<"watch">,
  outbox: Outbox,
): Edit {
  const subscription = outbox.get(as);
  if (!subscription?.selected) {
    throw refused("as", "expected the name of a filtered subscription");
  }
  const [clause, another] = subscription.selected.filter;
  if (another) {
    throw refused("as", "a filter of several clauses cannot be edited");
  }
  const fields = Object.keys(clause!);
  const edited = field ?? (fields.length === 1 ? fields[0]! : "");
  if (!fields.includes(edited)) {
    throw refused("field", `expected one of ${fields.join(", ")}`);
  }
  const { kind } = channelNamed(subscription.stream.channel)!;
  const tag = filterFields(kind).get(edited);
  const rejected: Edit["rejected"] = [];
  const known = (items: readonly string[]) => [
    ...new Set(
      items.flatMap((item) => {
        if (FilterValue.safeParse(item).success) return tagValue(item, tag);
        const cut = item.slice(0, MAX_ECHO_LENGTH).toWellFormed();
        rejected.push({ item: cut, code: "INVALID_PAYLOAD" });
        return [];
      }),
    ),
  ];
  return {
    subscription,
    field: edited,
    add: known(add),
    remove: known(remove),
    rejected,
  };
}

/** Applies the edit at the position that it returns. */
function apply(
  { subscription, field, add, remove, rejected }: Edit,
  as: string,
  outbox: Outbox,
): ReplyPayload<"watched"> {
  const [clause] = subscription.selected!.filter;
  const before = new Set(clause![field]);
  const after = new Set(before);
  for (const item of remove) after.delete(item);
  const others = sizeOf([clause!]) - before.size;
  const refuse = (item: string) => {
    rejected.push({
      item: item.slice(0, MAX_ECHO_LENGTH),
      code: "TOO_MANY_SUBSCRIPTIONS",
    });
  };
  for (const item of add) {
    if (after.has(item)) continue;
    if (others + after.size < MAX_FILTER_VALUES) after.add(item);
    else refuse(item);
  }
  if (!outbox.reserve(subscription.name, others + after.size)) {
    // The bounds of the connection, the address or the instance are reached.
    for (const item of after.difference(before)) {
      after.delete(item);
      refuse(item);
    }
    outbox.reserve(subscription.name, others + after.size);
  }
  const filter = [{ ...clause, [field]: [...after] }];
  return {
    as,
    field,
    from: outbox.select(subscription, filter),
    added: [...after.difference(before)],
    removed: [...before.difference(after)],
    rejected,
    size: others + after.size,
  };
}

function refused(path: string, message: string): Refusal {
  return new Refusal("INVALID_SUBSCRIPTION", undefined, {
    issues: [{ path: `payload.${path}`, message }],
  });
}
