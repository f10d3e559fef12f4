import { DomainError } from '../../domain/errors.ts';
import type { PaymentProvider } from '../../domain/purchases.ts';

type Step = 'authorize' | 'authorized' | 'void' | 'capture';

/**
 * A provider that keeps the contract of `PaymentProvider`: one payment a key, an undo that also holds for what comes later.
 * What a step does before or instead of its work, or once it is authorized, is scripted, once each.
 */
export function scriptedPayments() {
  const payments = new Map<string, { state: 'authorized' | 'void' | 'captured'; amount: number }>();
  const script = new Map<Step, () => Promise<void> | void>();
  /** Money that moved, by key: what a buyer would see on their account. */
  const taken = new Map<string, number>();
  const scripted = async (step: Step) => {
    const what = script.get(step);
    script.delete(step);
    await what?.();
  };
  const provider: PaymentProvider = {
    async authorize({ key, amount }) {
      await scripted('authorize');
      const known = payments.get(key);
      if (known?.state === 'void') throw new DomainError('PAYMENT_REFUSED', `${key} was voided`);
      if (!known) payments.set(key, { state: 'authorized', amount });
      await scripted('authorized');
    },
    look: () => Promise.reject(new Error('what is authorized at once is not looked at')),
    async void({ key }) {
      await scripted('void');
      const known = payments.get(key);
      if (known?.state === 'captured') throw new Error(`${key} was captured`);
      payments.set(key, { state: 'void', amount: known?.amount ?? 0 });
    },
    async capture({ key }) {
      await scripted('capture');
      const known = payments.get(key);
      if (known?.state === 'authorized') {
        payments.set(key, { ...known, state: 'captured' });
        taken.set(key, (taken.get(key) ?? 0) + known.amount);
      } else if (known?.state !== 'captured') throw new DomainError('PAYMENT_REFUSED', `${key} is not authorized`);
      return { reference: `ch_${key}` };
    },
  };
  return { provider, script, taken, stateOf: (key: string) => payments.get(key)?.state };
}

/** Holds a step until the test lets it go. */
export function gate() {
  let open: () => void = () => undefined;
  let reach: () => void = () => undefined;
  const opened = new Promise<void>((resolve) => (open = resolve));
  const reached = new Promise<void>((resolve) => (reach = resolve));
  return {
    reached,
    open,
    async pass(): Promise<void> {
      reach();
      await opened;
    },
  };
}
