// Service worker: keeps the page for visits without a network, and isolates it from other sites, so
// that WebAssembly may use several threads. Where neither is offered, the page works without.

const TRIED = "portrait-studio-isolation", WAIT_MS = 8000;

// Wait until the page is isolated, or cannot be; a first visit is loaded once more for it.
export async function isolated() {
  const { serviceWorker } = navigator;
  if (!serviceWorker) return;
  const late = new Promise((done) => setTimeout(done, WAIT_MS));
  try {
    const address = new URL("../../sw.js", import.meta.url);
    await serviceWorker.register(address, { updateViaCache: "none" });
    await Promise.race([serviceWorker.ready, late]);
  } catch {
    return;
  }
  // a page that shows something already is left as it is
  const empty = document.body.dataset.phase === "empty";
  if (globalThis.crossOriginIsolated || !empty || sessionStorage.getItem(TRIED)) return;
  sessionStorage.setItem(TRIED, "1");
  location.reload();
  await new Promise(() => {});
}
