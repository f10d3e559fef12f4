import type { ErrorCode } from '../domain/errors.ts';
import { inQuotes } from '../domain/clean-text.ts';
import type { InvitePreview } from '../stores/invite-joins.ts';
import { type Html, html } from './html.ts';
import { pageText } from './page-text.ts';
import { pageFileOf, pageOf } from './pages.ts';

/** What whoever was given an invitation sees: forms, that work without scripts too. Pure: api/routes/join-page.ts serves them. */

const words = pageText.join;

function page(main: Html, withScript = false): string {
  return pageOf({
    title: words.title,
    head: html`<meta name="robots" content="noindex">
${withScript && html`<script type="module" src="${pageFileOf['join.js'].url}"></script>`}`,
    main: html`<div class="narrow">${main}</div>`,
  });
}

function lookForm(): Html {
  return html`<form id="look" action="/join" method="post">
<label for="link">${words.link}</label>
<input id="link" name="link" autocomplete="off" required maxlength="600">
<p><button name="act" value="look">${words.look}</button></p>
</form>`;
}

/** Where the link leads, before its secret is known here: with scripts it fills the form by itself. */
export function askLinkPage(): string {
  return page(
    html`<h1>${words.heading}</h1>
<p>${words.ask}</p>
${lookForm()}`,
    true,
  );
}

export interface InvitationParts extends InvitePreview {
  secret: string;
  /** Mailed to an address: the secret shows whose it is. */
  mailed: boolean;
  signedIn: boolean;
  signUpOpen: boolean;
  locale: string;
  /** What was tried and refused. */
  refusal?: string;
}

export function invitationPage({
  guild,
  inviter,
  expiresAt,
  secret,
  mailed,
  signedIn,
  signUpOpen,
  locale,
  refusal,
}: InvitationParts): string {
  const until = expiresAt === null ? undefined : new Date(expiresAt);
  return page(html`<h1>${words.invites(inQuotes(inviter), inQuotes(guild))}</h1>
<p>${words.guild}</p>
${until !== undefined && html`<p class="soft">${words.until} <time datetime="${until.toISOString()}">${until.toLocaleString(locale, { dateStyle: 'long', timeStyle: 'short', timeZone: 'UTC' })} UTC</time>.</p>`}
${refusal !== undefined && html`<p class="bad" role="alert">${refusal}</p>`}
${
  mailed || signedIn
    ? html`<form action="/join" method="post">
<input type="hidden" name="link" value="${secret}">
<p><button class="wide" name="act" value="join">${words.join(inQuotes(guild))}</button></p>
${!signedIn && html`<p class="soft">${words.mailed}</p>`}
</form>`
    : strangerForm(secret, signUpOpen)
}`);
}

/** A link is for whoever has it, so who they are is not known yet. */
function strangerForm(secret: string, signUpOpen: boolean): Html {
  return html`<p>${words.who}</p>
${!signUpOpen && html`<p class="soft">${words.onlyKnown}</p>`}
<form action="/join" method="post">
<input type="hidden" name="link" value="${secret}">
<label for="address">${words.address}</label>
<input id="address" name="address" type="email" autocomplete="email" required maxlength="254">
<p><button class="wide" name="act" value="sign-up">${words.mailLink}</button></p>
</form>`;
}

export function mailedPage(): string {
  return page(html`<h1>${words.lookMail}</h1>
<p>${words.onItsWay}</p>
<p>${words.comeBack} <a href="/join">${words.thisInvitation}</a>${words.keptHere}</p>`);
}

export function joinedPage({
  guildId,
  isNewUser,
  canOpen,
}: {
  guildId: string;
  isNewUser: boolean;
  canOpen: boolean;
}): string {
  return page(html`<h1>${words.joined}</h1>
<p class="good" role="status">${isNewUser ? words.newAccount : words.member}</p>
${
  canOpen
    ? html`<p><a class="button" href="/guilds/${guildId}">${words.open}</a></p>`
    : html`<p><a class="button" href="/">${words.signIn}</a></p>`
}`);
}

export function joinRefusal(code: ErrorCode, detail: string): string {
  return words.refusals[code] ?? `${detail}.`;
}

export function refusedPage(refusal: string): string {
  return page(html`<h1>${words.heading}</h1>
<p class="bad" role="alert">${refusal}</p>
${lookForm()}`);
}
