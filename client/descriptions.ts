/**
 * Descriptions of fields in zod schemas, for the declarations of the bundles.
 *
 * @module
 */
import ts from "typescript";

/**
 * The description of one of a schema's fields.
 *
 * @param property a field of the type that follows from the schema.
 * @returns the text of its `.describe("...")`; `""` without one.
 */
export function descriptionOf(
  property: ts.Symbol,
  checker: ts.TypeChecker,
): string {
  for (const declaration of property.declarations ?? []) {
    const symbol = ts.isShorthandPropertyAssignment(declaration)
      ? checker.getShorthandAssignmentValueSymbol(declaration)
      : undefined;
    const description = ts.isPropertyAssignment(declaration)
      ? describedAs(declaration.initializer, checker)
      : describedIn(symbol, checker);
    if (description) return description;
  }
  return "";
}

/** The text of the outermost `.describe("...")`. */
function describedAs(
  expression: ts.Expression,
  checker: ts.TypeChecker,
): string | undefined {
  if (ts.isIdentifier(expression)) {
    return describedIn(checker.getSymbolAtLocation(expression), checker);
  }
  if (!ts.isCallExpression(expression)) return undefined;
  const { expression: called, arguments: [text] } = expression;
  if (!ts.isPropertyAccessExpression(called)) return undefined;
  if (called.name.text !== "describe") {
    return describedAs(called.expression, checker);
  }
  return text && ts.isStringLiteralLike(text) ? text.text : undefined;
}

/** What the schema in a variable is described as. */
function describedIn(
  symbol: ts.Symbol | undefined,
  checker: ts.TypeChecker,
): string | undefined {
  const declaration = symbol?.valueDeclaration;
  return declaration && ts.isVariableDeclaration(declaration) &&
      declaration.initializer
    ? describedAs(declaration.initializer, checker)
    : undefined;
}
