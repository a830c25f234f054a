/**
 * What was written into a form.
 *
 * @module
 */
/// <reference lib="dom" />

/**
 * Takes what was filled in, and empties the form. To be called as its
 * `submit` handler.
 *
 * @param event the form's.
 * @returns a field's text by its name, trimmed; `""` where there is none.
 */
export function filled(event: SubmitEvent): (name: string) => string {
  event.preventDefault();
  const form = event.currentTarget as HTMLFormElement;
  const fields = new FormData(form);
  form.reset();
  return (name) => String(fields.get(name) ?? "").trim();
}
