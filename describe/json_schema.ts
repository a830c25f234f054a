/**
 * Schemas as the documents contain them: every object and enumeration has a
 * name, so that generators produce readable types.
 *
 * @module
 */
import { z } from "zod";

/** A JSON object. */
export type JsonObject = { [key: string]: unknown };

/** Where names stand in both documents. */
const PLACE = "#/components/schemas/";
/** The schema in whose place documents put the events of all types. */
const ANY_EVENT = "Event";

/** A dialect of JSON Schema, and where it keeps named parts. */
const DIALECTS = {
  "draft-7": "definitions",
  "draft-2020-12": "$defs",
} as const;

/** Collects the schemas of one document under their names. */
export class Schemas {
  /** All that were named so far. */
  readonly named: JsonObject = {};
  readonly #dialect: keyof typeof DIALECTS;

  /** Empty; `dialect` is that of the document. */
  constructor(dialect: keyof typeof DIALECTS) {
    this.#dialect = dialect;
  }

  /**
   * A schema as JSON Schema.
   *
   * @param schema what is sent, before defaults are filled in.
   * @param name of it, if it deserves one; its inner parts are named after it.
   * @throws {Error} two different schemas would have one name.
   */
  of(schema: z.ZodType, name: string): JsonObject {
    const { id = name, ...json } = this.#read(schema) as { id?: string };
    const placed = this.#placed(json, id);
    const isUnion = "anyOf" in placed || "oneOf" in placed;
    if (!isUnion) return placed;
    this.#name(id, placed);
    return { $ref: PLACE + id };
  }

  /** A schema as JSON Schema, without a name; its inner parts have some. */
  bare(schema: z.ZodType, name: string): JsonObject {
    const { id: _, ...json } = this.#read(schema);
    return this.#inside(json, name);
  }

  /** Reads a schema, and names what it shares with others. */
  #read(schema: z.ZodType): JsonObject {
    const { $schema: _, ...whole } = z.toJSONSchema(schema, {
      io: "input",
      target: this.#dialect,
      unrepresentable: "any",
      override: ({ jsonSchema }) => {
        // The format means the same.
        if (jsonSchema.format === "date-time") delete jsonSchema.pattern;
      },
    }) as JsonObject;
    const { [DIALECTS[this.#dialect]]: shared = {}, ...json } = whole;
    for (const [id, part] of Object.entries(shared as JsonObject)) {
      if (id === ANY_EVENT) continue;
      const { id: _id, $id: _$id, ...rest } = part as JsonObject;
      this.#name(id, this.#inside(rest, id));
    }
    const { $id: _$id, ...rest } = json;
    return rest;
  }

  /** Names the events of all types as one of them. */
  nameEvent(types: readonly string[]): void {
    this.#name(ANY_EVENT, {
      description: "An event of any type, as its subscribers received it.",
      oneOf: types.map((type) => ({ $ref: PLACE + type })),
    });
  }

  /** A part, by reference where it deserves a name. */
  #placed(json: JsonObject, name: string): JsonObject {
    const { allOf, ...beside } = json;
    const [only, ...others] = (allOf ?? []) as JsonObject[];
    // How draft 7 writes a reference with words beside it.
    if (only?.["$ref"] && others.length === 0) {
      return this.#referring({ ...only, ...beside });
    }
    if (typeof json["$ref"] === "string") return this.#referring(json);
    const inside = this.#inside(json, name);
    const isNamed = inside["properties"] !== undefined ||
      (inside["enum"] as unknown[] | undefined ?? []).length > 1;
    if (!isNamed) return inside;
    const { description, default: byDefault, ...rest } = inside;
    this.#name(name, rest);
    return {
      $ref: PLACE + name,
      ...(description === undefined ? {} : { description }),
      ...(byDefault === undefined ? {} : { default: byDefault }),
    };
  }

  /** The same with all its parts placed. */
  #inside(json: JsonObject, name: string): JsonObject {
    if (typeof json["$ref"] === "string") return this.#referring(json);
    const { properties, items, additionalProperties } = json;
    const isObject = (part: unknown): part is JsonObject =>
      typeof part === "object" && part !== null && !Array.isArray(part);
    return {
      ...json,
      ...(isObject(properties)
        ? {
          properties: Object.fromEntries(
            Object.entries(properties).map(([key, part]) => [
              key,
              this.#placed(part as JsonObject, name + pascal(key)),
            ]),
          ),
        }
        : {}),
      ...(isObject(items)
        ? { items: this.#placed(items, singular(name)) }
        : {}),
      ...this.#options(json, "anyOf", name),
      ...this.#options(json, "oneOf", name),
      ...(isObject(additionalProperties)
        ? {
          additionalProperties: this.#placed(
            additionalProperties,
            `${name}Value`,
          ),
        }
        : {}),
    };
  }

  #options(
    json: JsonObject,
    word: "anyOf" | "oneOf",
    name: string,
  ): JsonObject {
    const options = json[word] as JsonObject[] | undefined;
    if (!options) return {};
    const isOne = options.filter(({ type }) => type !== "null").length < 2;
    return {
      [word]: options.map((part, i) =>
        this.#placed(part, isOne ? name : `${name}${i + 1}`)
      ),
    };
  }

  #referring(json: JsonObject): JsonObject {
    const { $ref, ...rest } = json as { $ref: string };
    return { $ref: PLACE + $ref.slice($ref.lastIndexOf("/") + 1), ...rest };
  }

  #name(name: string, json: JsonObject): void {
    const known = this.named[name];
    if (known && JSON.stringify(known) !== JSON.stringify(json)) {
      throw new Error(`Two different schemas are named ${name}`);
    }
    this.named[name] = json;
  }
}

/** `NEW_BLOCK` and `newBlock` as `NewBlock`. */
export function pascal(text: string): string {
  const words = text === text.toUpperCase() ? text.toLowerCase() : text;
  return words.split(/[^A-Za-z0-9]+/).filter(Boolean)
    .map((word) => word[0]!.toUpperCase() + word.slice(1)).join("");
}

/** One of several. */
function singular(name: string): string {
  return name.endsWith("s") ? name.slice(0, -1) : `${name}Item`;
}
