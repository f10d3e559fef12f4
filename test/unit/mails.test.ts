import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { mailAddressOf, mailAddressSchema } from '../../domain/mail-addresses.ts';
import {
  disputeNoticeText,
  inviteText,
  oneLine,
  receiptText,
  refundNoticeText,
  signInText,
} from '../../domain/mail-texts.ts';
import { afterMailTry, type MailOutcome, mailOutcomes, mailTemplates } from '../../domain/mails.ts';
import { disputeStates } from '../../domain/payments.ts';
import { readableMail } from '../../cli/readable-mail.ts';
import { smtpSettingsOf } from '../../domain/smtp-settings.ts';
import { mailBytes, type OutgoingMail } from '../../integrations/mail/mail-sender.ts';
import '../support/properties.ts';

describe('addresses', () => {
  test.each([
    ['ada@example.org', 'ada@example.org'],
    ['Ada.Lovelace+loops@Example.ORG', 'ada.lovelace+loops@example.org'],
    ['a@xn--bcher-kva.example', 'a@xn--bcher-kva.example'],
    [`${'a'.repeat(64)}@example.org`, `${'a'.repeat(64)}@example.org`],
  ])('%s is one', (text, address) => {
    expect(mailAddressOf(text)).toBe(address);
    expect(mailAddressSchema.parse(text)).toBe(address);
  });

  test.each([
    'ada',
    '@example.org',
    'ada@',
    'ada@localhost',
    'ada@127.0.0.1',
    'ada@[127.0.0.1]',
    'ada@-a.example',
    'ada@a..example',
    '.ada@example.org',
    'a..b@example.org',
    'ada @example.org',
    '"ada"@example.org',
    'Ada <ada@example.org>',
    'ada@example.org,eve@example.org',
    'ada@example.org\r\nbcc: eve@example.org',
    'ada@example.org\n',
    'ada@bücher.example',
    'ädä@example.org',
    'K@example.org\u0000',
    `${'a'.repeat(65)}@example.org`,
    `a@${'b'.repeat(63)}.${'c'.repeat(63)}.${'d'.repeat(63)}.${'e'.repeat(63)}.org`,
  ])('%j is none', (text) => {
    expect(mailAddressOf(text)).toBeUndefined();
    expect(mailAddressSchema.safeParse(text).success).toBe(false);
  });

  test('what is one stays the same when read again, and holds nothing that a header could be made of', () => {
    fc.assert(
      fc.property(fc.oneof(fc.emailAddress(), fc.string({ unit: 'binary' })), (text) => {
        const address = mailAddressOf(text);
        if (address === undefined) return;
        expect(mailAddressOf(address)).toBe(address);
        expect(address).toMatch(/^[\x21-\x7e]+$/);
      }),
    );
  });
});

describe('what follows from a try', () => {
  test('a receipt never goes out again by itself where it may have arrived', () => {
    expect(afterMailTry({ template: 'receipt', outcomes: ['unconfirmed'] })).toEqual({ state: 'unconfirmed' });
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...mailOutcomes), { maxLength: 12 }), (outcomes) => {
        const at = outcomes.indexOf('unconfirmed');
        if (at === -1) return;
        const step = afterMailTry({ template: 'receipt', outcomes: outcomes.slice(0, at + 1) });
        expect(step.againInSeconds).toBeUndefined();
      }),
    );
  });

  test('a link goes out again once', () => {
    expect(afterMailTry({ template: 'sign_in', outcomes: ['unconfirmed'] })).toMatchObject({ state: 'pending' });
    expect(afterMailTry({ template: 'sign_in', outcomes: ['unconfirmed', 'unconfirmed'] })).toEqual({
      state: 'unconfirmed',
    });
    // Refused the second time, it is still not known whether the first arrived.
    expect(afterMailTry({ template: 'sign_in', outcomes: ['unconfirmed', 'refused'] })).toEqual({
      state: 'unconfirmed',
    });
  });

  test('4xx and what never left are tried for longer than greylisting lasts, then given up; 5xx ends it', () => {
    for (const template of mailTemplates) {
      const outcomes: MailOutcome[] = [];
      let waited = 0;
      for (;;) {
        outcomes.push(outcomes.length % 2 === 0 ? 'deferred' : 'not_sent');
        const { state, againInSeconds } = afterMailTry({ template, outcomes });
        if (againInSeconds === undefined) {
          expect(state).toBe('failed');
          break;
        }
        waited += againInSeconds;
      }
      expect(waited).toBeGreaterThan(900);
      expect(outcomes.length).toBeLessThan(10);
      expect(afterMailTry({ template, outcomes: ['refused'] })).toEqual({ state: 'failed' });
    }
  });

  test('taken is sent, whatever was before', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...mailTemplates),
        fc.array(fc.constantFrom(...mailOutcomes), { maxLength: 8 }),
        (template, before) => {
          expect(afterMailTry({ template, outcomes: [...before, 'accepted'] })).toEqual({ state: 'sent' });
        },
      ),
    );
  });
});

