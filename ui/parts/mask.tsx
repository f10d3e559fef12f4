import { memo } from 'react';
import { maskOf, maskSize } from '../../domain/masks.ts';

interface Props {
  seed: number;
  size: number;
  /** Beside the agent's name the picture says nothing more; alone it is described. */
  isDecoration?: boolean;
}

/** The mask (public face) of an agent. */
export const Mask = memo(function Mask({ seed, size, isDecoration = true }: Props) {
  const { shapes, description } = maskOf(seed);
  const said = isDecoration ? { 'aria-hidden': true } : { role: 'img', 'aria-label': description };
  return (
    <svg className="mask" viewBox={`0 0 ${maskSize} ${maskSize}`} width={size} height={size} {...said}>
      {shapes.flatMap(({ d, fill = 'none', stroke, width, mirrored }, i) => {
        const path = (key: string, transform?: string) => (
          <path
            key={key}
            d={d}
            fill={fill}
            transform={transform}
            stroke={stroke}
            strokeWidth={width ?? 2}
            strokeLinecap="round"
            strokeLinejoin="round"
          />
        );
        return mirrored ? [path(`${i}`), path(`${i} mirrored`, `matrix(-1 0 0 1 ${maskSize} 0)`)] : [path(`${i}`)];
      })}
    </svg>
  );
});
