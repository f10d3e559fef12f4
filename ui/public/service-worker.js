/*
 * Keeps the pages and what they last read, so that they open without a network. It only ever answers readings: a write goes to the API
 * or fails, and is never kept to be sent later. Nobody's data outlives their session in this browser.
 */
const shellCache = 'soulfra-shell-1';
const dataCache = 'soulfra-data-1';
const mostReadings = 300;
const mostFiles = 300;
const keptAt = 'x-soulfra-kept-at';
/** Pages and files that the server makes for everybody, and streams. */
const passed =
  /^\/(?:store|l|join|narration|pages|docs|metrics|openai|temporal|grafana)(?:\/|\.|$)|^\/v1\/(?:events|logs|downloads|sessions)(?:\/|$)/;
const news = new BroadcastChannel('soulfra-offline');

self.addEventListener('install', (event) => {
  event.waitUntil(
    caches
      .open(shellCache)
      .then((cache) => cache.add(new Request('/', { cache: 'reload' })))
      .then(() => self.skipWaiting()),
  );
});

self.addEventListener('activate', (event) => {
  event.waitUntil(
    caches
      .keys()
      .then((names) =>
        Promise.all(names.filter((name) => ![shellCache, dataCache].includes(name)).map((name) => caches.delete(name))),
      )
      .then(() => self.clients.claim()),
  );
});

self.addEventListener('fetch', (event) => {
  const { request } = event;
  const { origin, pathname } = new URL(request.url);
  if (origin !== location.origin) return;
  if (request.method !== 'GET') {
    // Who signs in or out is another reader.
    if (['/v1/sessions', '/v1/sign-ins', '/join'].includes(pathname)) event.waitUntil(caches.delete(dataCache));
    return;
  }
  if (passed.test(pathname) || request.headers.get('accept')?.includes('text/event-stream')) return;
  if (pathname.startsWith('/assets/')) event.respondWith(asset(request));
  else if (pathname.startsWith('/v1/')) event.respondWith(reading(request));
  else if (request.mode === 'navigate') event.respondWith(page(request));
});

/** Its name changes with its content, so what is kept is right. */
async function asset(request) {
  const cache = await caches.open(shellCache);
  const known = await cache.match(request);
  if (known) return known;
  const answer = await fetch(request);
  if (answer.ok) {
    await cache.put(request, answer.clone()).catch(makeRoom);
    // Files of builds before this one.
    const kept = (await cache.keys()).filter(({ url }) => new URL(url).pathname !== '/');
    await Promise.all(kept.slice(0, Math.max(0, kept.length - mostFiles)).map((old) => cache.delete(old)));
  }
  return answer;
}

/** Without room what was kept goes; the answer comes all the same. */
function makeRoom() {
  return caches.delete(dataCache);
}

async function page(request) {
  const cache = await caches.open(shellCache);
  let answer;
  try {
    answer = await fetch(request);
  } catch (err) {
    const known = await cache.match('/');
    if (known) return known;
    throw err;
  }
  if (isAway(answer)) return (await cache.match('/')) ?? answer;
  // Other programs may be served under this origin; only ours says that it is the shell.
  if (answer.ok && answer.headers.get('x-soulfra-page') === 'shell')
    await cache.put('/', answer.clone()).catch(makeRoom);
  return answer;
}

/** A proxy answers in the place of an API that is away; what the API itself refuses, it says as JSON. */
function isAway({ status, headers }) {
  return status >= 502 && status <= 504 && !headers.get('content-type')?.includes('json');
}

/** What was kept of it, told with its age. */
async function lastReading(request) {
  const known = await (await caches.open(dataCache)).match(request);
  if (known) news.postMessage({ since: Number(known.headers.get(keptAt)) });
  return known;
}

async function reading(request) {
  let answer;
  try {
    answer = await fetch(request);
  } catch (err) {
    // Whoever asked does not want it any more; that says nothing of the network.
    if (request.signal.aborted) throw err;
    const known = await lastReading(request);
    if (!known) throw err;
    return known;
  }
  if (isAway(answer)) return (await lastReading(request)) ?? answer;
  if (answer.ok) news.postMessage({ since: null });
  if (answer.status === 401) await caches.delete(dataCache);
  else if (answer.ok && answer.headers.get('content-type')?.includes('json'))
    await keep(request, answer.clone()).catch(makeRoom);
  return answer;
}

async function keep(request, answer) {
  const cache = await caches.open(dataCache);
  const headers = new Headers(answer.headers);
  headers.set(keptAt, String(Date.now()));
  await cache.put(request, new Response(await answer.blob(), { status: answer.status, headers }));
  const kept = await cache.keys();
  await Promise.all(kept.slice(0, Math.max(0, kept.length - mostReadings)).map((old) => cache.delete(old)));
}
