/** The fixture models by name: what the tests of models run over, and what docs/models.md lists. */

/** Whose mechanisms the sweeps below have not met in another one of the list: a sweep runs a model many times. */
const SWEPT_FAMILIES = [
  'mixtral',
  'mixtral-sliding',
  'olmoe',
  'olmoe-clip',
  'qwen2-moe',
  'qwen3-moe',
  'glm4-moe',
  'deepseek-v2',
  'deepseek-v3',
  'gpt-oss',
  'granitemoeshared',
  'phimoe',
  'llama4',
  'nemotron-h-latent',
  'arctic',
  'openmoe',
  'zaya',
];
const OTHER_FAMILIES = [
  'granitemoe',
  'ernie4-5-moe',
  'hunyuan-v1-moe',
  'dbrx',
  'jetmoe',
  'jamba',
  'lfm2-moe',
  'gemma2',
  'gemma4',
  'qwen3-5-moe',
  'phimoe-longrope',
  'flex-olmo',
  'olmo3',
  'laguna',
  'nemotron-h',
  'yuan',
  'skywork-two-maps',
];
/** Of no part that the engine has not met in another one: they hold the pass in doubles, which the engine is held to. */
const DOUBLES_FAMILIES = [
  'afmoe',
  'dots1',
  'exaone-moe',
  'gemma3',
  'glm4-moe-lite',
  'granitemoe-swa',
  'granitemoehybrid',
  'mellum',
  'minimax-m2',
  'olmo2',
  'qwen3-next',
  'skywork',
];
const SWEPT_FORMATS = ['qwen3-moe-ct-int4', 'gpt-oss-mxfp4'];

const folders = (families: readonly string[], formats: readonly string[]): string[] => [
  ...families.map((f) => `families/${f}`),
  ...formats.map((f) => `formats/${f}`),
];

/** Every fixture, as a folder below test/fixtures. */
export const FIXTURES: readonly string[] = folders([...SWEPT_FAMILIES, ...OTHER_FAMILIES], SWEPT_FORMATS);
/** Of FIXTURES, those without experts. */
export const DENSE: readonly string[] = folders(['gemma2', 'olmo3'], []);
/** Those with an encoder, which have tests of their own: test/model/encoder-decoder.long.test.ts. */
export const ENCODER_DECODERS: readonly string[] = folders(['switch', 'nllb-moe', 'm2m-100'], []);
/** Of those, the ones with experts. */
export const SPARSE_ENCODER_DECODERS: readonly string[] = folders(['switch', 'nllb-moe'], []);
/** Encoders alone: test/model/encoders.long.test.ts. */
export const ENCODERS: readonly string[] = folders(['nomic-bert', 'privacy-filter'], []);
/** Fixtures that only the pass in doubles is compared with: test/unit/reference/model.long.test.ts. */
export const DOUBLES_FIXTURES: readonly string[] = folders(DOUBLES_FAMILIES, []);
/** Those that are also run in chunks, with few experts on the GPU, and planned to the byte. */
export const SWEPT: readonly string[] = folders(SWEPT_FAMILIES, SWEPT_FORMATS);

/** Further published forms of weights that come to lie as those of FIXTURES do, but for FP8. */
export const MORE_FORMATS: readonly string[] = [
  'formats/mixtral-ct-fp8',
  'formats/qwen3-moe-fp8-block',
  'formats/qwen3-moe-gptq',
  'formats/mixtral-gptq-actorder',
  'formats/olmoe-awq',
];

export const fixturePath = (fixture: string): string => `test/fixtures/${fixture}`;
