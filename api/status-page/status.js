/* The whole page: signs in by the link, reads the API, and reads it again when something happens. */
const $ = (selector) => document.querySelector(selector);
const refreshMs = 1000;

class SignedOut extends Error {}

async function get(path) {
  const response = await fetch(`/v1${path}`, { headers: { accept: 'application/json' } });
  if (response.status === 401) throw new SignedOut();
  if (!response.ok) throw new Error(`${path} answered ${response.status}`);
  return response.json();
}

/** The secret is in the fragment, so it never reaches a server's log; it leaves the address bar at once. */
async function signInByLink() {
  const once = new URLSearchParams(location.hash.slice(1)).get('once');
  if (!once) return;
  history.replaceState(null, '', location.pathname);
  await fetch('/v1/sessions', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ once }),
  });
}

/** Only text nodes are made of what agents and machines say. */
function element(tag, text, className) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = String(text);
  if (className) made.className = className;
  return made;
}

function fillRows(selector, rows) {
  const body = $(`${selector} tbody`);
  body.replaceChildren(
    ...rows.map((cells) => {
      const row = document.createElement('tr');
      for (const [text, className] of cells) row.append(element('td', text, className));
      return row;
    }),
  );
}

const stateClass = (state) =>
  ['ready', 'done', 'running'].includes(state)
    ? 'good'
    : ['lost', 'failed'].includes(state)
      ? 'bad'
      : ['suspect', 'draining', 'parked', 'canceled'].includes(state)
        ? 'warn'
        : '';

function ago(iso) {
  const seconds = Math.max(0, (Date.now() - Date.parse(iso)) / 1000);
  if (seconds < 60) return `${Math.floor(seconds)} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ago`;
  return new Date(iso).toLocaleString();
}

function showFleet(fleet) {
  const { agents, runs, plan } = fleet;
  const parts = [
    fleet.name,
    `${agents.total} agents`,
    `${runs.running} running, ${runs.queued} queued, ${runs.parked} parked`,
    plan ? `plan ${plan.version} ${plan.state}` : 'no plan yet',
  ];
  if (agents.unplaced > 0) parts.push(`${agents.unplaced} without a machine`);
  $('#summary').textContent = parts.join(' · ');
  fillRows(
    '#machines',
    fleet.machines.map((machine) => [
      [machine.id],
      [machine.gpus.map((gpu) => `${gpu.name} ${gpu.vramGiB}G`).join(', ') || '–'],
      [machine.runsAs],
      [
        machine.runsAs === 'simulated'
          ? `extractive for ${machine.models.join(', ') || 'none'}`
          : machine.models.join(', ') || '–',
      ],
      [machine.slots, 'number'],
      [runs.runningByMachine[machine.id] ?? 0, 'number'],
      [machine.agents, 'number'],
      [machine.reason ? `${machine.state}: ${machine.reason}` : machine.state, stateClass(machine.state)],
    ]),
  );
}

function showReflections({ items }) {
  const list = $('#reflections');
  if (items.length === 0) {
    list.replaceChildren(element('li', 'None yet.'));
    return;
  }
  list.replaceChildren(
    ...items.map((reflection) => {
      const item = element('li', reflection.text);
      const made = reflection.source === 'extractive' ? 'extractive: quotes its memories' : reflection.modelId;
      const degraded = reflection.degraded ? ' · degraded' : '';
      item.append(
        document.createElement('br'),
        element(
          'small',
          `${reflection.agentName} (${reflection.agentId}) ← ${reflection.memories} memories · ${made}${degraded} · ${reflection.machineId ?? 'imported'} · ${ago(reflection.createdAt)}`,
        ),
      );
      return item;
    }),
  );
}

function showRuns({ items }) {
  fillRows(
    '#runs',
    items.map((run) => [
      [run.agentId],
      [run.degraded ? `${run.state} (degraded)` : run.state, stateClass(run.state)],
      [run.machineId ?? '–'],
      [run.modelId],
      [run.reflections, 'number'],
      [run.reason],
      [ago(run.endedAt ?? run.startedAt ?? run.createdAt)],
    ]),
  );
}

function showInbox({ items }) {
  $('#inbox-section').hidden = items.length === 0;
  $('#inbox').replaceChildren(
    ...items.map((notice) => {
      const item = element('li', notice.title, 'warn');
      item.append(
        document.createElement('br'),
        element('small', `${notice.detail} ${notice.action ? `→ ${notice.action}` : ''}`),
      );
      return item;
    }),
  );
}

async function refresh() {
  const [fleet, reflections, runs, inbox] = await Promise.all([
    get('/fleet'),
    get('/reflections?limit=6'),
    get('/runs?limit=15'),
    get('/inbox?limit=20'),
  ]);
  showFleet(fleet);
  showReflections(reflections);
  showRuns(runs);
  showInbox(inbox);
}

/** However much happens, the API is read at most once a second. */
let waiting = false;
function refreshSoon() {
  if (waiting) return;
  waiting = true;
  setTimeout(async () => {
    waiting = false;
    try {
      await refresh();
    } catch (err) {
      if (err instanceof SignedOut) show(false);
      else $('#live').textContent = `not connected: ${err.message}`;
    }
  }, refreshMs);
}

function follow() {
  const source = new EventSource('/v1/events');
  source.onopen = () => {
    $('#live').textContent = 'live';
    refreshSoon();
  };
  source.onerror = () => {
    $('#live').textContent = 'not connected, trying again';
    refreshSoon();
  };
  const types = ['machine', 'plan', 'fleet', 'sweep', 'run', 'agent', 'memories'];
  const pasts = {
    machine: ['joined', 'left', 'lost', 'draining', 'drained', 'undrained'],
    plan: ['computed', 'applied'],
    fleet: ['applied'],
    sweep: ['started', 'done', 'canceled'],
    run: ['started', 'done', 'empty', 'failed', 'canceled', 'parked', 'moved'],
    agent: ['paused', 'resumed'],
    memories: ['added'],
  };
  for (const noun of types) for (const past of pasts[noun]) source.addEventListener(`${noun}.${past}`, refreshSoon);
  setInterval(refreshSoon, 15000);
}

function show(signedIn) {
  $('#signed-in').hidden = !signedIn;
  $('#signed-out').hidden = signedIn;
  if (!signedIn) $('#summary').textContent = 'Not signed in';
}

try {
  await signInByLink();
  await get('/me');
  show(true);
  follow();
  await refresh();
} catch (err) {
  if (err instanceof SignedOut) show(false);
  else $('#summary').textContent = `The API does not answer: ${err.message}`;
}
