/** tokenizer.json, checked: what comes out of here can be given to the tokenizers library without surprises. */
import { InvalidCheckpoint, UnsupportedModel } from '../errors.ts';
import type { AddedToken } from './added-tokens.ts';
import { field, isObject, parseJson, type Json, type JsonObject } from './json.ts';
import { patternHazard } from './pattern-guard.ts';

/** Above what language models publish (262,144 tokens, some 30 MB), low enough to fail fast. */
export const TOKENIZER_LIMITS = {
  /** Characters of tokenizer.json. */
  file: 128 * 2 ** 20,
  /** Ids are below it, and there are no more tokens than it. */
  ids: 2 ** 20,
  merges: 2 ** 21,
  addedTokens: 100_000,
  tokenChars: 4_096,
  /** Steps of normalizer, pre-tokenizer, decoder and post-processor together. */
  steps: 256,
  stepDepth: 16,
  /** How many times longer the normalizers can make a text. */
  growth: 64,
} as const;

export interface TokenizerFile {
  /** The whole file; `added_tokens` is taken out, because provenance of text decides about them, not the library. */
  readonly json: JsonObject;
  readonly addedTokens: readonly AddedToken[];
}

export function refuse(message: string, details: Readonly<Record<string, unknown>> = {}): never {
  throw new InvalidCheckpoint('tokenizer', `tokenizer.json: ${message}`, { file: 'tokenizer.json', ...details });
}

const shown = (text: string): string => JSON.stringify(text.length > 40 ? `${text.slice(0, 40)}...` : text);

function checkId(id: Json | undefined, token: string): number {
  if (typeof id !== 'number' || !Number.isInteger(id) || id < 0 || id >= TOKENIZER_LIMITS.ids) {
    refuse(`token ${shown(token)} has the id ${JSON.stringify(id)}; ids run from 0 to ${TOKENIZER_LIMITS.ids - 1}`, {
      token,
    });
  }
  return id;
}

/** @returns ids by token */
function readVocabulary(vocab: Json | undefined, unigram: boolean): Map<string, number> {
  const ids = new Map<string, number>();
  const taken = new Set<number>();
  const add = (token: string, id: Json | undefined): void => {
    const checked = checkId(id, token);
    if (taken.has(checked)) refuse(`two tokens have the id ${checked}, one is ${shown(token)}`, { id: checked });
    taken.add(checked);
    ids.set(token, checked);
  };
  if (unigram && Array.isArray(vocab)) {
    vocab.forEach((entry, id) => {
      const [token, score] = Array.isArray(entry) ? entry : [];
      if (typeof token !== 'string' || typeof score !== 'number') refuse(`vocabulary entry ${id} is not [text, score]`);
      add(token, id);
    });
  } else if (!unigram && isObject(vocab)) {
    for (const [token, id] of Object.entries(vocab)) add(token, id);
  } else {
    refuse(`model.vocab must be ${unigram ? 'a list of [text, score]' : 'an object of ids'}`);
  }
  if (ids.size === 0) refuse('the vocabulary is empty');
  return ids;
}

/** Every merge joins two tokens into a third. */
function checkMerges(merges: Json | undefined, ids: ReadonlyMap<string, number>): void {
  if (!Array.isArray(merges)) refuse('model.merges must be a list');
  if (merges.length > TOKENIZER_LIMITS.merges) refuse(`more than ${TOKENIZER_LIMITS.merges} merges`);
  const pairs = Array.isArray(merges[0]);
  merges.forEach((merge, i) => {
    const pair = pairs ? merge : typeof merge === 'string' ? merge.split(' ') : null;
    const [left, right] = Array.isArray(pair) && pair.length === 2 ? pair : [];
    if (typeof left !== 'string' || typeof right !== 'string')
      refuse(`merge ${i} is not a pair of tokens`, { merge: i });
    for (const token of [left, right, left + right]) {
      if (!ids.has(token))
        refuse(`merge ${i} needs the token ${shown(token)}, which is not in the vocabulary`, { token });
    }
  });
}

/** An affix that the library would not apply would give silently wrong ids. */
function checkAffixes(model: JsonObject): void {
  for (const key of ['continuing_subword_prefix', 'end_of_word_suffix', 'continuing_subword_suffix']) {
    const affix = field(model, key);
    if (affix !== undefined && affix !== null && affix !== '') {
      throw new UnsupportedModel(`tokenizer.json: model.${key} = ${JSON.stringify(affix)} is not supported`, { key });
    }
  }
}

function readModel(model: Json | undefined): Map<string, number> {
  if (!isObject(model)) refuse('model must be an object');
  const unigram = model.type === 'Unigram' || (model.type === undefined && Array.isArray(model.vocab));
  const kind = model.type ?? (unigram ? 'Unigram' : 'BPE');
  if (kind !== 'BPE' && kind !== 'Unigram') {
    throw new UnsupportedModel(`tokenizer.json: model type ${JSON.stringify(kind)} is not supported (BPE, Unigram)`, {
      type: kind,
    });
  }
  model.type = kind;
  checkAffixes(model);
  const ids = readVocabulary(field(model, 'vocab'), unigram);
  if (!unigram) checkMerges(field(model, 'merges'), ids);
  const unknown = field(model, 'unk_id');
  if (
    unigram &&
    unknown !== null &&
    (typeof unknown !== 'number' || !Number.isInteger(unknown) || !(unknown >= 0 && unknown < ids.size))
  ) {
    refuse('model.unk_id is not the id of a token');
  }
  return ids;
}

