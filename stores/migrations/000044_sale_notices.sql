-- Who sold is told by mail of what goes back out of a sale.
alter table mails drop constraint mails_template_check;
alter table mails add constraint mails_template_check
  check (template in ('sign_in', 'invite', 'receipt', 'refund_notice', 'dispute_notice'));
