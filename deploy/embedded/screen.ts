const frames = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];
/** Where nobody watches a line change, a progress line at most this often. */
const plainEveryMs = 10_000;

/** One part coming up: spinner, then tick or cross. */
export interface Step {
  /** `share` is 0–1, or undefined where the whole is unknown. */
  progress(text: string, share?: number): void;
  done(text: string): void;
  fail(text: string): void;
}
export interface Screen {
  step(name: string): Step;
  line(text: string): void;
}

export function createScreen(out: NodeJS.WriteStream): Screen {
  const lively = out.isTTY === true && out.hasColors();
  return {
    line: (text) => void out.write(`${text}\n`),
    step: (name) => (lively ? livelyStep(out, name) : plainStep(out, name)),
  };
}

function bar(share: number | undefined): string {
  if (share === undefined) return '';
  const filled = Math.round(Math.min(1, Math.max(0, share)) * 24);
  return ` [${'█'.repeat(filled)}${'░'.repeat(24 - filled)}] ${Math.floor(Math.min(1, share) * 100)}%`;
}

function livelyStep(out: NodeJS.WriteStream, name: string): Step {
  let text = '';
  let share: number | undefined;
  let frame = 0;
  const draw = () => {
    const line = `${frames[frame % frames.length]} ${name} ${text}${bar(share)}`;
    out.write(`\r\u001b[2K${line.slice(0, Math.max(20, out.columns - 1))}`);
    frame += 1;
  };
  const timer = setInterval(draw, 100);
  timer.unref();
  const end = (mark: string, last: string) => {
    clearInterval(timer);
    out.write(`\r\u001b[2K${mark} ${name} ${last}\n`);
  };
  draw();
  return {
    progress: (now, part) => {
      text = now;
      share = part;
    },
    done: (last) => end('✔', last),
    fail: (last) => end('✖', last),
  };
}

function plainStep(out: NodeJS.WriteStream, name: string): Step {
  let shownAt = 0;
  let shownReason = '';
  return {
    progress: (text, share) => {
      const reason = text.replace(/[\d.]+/g, '');
      // A new reason is told at once, a moved figure only now and then.
      if (reason === shownReason && Date.now() - shownAt < plainEveryMs) return;
      shownAt = Date.now();
      shownReason = reason;
      out.write(`… ${name} ${text}${share === undefined ? '' : ` ${Math.floor(share * 100)}%`}\n`);
    },
    done: (last) => void out.write(`✔ ${name} ${last}\n`),
    fail: (last) => void out.write(`✖ ${name} ${last}\n`),
  };
}
