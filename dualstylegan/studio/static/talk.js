// Requests to the REST interface, and words about their outcome.

export const $ = (id) => document.getElementById(id);

export class Refusal extends Error {
  constructor(status, told) {
    super(told.error);
    Object.assign(this, told, { status });
  }
}

export async function request(path, options = {}) {
  let answer;
  try {
    answer = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal(0, {
      error: "the studio does not answer", fix: "see whether `dualstylegan serve` still runs",
    });
  }
  if (answer.ok) return answer;
  const told = await answer.json().catch(() => ({ error: `the studio answered ${answer.status}` }));
  throw new Refusal(answer.status, told);
}

// Forget what the studio keeps at an address, even while the page is being left.
export function forget(path) {
  fetch(path, { method: "DELETE", keepalive: true }).catch(() => {});
}

// Let the browser save a file.
export function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}

export const json = async (path, options) => (await request(path, options)).json();
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
