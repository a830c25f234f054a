/**
 * Types of the bundles for people who do not have our sources: one `.d.ts` a
 * module, complete in itself. What follows from a zod schema is written out,
 * since browsers and their editors never see zod.
 *
 * @module
 */
import { fileURLToPath } from "node:url";
import { dirname, join, resolve } from "node:path";
import ts from "typescript";
// Its types are read: what is imported is installed, and can be found.
import "zod";
import { descriptionOf } from "./descriptions.ts";

/** Name under which any JSON value goes in the declarations. */
const JSON_VALUE = "JsonValue";
const JSON_DECLARATION = `/** Any JSON value. */
type ${JSON_VALUE} = string | number | boolean | null | ${JSON_VALUE}[] | { [key: string]: ${JSON_VALUE} };`;

const here = dirname(fileURLToPath(import.meta.url));
const project = resolve(here, "..");

const OPTIONS: ts.CompilerOptions = {
  target: ts.ScriptTarget.ESNext,
  module: ts.ModuleKind.ESNext,
  moduleResolution: ts.ModuleResolutionKind.Bundler,
  lib: ["lib.esnext.d.ts", "lib.dom.d.ts", "lib.dom.iterable.d.ts"],
  types: [],
  strict: true,
  exactOptionalPropertyTypes: true,
  allowImportingTsExtensions: true,
  emitDeclarationOnly: true,
  declaration: true,
  jsx: ts.JsxEmit.ReactJSX,
};

/**
 * Writes the declarations of modules.
 *
 * @param modules name and entry of each, a path as seen from `client/`; later
 * ones import from the first what it exports.
 * @returns texts by the modules' names.
 * @throws {Error} something exported cannot be declared without our sources.
 */
export async function declarations(
  modules: readonly { readonly name: string; readonly entry: string }[],
): Promise<ReadonlyMap<string, string>> {
  const zod = await zodTypes();
  const roots = modules.map(({ entry }) => join(here, entry));
  const host = hostFor(zod, new Map());
  const first = ts.createProgram(roots, OPTIONS, host);
  const probe = probeOf(first);
  const probed = join(here, "probe.ts");
  const program = ts.createProgram(
    [...roots, probed],
    OPTIONS,
    hostFor(zod, new Map([[probed, probe]])),
    first,
  );
  const shared = new Set<string>();
  const written = new Map<string, string>();
  for (const [i, { name }] of modules.entries()) {
    const root = roots[i]!;
    const module = new Module(program, root, probed, shared);
    written.set(name, module.text());
    if (i === 0) module.exported.forEach((each) => shared.add(each));
  }
  return written;
}

/** Where zod's types are; nothing else foreign is looked into. */
async function zodTypes(): Promise<string> {
  const path = fileURLToPath(import.meta.resolve("zod"))
    .replace(/\.js$/, ".d.ts");
  await Deno.stat(path);
  return path;
}

function hostFor(
  zod: string,
  virtual: ReadonlyMap<string, string>,
): ts.CompilerHost {
  const host = ts.createCompilerHost(OPTIONS, true);
  const { fileExists, readFile, getSourceFile } = host;
  host.fileExists = (path) => virtual.has(path) || fileExists(path);
  host.readFile = (path) => virtual.get(path) ?? readFile(path);
  host.getSourceFile = (path, version, ...rest) => {
    const text = virtual.get(path);
    return text === undefined
      ? getSourceFile(path, version, ...rest)
      : ts.createSourceFile(path, text, version, true);
  };
  host.resolveModuleNameLiterals = (literals, containing) =>
    literals.map(({ text }) => {
      const relative = /^[./]/.test(text)
        ? resolve(dirname(containing), text)
        : undefined;
      const path = relative === undefined
        ? text === "zod" ? zod : undefined
        : [relative, relative.replace(/\.(c|m)?js$/, ".d.$1ts")]
          .find((each) => /\.[cm]?tsx?$/.test(each) && host.fileExists(each));
      if (path === undefined) return { resolvedModule: undefined };
      const extension = path.match(/(\.d)?\.[cm]?tsx?$/)![0];
      return { resolvedModule: { resolvedFileName: path, extension } };
    });
  return host;
}

function isOurs(file: ts.SourceFile): boolean {
  return file.fileName.startsWith(project) && !file.isDeclarationFile;
}

