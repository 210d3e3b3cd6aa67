/** webmoe/viz: custom elements that show the routing of a trace. Importing it registers them; in Node it imports and registers nothing. */
import { defineView } from './element.ts';
import { heatmap } from './views/heatmap.ts';
import { history } from './views/history.ts';
import { tokenGrid } from './views/token-grid.ts';
import { tokenStrip } from './views/token-strip.ts';

export { Brush, NOTHING_SELECTED, type Selection } from './brush.ts';
export type { MoeElement } from './element.ts';
export { linkOf, selectionFrom, stateFrom, type ViewLink } from './link.ts';

defineView('moe-heatmap', heatmap);
defineView('moe-history', history);
defineView('moe-token-grid', tokenGrid);
defineView('moe-token-strip', tokenStrip);
