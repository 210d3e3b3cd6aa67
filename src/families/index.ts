/** The only list of families. */
import type { Json } from '../config/read.ts';
import { InvalidCheckpoint, UnsupportedModel } from '../errors.ts';
import { bailingMoe } from './bailing-moe.ts';
import { dbrx } from './dbrx.ts';
import { deepseekV1 } from './deepseek-v1.ts';
import { deepseekV2 } from './deepseek-v2.ts';
import { deepseekV3 } from './deepseek-v3.ts';

import { dots1 } from './dots1.ts';
import { ernie45Moe } from './ernie4-5-moe.ts';
import type { Family } from './family.ts';
import { glm4MoeLite } from './glm4-moe-lite.ts';
import { glm4Moe } from './glm4-moe.ts';
import { gptOss } from './gpt-oss.ts';
import { graniteMoe } from './granitemoe.ts';
import { graniteMoeHybrid } from './granitemoehybrid.ts';
import { hunyuanV1Moe } from './hunyuan-v1-moe.ts';
import { jamba } from './jamba.ts';
import { lfm2Moe } from './lfm2-moe.ts';
import { llama } from './llama.ts';
import { mellum } from './mellum.ts';
import { minimaxM2 } from './minimax-m2.ts';
import { mixtral } from './mixtral.ts';
import { olmoe } from './olmoe.ts';
import { phimoe } from './phimoe.ts';
import { qwen2Moe } from './qwen2-moe.ts';
import { qwen3Moe } from './qwen3-moe.ts';
import { qwen3Next } from './qwen3-next.ts';

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
  deepseekV1,
  glm4MoeLite,
  dots1,
  bailingMoe,
  minimaxM2,
  mellum,
  llama,
  lfm2Moe,
  jamba,
  graniteMoeHybrid,
  qwen3Next,
];

/** Levenshtein distance. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const replace = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(replace, row[j]! + 1, next[j - 1]! + 1));
    }
    row = next;
  }
  return row[b.length]!;
}

/** The known model type that is spelt most like `wanted`; ties go to the earlier one of the list. */
function nearest(wanted: string): string {
  const known = FAMILIES.flatMap((f) => f.modelTypes);
  const short = wanted.slice(0, 64).toLowerCase();
  return known.reduce((best, type) => (editDistance(short, type) < editDistance(short, best) ? type : best));
}

function unknown(modelType: string | null, architectures: readonly string[], why: string): UnsupportedModel {
  const supported = FAMILIES.flatMap((f) => f.modelTypes);
  const close = nearest(modelType ?? architectures[0] ?? '');
  return new UnsupportedModel(`config.json: ${why}. Supported: ${supported.join(', ')}. Nearest by name: ${close}`, {
    path: 'config.json',
    modelType,
    architectures,
    supported,
    nearest: close,
  });
}

/**
 * By `model_type`, then by `architectures`. Both must fit: a file of a known type with another head (a classifier, a reward model) is not
 * a model that generates.
 * @throws UnsupportedModel naming what was found, what is supported and what is nearest; InvalidCheckpoint when it is no config at all
 */
export function findFamily(config: Json): Family {
  if (config === null || typeof config !== 'object' || Array.isArray(config)) {
    throw new InvalidCheckpoint('config', 'config.json must be an object', { path: 'config.json' });
  }
  const { model_type: type = null, architectures: listed = null, text_config: nested } = config;
  const modelType = typeof type === 'string' ? type.slice(0, 80) : null;
  const architectures = Array.isArray(listed) ? listed.filter((a) => typeof a === 'string').slice(0, 8) : [];
  if (nested !== undefined && nested !== null) {
    throw unknown(modelType, architectures, 'the language model is nested under text_config, which is not read');
  }
  const claims = (family: Family): boolean => architectures.some((a) => family.architectures.includes(a));
  if (modelType === null) {
    const family = FAMILIES.find(claims);
    if (family) return family;
    throw unknown(null, architectures, `no model_type, and architectures [${architectures.join(', ')}] are not known`);
  }
  const family = FAMILIES.find((f) => f.modelTypes.includes(modelType));
  if (!family) {
    const also = architectures.length ? ` (architectures: ${architectures.join(', ')})` : '';
    throw unknown(modelType, architectures, `model_type "${modelType}"${also} is not supported`);
  }
  if (architectures.length && !claims(family)) {
    const why = `architecture ${architectures.join(', ')} is not supported (only ${family.architectures.join(', ')})`;
    throw unknown(modelType, architectures, why);
  }
  return family;
}
