// Service worker of the site: the page from the cache, with the headers that a plain server lacks.
// The large files of the model are kept by the page itself.

importScripts("shell.js");

const { version, files } = self.SHELL, SCOPE = self.registration.scope;
const PREFIX = `portrait-studio ${SCOPE} `, CACHE = PREFIX + version;
const HEADERS = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
  "Cross-Origin-Resource-Policy": "same-origin",
  "Content-Security-Policy": self.SHELL.policy,
};
const known = new Set(files.map((path) => new URL(path, SCOPE).href));
const page = new URL("index.html", SCOPE).href;

self.addEventListener("install", (event) => {
  self.skipWaiting();
  const requests = [...known].map((address) => new Request(address, { cache: "no-cache" }));
  event.waitUntil(caches.open(CACHE).then((cache) => cache.addAll(requests)));
});

self.addEventListener("activate", (event) => {
  const old = async () => {
    const names = (await caches.keys()).filter((name) => name.startsWith(PREFIX) && name !== CACHE);
    await Promise.all(names.map((name) => caches.delete(name)));
    await self.clients.claim();
  };
  event.waitUntil(old());
});

function withHeaders(answer) {
  const headers = new Headers(answer.headers);
  for (const [name, value] of Object.entries(HEADERS)) headers.set(name, value);
  return new Response(answer.body, { status: answer.status, statusText: answer.statusText, headers });
}

self.addEventListener("fetch", (event) => {
  const { request } = event, address = new URL(request.url);
  const bare = address.origin + address.pathname, wanted = bare === SCOPE ? page : bare;
  if (request.method !== "GET" || !known.has(wanted)) return;
  const answer = async () => {
    const kept = await (await caches.open(CACHE)).match(wanted);
    return withHeaders(kept ?? (await fetch(request)));
  };
  event.respondWith(answer());
});