function readAddedTokens(list: Json | undefined, ids: ReadonlyMap<string, number>): AddedToken[] {
  if (list === undefined || list === null) return [];
  if (!Array.isArray(list)) refuse('added_tokens must be a list');
  if (list.length > TOKENIZER_LIMITS.addedTokens) refuse(`more than ${TOKENIZER_LIMITS.addedTokens} added tokens`);
  const owners = new Map(Array.from(ids, ([token, id]) => [id, token]));
  const known = new Map(ids);
  const names = new Set<string>();
  return list.map((entry, i) => {
    const content = isObject(entry) ? field(entry, 'content') : undefined;
    if (!isObject(entry) || typeof content !== 'string') refuse(`added token ${i} has no content`);
    if (content.length === 0 || content.length > TOKENIZER_LIMITS.tokenChars) {
      refuse(`added token ${i} has ${content.length} characters; 1 to ${TOKENIZER_LIMITS.tokenChars} are possible`);
    }
    const id = checkId(field(entry, 'id'), content);
    const owner = owners.get(id);
    if (owner !== undefined && owner !== content)
      refuse(`two tokens have the id ${id}: ${shown(owner)} and ${shown(content)}`, { id });
    if ((known.get(content) ?? id) !== id)
      refuse(`the token ${shown(content)} has two ids: ${known.get(content)} and ${id}`, { id });
    if (names.has(content)) refuse(`the added token ${shown(content)} is listed twice`, { token: content });
    names.add(content);
    owners.set(id, content);
    known.set(content, id);
    const special = entry.special === true;
    return {
      id,
      content,
      special,
      normalized: typeof entry.normalized === 'boolean' ? entry.normalized : !special,
      lstrip: entry.lstrip === true,
      rstrip: entry.rstrip === true,
      singleWord: entry.single_word === true,
    };
  });
}

function checkPattern(pattern: Json | undefined, where: string): void {
  const regex = isObject(pattern) ? field(pattern, 'Regex') : undefined;
  const literal = isObject(pattern) ? field(pattern, 'String') : undefined;
  if (typeof regex === 'string') {
    const hazard = patternHazard(regex);
    if (hazard) refuse(`the pattern ${hazard}: ${shown(regex)} (${where})`, { pattern: regex.slice(0, 200) });
  } else if (typeof literal !== 'string' || literal.length === 0 || literal.length > TOKENIZER_LIMITS.tokenChars) {
    refuse(`${where} has no usable pattern`);
  }
}

/** Walks the steps of one section; `grow` hears by how much each one can lengthen its text. */
function checkSteps(
  section: Json | undefined,
  where: string,
  budget: { steps: number },
  grow: (factor: number) => void,
): void {
  const visit = (node: Json, depth: number): void => {
    if (node === null) return;
    if (!isObject(node) || typeof node.type !== 'string') refuse(`${where} has a step without a type`);
    if (depth > TOKENIZER_LIMITS.stepDepth) refuse(`${where} is nested deeper than ${TOKENIZER_LIMITS.stepDepth}`);
    if (--budget.steps < 0)
      refuse(`has more than ${TOKENIZER_LIMITS.steps} steps of normalizing, splitting and decoding`);
    const content = field(node, 'content');
    if (node.type === 'Split' || node.type === 'Replace')
      checkPattern(field(node, 'pattern'), `${where}: ${node.type}`);
    if (node.type === 'Replace' && typeof content === 'string') grow(content.length);
    if (node.type === 'Prepend' && String(field(node, 'prepend') ?? '').length > 16) refuse(`${where}: a long Prepend`);
    if (node.type === 'FixedLength' && !(Number.isInteger(node.length) && Number(node.length) > 0)) {
      refuse(`${where}: FixedLength must have a length of at least 1`);
    }
    for (const key of ['normalizers', 'pretokenizers', 'decoders', 'processors']) {
      const inner = field(node, key);
      if (inner === undefined) continue;
      if (!Array.isArray(inner)) refuse(`${where}: ${key} must be a list`);
      for (const step of inner) visit(step, depth + 1);
    }
  };
  visit(section ?? null, 0);
}

function checkPipeline(json: JsonObject): void {
  const budget = { steps: TOKENIZER_LIMITS.steps as number };
  for (const section of ['normalizer', 'pre_tokenizer', 'decoder', 'post_processor']) {
    let growth = 1;
    checkSteps(field(json, section), section, budget, (factor) => (growth *= Math.max(1, factor)));
    if (growth > TOKENIZER_LIMITS.growth)
      refuse(`${section} can make a text more than ${TOKENIZER_LIMITS.growth} times longer`);
    json[section] = field(json, section) ?? null;
  }
}

/**
 * @param vocab rows of the embedding, where known: an id at or above it would read outside the matrix
 * @throws InvalidCheckpoint ('tokenizer') for damage and for what only an attacker writes; UnsupportedModel for what webmoe does not run
 */
export function readTokenizerFile(source: string, vocab?: number): TokenizerFile {
  const limits = { chars: TOKENIZER_LIMITS.file, depth: 64, containers: 2 * TOKENIZER_LIMITS.merges };
  const json = parseJson(source, limits, (reason) => refuse(`the file ${reason}`));
  if (!isObject(json)) refuse('the file must hold an object');
  const ids = readModel(field(json, 'model'));
  const addedTokens = readAddedTokens(field(json, 'added_tokens'), ids);
  if (vocab !== undefined) {
    const all = [...ids, ...addedTokens.map((t) => [t.content, t.id] as const)];
    const outside = all.find(([, id]) => id >= vocab);
    if (outside)
      refuse(`token ${shown(outside[0])} has the id ${outside[1]}, but the model has only ${vocab} rows`, {
        id: outside[1],
      });
  }
  checkPipeline(json);
  return { json: { ...json, added_tokens: [] }, addedTokens };
}
