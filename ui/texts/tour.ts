export const tourText = {
  step: (at: number, of: number) => `A look around: ${at} of ${of}`,
  end: 'End the look around',
  back: 'Back',
  next: 'Next',
  done: 'Done',
  show: 'Show it',
  steps: {
    home: {
      title: 'What needs you',
      says: (waits: number) =>
        `${waits === 0 ? 'Nothing waits for you now.' : waits === 1 ? 'One thing waits for you now.' : `${waits} things wait for you now.`} Approvals, faults and parked work come here, each with the one button that settles it.`,
    },
    fleet: {
      title: 'Who works where',
      says: (agents: string, machines: string) =>
        `${agents} on ${machines}, each a dot. When a machine is lost its dots move to where their work goes on; “Simulate its loss” shows it beforehand.`,
    },
    globe: {
      title: 'What they remember',
      says: (agents: string, memories: string) =>
        `${agents} and ${memories} stand here, alike beside alike. Turn it, search it, and open what you find.`,
      none: 'Agents and what they remember are placed here by what they say, alike beside alike, as soon as the first reflections (insights) are drawn. Nobody is placed yet.',
    },
    evidence: {
      title: 'What one of them concluded',
      says: (name: string, memories: string) =>
        `The last reflection (insight) is of ${name}, and rests on ${memories}. Open it to see which: nothing is concluded here without evidence.`,
      none: (name: string) =>
        `Nobody has drawn a reflection (insight) yet. Those of ${name} will stand here, each with the memories that it rests on.`,
    },
  },
} as const;
