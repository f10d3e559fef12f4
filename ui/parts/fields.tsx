import type { ComponentProps, ReactNode } from 'react';
import { useId } from 'react';
import './fields.css';

interface About {
  label: string;
  /** Beside the label, for who needs to know more. */
  hint?: ReactNode;
  /** What is wrong with it. */
  error?: string | undefined;
}

function useAbout({ hint, error }: About) {
  const id = useId();
  const describedBy = [hint !== undefined && `${id}-hint`, error !== undefined && `${id}-error`]
    .filter(Boolean)
    .join(' ');
  return {
    id,
    given: { id, 'aria-describedby': describedBy || undefined, 'aria-invalid': error !== undefined || undefined },
  };
}

function Around({ id, label, hint, error, children }: About & { id: string; children: ReactNode }) {
  return (
    <div className="labelled">
      <label htmlFor={id}>{label}</label>
      {children}
      {hint !== undefined && (
        <p id={`${id}-hint`} className="faint">
          {hint}
        </p>
      )}
      {error !== undefined && (
        <p id={`${id}-error`} className="field-error" role="alert">
          {error}
        </p>
      )}
    </div>
  );
}

export function TextField({ label, hint, error, ...rest }: About & ComponentProps<'input'>) {
  const { id, given } = useAbout({ label, hint, error });
  return (
    <Around id={id} label={label} hint={hint} error={error}>
      <input className="field" {...rest} {...given} />
    </Around>
  );
}

export function AreaField({ label, hint, error, ...rest }: About & ComponentProps<'textarea'>) {
  const { id, given } = useAbout({ label, hint, error });
  return (
    <Around id={id} label={label} hint={hint} error={error}>
      <textarea className="field" rows={4} {...rest} {...given} />
    </Around>
  );
}

interface SelectProps extends About, Omit<ComponentProps<'select'>, 'children'> {
  options: ReadonlyArray<{ value: string; label: string }>;
}

export function SelectField({ label, hint, error, options, ...rest }: SelectProps) {
  const { id, given } = useAbout({ label, hint, error });
  return (
    <Around id={id} label={label} hint={hint} error={error}>
      <select className="field" {...rest} {...given}>
        {options.map(({ value, label: says }) => (
          <option key={value} value={value}>
            {says}
          </option>
        ))}
      </select>
    </Around>
  );
}

/** One of several, or several of them, each as a row that is pressed. */
export function Choices({
  label,
  hint,
  type,
  options,
  chosen,
  onChange,
}: About & {
  type: 'radio' | 'checkbox';
  options: ReadonlyArray<{ value: string; label: ReactNode }>;
  chosen: readonly string[];
  onChange: (chosen: string[]) => void;
}) {
  const name = useId();
  const press = (value: string) => {
    if (type === 'radio') return onChange([value]);
    onChange(chosen.includes(value) ? chosen.filter((each) => each !== value) : [...chosen, value]);
  };
  return (
    <fieldset className="choices" aria-describedby={hint === undefined ? undefined : `${name}-hint`}>
      <legend>{label}</legend>
      {hint !== undefined && (
        <p id={`${name}-hint`} className="faint">
          {hint}
        </p>
      )}
      {options.map(({ value, label: says }) => (
        <label key={value} className="choice">
          <input type={type} name={name} checked={chosen.includes(value)} onChange={() => press(value)} />
          <span>{says}</span>
        </label>
      ))}
    </fieldset>
  );
}
