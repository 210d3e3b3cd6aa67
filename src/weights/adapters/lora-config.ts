/** adapter_config.json of PEFT, for LoRA: what changes numbers is read or refused by name. */
import { ConfigReader, type Json } from '../../config/read.ts';
import { compilePattern, PatternError } from '../formats/target-pattern.ts';
import { UnsupportedModel } from '../../errors.ts';

export interface LoraConfig {
  /** What B A is multiplied with, for a module whose A has `rank` rows. */
  scaleOf(module: string, rank: number): number;
}

/** How it was trained, and what it was trained on: the tensors say what there is. */
const HISTORY =
  `base_model_name_or_path revision task_type inference_mode lora_dropout target_modules layers_to_transform layers_pattern
  loftq_config megatron_config megatron_core eva_config corda_config auto_mapping peft_version exclude_modules qalora_group_size runtime_config
  arrow_config ensure_weight_tying rank_pattern r lora_ga_config`.split(/\s+/);

interface Alpha {
  readonly matches: (module: string) => boolean;
  readonly value: number;
}

function readAlphas(c: ConfigReader): Alpha[] {
  const section = c.section('alpha_pattern');
  return (section?.keys() ?? []).map((key) => {
    const value = section!.number(key);
    try {
      return { matches: compilePattern(`^(.*\\.)?(${key})$`), value };
    } catch (cause) {
      if (!(cause instanceof PatternError)) throw cause;
      throw new UnsupportedModel(
        `${section!.path}: the pattern ${JSON.stringify(key.slice(0, 80))} ${cause.message}`,
        {},
        { cause },
      );
    }
  });
}

/** @throws UnsupportedModel, InvalidCheckpoint */
export function readLoraConfig(json: Json, path: string): LoraConfig {
  const c = new ConfigReader(json, path);
  c.only('peft_type', 'LORA');
  c.only('bias', 'none');
  for (const key of ['use_dora', 'fan_in_fan_out', 'lora_bias', 'use_qalora', 'use_bdlora']) c.only(key, false);
  for (const key of ['modules_to_save', 'target_parameters', 'layer_replication', 'trainable_token_indices'])
    c.only(key, []);
  c.only('alora_invocation_tokens');
  // The others (pissa, olora, corda) take something away from the base, which the adapter then adds.
  c.only('init_lora_weights', true, false, 'gaussian', 'eva', 'orthogonal');
  c.irrelevant(...HISTORY);
  const alpha = c.number('lora_alpha');
  const isStable = c.boolean('use_rslora', false);
  const alphas = readAlphas(c);
  c.finish();
  return {
    scaleOf(module, rank) {
      const own = alphas.find((a) => a.matches(module))?.value ?? alpha;
      return own / (isStable ? Math.sqrt(rank) : rank);
    },
  };
}
