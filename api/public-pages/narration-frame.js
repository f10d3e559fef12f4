/* Shows one entry of the feed after the other, as a caption; speaks it where its reader asks for that. */
const root = document.querySelector('main');
const caption = document.querySelector('#caption');
const controls = document.querySelector('.controls');
const [speak, pause, speed] = ['#speak', '#pause', '#speed'].map((name) => document.querySelector(name));
const askAgainMs = 30_000;
/** How long a reader takes over a character, at speed 1. */
const characterMs = 55;
const leastMs = 4_000;

const entries = [...document.querySelectorAll('#history li')].map((item) => ({
  id: item.dataset.entry,
  title: item.querySelector('strong').textContent,
  text: item.querySelector('.said').textContent,
}));
const seen = new Set(entries.map(({ id }) => id));
let at = 0;
let isPaused = matchMedia('(prefers-reduced-motion: reduce)').matches;
let timer;

function show() {
  clearTimeout(timer);
  const entry = entries[at];
  if (!entry) return;
  const title = document.createElement('strong');
  title.textContent = entry.title;
  const line = document.createElement('p');
  line.append(title);
  const text = document.createElement('p');
  text.textContent = entry.text;
  caption.replaceChildren(line, text);
  if (isPaused) return;
  const factor = Number(speed.value);
  const goOn = () => {
    at = (at + 1) % entries.length;
    show();
  };
  if (speak.getAttribute('aria-pressed') === 'true') {
    speechSynthesis.cancel();
    const words = new SpeechSynthesisUtterance(`${entry.title}. ${entry.text}`);
    words.rate = factor;
    // Without a voice, or not allowed to speak: it goes on all the same.
    words.addEventListener('end', () => {
      timer = setTimeout(goOn, 1_000);
    });
    words.addEventListener('error', ({ error }) => {
      // Cut off by us, another one is told already.
      if (error !== 'canceled' && error !== 'interrupted') timer = setTimeout(goOn, leastMs);
    });
    speechSynthesis.speak(words);
    return;
  }
  timer = setTimeout(goOn, Math.max(leastMs, entry.text.length * characterMs) / factor);
}

function setPaused(paused) {
  isPaused = paused;
  pause.textContent = paused ? 'Go on' : 'Pause';
  if (paused && 'speechSynthesis' in window) speechSynthesis.cancel();
  show();
}

async function lookForMore() {
  try {
    const response = await fetch(root.dataset.feed);
    if (!response.ok) return;
    const { items } = await response.json();
    const fresh = items.filter(({ id }) => !seen.has(id));
    for (const { id } of fresh) seen.add(id);
    entries.unshift(...fresh.map(({ id, title, content_text: text }) => ({ id, title, text })));
    // What is new is told next.
    if (fresh.length > 0) {
      at = 0;
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
  const on = speak.getAttribute('aria-pressed') !== 'true';
  speak.setAttribute('aria-pressed', String(on));
  if (!on) speechSynthesis.cancel();
  setPaused(false);
});
pause.addEventListener('click', () => {
  // On somebody else's page it goes round for ever: who hears the page hears it once they ask for it.
  caption.setAttribute('aria-live', isPaused ? 'polite' : 'off');
  setPaused(!isPaused);
});
speed.addEventListener('change', show);
setInterval(() => {
  if (!document.hidden) void lookForMore();
}, askAgainMs);
setPaused(isPaused);
