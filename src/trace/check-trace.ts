/** Whether the parts of a trace fit together, whoever wrote it. Its strings stay strings: what they say is never interpreted. */
import { InvalidTrace } from '../errors.ts';
import { ABSENT, ORIGINS, PROVENANCES, SCORINGS, tokensOf, UNKNOWN_TOKEN, type Trace } from './trace.ts';

/** L x E: the largest published model has 61 x 384. Views and statistics make tables of this size, so a file must not choose it freely. */
const MOST_EXPERTS = 2 ** 20;
/** Of one name or piece of text, in UTF-16 units. A note may be longer. */
const LONGEST_NAME = 1000;
const LONGEST_NOTE = 10_000;
/** What rounding may add to a log-probability of 0. */
const LOGPROB_SLACK = 1e-3;

type Refuse = (what: string) => never;

const isCount = (n: number, least: number): boolean => Number.isSafeInteger(n) && n >= least;
const isText = (text: unknown, longest = LONGEST_NAME): boolean => typeof text === 'string' && text.length <= longest;

/** @throws InvalidTrace that says which part contradicts which */
export function checkTrace(trace: Trace, where = 'trace'): Trace {
  const refuse = (what: string): never => {
    throw new InvalidTrace(`${where}: ${what}`, { where });
  };
  checkModel(trace, refuse);
  checkSteps(trace, refuse);
  checkChoices(trace, refuse);
  checkRows(trace, refuse);
  checkTokens(trace, refuse);
  checkLogits(trace, refuse);
  checkTiming(trace, refuse);
  checkChats(trace, refuse);
  checkProvenance(trace, refuse);
  return trace;
}

function checkModel({ model, sharedExperts = 0 }: Trace, refuse: Refuse): void {
  const { name, layers, experts, topK, expertBytes } = model;
  if (!isCount(layers, 1) || !isCount(experts, 1) || !isCount(topK, 1) || experts >= ABSENT || topK > experts)
    refuse(`${layers} layers, ${experts} experts, ${topK} a token is no MoE model`);
  if (layers * experts > MOST_EXPERTS) refuse(`${layers} layers of ${experts} experts are more than ${MOST_EXPERTS}`);
  if (!isText(name)) refuse(`the model's name must be a text of at most ${LONGEST_NAME} characters`);
  if (expertBytes.length !== layers || !expertBytes.every((n) => isCount(n, 1)))
    refuse(`expert_bytes must hold ${layers} sizes of at least one byte, has ${expertBytes.length}`);
  if (!isCount(sharedExperts, 0)) refuse(`${sharedExperts} shared experts`);
}

function checkSteps({ steps }: Trace, refuse: Refuse): void {
  const bad = steps.findIndex((s) => !isCount(s.tokens, 1) || !isCount(s.chat, 0) || !isCount(s.position, 0));
  if (bad >= 0) refuse(`step ${bad} has impossible numbers`);
}

function checkChoices({ model, steps, ids, weights, origins }: Trace, refuse: Refuse): void {
  const size = tokensOf(steps) * model.layers * model.topK;
  if (ids.length !== size) refuse(`its steps say ${size} expert ids, it holds ${ids.length}`);
  if (weights && weights.length !== size) refuse(`it holds ${size} ids but ${weights.length} weights`);
  if (weights && !weights.every((w) => w >= 0 && w < Infinity)) refuse('a weight is negative or no finite number');
  if (origins && (origins.length !== size || !origins.every((o) => o < ORIGINS.length)))
    refuse('its origins do not fit');
}

/** Within a row: experts that exist, each once, absent ones last. */
function checkRows({ model: { experts, topK, layers }, ids }: Trace, refuse: Refuse): void {
  const seen = new Int32Array(experts).fill(-1);
  for (let row = 0; row < ids.length / topK; row++) {
    for (let k = 0; k < topK; k++) {
      const id = ids[row * topK + k]!;
      const at = (): string => `token ${Math.floor(row / layers)}, layer ${row % layers}`;
      if (id === ABSENT) continue;
      if (id >= experts) refuse(`${at()}: expert ${id} of ${experts}`);
      if (k > 0 && ids[row * topK + k - 1] === ABSENT) refuse(`${at()}: an expert after an absent one`);
      if (seen[id] === row) refuse(`${at()}: expert ${id} twice`);
      seen[id] = row;
    }
  }
}

function checkTokens({ steps, tokens, texts, logprobs }: Trace, refuse: Refuse): void {
  const count = tokensOf(steps);
  if (tokens && (tokens.length !== count || !tokens.every((id) => id >= UNKNOWN_TOKEN)))
    refuse(`its token ids must be ${count} numbers, ${UNKNOWN_TOKEN} where one is unknown`);
  if (texts && (texts.length !== count || !texts.every((text) => isText(text))))
    refuse(`its texts must be ${count} pieces of at most ${LONGEST_NAME} characters`);
  if (logprobs && (logprobs.length !== count || !logprobs.every((p) => Number.isNaN(p) || isLogprob(p))))
    refuse(`its logprobs must be ${count} numbers of at most 0, NaN where one is unknown`);
}

const isLogprob = (p: number): boolean => p > -Infinity && p <= LOGPROB_SLACK;

function checkLogits({ model, steps, logits, scoring }: Trace, refuse: Refuse): void {
  const size = tokensOf(steps) * model.layers * model.experts;
  if (logits && logits.length !== size) refuse(`it should hold ${size} logits, has ${logits.length}`);
  if (logits && !logits.every((x) => Math.abs(x) !== Infinity))
    refuse('a logit is infinite; NaN says that it is absent');
  if (scoring && !SCORINGS.includes(scoring)) refuse(`its scoring must be one of ${SCORINGS.join(', ')}`);
}

function checkTiming({ steps, timing }: Trace, refuse: Refuse): void {
  if (!timing) return;
  for (const [name, values] of Object.entries(timing) as [string, Float32Array | Float64Array][])
    if (values.length !== steps.length || !values.every((x) => Number.isNaN(x) || (x >= 0 && x < Infinity)))
      refuse(`${name} must be ${steps.length} numbers of at least 0, NaN where one is unknown`);
}

function checkChats({ steps, chats }: Trace, refuse: Refuse): void {
  if (!chats) return;
  const last = steps.reduce((most, { chat }) => Math.max(most, chat), -1);
  if (chats.length <= last) refuse(`its steps name chat ${last}, but it describes ${chats.length} chats`);
  if (!chats.every(({ name, domain }) => isText(name) && (domain === null || isText(domain))))
    refuse(`a chat's name and domain must be texts of at most ${LONGEST_NAME} characters`);
}

function checkProvenance({ provenance }: Trace, refuse: Refuse): void {
  if (!provenance) return;
  const { kind, note, date, weights, version } = provenance;
  if (!PROVENANCES.includes(kind)) refuse(`its provenance must be one of ${PROVENANCES.join(', ')}`);
  if (!isText(note, LONGEST_NOTE) || ![date, weights, version].every((text) => text === undefined || isText(text)))
    refuse('its provenance must be texts: note, and where known date, weights, version');
}