/** Whether an alias follows from a value, as all that is inferred does. */
function isInferred(node: ts.Node): boolean {
  return ts.isTypeQueryNode(node) ||
    ts.forEachChild(node, (child) => isInferred(child) || undefined) === true;
}

/** A module in which every inferred alias with a parameter is written out. */
function probeOf(program: ts.Program): string {
  const lines: string[] = [];
  for (const file of program.getSourceFiles().filter(isOurs)) {
    for (const node of file.statements) {
      if (!ts.isTypeAliasDeclaration(node) || !isInferred(node.type)) continue;
      const [parameter, ...more] = node.typeParameters ?? [];
      const isExported = node.modifiers?.some((each) =>
        each.kind === ts.SyntaxKind.ExportKeyword
      );
      if (!parameter?.constraint || more.length > 0 || !isExported) continue;
      const from = JSON.stringify(file.fileName);
      const constraint = ts.isTypeReferenceNode(parameter.constraint)
        ? `import(${from}).${parameter.constraint.getText()}`
        : parameter.constraint.getText().replace(
          /\b[A-Z]\w*/g,
          (name) => `import(${from}).${name}`,
        );
      lines.push(
        `export type ${node.name.text} = { [Key in ${constraint}]: ` +
          `import(${from}).${node.name.text}<Key> };`,
      );
    }
  }
  return lines.join("\n");
}

/** One module's declarations, gathered from what it exports. */
class Module {
  /** Names it exports. */
  readonly exported: Set<string>;
  readonly #program: ts.Program;
  readonly #checker: ts.TypeChecker;
  readonly #root: ts.SourceFile;
  readonly #probes: ReadonlyMap<string, ts.Symbol>;
  readonly #shared: ReadonlySet<string>;
  readonly #declared = new Map<string, { symbol: ts.Symbol; text: string }>();
  readonly #imports = new Map<string, Set<string>>();
  readonly #emitted = new Map<ts.SourceFile, ts.SourceFile>();
  #usesJson = false;