describe('words', () => {
  test('a notice of a refund or dispute says of what, and what others wrote makes no line of its own', () => {
    const sold = { purchaseId: 'pur_1', title: 'Night\r\nBcc: eve@example.org', amount: 1_250, currency: 'EUR' };
    const url = 'https://shop.example';
    const refund = { ...sold, refundId: 'ref_1', reason: 'broken\nPurchase pur_2' };
    const { subject, text } = refundNoticeText(refund, { again: false, url });
    expect(subject).toBe('Refund of 12.50 EUR for pur_1');
    expect(text).toContain('\nSold     Night Bcc: eve@example.org\n');
    expect(text).toContain('\nReason   broken Purchase pur_2\n');
    expect(refundNoticeText(refund, { again: true, url }).text).toContain('This is a copy');
    const subjects = disputeStates.map((state) => {
      const notice = disputeNoticeText({ ...sold, disputeId: 'dp_1', state }, { again: false, url });
      expect(notice.text).toContain(`${url}/v1/disputes?purchaseId=pur_1`);
      return notice.subject;
    });
    expect(subjects).toEqual([
      '12.50 EUR for pur_1 is disputed',
      '12.50 EUR for pur_1 is no longer disputed',
      '12.50 EUR for pur_1 was lost in a dispute',
    ]);
  });

  const receipt = {
    purchaseId: 'pur_1',
    licenseId: 'lic_1',
    issuerId: 'usr_seller',
    use: 'anywhere' as const,
    paidAt: '2026-11-21T10:00:00.000Z',
    currency: 'KWD',
    lines: [
      { text: 'Night watch\r\nBcc: eve@example.org\u202e <b>bold</b>', amount: 11_500 },
      { text: 'Tax', amount: 805 },
    ],
    total: 12_305,
  };

  test('a receipt has every line with its amount, in the decimals of the currency', () => {
    const { subject, text } = receiptText(receipt, { again: false, url: 'https://x.example' });
    expect(subject).toBe('Receipt pur_1');
    expect(text).toContain('11.500 KWD  Night watch Bcc: eve@example.org <b>bold</b>\n');
    expect(text).toContain(' 0.805 KWD  Tax\n');
    expect(text).toContain('12.305 KWD  Total\n');
    expect(text).not.toContain('copy');
  });

  test('its commands are those that its kind of license takes', () => {
    const commands = (use: 'redeem' | 'activate' | 'anywhere') =>
      receiptText({ ...receipt, use }, { again: false, url: 'https://x.example' })
        .text.split('\n')
        .filter((line) => line.startsWith('  soulfra'));
    expect(commands('redeem')).toEqual(['  soulfra license redeem lic_1 USE-1']);
    expect(commands('activate')).toEqual([
      '  soulfra license activate lic_1 MINE --place MACHINE',
      '  soulfra keys pin --issuer usr_seller --for licenses',
      '  soulfra license file lic_1 --activation MINE -o license.slf',
      '  soulfra license verify license.slf --issuer usr_seller --place MACHINE',
    ]);
    expect(commands('anywhere')).toEqual([
      '  soulfra keys pin --issuer usr_seller --for licenses',
      '  soulfra license file lic_1 -o license.slf',
      '  soulfra license verify license.slf --issuer usr_seller',
    ]);
  });

  test('sent again it says so', () => {
    const { subject, text } = receiptText(receipt, { again: true, url: 'https://x.example' });
    expect(subject).toBe('Copy of your receipt pur_1');
    expect(text).toMatch(/^This is a copy: .* You were charged once\.\n/);
  });

  test('what others wrote stays one line', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 400 }), (text) => {
        const line = oneLine(text);
        expect(line).not.toMatch(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u);
        expect(line.length).toBeLessThanOrEqual(200);
      }),
    );
  });

  const mail: OutgoingMail = {
    messageId: '<mai_1@soulfra.example>',
    from: 'market@soulfra.example',
    to: 'ada@example.org',
    ...signInText({ link: 'https://x.example/#once=sfr_secret', minutes: 15 }),
    date: new Date('2026-11-21T10:00:00Z'),
  };

  test('a mail has one of each header, plain text, and no markup', async () => {
    const raw = (await mailBytes(mail)).toString('utf8');
    expect(raw).toContain('Message-ID: <mai_1@soulfra.example>\r\n');
    expect(raw).toContain('To: ada@example.org\r\n');
    expect(raw).toContain('Content-Type: text/plain');
    expect(raw).toContain('Auto-Submitted: auto-generated\r\n');
    expect(raw).not.toMatch(/text\/html|multipart/i);
  });

  test('a link can be taken over from the file of a mail', async () => {
    const link = `http://127.0.0.1:17000/#once=sfr_${'x'.repeat(43)}`;
    const raw = (await mailBytes({ ...mail, ...signInText({ link, minutes: 15 }) })).toString('utf8');
    expect(raw).not.toContain(link);
    expect(readableMail(raw)).toContain(`\n${link}\n`);
    const { text } = inviteText({ link, minutes: 60, fleet: 'Häfen 港', role: 'member' });
    expect(readableMail((await mailBytes({ ...mail, text })).toString('utf8'))).toContain('Häfen 港');
  });

  test('names in other letters are encoded, not lost', async () => {
    const { subject } = inviteText({ link: 'https://x.example/', minutes: 60, fleet: 'Häfen 港', role: 'member' });
    const raw = (await mailBytes({ ...mail, subject })).toString('utf8');
    expect(raw).toMatch(/^Subject: =\?UTF-8\?/m);
  });

  test.each([
    { subject: 'a\r\nBcc: eve@example.org' },
    { subject: 'a\nb' },
    { to: 'ada@example.org\r\nBcc: eve@example.org' },
    { to: 'ada@example.org, eve@example.org' },
    { from: 'Market <market@soulfra.example>' },
    { messageId: '<a@b>\r\nX: y' },
  ])('%j is refused', async (change) => {
    await expect(mailBytes({ ...mail, ...change })).rejects.toThrow(/control characters|one address/);
  });
});

