/** webmoe/viz: custom elements that show the routing of a trace. Importing it registers them; in Node it imports and registers nothing. */
import { defineView } from './element.ts';
import { atlas } from './views/atlas.ts';
import { cacheTimeline } from './views/cache-timeline.ts';
import { capacity } from './views/capacity.ts';
import { coactivation } from './views/coactivation.ts';
import { domains } from './views/domains.ts';
import { flow } from './views/flow.ts';
import { heatmap } from './views/heatmap.ts';
import { load } from './views/load.ts';
import { policies } from './views/policies.ts';
import { popularity } from './views/popularity.ts';
import { repetition } from './views/repetition.ts';
import { residency } from './views/residency.ts';
import { timeline } from './views/timeline.ts';
import { tokenStrip } from './views/token-strip.ts';

export { Brush, NOTHING_SELECTED, type Selection } from './brush.ts';
export type { MoeElement } from './element.ts';
export { linkOf, selectionFrom, stateFrom, type ViewLink } from './link.ts';
export type { DomainCounts } from './views/domain-source.ts';
export { PLACES, type Residency } from './views/residency.ts';

defineView('moe-atlas', atlas);
defineView('moe-cache-timeline', cacheTimeline);
defineView('moe-capacity', capacity);
defineView('moe-coactivation', coactivation);
defineView('moe-domains', domains);
defineView('moe-flow', flow);
defineView('moe-heatmap', heatmap);
defineView('moe-load', load);
defineView('moe-policies', policies);
defineView('moe-popularity', popularity);
defineView('moe-repetition', repetition);
defineView('moe-residency', residency);
defineView('moe-timeline', timeline);
defineView('moe-token-strip', tokenStrip);
