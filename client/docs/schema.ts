/**
 * JSON Schemas in few words.
 *
 * @module
 */

/** A JSON Schema, as far as the page shows it. */
export interface Schema {
  readonly $ref?: string;
  readonly description?: string;
  readonly type?: string | readonly string[];
  readonly format?: string;
  readonly pattern?: string;
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly default?: unknown;
  readonly anyOf?: readonly Schema[];
  readonly oneOf?: readonly Schema[];
  readonly items?: Schema;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: boolean | Schema;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly exclusiveMinimum?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly minItems?: number;
  readonly maxItems?: number;
}

/** Most values of an enumeration that are named. */
const MAX_VALUES = 8;

/** A schema's type in a few words. */
export function typeOf(schema: Schema): string {
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum) {
    const more = schema.enum.length - MAX_VALUES;
    const rest = more > 0 ? [`… ${more} more`] : [];
    return [...schema.enum.slice(0, MAX_VALUES), ...rest].join(" | ");
  }
  const several = schema.anyOf ?? schema.oneOf;
  if (several) return [...new Set(several.map(typeOf))].join(" | ");
  if (schema.$ref) return named(schema.$ref);
  if (schema.type === "array") {
    const item = typeOf(schema.items ?? {});
    return item.includes(" ") ? `(${item})[]` : `${item}[]`;
  }
  if (schema.format === "date-time") return "ISO 8601 instant";
  if (typeof schema.type === "string") return schema.type;
  return schema.type?.join(" | ") ?? "any JSON";
}

/** What else a value must fulfil. */
export function boundsOf(schema: Schema): string {
  const { minimum, maximum, exclusiveMinimum } = schema;
  const most = maximum === Number.MAX_SAFE_INTEGER ? undefined : maximum;
  const least = minimum ??
    (exclusiveMinimum === undefined ? undefined : exclusiveMinimum + 1);
  const facts = [
    range(least, most, ""),
    range(schema.minLength, schema.maxLength, "characters"),
    range(schema.minItems, schema.maxItems, "items"),
    schema.pattern === undefined ? "" : schema.pattern,
    (schema.default ?? "") === "" ? "" : `default ${schema.default}`,
  ];
  return facts.filter(Boolean).join(", ");
}

function range(
  least: number | undefined,
  most: number | undefined,
  unit: string,
): string {
  if (least === undefined && most === undefined) return "";
  if (least === most) return `${least} ${unit}`.trim();
  if (most === undefined) return `${least} or more ${unit}`.trim();
  if (least === undefined) return `at most ${most} ${unit}`.trim();
  return `${least} to ${most} ${unit}`.trim();
}

/** A reference's last word. */
function named(ref: string): string {
  return ref.slice(ref.lastIndexOf("/") + 1);
}
