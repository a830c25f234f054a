/**
 * One thing to read about, and several of a kind.
 *
 * @module
 */
/** @jsxRuntime automatic */
/** @jsxImportSource preact */
/// <reference lib="dom" />
import type { VNode } from "preact";
import { Examples } from "./code.tsx";
import type { Entry, Part, Reference, Section } from "./model.ts";
import { wayOf } from "./trials.ts";
import { boundsOf, typeOf } from "./schema.ts";
import type { Schema } from "./schema.ts";

/** Deepest nesting of a shape that is drawn. */
const MAX_DEPTH = 6;

/** Things of a kind. */
export function SectionView(
  { section, reference, onTry }: {
    readonly section: Section;
    readonly reference: Reference;
    /** Called with the entry that a person wants to try. */
    readonly onTry: (entry: Entry) => void;
  },
): VNode {
  return (
    <section id={section.id} class="chapter">
      <h1>{section.title}</h1>
      <p class="lead">{section.note}</p>
      {section.entries.map((entry) => (
        <EntryView
          key={entry.id}
          entry={entry}
          reference={reference}
          onTry={onTry}
        />
      ))}
    </section>
  );
}

function EntryView(
  { entry, reference, onTry }: {
    readonly entry: Entry;
    readonly reference: Reference;
    readonly onTry: (entry: Entry) => void;
  },
): VNode {
  return (
    <article id={entry.id} class="entry">
      <h2>
        <a href={`#${entry.id}`}>
          <Badge word={entry.badge} /> <span class="mono">{entry.name}</span>
        </a>
        {wayOf(entry) && (
          <button
            type="button"
            aria-label={`Try it: ${entry.name}`}
            onClick={() => onTry(entry)}
          >
            Try it
          </button>
        )}
      </h2>
      <p>
        <Prose text={entry.summary} />
      </p>
      {entry.description && (
        <p class="sub">
          <Prose text={entry.description} />
        </p>
      )}
      {entry.parts.map((part) => (
        <PartView key={part.title} part={part} reference={reference} />
      ))}
    </article>
  );
}

function PartView(
  { part, reference }: { readonly part: Part; readonly reference: Reference },
): VNode {
  const { title, note, schema, examples } = part;
  const rows = schema ? rowsOf(schema, reference) : [];
  return (
    <div class={examples.length > 0 ? "part" : "part plain"}>
      <div>
        <h3>
          {title} {note && (
            <span class="sub">
              <Prose text={note} />
            </span>
          )}
        </h3>
        {rows.length > 0 && (
          <dl class="fields">
            {rows.map((
              { path, depth, type, bounds, description, isRequired },
            ) => (
              <div key={path} class={`field depth-${depth}`}>
                <dt class="mono">
                  {path.slice(path.lastIndexOf("/") + 1)}
                  {isRequired && (
                    <span class="must" title="required">
                      *<span class="hidden">required</span>
                    </span>
                  )}
                </dt>
                <dd>
                  <span class="type">{type}</span>
                  {bounds && <span class="sub">{bounds}</span>}
                  {description && (
                    <span class="sub says">
                      <Prose text={description} />
                    </span>
                  )}
                </dd>
              </div>
            ))}
          </dl>
        )}
      </div>
      {examples.length > 0 && <Examples examples={examples} />}
    </div>
  );
}

/** Text in which parts between backticks are code. */
function Prose({ text }: { readonly text: string }): VNode {
  return (
    <>
      {text.split("`").map((each, i) =>
        i % 2 === 0 ? each : <code key={i}>{each}</code>
      )}
    </>
  );
}

/** A short word in front of a name. */
export function Badge({ word }: { readonly word: string }): VNode {
  return <span class={`badge ${word.toLowerCase()}`}>{word}</span>;
}

interface Row {
  readonly path: string;
  readonly depth: number;
  readonly type: string;
  readonly bounds: string;
  readonly description: string;
  readonly isRequired: boolean;
}

/** A shape as lines: every field below the one it belongs to. */
function rowsOf(schema: Schema, reference: Reference): Row[] {
  const rows: Row[] = [];
  const walk = (inner: Schema, path: string, depth: number): void => {
    const shape = reference.resolve(inner);
    const several = shape.anyOf ?? shape.oneOf;
    if (several) {
      for (const each of several) {
        // A named alternative among others is described elsewhere.
        if (several.length < MANY || !each.$ref) walk(each, path, depth);
        else {rows.push({
            ...ELSEWHERE,
            path: `${path}/${nameOf(each)}`,
            depth,
          });}
      }
      return;
    }
    if (shape.type === "array" && shape.items) {
      return walk(shape.items, path, depth);
    }
    if (depth > MAX_DEPTH) return;
    for (const [name, field] of Object.entries(shape.properties ?? {})) {
      const at = `${path}/${name}`;
      const target = reference.resolve(field);
      rows.push({
        path: at,
        depth,
        // The values of an enumeration are more useful than its name.
        type: typeOf(target.enum ? target : field),
        bounds: boundsOf(field),
        description: field.description ?? "",
        isRequired: shape.required?.includes(name) ?? false,
      });
      walk(field, at, depth + 1);
    }
  };
  walk(schema, "", 0);
  const seen = new Set<string>();
  return rows.filter(({ path }) => !seen.has(path) && seen.add(path));
}

/** From how many named alternatives on each is only named. */
const MANY = 4;
const ELSEWHERE = {
  type: "as over the WebSocket",
  bounds: "",
  description: "",
  isRequired: false,
};

function nameOf({ $ref = "" }: Schema): string {
  return $ref.slice($ref.lastIndexOf("/") + 1);
}
