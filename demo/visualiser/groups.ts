/** The views of the page, by what people want to know. Only the open group is drawn. */

export interface Group {
  readonly id: string;
  readonly title: string;
  /** What all its views are about, in a sentence. */
  readonly about: string;
  /** Names of elements. */
  readonly views: readonly string[];
}

export const GROUPS: readonly Group[] = [
  {
    id: 'token',
    title: 'One token',
    about: 'Which experts took a token, in each layer, and how sure the routers were.',
    views: ['moe-token-grid', 'moe-router-bars', 'moe-confidence', 'moe-history'],
  },
  {
    id: 'load',
    title: 'Load',
    about: 'Who is busy, whether that is balanced, and what a limit on each expert would drop.',
    views: ['moe-heatmap', 'moe-load', 'moe-popularity', 'moe-capacity'],
  },
  {
    id: 'patterns',
    title: 'Patterns',
    about: 'What repeats: from token to token, within a layer, and from layer to layer.',
    views: ['moe-repetition', 'moe-coactivation', 'moe-flow', 'moe-atlas'],
  },
  {
    id: 'meaning',
    title: 'Meaning',
    about: 'What an expert likes: words, kinds of words, topics.',
    views: ['moe-expert-card', 'moe-vocabulary', 'moe-domains'],
  },
  {
    id: 'compare',
    title: 'Side by side',
    about: 'Two prompts, two models, or two halves of a run.',
    views: ['moe-compare'],
  },
  {
    id: 'memory',
    title: 'Memory and time',
    about: 'Where experts are while a model runs that is larger than its memory, and where the time goes.',
    views: ['moe-residency', 'moe-cache-timeline', 'moe-policies', 'moe-timeline'],
  },
  {
    id: 'training',
    title: 'Training',
    about: 'Train a small layer on your own graphics card, and watch its experts share out the work.',
    views: ['moe-training'],
  },
  {
    id: 'what-if',
    title: 'What if',
    about: 'Change the routing of a loaded model and see what changes; or watch a gate learn, in a simulation.',
    views: ['moe-interventions', 'moe-gate-simulation'],
  },
];

export const groupOf = (id: string | null): Group => GROUPS.find((group) => group.id === id) ?? GROUPS[0]!;
export const groupWith = (view: string): Group | null => GROUPS.find(({ views }) => views.includes(view)) ?? null;
