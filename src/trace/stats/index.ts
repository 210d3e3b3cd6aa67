/** Statistics of routing, each with what chance alone would give: docs/statistics.md. */
export { type Chance, type Draws, type Measured } from './chance.ts';
export { loadStats, meanOverLayers, type LoadOptions, type LoadStats } from './load.ts';
export { probabilitiesAt } from './probabilities.ts';
export { chatsOf, countsFrom, countsOf, rowsOf, type LayerCounts, type LayerShape, type Part } from './select.ts';
