/** A first family file for a config that no family claims: the nearest family, with every key it does not know pinned to the value at hand. */
import type { Json } from '../config/read.ts';
import { InvalidCheckpoint } from '../errors.ts';
import type { Family } from './family.ts';
import { FAMILIES } from './index.ts';
import { nearestFamily } from './nearest.ts';

const camel = (words: string): string =>
  words.replace(/[^A-Za-z0-9]+(.)/g, (_, letter: string) => letter.toUpperCase()).replace(/[^A-Za-z0-9]/g, '');

/** A name that the language takes, whatever the config says. */
const identifier = (words: string): string => {
  const name = camel(words);
  return /^[A-Za-z]/.test(name) ? name[0]!.toLowerCase() + name.slice(1) : `family${name}`;
};

const quoted = (text: string): string =>
  `'${JSON.stringify(text).slice(1, -1).replace(/\\"/g, '"').replace(/'/g, "\\'")}'`;

function body(near: Family, keys: readonly string[], config: { readonly [key: string]: Json }): string[] {
  const pinned = keys.map((key) => `    c.only(${quoted(key)}, ${JSON.stringify(config[key])});`);
  const why = pinned.length
    ? [
        `    // Unknown to ${near.id}. Read what the model does with each; keep \`only\` for values that change nothing.`,
      ]
    : [];
  return [...why, ...pinned, `    return { ...${identifier(near.id)}.readConfig(c), family: ID };`];
}

/**
 * @param config config.json of an unknown family
 * @returns the text of a file for src/families, which runs models whose config has exactly these values
 */
export function draftFamily(config: Json): string {
  if (config === null || typeof config !== 'object' || Array.isArray(config)) {
    throw new InvalidCheckpoint('config', 'config.json must be an object', { path: 'config.json' });
  }
  const modelType = typeof config.model_type === 'string' ? config.model_type.slice(0, 80) : 'unnamed';
  const listed = Array.isArray(config.architectures) ? config.architectures : [];
  const architectures = listed.filter((a) => typeof a === 'string').slice(0, 8);
  const { family, unknownKeys } = nearestFamily(FAMILIES, config, modelType);
  const id = modelType.toLowerCase().replace(/[^a-z0-9]+/g, '-');
  const near = identifier(family.id);
  const readable =
    unknownKeys === null ? [`// ${family.id} does not read this config either: only its name is alike.`] : [];
  return [
    `/** Draft of ${id}: ${family.id} with what is new pinned. Its tensors are taken to be called alike. */`,
    ...readable,
    `import type { Family } from './family.ts';`,
    `import { ${near} } from './${family.id}.ts';`,
    ``,
    `const ID = ${quoted(id)};`,
    ``,
    `export const ${identifier(modelType)}: Family = {`,
    `  id: ID,`,
    `  modelTypes: [${quoted(modelType)}],`,
    `  architectures: [${architectures.map(quoted).join(', ')}],`,
    ``,
    `  readConfig(c) {`,
    ...body(family, unknownKeys ?? [], config),
    `  },`,
    ``,
    `  names: (config) => ${near}.names(config),`,
    `};`,
    ``,
  ].join('\n');
}
