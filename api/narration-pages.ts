import { html, htmlText } from './html.ts';
import { pageText } from './page-text.ts';
import { pageFileOf } from './pages.ts';

const words = pageText.narration;
const speeds = [0.75, 1, 1.5, 2];

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
<div id="caption" aria-live="off">${first ? html`<p><strong>${first.title}</strong></p><p>${first.text}</p>` : html`<p>${words.none}</p>`}</div>
<div class="controls" hidden>
<button id="pause" type="button" data-go-on="${words.goOn}">${words.pause}</button>
<button id="speak" type="button" aria-pressed="false">${words.speak}</button>
<label class="soft">${words.speed} <select id="speed">${speeds.map((value) => html`<option value="${value}"${value === 1 && html` selected`}>${value.toLocaleString(locale)}</option>`)}</select></label>
</div>
<details><summary>${words.all}</summary>
<ol id="history" class="plain">${entries.map(
    ({ id, title: head, text, author, publishedAt }) =>
      html`<li data-entry="${id}"><strong>${head}</strong> <small class="soft">${author} · <time datetime="${publishedAt}">${new Date(publishedAt).toLocaleDateString(locale, { dateStyle: 'medium', timeZone: 'UTC' })}</time></small><div class="said">${text}</div></li>`,
  )}</ol>
</details>
</main>
</body>
</html>`);
}
