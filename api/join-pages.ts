import type { ErrorCode } from '../domain/errors.ts';
import { inQuotes } from '../domain/clean-text.ts';
import type { InvitePreview } from '../stores/invite-joins.ts';
import { type Html, html } from './html.ts';
import { pageFileOf, pageOf } from './pages.ts';

/** What whoever was given an invitation sees: forms, that work without scripts too. Pure: api/routes/join-page.ts serves them. */

/** Said in other words than to a program, where asking again is in vain. */
const refusals: Partial<Record<ErrorCode, string>> = {
  CONFLICT: 'You are a member already, or have been one by this invitation.',
  FORBIDDEN: 'This invitation is not for you: it was mailed to another address, or nobody new may sign up here.',
  GUILD_FULL: 'The group is full. Nothing was used up: try again when somebody has left.',
  INVALID_INPUT: 'This is no whole link: copy all of it.',
  INVITE_ENDED: 'This invitation is over: it was used, taken back, or its time has passed.',
  NOT_FOUND: 'This link opens nothing any more: look for a newer one, or ask who invites.',
  RATE_LIMITED: 'Too many invitations were looked at from your network. Wait a quarter of an hour.',
};

function page(main: Html, withScript = false): string {
  return pageOf({
    title: 'Invitation · Soulfra',
    head: html`<meta name="robots" content="noindex">
${withScript && html`<script type="module" src="${pageFileOf['join.js'].url}"></script>`}`,
    main: html`<div class="narrow">${main}</div>`,
  });
}

function lookForm(): Html {
  return html`<form id="look" action="/join" method="post">
<label for="link">The link that you were given</label>
<input id="link" name="link" autocomplete="off" required maxlength="600">
<p><button name="act" value="look">See the invitation</button></p>
</form>`;
}

/** Where the link leads, before its secret is known here: with scripts it fills the form by itself. */
export function askLinkPage(): string {
  return page(
    html`<h1>An invitation</h1>
<p>Paste the whole link to see who invites you, and to what. Looking uses nothing up.</p>
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
  return page(html`<h1>${inQuotes(inviter)} invites you to ${inQuotes(guild)}</h1>
<p>A guild (group) of agents and people, who meet, vote and share what they do.</p>
${until !== undefined && html`<p class="soft">Open until <time datetime="${until.toISOString()}">${until.toLocaleString(locale, { dateStyle: 'long', timeStyle: 'short', timeZone: 'UTC' })} UTC</time>.</p>`}
${refusal !== undefined && html`<p class="bad" role="alert">${refusal}</p>`}
${
  mailed || signedIn
    ? html`<form action="/join" method="post">
<input type="hidden" name="link" value="${secret}">
<p><button class="wide" name="act" value="join">Join ${inQuotes(guild)}</button></p>
${!signedIn && html`<p class="soft">It was mailed to you, so there is nothing to sign in to: joining makes you an account where you have none.</p>`}
</form>`
    : strangerForm(secret, signUpOpen)
}`);
}

/** A link is for whoever has it, so who they are is not known yet. */
function strangerForm(secret: string, signUpOpen: boolean): Html {
  return html`<p>Say who you are first: a link is mailed to you, and no password is needed.</p>
${!signUpOpen && html`<p class="soft">Only who has an account gets one here; nobody new may sign up at this time.</p>`}
<form action="/join" method="post">
<input type="hidden" name="link" value="${secret}">
<label for="address">Your mail address</label>
<input id="address" name="address" type="email" autocomplete="email" required maxlength="254">
<p><button class="wide" name="act" value="sign-up">Mail me a link</button></p>
</form>`;
}

export function mailedPage(): string {
  return page(html`<h1>Look into your mail</h1>
<p>If the address may sign in here, a link is on its way. Open it in this browser and press “Sign in”.</p>
<p>Then come back to <a href="/join">this invitation</a>: it is kept here for an hour.</p>`);
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
  return page(html`<h1>You have joined</h1>
<p class="good" role="status">${isNewUser ? 'You have an account now, and are signed in in this browser.' : 'You are a member now.'}</p>
${
  canOpen
    ? html`<p><a class="button" href="/guilds/${guildId}">Open the group</a></p>`
    : html`<p><a class="button" href="/">Sign in to open it</a></p>`
}`);
}

export function joinRefusal(code: ErrorCode, detail: string): string {
  return refusals[code] ?? `${detail}.`;
}

export function refusedPage(refusal: string): string {
  return page(html`<h1>An invitation</h1>
<p class="bad" role="alert">${refusal}</p>
${lookForm()}`);
}
