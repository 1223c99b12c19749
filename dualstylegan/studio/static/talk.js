// Words about what happens, and what goes wrong.

export const $ = (id) => document.getElementById(id);

export class Refusal extends Error {
  constructor(status, told) {
    super(told.error);
    Object.assign(this, told, { status });
  }
}

// Let the browser save a file.
export function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}

export const wait = (ms) => new Promise((done) => setTimeout(done, ms));

// ---- words --------------------------------------------------------------------------------------

export const spoken = (name) => name.replaceAll("_", " ");
export const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1);

// Screen readers read each change aloud, so that the same words are not set again.
export function tell(text) {
  if ($("status").textContent !== text) $("status").textContent = text;
}

export function complain(error) {
  if (error === null) return void ($("error").hidden = true);
  const title = document.createElement("b");
  title.textContent = `${sentence(error.error ?? error.message)}.`;
  const facts = [];
  if (error.found) facts.push(`Found: ${error.found}.`);
  if (error.limit) facts.push(`Accepted: ${error.limit}.`);
  if (error.fix) facts.push(`${sentence(error.fix)}.`);
  $("error").replaceChildren(title, facts.join(" "));
  $("error").hidden = false;
}
