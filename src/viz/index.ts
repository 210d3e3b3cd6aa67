/** webmoe/viz: custom elements that show the routing of a trace. Importing it registers them; in Node it imports and registers nothing. */
import { defineView } from './element.ts';
import { cacheTimeline } from './views/cache-timeline.ts';
import { gateSimulation } from './views/gate-simulation.ts';
import { heatmap } from './views/heatmap.ts';
import { policies } from './views/policies.ts';
import { residency } from './views/residency.ts';
import { timeline } from './views/timeline.ts';

export { Brush, NOTHING_SELECTED, type Selection } from './brush.ts';
export type { MoeElement } from './element.ts';
export { linkOf, selectionFrom, stateFrom, type ViewLink } from './link.ts';

defineView('moe-cache-timeline', cacheTimeline);
defineView('moe-gate-simulation', gateSimulation);
defineView('moe-heatmap', heatmap);
defineView('moe-policies', policies);
defineView('moe-residency', residency);
defineView('moe-timeline', timeline);
export { PLACES, type Residency } from './views/residency.ts';
