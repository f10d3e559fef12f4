import { Meter as BaseMeter } from '@base-ui/react/meter';
import type { Tone } from './badge.tsx';

interface Props {
  label: string;
  value: number;
  most: number;
  /** The value in words, such as `18 GiB of 24 GiB`. */
  says: string;
  tone?: Tone;
}

/** A bar of how much of something is taken. */
export function Meter({ label, value, most, says, tone = 'plain' }: Props) {
  return (
    <BaseMeter.Root
      className="meter"
      data-tone={tone}
      value={value}
      min={0}
      max={Math.max(most, value, 1)}
      getAriaValueText={() => says}
    >
      <BaseMeter.Label>{label}</BaseMeter.Label>
      <BaseMeter.Value className="soft">{() => says}</BaseMeter.Value>
      <BaseMeter.Track className="meter-track">
        <BaseMeter.Indicator className="meter-fill" />
      </BaseMeter.Track>
    </BaseMeter.Root>
  );
}
