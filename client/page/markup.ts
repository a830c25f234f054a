/**
 * A page's elements as text, for a document to hold them. Only what the pages
 * use is known: elements, text, fragments, components.
 *
 * @module
 */
import type { Component, ComponentChildren, VNode } from "preact";

/** Elements that have no content, and no end. */
const VOID: ReadonlySet<string> = new Set([
  "img",
  "input",
  "br",
  "hr",
  "link",
  "meta",
]);
/** Properties that a document does not hold. */
const NOT_WRITTEN: ReadonlySet<string> = new Set(["ref", "key", "style"]);
/** Properties that are not what a document calls them. */
const NAMES: Readonly<Record<string, string>> = {
  tabIndex: "tabindex",
  maxLength: "maxlength",
  autoComplete: "autocomplete",
  autoCapitalize: "autocapitalize",
  readOnly: "readonly",
  dateTime: "datetime",
  colSpan: "colspan",
};

type Properties = Readonly<Record<string, unknown>> & {
  readonly children?: ComponentChildren;
};
type Maker = (props: Properties) => ComponentChildren;
type MakerClass = new (props: Properties) => Component<Properties>;

/** Markup of what is drawn first, before anything was mounted. */
export function markup(node: ComponentChildren): string {
  if (node === null || node === undefined || typeof node === "boolean") {
    return "";
  }
  if (Array.isArray(node)) return node.map(markup).join("");
  if (typeof node !== "object") return escaped(String(node));
  const { type, props } = node as VNode<Properties>;
  if (typeof type === "string") return element(type, props);
  const maker = type as unknown as Maker | MakerClass;
  return markup(isClass(maker) ? drawn(maker, props) : maker(props));
}

function isClass(maker: Maker | MakerClass): maker is MakerClass {
  return maker.prototype !== undefined && "render" in maker.prototype;
}

function drawn(Made: MakerClass, props: Properties): ComponentChildren {
  const made = new Made(props);
  made.props = props;
  return made.render(props, made.state, undefined);
}

function element(name: string, { children, ...props }: Properties): string {
  const begin = `<${name}${Object.entries(props).map(attribute).join("")}>`;
  return VOID.has(name) ? begin : `${begin}${markup(children)}</${name}>`;
}

function attribute([name, value]: [string, unknown]): string {
  // Handlers are added to the elements that the document holds. Styles of an
  // element are forbidden in documents, for they may be injected.
  if (typeof value === "function" || NOT_WRITTEN.has(name)) return "";
  if (value === null || value === undefined) return "";
  const known = NAMES[name] ?? name;
  if (typeof value === "boolean" && !name.startsWith("aria-")) {
    return value ? ` ${known}` : "";
  }
  return ` ${known}="${escaped(String(value))}"`;
}

function escaped(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;").replaceAll('"', "&quot;");
}
