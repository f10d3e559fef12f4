/* The whole page: signs in by the link, reads the API, and reads it again when something happens. */
const $ = (selector) => document.querySelector(selector);
const refreshMs = 1000;

class SignedOut extends Error {}

async function get(path, { orNone = false } = {}) {
  const response = await fetch(`/v1${path}`, { headers: { accept: 'application/json' } });
  if (response.status === 401) throw new SignedOut();
  if (response.status === 404 && orNone) return undefined;
  if (!response.ok) throw new Error(`${path} answered ${response.status}`);
  return response.json();
}

/** The secret of a link is in the fragment, so it never reaches a server's log; it leaves the address bar at once. */
function takeLink() {
  const once = new URLSearchParams(location.hash.slice(1)).get('once');
  if (once) history.replaceState(null, '', location.pathname);
  return once;
}

/** Mail programs and scanners open links to look at them, and run what is there: only the press uses the link up. */
function offerSignIn(once) {
  const button = $('#sign-in');
  button.addEventListener('click', async () => {
    button.disabled = true;
    $('#refusal').textContent = '';
    try {
      const { status, answer } = await post('/sessions', { once });
      if (status < 300) return await openPage();
      $('#refusal').textContent = answer.detail;
      // Used, or over: another press would be told the same.
      if (status === 401) button.hidden = true;
    } catch (err) {
      $('#refusal').textContent = `The API does not answer: ${err.message}`;
    }
    button.disabled = false;
  });
  show('link');
}

