import { DomainError } from '../domain/errors.ts';
import { type PaymentProviderName, type ProviderAccount, providerAccountText } from '../domain/payments.ts';
import type { PaymentProvider } from '../integrations/payments/payments.ts';
import type { ProviderAccountStore } from '../stores/provider-accounts.ts';

/** By name; one without keys is not there. */
export type PaymentProviders = Partial<Record<PaymentProviderName, PaymentProvider>>;

export function providerOf(providers: PaymentProviders, name: PaymentProviderName): PaymentProvider {
  const provider = providers[name];
  if (!provider) throw new DomainError('PAYMENTS_NOT_SET_UP', `this worker has no keys of ${name}`);
  return provider;
}

/**
 * The provider, asked by keys of one account and mode alone: the one that the books are of. By another key what is there is
 * not found, so that a transfer would be made again, and money that was taken would be looked for in vain.
 */
export function ofOneAccount(provider: PaymentProvider, accounts: ProviderAccountStore): PaymentProvider {
  let bound: ProviderAccount | undefined;
  async function refuseOther(): Promise<void> {
    const own = await provider.account();
    bound ??= await accounts.bind(provider.name, own);
    if (bound.account === own.account && bound.live === own.live) return;
    const [books, key] = [bound, own].map(providerAccountText);
    throw new DomainError('PAYMENTS_NOT_SET_UP', `the books are of ${books}, and this worker's key is of ${key}`);
  }
  function checked<Args extends unknown[], Result>(call: (...args: Args) => Promise<Result>) {
    return async (...args: Args): Promise<Result> => {
      await refuseOther();
      return call(...args);
    };
  }
  return {
    name: provider.name,
    account: () => provider.account(),
    openCheckout: checked((...asked) => provider.openCheckout(...asked)),
    checkout: checked((...asked) => provider.checkout(...asked)),
    payment: checked((...asked) => provider.payment(...asked)),
    capture: checked((...asked) => provider.capture(...asked)),
    cancel: checked((...asked) => provider.cancel(...asked)),
    refund: checked((...asked) => provider.refund(...asked)),
    findRefund: checked((...asked) => provider.findRefund(...asked)),
    dispute: checked((...asked) => provider.dispute(...asked)),
    transfer: checked((...asked) => provider.transfer(...asked)),
  };
}
