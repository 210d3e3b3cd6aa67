/** The only list of families. */
import type { Json } from '../config/read.ts';
import { textConfig } from '../config/text-config.ts';
import { InvalidCheckpoint, UnsupportedModel } from '../errors.ts';
import { afmoe } from './afmoe.ts';
import { arctic } from './arctic.ts';
import { bailingMoe } from './bailing-moe.ts';
import { dbrx } from './dbrx.ts';
import { deepseekV1 } from './deepseek-v1.ts';
import { deepseekV2 } from './deepseek-v2.ts';
import { deepseekV3 } from './deepseek-v3.ts';

import { dots1 } from './dots1.ts';
import { ernie45Moe } from './ernie4-5-moe.ts';
import type { Family } from './family.ts';
import { exaoneMoe } from './exaone-moe.ts';
import { gemma } from './gemma.ts';
import { gemma4 } from './gemma4.ts';
import { glm4MoeLite } from './glm4-moe-lite.ts';
import { glm4Moe } from './glm4-moe.ts';
import { gptOss } from './gpt-oss.ts';
import { graniteMoe } from './granitemoe.ts';
import { graniteMoeSwa } from './granitemoe-swa.ts';
import { graniteMoeHybrid } from './granitemoehybrid.ts';
import { hunyuanV1Moe } from './hunyuan-v1-moe.ts';
import { jamba } from './jamba.ts';
import { jetmoe } from './jetmoe.ts';
import { laguna } from './laguna.ts';
import { lfm2Moe } from './lfm2-moe.ts';
import { llama } from './llama.ts';
import { llama4 } from './llama4.ts';
import { m2m100 } from './m2m-100.ts';
import { mellum } from './mellum.ts';
import { minimaxM2 } from './minimax-m2.ts';
import { mixtral } from './mixtral.ts';
import { nearestFamily } from './nearest.ts';
import { nemotronH } from './nemotron-h.ts';
import { nllbMoe } from './nllb-moe.ts';
import { nomicBert } from './nomic-bert.ts';
import { olmo2 } from './olmo2.ts';
import { olmoe } from './olmoe.ts';
import { openmoe } from './openmoe.ts';
import { phimoe } from './phimoe.ts';
import { privacyFilter } from './privacy-filter.ts';
import { qwen2Moe } from './qwen2-moe.ts';
import { qwen3Moe } from './qwen3-moe.ts';
import { qwen35Moe } from './qwen3-5-moe.ts';
import { qwen3Next } from './qwen3-next.ts';
import { skywork } from './skywork.ts';
import { smallThinker } from './smallthinker.ts';
import { switchTransformers } from './switch.ts';
import { yuan } from './yuan.ts';
import { zaya } from './zaya.ts';

export const FAMILIES: readonly Family[] = [
  mixtral,
  olmoe,
  qwen2Moe,
  qwen3Moe,
  glm4Moe,
  deepseekV2,
  deepseekV3,
  gptOss,
  graniteMoe,
  ernie45Moe,
  hunyuanV1Moe,
  phimoe,
  dbrx,
  jetmoe,
  deepseekV1,
  glm4MoeLite,
  dots1,
  bailingMoe,
  minimaxM2,
  mellum,
  afmoe,
  llama,
  gemma,
  lfm2Moe,
  jamba,
  graniteMoeHybrid,
  qwen3Next,
  qwen35Moe,
  graniteMoeSwa,
  exaoneMoe,
  gemma4,
  llama4,
  smallThinker,
  nemotronH,
  olmo2,
  laguna,
  arctic,
  yuan,
  skywork,
  zaya,
  switchTransformers,
  openmoe,
  m2m100,
  nllbMoe,
  nomicBert,
  privacyFilter,
];

type Config = Readonly<Record<string, Json>>;

/** What was found, and how far the nearest family is from it. */
function unknown(config: Config, { modelType, architectures }: Claim, why: string): UnsupportedModel {
  const supported = FAMILIES.flatMap((f) => f.modelTypes);
  const near = nearestFamily(FAMILIES, config, modelType ?? architectures[0] ?? '');
  const { unknownKeys } = near;
  const keys = unknownKeys?.slice(0, 12).map((key) => key.slice(0, 60));
  const more = unknownKeys && unknownKeys.length > 12 ? ` and ${unknownKeys.length - 12} more` : '';
  const nearest = keys
    ? `Nearest: ${near.modelType}, which ${keys.length ? `does not know ${keys.join(', ')}${more}` : 'knows every key'}`
    : `Nearest by name: ${near.modelType}`;
  return new UnsupportedModel(`config.json: ${why}. Supported: ${supported.join(', ')}. ${nearest}`, {
    path: 'config.json',
    modelType,
    architectures,
    supported,
    nearest: near.modelType,
    unknownKeys: unknownKeys?.slice(0, 100) ?? null,
  });
}

interface Claim {
  readonly modelType: string | null;
  readonly architectures: readonly string[];
}

const isObject = (value: Json | undefined): value is Config =>
  value !== null && typeof value === 'object' && !Array.isArray(value);

/** A language model's own config, and whether it was found inside that of a model for several media. */
export interface Found {
  readonly family: Family;
  readonly config: Json;
  readonly isNested: boolean;
}

/**
 * The family of the language model, which may be the `text_config` of a model that also sees or hears.
 * @throws as `findFamily`
 */
export function findModel(config: Json): Found {
  const outer = isObject(config) ? config : null;
  const inner = outer?.text_config ?? null;
  if (!outer || inner === null) return { family: findFamily(config), config, isNested: false };
  const family = FAMILIES.find((f) => f.around?.includes(String(outer.model_type)));
  const claim = { modelType: String(outer.model_type).slice(0, 80), architectures: [] };
  if (!family) throw unknown(outer, claim, `the text_config of model_type "${claim.modelType}" is not supported`);
  return { family, config: textConfig(outer, inner), isNested: true };
}

/**
 * By `model_type`, then by `architectures`. Both must fit: a file of a known type with another head (a classifier, a reward model) is not
 * a model that generates.
 * @throws UnsupportedModel naming what was found, what is supported and what is nearest; InvalidCheckpoint when it is no config at all
 */
function findFamily(config: Json): Family {
  if (!isObject(config)) {
    throw new InvalidCheckpoint('config', 'config.json must be an object', { path: 'config.json' });
  }
  const { model_type: type = null, architectures: listed = null } = config;
  const modelType = typeof type === 'string' ? type.slice(0, 80) : null;
  const architectures = Array.isArray(listed) ? listed.filter((a) => typeof a === 'string').slice(0, 8) : [];
  const claim = { modelType, architectures };
  const claims = (family: Family): boolean => architectures.some((a) => family.architectures.includes(a));
  if (modelType === null) {
    const family = FAMILIES.find(claims);
    if (family) return family;
    throw unknown(config, claim, `no model_type, and architectures [${architectures.join(', ')}] are not known`);
  }
  const family =
    FAMILIES.find((f) => f.borrowedTypes?.includes(modelType) && claims(f)) ??
    FAMILIES.find((f) => f.modelTypes.includes(modelType));
  if (!family) {
    const also = architectures.length ? ` (architectures: ${architectures.join(', ')})` : '';
    throw unknown(config, claim, `model_type "${modelType}"${also} is not supported`);
  }
  if (architectures.length && !claims(family)) {
    const why = `architecture ${architectures.join(', ')} is not supported (only ${family.architectures.join(', ')})`;
    throw unknown(config, claim, why);
  }
  return family;
}