  constructor(
    program: ts.Program,
    root: string,
    probed: string,
    shared: ReadonlySet<string>,
  ) {
    this.#program = program;
    this.#checker = program.getTypeChecker();
    this.#root = program.getSourceFile(root)!;
    this.#shared = shared;
    const probe = program.getSourceFile(probed)!;
    this.#probes = new Map(
      this.#exportsOf(probe).map((symbol) => [symbol.name, symbol]),
    );
    this.exported = new Set(
      this.#exportsOf(this.#root).map(({ name }) => name),
    );
  }

  text(): string {
    for (const symbol of this.#exportsOf(this.#root)) this.#declare(symbol);
    const declared = [...this.#declared.values()].map(({ text }) => text)
      .join();
    const header = [...this.#imports].flatMap(([from, names]) => {
      const used = [...names].filter((name) =>
        new RegExp(`\\b${name}\\b`).test(declared)
      ).sort();
      return used.length === 0
        ? []
        : [`import type { ${used.join(", ")} } from "${from}";`];
    });
    const own = [...this.#declared.keys()];
    const passedOn = [...this.exported].filter((name) => !own.includes(name));
    const values = valuesPassedOn(this.#root);
    for (const isValue of [true, false]) {
      const names = passedOn.filter((name) => values.has(name) === isValue);
      const keyword = isValue ? "export" : "export type";
      if (names.length > 0) {
        header.push(`${keyword} { ${names.join(", ")} } from "./client.js";`);
      }
    }
    return [
      ...header,
      ...[...this.#declared].map(([name, { text }]) =>
        // What the bundle does not export, its types do not either.
        this.exported.has(name) ? text : text.replace(/^export /m, "")
      ),
      ...(this.#usesJson ? [JSON_DECLARATION] : []),
      "export {};",
    ].join("\n\n") + "\n";
  }

  #exportsOf(file: ts.SourceFile): ts.Symbol[] {
    const symbol = this.#checker.getSymbolAtLocation(file);
    return symbol ? this.#checker.getExportsOfModule(symbol) : [];
  }

  /** Declares what `symbol` means, and everything it refers to. */
  #declare(symbol: ts.Symbol): void {
    const [local] = symbol.declarations ?? [];
    const target = symbol.flags & ts.SymbolFlags.Alias
      ? this.#checker.getAliasedSymbol(symbol)
      : symbol;
    const nodes = (target.declarations ?? []).filter((node) =>
      ts.isInterfaceDeclaration(node) || ts.isTypeAliasDeclaration(node) ||
      ts.isClassDeclaration(node) || ts.isFunctionDeclaration(node) ||
      ts.isVariableDeclaration(node)
    );
    if (nodes.length === 0) {
      if (local && ts.isImportSpecifier(local)) this.#importForeign(local);
      return;
    }
    // A schema and its type share a name; only the type is declared.
    const node = nodes.find((each) => !ts.isVariableDeclaration(each)) ??
      nodes[0]!;
    const file = node.getSourceFile();
    if (!isOurs(file)) return;
    const { name } = target;
    if (this.#shared.has(name)) return this.#import("./client.js", name);
    const before = this.#declared.get(name);
    if (before) {
      if (before.symbol === target) return;
      throw new Error(`two declarations are called ${name}`);
    }
    const entry = { symbol: target, text: "" };
    this.#declared.set(name, entry);
    entry.text = this.#write(node, file, target);
  }

  #write(node: ts.Node, file: ts.SourceFile, target: ts.Symbol): string {
    if (ts.isTypeAliasDeclaration(node) && isInferred(node.type)) {
      const parameters = node.typeParameters;
      if (!parameters) {
        const type = this.#checker.getDeclaredTypeOfSymbol(target);
        return `${docOf(node)}export type ${target.name} = ${
          this.#expand(type)
        };`;
      }
      const probe = this.#probes.get(target.name);
      if (!probe) throw new Error(`${target.name} cannot be written out`);
      const [parameter] = parameters;
      this.#mention(parameter!);
      return `${docOf(node)}export type ${target.name}<${
        parameter!.getText()
      }> = ${this.#expand(this.#checker.getDeclaredTypeOfSymbol(probe))}[${
        parameter!.name.text
      }];`;
    }
    if (ts.isInterfaceDeclaration(node) || ts.isTypeAliasDeclaration(node)) {
      this.#mention(node);
      return docOf(node) + exported(node.getText());
    }
    // Functions, classes and values: as the compiler declares them.
    const emitted = this.#emittedOf(file);
    const found = emitted.statements.find((statement) =>
      declaredNames(statement).includes(target.name)
    );
    if (!found) throw new Error(`${target.name} is not declared`);
    for (const statement of file.statements) {
      if (declaredNames(statement).includes(target.name)) {
        this.#mentionSignature(statement);
      }
    }
    return docOf(found, emitted) + found.getText(emitted);
  }

  /** Declares whatever a type mentions. */
  #mention(node: ts.Node): void {
    const name = ts.isTypeReferenceNode(node)
      ? node.typeName
      : ts.isExpressionWithTypeArguments(node)
      ? node.expression
      : ts.isTypeQueryNode(node)
      ? node.exprName
      : undefined;
    if (name && ts.isIdentifier(name)) {
      const symbol = this.#checker.getSymbolAtLocation(name);
      if (symbol && !(symbol.flags & ts.SymbolFlags.TypeParameter)) {
        this.#declare(symbol);
      }
    }
    ts.forEachChild(node, (child) => this.#mention(child));
  }

  /** Declares what the outside of a statement mentions, not its bodies. */
  #mentionSignature(node: ts.Node): void {
    if (ts.isBlock(node)) return;
    if (
      ts.isClassElement(node) && node.name && ts.isPrivateIdentifier(node.name)
    ) return;
    if (ts.isPropertyDeclaration(node) || ts.isVariableDeclaration(node)) {
      if (node.type) this.#mention(node.type);
      return;
    }
    if (ts.isTypeNode(node)) return this.#mention(node);
    ts.forEachChild(node, (child) => this.#mentionSignature(child));
  }

  #import(from: string, name: string): void {
    const names = this.#imports.get(from) ?? new Set();
    this.#imports.set(from, names.add(name));
  }

  #importForeign(specifier: ts.ImportSpecifier): void {
    const { moduleSpecifier } = specifier.parent.parent.parent;
    const from = (moduleSpecifier as ts.StringLiteral).text;
    if (from === "zod" || from.startsWith(".")) {
      throw new Error(`${specifier.getText()} of ${from} is not for users`);
    }
    this.#import(from, (specifier.propertyName ?? specifier.name).text);
  }

  #emittedOf(file: ts.SourceFile): ts.SourceFile {
    const known = this.#emitted.get(file);
    if (known) return known;
    let text = "";
    this.#program.emit(file, (_, written) => text = written, undefined, true);
    const emitted = ts.createSourceFile(
      "emitted.d.ts",
      text,
      ts.ScriptTarget.ESNext,
      true,
    );
    this.#emitted.set(file, emitted);
    return emitted;
  }

  /** Writes a type out, down to what the language itself knows. */
  #expand(type: ts.Type): string {
    if (type.aliasSymbol?.name === "JSONType") {
      this.#usesJson = true;
      return JSON_VALUE;
    }
    if (type.isUnion()) {
      const parts = type.types;
      if (!parts.some((part) => part.flags & ts.TypeFlags.Object)) {
        return this.#plain(type);
      }
      return parts.map((part) => this.#expand(part)).join(" | ");
    }
    if (type.isIntersection()) {
      return type.types.map((part) => this.#expand(part)).join(" & ");
    }
    if (this.#checker.isArrayType(type)) {
      const [item] = this.#checker.getTypeArguments(type as ts.TypeReference);
      return `(${this.#expand(item!)})[]`;
    }
    if (!(type.flags & ts.TypeFlags.Object)) return this.#plain(type);
    if (type.getCallSignatures().length > 0) return this.#plain(type);
    const lines = this.#checker.getPropertiesOfType(type).map((property) => {
      const doc = ts.displayPartsToString(
        property.getDocumentationComment(this.#checker),
      ) || descriptionOf(property, this.#checker);
      const optional = property.flags & ts.SymbolFlags.Optional ? "?" : "";
      return (doc ? `/** ${doc} */\n` : "") +
        `${keyOf(property.name)}${optional}: ${
          this.#expand(this.#checker.getTypeOfSymbol(property))
        };`;
    });
    const known = `{\n${indented(lines.join("\n"))}\n}`;
    // A mapped type: unlike an index signature it has no keys of type number.
    return [
      ...(lines.length > 0 ? [known] : []),
      ...this.#checker.getIndexInfosOfType(type).map((index) =>
        `Record<${this.#plain(index.keyType)}, ${this.#expand(index.type)}>`
      ),
    ].join(" & ") || "Record<never, never>";
  }

  #plain(type: ts.Type): string {
    const text = this.#checker.typeToString(
      type,
      undefined,
      ts.TypeFormatFlags.NoTruncation | ts.TypeFormatFlags.InTypeAlias,
    );
    if (/\bany\b|\bz\.|import\(/.test(text)) {
      throw new Error(`a declaration would contain ${text}`);
    }
    return text;
  }
}

