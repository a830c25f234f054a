/**
 * What was written into a form.
 *
 * @module
 */
/// <reference lib="dom" />

/**
 * Reads what was filled in, and leaves it there: what is refused can be
 * corrected. To be called as the form's `submit` handler.
 *
 * @param event the form's.
 * @returns a field's text by its name, trimmed; `""` where there is none.
 */
export function fieldsOf(event: SubmitEvent): (name: string) => string {
  event.preventDefault();
  const fields = new FormData(event.currentTarget as HTMLFormElement);
  return (name) => String(fields.get(name) ?? "").trim();
}
