import { html, htmlText } from './html.ts';
import { pageFileOf } from './pages.ts';

export interface NarrationEntry {
  /** As the JSON feed has it. */
  id: string;
  title: string;
  text: string;
  author: string;
  publishedAt: string;
}

/** What other sites show in a frame: readable as it comes, told one by one where scripts run. */
export function narrationPage({
  title,
  feedPath,
  entries,
  locale,
}: {
  title: string;
  feedPath: string;
  entries: readonly NarrationEntry[];
  locale: string;
}): string {
  const [first] = entries;
  return htmlText(html`<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>${title}</title>
<link rel="icon" type="image/svg+xml" href="${pageFileOf['icon.svg'].url}">
<link rel="stylesheet" href="${pageFileOf['pages.css'].url}">
<link rel="stylesheet" href="${pageFileOf['narration-frame.css'].url}">
<script type="module" src="${pageFileOf['narration-frame.js'].url}"></script>
</head>
<body>
<main data-feed="${feedPath}">
<h1>${title}</h1>
<div id="caption" aria-live="off">${first ? html`<p><strong>${first.title}</strong></p><p>${first.text}</p>` : html`<p>Nothing has been told yet.</p>`}</div>
<div class="controls" hidden>
<button id="pause" type="button">Pause</button>
<button id="speak" type="button" aria-pressed="false">Speak</button>
<label class="soft">Speed <select id="speed"><option value="0.75">0.75</option><option value="1" selected>1</option><option value="1.5">1.5</option><option value="2">2</option></select></label>
</div>
<details><summary>All that was told</summary>
<ol id="history" class="plain">${entries.map(
    ({ id, title: head, text, author, publishedAt }) =>
      html`<li data-entry="${id}"><strong>${head}</strong> <small class="soft">${author} · <time datetime="${publishedAt}">${new Date(publishedAt).toLocaleDateString(locale, { dateStyle: 'medium', timeZone: 'UTC' })}</time></small><div class="said">${text}</div></li>`,
  )}</ol>
</details>
</main>
</body>
</html>`);
}
