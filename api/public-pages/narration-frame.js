/* Shows one entry of the feed after the other, as a caption; speaks it where its reader asks for that. */
const root = document.querySelector('main');
const caption = document.querySelector('#caption');
const history = document.querySelector('#history');
const controls = document.querySelector('.controls');
const [speak, pause, speed] = ['#speak', '#pause', '#speed'].map((name) => document.querySelector(name));
const words = { pause: pause.textContent, goOn: pause.dataset.goOn };
const askAgainMs = 30_000;
/** How long a reader takes over a character, at speed 1. */
const characterMs = 55;
const leastMs = 4_000;

const entries = [...history.querySelectorAll('li')].map((item) => ({
  id: item.dataset.entry,
  title: item.querySelector('strong').textContent,
  text: item.querySelector('.said').textContent,
}));
const seen = new Set(entries.map(({ id }) => id));
/** What came while another was told: it is told next, and cuts nothing off. */
const waiting = [];
let told = entries[0];
let isPaused = matchMedia('(prefers-reduced-motion: reduce)').matches;
let timer;

const isSpoken = () => speak.getAttribute('aria-pressed') === 'true';

function show() {
  clearTimeout(timer);
  if (!told) return;
  const title = document.createElement('strong');
  title.textContent = told.title;
  const line = document.createElement('p');
  line.append(title);
  const text = document.createElement('p');
  text.textContent = told.text;
  caption.replaceChildren(line, text);
  if (isPaused) return;
  const factor = Number(speed.value);
  const goOn = () => {
    told = waiting.shift() ?? entries[(entries.indexOf(told) + 1) % entries.length];
    show();
  };
  const readingMs = Math.max(leastMs, told.text.length * characterMs) / factor;
  if (isSpoken()) {
    speechSynthesis.cancel();
    const said = new SpeechSynthesisUtterance(`${told.title}. ${told.text}`);
    said.rate = factor;
    said.addEventListener('end', () => {
      timer = setTimeout(goOn, 1_000);
    });
    // Without a voice it is read; what we ended ourselves is told by whoever did.
    said.addEventListener('error', ({ error }) => {
      if (error !== 'canceled' && error !== 'interrupted') timer = setTimeout(goOn, readingMs);
    });
    speechSynthesis.speak(said);
    return;
  }
  timer = setTimeout(goOn, readingMs);
}

function setPaused(paused) {
  isPaused = paused;
  pause.textContent = paused ? words.goOn : words.pause;
  if (paused && 'speechSynthesis' in window) speechSynthesis.cancel();
  show();
}

/** Nobody who hears a page of others is told what they did not ask for: only to who pressed a button the caption speaks up. */
function tellAloud() {
  caption.setAttribute('aria-live', isPaused || isSpoken() ? 'off' : 'polite');
}

function remember({ id, title, text, at }) {
  const item = document.createElement('li');
  item.dataset.entry = id;
  const head = document.createElement('strong');
  head.textContent = title;
  const when = document.createElement('time');
  when.dateTime = at;
  when.textContent = new Date(at).toLocaleDateString(undefined, { dateStyle: 'medium' });
  const small = document.createElement('small');
  small.className = 'soft';
  small.append(when);
  const said = document.createElement('div');
  said.className = 'said';
  said.textContent = text;
  item.append(head, ' ', small, said);
  history.prepend(item);
}

async function lookForMore() {
  try {
    const response = await fetch(root.dataset.feed);
    if (!response.ok) return;
    const { items } = await response.json();
    const fresh = items
      .filter(({ id }) => !seen.has(id))
      .map(({ id, title, content_text: text, date_published: at }) => ({ id, title, text, at }));
    for (const entry of fresh.toReversed()) {
      seen.add(entry.id);
      remember(entry);
    }
    entries.unshift(...fresh);
    waiting.push(...fresh);
    if (!told && fresh.length > 0) {
      told = waiting.shift();
      show();
    }
    delete root.dataset.away;
  } catch (err) {
    // Told on as it was; it is asked again in a while.
    root.dataset.away = err.message;
  }
}

controls.hidden = false;
speak.hidden = !('speechSynthesis' in window);
speak.addEventListener('click', () => {
  const on = !isSpoken();
  speak.setAttribute('aria-pressed', String(on));
  if (!on) speechSynthesis.cancel();
  setPaused(false);
  tellAloud();
});
pause.addEventListener('click', () => {
  setPaused(!isPaused);
  tellAloud();
});
speed.addEventListener('change', show);
setInterval(() => {
  if (!document.hidden) void lookForMore();
}, askAgainMs);
setPaused(isPaused);
