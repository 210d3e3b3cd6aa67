/** webmoe/viz: custom elements that show the routing of a trace. Importing it registers them; in Node it imports and registers nothing. */
import { defineView } from './element.ts';

export { Brush, NOTHING_SELECTED, type Selection } from './brush.ts';
export type { MoeElement } from './moe-element.ts';
export type { Changes, Runner } from './experiment.ts';
export { linkOf, selectionFrom, stateFrom, type ViewLink } from './link.ts';
export type { DomainCounts } from './views/domain-source.ts';
export { PLACES } from '../trace/places.ts';
export type { Residency } from './places.ts';

defineView('moe-atlas', () => import('./views/atlas.ts').then(({ atlas }) => atlas));
defineView('moe-cache-timeline', () => import('./views/cache-timeline.ts').then(({ cacheTimeline }) => cacheTimeline));
defineView('moe-capacity', () => import('./views/capacity.ts').then(({ capacity }) => capacity));
defineView('moe-coactivation', () => import('./views/coactivation.ts').then(({ coactivation }) => coactivation));
defineView('moe-compare', () => import('./views/compare.ts').then(({ compare }) => compare));
defineView('moe-confidence', () => import('./views/confidence.ts').then(({ confidence }) => confidence));
defineView('moe-domains', () => import('./views/domains.ts').then(({ domains }) => domains), ['counts']);
defineView('moe-expert-card', () => import('./views/expert-card.ts').then(({ expertCard }) => expertCard));
defineView('moe-flow', () => import('./views/flow.ts').then(({ flow }) => flow));
defineView('moe-gate-simulation', () =>
  import('./views/gate-simulation.ts').then(({ gateSimulation }) => gateSimulation),
);
defineView('moe-heatmap', () => import('./views/heatmap.ts').then(({ heatmap }) => heatmap));
defineView('moe-history', () => import('./views/history.ts').then(({ history }) => history));
defineView('moe-interventions', () => import('./views/interventions.ts').then(({ interventions }) => interventions), [
  'runner',
]);
defineView('moe-load', () => import('./views/load.ts').then(({ load }) => load));
defineView('moe-policies', () => import('./views/policies.ts').then(({ policies }) => policies));
defineView('moe-popularity', () => import('./views/popularity.ts').then(({ popularity }) => popularity));
defineView('moe-repetition', () => import('./views/repetition.ts').then(({ repetition }) => repetition));
defineView('moe-residency', () => import('./views/residency.ts').then(({ residency }) => residency), ['residency']);
defineView('moe-router-bars', () => import('./views/router-bars.ts').then(({ routerBars }) => routerBars));
defineView('moe-timeline', () => import('./views/timeline.ts').then(({ timeline }) => timeline));
defineView('moe-token-grid', () => import('./views/token-grid.ts').then(({ tokenGrid }) => tokenGrid));
defineView('moe-token-strip', () => import('./views/token-strip.ts').then(({ tokenStrip }) => tokenStrip));
defineView('moe-vocabulary', () => import('./views/vocabulary.ts').then(({ vocabulary }) => vocabulary));
