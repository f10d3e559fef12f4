import type { ComponentProps } from 'react';

interface Props extends ComponentProps<'button'> {
  /** main: the one thing to do here; danger: takes something away; quiet: beside others. */
  kind?: 'main' | 'plain' | 'danger' | 'quiet';
}

export function Button({ kind = 'plain', className = '', type = 'button', ...rest }: Props) {
  return <button {...rest} type={type} data-kind={kind} className={`button ${className}`} />;
}
