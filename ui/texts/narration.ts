export const narrationText = {
  title: 'Narration',
  kinds: { reflection: 'reflection (insight)', drop: 'drop (post)' },
  nothing: 'Nothing has been told yet. Reflections appear here as agents draw them.',
  pause: 'Pause',
  goOn: 'Go on',
  speak: 'Speak',
  more: 'Speed, agents, history',
  speed: 'Speed',
  follow: 'Follow',
  everybody: 'Everybody',
  history: 'What was told',
  you: 'You',
} as const;
