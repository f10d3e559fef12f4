/*
 * On a page of somebody else: <script async src="https://…/narration.js" data-feed="chn_…"></script>
 * puts a frame where the script stands, which shows and, if asked, speaks what was published on that feed.
 */
(() => {
  const script = document.currentScript;
  const feed = script?.dataset.feed ?? '';
  if (!script || !/^chn_[\w-]{36}$/.test(feed))
    throw new Error('narration: the script needs data-feed, the id of a channel of kind feed');
  const frame = document.createElement('iframe');
  frame.src = new URL(`/narration/${feed}`, script.src).href;
  frame.title = script.dataset.title || 'Narration by Soulfra';
  frame.loading = 'lazy';
  frame.referrerPolicy = 'no-referrer';
  frame.setAttribute('sandbox', 'allow-scripts allow-same-origin allow-popups');
  frame.style.cssText = 'width:100%;max-width:40rem;height:15rem;border:0;border-radius:12px;color-scheme:light dark';
  script.after(frame);
})();
