import type { ReactNode } from 'react';

/** A row of figures, each under its name. */
export function Figures({ of }: { of: ReadonlyArray<{ label: string; value: ReactNode }> }) {
  return (
    <dl className="figures">
      {of.map(({ label, value }) => (
        <div key={label} className="figure">
          <dt>{label}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}