async function post(path, body) {
  const response = await fetch(`/v1${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  return { status: response.status, answer: await response.json() };
}

/** What a link or a mail invites to; to look at it uses nothing, and joining is a click. */
async function showInvitation() {
  const token = new URLSearchParams(location.hash.slice(1)).get('invite');
  if (!token) return;
  history.replaceState(null, '', location.pathname);
  $('#invitation').hidden = false;
  const { status, answer } = await post('/invites/preview', { token }).catch(unanswered);
  const until = answer.expiresAt ? `, until ${new Date(answer.expiresAt).toLocaleString()}` : '';
  $('#invitation-text').textContent =
    status === 200
      ? `${inQuotes(answer.inviter)} invites you to the group ${inQuotes(answer.guild)}${until}.`
      : refusal(answer);
  $('#invitation-join').hidden = status !== 200;
  $('#invitation-join').addEventListener('click', () => void join(token));
}

/** Words of somebody else are not taken for ours: nothing in them ends the quotation. */
const inQuotes = (text) => `“${text.replace(/[“”„‟"]/g, '’')}”`;

/** Who is signed in joins as themselves; else the secret of a mail shows who they are. */
async function join(token) {
  let { status, answer } = await post('/invites/accept', { token }).catch(unanswered);
  if (status === 401) ({ status, answer } = await post('/invites/join', { token }).catch(unanswered));
  const joined = answer.isNewUser ? 'You have joined, and are signed in.' : 'You have joined.';
  $('#invitation-text').textContent = status === 200 ? joined : refusal(answer);
  $('#invitation-join').hidden = status === 200 || answer.code in refusals;
  if (answer.isNewUser) await openPage();
}

function unanswered({ message }) {
  return { status: 0, answer: { detail: `The API does not answer: ${message}` } };
}

/** Said in other words than to a program, where asking again is in vain. */
const refusals = {
  CONFLICT: 'You are a member already, or have been one by this invitation.',
  INVALID_INPUT: 'This link is not whole: copy all of it.',
  INVITE_ENDED: 'This invitation is over: it was used, taken back, or its time has passed.',
  NOT_FOUND: 'This link opens nothing any more: look for a newer one, or ask who invites.',
};
function refusal({ code, detail }) {
  return refusals[code] ?? `${detail}.`;
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

function showGuilds({ items }) {
  $('#guilds-section').hidden = items.length === 0;
  fillRows(
    '#guilds',
    items.map(({ name, own, seatsUsed, seats, createdAt }) => [
      [name],
      [own.map(({ agentId, role }) => (agentId === null ? role : `${agentId}: ${role}`)).join(', ') || 'founded it'],
      [seatsUsed, 'number'],
      [seats, 'number'],
      [ago(createdAt)],
    ]),
  );
}

function showHealth({ state, reason, counts, worst }) {
  const wrong = ['lost', 'failing', 'late'].filter((of) => counts[of] > 0).map((of) => `${counts[of]} ${of}`);
  const isWell = state === 'ok' && worst.length === 0;
  $('#health').textContent = isWell ? 'All is well.' : [...wrong, reason].filter(Boolean).join(' · ');
  $('#health').className = isWell ? 'good' : state === 'late' ? 'warn' : 'bad';
  const shown = worst
    .slice(0, 6)
    .map(({ state: how, kind, id, reason: why }) => `${how}: ${kind.replaceAll('_', ' ')} ${id}: ${why}`);
  const more = counts.lost + counts.failing + counts.late - shown.length;
  if (more > 0) shown.push(`and ${more} more: soulfra health list`);
  $('#health-worst').replaceChildren(...shown.map((text) => element('li', text)));
}

async function refresh() {
  const [fleet, health, guilds, reflections, runs, inbox] = await Promise.all([
    // Who does not run the installation has no fleet to look at.
    get('/fleet', { orNone: true }),
    get('/health/summary', { orNone: true }),
    get('/guilds?state=open&limit=20'),
    get('/reflections?limit=6'),
    get('/runs?limit=15'),
    get('/inbox?limit=20'),
  ]);
  $('#fleet').hidden = fleet === undefined;
  if (fleet === undefined) $('#summary').textContent = 'Signed in';
  else {
    showFleet(fleet);
    showHealth(health);
  }
  showGuilds(guilds);
  showReflections(reflections);
  showRuns(runs);
  showInbox(inbox);
}

/** However much happens, the API is read at most once a second. */
let waiting = false;
function refreshSoon() {
  if (waiting) return;
  waiting = true;
  setTimeout(() => void refreshNow(), refreshMs);
}

async function refreshNow() {
  waiting = false;
  try {
    await refresh();
  } catch (err) {
    if (err instanceof SignedOut) show('signed-out');
    else $('#live').textContent = `not connected: ${err.message}`;
  }
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
  const types = ['machine', 'plan', 'fleet', 'sweep', 'run', 'agent', 'memories', 'guild'];
  const pasts = {
    machine: ['joined', 'left', 'lost', 'draining', 'drained', 'undrained'],
    plan: ['computed', 'applied'],
    fleet: ['applied'],
    sweep: ['started', 'done', 'canceled'],
    run: ['started', 'done', 'empty', 'failed', 'canceled', 'parked', 'moved'],
    agent: ['paused', 'resumed'],
    memories: ['added'],
    guild: ['founded', 'joined', 'left', 'expelled', 'renamed', 'closed', 'invited', 'revoked', 'expired'],
  };
  for (const noun of types) for (const past of pasts[noun]) source.addEventListener(`${noun}.${past}`, refreshSoon);
  setInterval(refreshSoon, 15000);
}

function show(part) {
  for (const id of ['link', 'signed-in', 'signed-out']) $(`#${id}`).hidden = id !== part;
  if (part !== 'signed-in') $('#summary').textContent = 'Not signed in';
}

async function openPage() {
  try {
    await get('/me');
    show('signed-in');
    follow();
    await refresh();
  } catch (err) {
    if (err instanceof SignedOut) show('signed-out');
    else $('#summary').textContent = `The API does not answer: ${err.message}`;
  }
}

// A link that is opened where the page is open already changes the fragment alone.
addEventListener('hashchange', () => location.reload());
const link = takeLink();
if (link) offerSignIn(link);
else {
  await showInvitation();
  await openPage();
}
