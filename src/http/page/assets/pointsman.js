// What a page does in the browser: ages and deadlines that count, a page that says when it is no longer live, forms that are
// not changed under somebody's hands. Everything else works without it.
'use strict';

const all = (what) => Array.from(document.querySelectorAll(what));
const stream = document.getElementById('stream');
// The controller's clock, by this host's: nobody has to have the right time.
let skew = Number(document.body.dataset.now) - Date.now();
let heard = Date.now();
// Since when somebody looks: a page in the background hears nothing, and comes back with what it has.
let looked = heard;
// Whether the page has heard anything, and whether it asks why not.
let connected = false;
let asking = false;

const words = (seconds) => {
  const s = Math.max(0, Math.floor(seconds));
  if (s < 60) return s + ' s';
  if (s < 3600) return Math.floor(s / 60) + ' min' + (s < 600 ? ' ' + (s % 60) + ' s' : '');
  if (s < 86400) return Math.floor(s / 3600) + ' h ' + Math.floor((s % 3600) / 60) + ' min';
  return Math.floor(s / 86400) + ' d';
};

const tick = () => {
  const now = Date.now() + skew;
  for (const time of all('time[data-ago]')) {
    if (!time.title) time.title = time.dateTime;
    time.textContent = words((now - Date.parse(time.dateTime)) / 1000) + ' ago';
  }
  for (const time of all('time[data-left]')) {
    const left = (Date.parse(time.dateTime) - now) / 1000;
    const before = time.dataset.left;
    time.textContent = left <= 0 ? '' : before ? before + words(left) + '.' : ' (in ' + words(left) + ')';
  }
  const age = (Date.now() - heard) / 1000;
  for (const time of all('[data-heard]')) time.textContent = words(age);
  const silent = (Date.now() - Math.max(heard, looked)) / 1000;
  if (stream) document.body.toggleAttribute('data-stale', silent > 5 && !document.hidden);
};

// A connection that was lost is made again; one that never was is not, so the page is loaded again as soon as it can be had.
const again = async () => {
  if (connected || asking || Date.now() - heard < 12000 || document.querySelector('[data-dirty]')) return;
  asking = true;
  try {
    if ((await fetch(location.href, { method: 'HEAD' })).ok) return location.reload();
  } catch { /* It is asked again. */ }
  asking = false;
};

// The session is over, or its rights are others: the page that is loaded again leads to the sign-in, or says what is missing.
const refused = (status) => { if (status === 401 || status === 403) location.reload(); };

if (stream) {
  setInterval(again, 5000);
  document.getElementById('heard').hidden = false;
  // A connection alone tells nothing: only what came by it is news.
  stream.addEventListener('htmx:sse:before:message', (event) => {
    connected = true;
    heard = Date.now();
    const { message } = event.detail;
    if (message.event === 'clock') skew = Number(message.data) - Date.now();
    const last = document.getElementById('last-heard');
    if (last) last.textContent = new Date(heard + skew).toISOString().slice(11, 19);
  });
  // The first request of a stream is htmx's own, every later one the extension's.
  stream.addEventListener('htmx:response:error', (event) => refused(event.detail.ctx?.response?.status));
  stream.addEventListener('htmx:sse:error', (event) => refused(event.detail.status));
  stream.addEventListener('bye', () => location.reload());
  stream.addEventListener('htmx:after:swap', tick);
  document.addEventListener('visibilitychange', () => { looked = Date.now(); });
}
setInterval(tick, 1000);
tick();

// A form that somebody types in is left as it is, and so is its section: the form may have no place in it for a moment.
// `data-dirty` is what the morph goes around. The server holds it to what it showed.
const isDefault = (field) => field.type === 'checkbox' ? field.checked === field.defaultChecked
  : !('defaultValue' in field) || field.value === field.defaultValue;
const mark = (form) => {
  if (!form) return;
  form.toggleAttribute('data-dirty', !Array.from(form.elements).every(isDefault));
  const section = form.closest('section');
  section?.toggleAttribute('data-dirty', section.querySelector('form[data-dirty]') !== null);
};
document.addEventListener('input', (event) => mark(event.target.closest('form[method="post"]')));
// The fields have their first values only after the event.
document.addEventListener('reset', (event) => setTimeout(mark, 0, event.target));

// A button that may not be pressed says why, and does nothing. One that was pressed is not pressed twice.
document.addEventListener('click', (event) => {
  if (event.target.closest('[aria-disabled="true"]')) event.preventDefault();
});
document.addEventListener('submit', (event) => {
  const form = event.target;
  if (form.dataset.sent) return event.preventDefault();
  if (form.method === 'post') form.dataset.sent = 'yes';
});
window.addEventListener('pageshow', () => { for (const form of all('form[data-sent]')) delete form.dataset.sent; });

// The theme is set where it is chosen.
const theme = document.getElementById('theme');
if (theme) {
  theme.form.querySelector('button').hidden = true;
  theme.addEventListener('change', () => theme.form.requestSubmit());
}

// A log follows its end until somebody scrolls up, and keeps so many lines.
const KEPT = 5000;
const log = document.getElementById('log');
if (log) {
  let end = true;
  const follow = () => {
    while (log.childElementCount > KEPT) log.firstElementChild.remove();
    if (end) log.scrollTop = log.scrollHeight;
  };
  log.addEventListener('scroll', () => { end = log.scrollHeight - log.scrollTop - log.clientHeight < 8; });
  new MutationObserver(follow).observe(log, { childList: true });
  follow();
}

for (const button of all('[data-copy]')) {
  button.hidden = false;
  button.addEventListener('click', async () => {
    try {
      await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
      button.textContent = 'Copied';
    } catch { button.textContent = 'Select it and copy'; }
  });
}
