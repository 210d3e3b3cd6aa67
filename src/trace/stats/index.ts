/** Statistics of routing, each with what chance alone would give: docs/statistics.md. */
export { agreementOf } from './agreement.ts';
export { atlasOf, type Atlas } from './atlas.ts';
export {
  balanceStats,
  deviceBalance,
  importanceCv2,
  loadCv2,
  maxVio,
  routerZLoss,
  sequenceBalance,
  switchLoss,
  type BalanceOptions,
  type BalanceStats,
} from './balance.ts';
export { capacityOf, dropTokens, overflowOf, type Dropped } from './capacity.ts';
export { type Chance, type Draws, type Measured } from './chance.ts';
export { coactivationOf, liftMatrix, pairOf, type Coactivation, type ExpertPair } from './coactivation.ts';
export type { Band } from './distributions.ts';
export { differenceOf, type Difference } from './difference.ts';
export { distanceOf, domainNames, domainPart, domainsOf, jensenShannon, type Domains } from './domains.ts';
export { flowOf, type Flow, type FlowOptions } from './flow.ts';
export { distributionOf, gateOf, type Distribution, type Gate } from './gate.ts';
export { expertInformation, informationOf, type Information, type InformationOptions } from './information.ts';
export { divergenceOf, moversOf, type Divergence, type Mover } from './kl.ts';
export { loadStats, meanOverLayers, type LoadOptions, type LoadStats } from './load.ts';
export { falseDiscovery } from './multiple.ts';
export { sharesAny, type Overlap } from './overlap.ts';
export { pathsOf, type Path, type Paths } from './paths.ts';
export { popularityCurve, type Popularity } from './popularity.ts';
export { probabilitiesAt } from './probabilities.ts';
export { repetitionOf, type Repetition } from './repetition.ts';
export { reuseOf, SPANS, type Reuse } from './reuse.ts';
export { chatsOf, countsFrom, countsOf, rowsOf, type LayerCounts, type LayerShape, type Part } from './select.ts';
export { TOKEN_TYPES, tokenType, type TokenType } from './token-type.ts';
export {
  topTokens,
  typeShares,
  typesOf,
  vocabularyOf,
  type TopToken,
  type TypeTable,
  type Vocabulary,
} from './vocabulary.ts';