function declaredNames(statement: ts.Statement): string[] {
  if (ts.isVariableStatement(statement)) {
    return statement.declarationList.declarations.map(({ name }) =>
      name.getText(statement.getSourceFile())
    );
  }
  if (ts.isFunctionDeclaration(statement) || ts.isClassDeclaration(statement)) {
    return statement.name ? [statement.name.text] : [];
  }
  return [];
}

/** Names that a module exports from another as values, not as types alone. */
function valuesPassedOn(file: ts.SourceFile): ReadonlySet<string> {
  const clauses = file.statements.filter(ts.isExportDeclaration)
    .flatMap(({ isTypeOnly, exportClause }) =>
      !isTypeOnly && exportClause && ts.isNamedExports(exportClause)
        ? exportClause.elements
        : []
    );
  return new Set(
    clauses.filter(({ isTypeOnly }) => !isTypeOnly)
      .map(({ name }) => name.text),
  );
}

function keyOf(name: string): string {
  return /^[A-Za-z_$][\w$]*$/.test(name) ? name : JSON.stringify(name);
}

function indented(text: string): string {
  return text.replace(/^/gm, "  ");
}

function exported(text: string): string {
  return text.startsWith("export") ? text : `export ${text}`;
}

/** The comment that documents a node, with its line break. */
function docOf(node: ts.Node, file = node.getSourceFile()): string {
  const comment = ts.getJSDocCommentsAndTags(node).findLast(ts.isJSDoc);
  return comment ? `${comment.getText(file)}\n` : "";
}