describe('SMTP_URL', () => {
  test('TLS is needed but on this host, or where it is waived', () => {
    expect(smtpSettingsOf('smtp://mail.example')).toEqual({
      host: 'mail.example',
      port: 587,
      secure: false,
      tls: true,
    });
    expect(smtpSettingsOf('smtps://a%40b:p%3Aw@mail.example')).toEqual({
      host: 'mail.example',
      port: 465,
      secure: true,
      tls: true,
      user: 'a@b',
      password: 'p:w',
    });
    expect(smtpSettingsOf('smtp://mailpit:1025?tls=none')).toMatchObject({ port: 1025, tls: false });
    expect(smtpSettingsOf('smtp://127.0.0.1:2525')).toMatchObject({ tls: false });
    expect(smtpSettingsOf('smtps://127.0.0.1')).toMatchObject({ tls: true });
    expect(smtpSettingsOf('smtp://localhost.evil.example')).toMatchObject({ tls: true });
  });

  test.each([
    'http://mail.example',
    'smtp://',
    'smtp://mail.example/x',
    'smtp://mail.example?tls=maybe',
    'mail.example',
    'smtp://a:%zz@mail.example',
  ])('%s is none', (text) => {
    expect(smtpSettingsOf(text)).toBeUndefined();
  });
});
