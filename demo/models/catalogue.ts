/**
 * Open models that webmoe runs and that have a tokenizer.json, smallest first. Names and licences are those of their pages on the Hub; every figure is
 * computed from the published config by the engine's own plan (`npx vitest run --project unit test/unit/demo/catalogue.test.ts` prints what differs).
 */
import type { Plan } from '../../src/index.ts';

export interface CatalogueFigures {
  readonly totalParameters: number;
  /** Those that one token meets, the embedding included. */
  readonly activeParameters: number;
  /** Of the layers that have experts. */
  readonly shape: { readonly layers: number; readonly experts: number; readonly topK: number };
  /** Of the weights, as published. */
  readonly downloadBytes: number;
  /** Graphics memory with every expert on the card, conversation of `plan.contextLength` included. */
  readonly allOnCard: Readonly<Record<Plan['precision'], number>>;
  /** What a load would choose with the default graphics memory; where that is too little, the least that it takes. */
  readonly plan: {
    readonly precision: Plan['precision'];
    readonly verdict: Plan['verdict'];
    readonly contextLength: number;
    readonly budgetBytes: number;
    /** `rest`: activations, tables and what experts pass through. The four add up to what the plan takes. */
    readonly weights: number;
    readonly experts: number;
    readonly kv: number;
    readonly rest: number;
    /** Experts on the card at a time. */
    readonly slots: number;
    /** On a middling card (docs/experts.md), to two digits. */
    readonly tokensPerSecond: number;
  };
}

export interface CatalogueEntry {
  /** On the Hub. */
  readonly id: string;
  readonly name: string;
  readonly licence: string;
  /** The config in test/unit/config/published that it is computed from; a chat model has its base model's. */
  readonly config: string;
  readonly figures: CatalogueFigures;
}

export const CATALOGUE: readonly CatalogueEntry[] = [
  { id: 'allenai/OLMoE-1B-7B-0924-Instruct', name: 'OLMoE 1B-7B Instruct', licence: 'Apache-2.0', config: 'olmoe-1b-7b-0924-instruct', figures: { totalParameters: 6_919_161_856, activeParameters: 1_282_017_280, shape: { layers: 16, experts: 64, topK: 8 }, downloadBytes: 13_838_057_472, allOnCard: { 'as-is': 14_963_084_440, q8: 8_478_461_080, q4: 5_123_017_880 }, plan: { precision: 'q4', verdict: 'fits', contextLength: 4096, budgetBytes: 6_442_450_944, weights: 374_644_736, experts: 3_623_878_656, kv: 1_073_741_824, rest: 50_752_664, slots: 1024, tokensPerSecond: 190 } } },
  { id: 'Qwen/Qwen1.5-MoE-A2.7B-Chat', name: 'Qwen1.5 MoE A2.7B Chat', licence: 'Tongyi Qianwen licence', config: 'qwen1.5-moe-a2.7b', figures: { totalParameters: 14_315_784_192, activeParameters: 2_689_173_504, shape: { layers: 24, experts: 60, topK: 4 }, downloadBytes: 28_630_974_464, allOnCard: { 'as-is': 30_300_220_632, q8: 16_882_216_152, q4: 10_037_112_024 }, plan: { precision: 'q4', verdict: 'streams', contextLength: 4096, budgetBytes: 6_442_450_944, weights: 1_361_944_576, experts: 3_386_769_408, kv: 1_610_612_736, rest: 81_104_168, slots: 696, tokensPerSecond: 27 } } },
  { id: 'deepseek-ai/DeepSeek-V2-Lite-Chat', name: 'DeepSeek V2 Lite Chat', licence: 'DeepSeek licence', config: 'deepseek-v2-lite', figures: { totalParameters: 15_706_484_224, activeParameters: 2_661_150_208, shape: { layers: 26, experts: 64, topK: 6 }, downloadBytes: 31_412_715_520, allOnCard: { 'as-is': 31_755_434_504, q8: 17_033_918_984, q4: 9_392_159_240 }, plan: { precision: 'q4', verdict: 'streams', contextLength: 4096, budgetBytes: 6_442_450_944, weights: 952_842_240, experts: 5_119_082_496, kv: 254_803_968, rest: 111_067_736, slots: 1052, tokensPerSecond: 23 } } },
  { id: 'openai/gpt-oss-20b', name: 'gpt-oss 20B', licence: 'Apache-2.0', config: 'gpt-oss-20b', figures: { totalParameters: 20_914_757_184, activeParameters: 4_187_440_704, shape: { layers: 24, experts: 32, topK: 4 }, downloadBytes: 13_747_322_880, allOnCard: { 'as-is': 14_254_138_200, q8: 12_571_066_200, q4: 12_252_561_240 }, plan: { precision: 'q4', verdict: 'streams', contextLength: 4096, budgetBytes: 6_442_450_944, weights: 1_594_745_088, experts: 4_326_359_040, kv: 402_653_184, rest: 116_088_408, slots: 326, tokensPerSecond: 6.7 } } },
  { id: 'Qwen/Qwen3-30B-A3B-Instruct-2507', name: 'Qwen3 30B-A3B Instruct 2507', licence: 'Apache-2.0', config: 'qwen3-30b-a3b-instruct-2507', figures: { totalParameters: 30_532_122_624, activeParameters: 3_353_032_704, shape: { layers: 48, experts: 128, topK: 8 }, downloadBytes: 61_063_823_360, allOnCard: { 'as-is': 61_928_885_496, q8: 33_317_014_776, q4: 18_368_515_320 }, plan: { precision: 'q4', verdict: 'streams', contextLength: 4096, budgetBytes: 6_442_450_944, weights: 1_196_843_008, experts: 4_366_172_160, kv: 805_306_368, rest: 73_723_208, slots: 1645, tokensPerSecond: 7.4 } } },
  { id: 'mistralai/Mixtral-8x7B-Instruct-v0.1', name: 'Mixtral 8x7B Instruct v0.1', licence: 'Apache-2.0', config: 'mixtral-8x7b-instruct-v0.1', figures: { totalParameters: 46_702_792_704, activeParameters: 12_879_925_248, shape: { layers: 32, experts: 8, topK: 2 }, downloadBytes: 93_405_052_928, allOnCard: { 'as-is': 94_557_440_920, q8: 50_774_805_400, q4: 27_555_138_456 }, plan: { precision: 'q4', verdict: 'streams', contextLength: 4096, budgetBytes: 6_442_450_944, weights: 1_036_664_832, experts: 3_765_436_416, kv: 1_073_741_824, rest: 478_137_320, slots: 38, tokensPerSecond: 0.43 } } },
  { id: 'Qwen/Qwen2-57B-A14B-Instruct', name: 'Qwen2 57B-A14B Instruct', licence: 'Apache-2.0', config: 'qwen2-57b-a14b', figures: { totalParameters: 57_408_658_944, activeParameters: 14_249_270_784, shape: { layers: 28, experts: 64, topK: 8 }, downloadBytes: 114_816_450_560, allOnCard: { 'as-is': 115_423_518_264, q8: 61_609_328_184, q4: 33_452_965_432 }, plan: { precision: 'q4', verdict: 'streams', contextLength: 4096, budgetBytes: 6_442_450_944, weights: 5_102_311_424, experts: 665_763_840, kv: 469_762_048, rest: 201_696_904, slots: 43, tokensPerSecond: 0.6 } } },
  { id: 'zai-org/GLM-4.5-Air', name: 'GLM-4.5 Air', licence: 'MIT', config: 'glm-4.5-air', figures: { totalParameters: 106_852_251_264, activeParameters: 13_424_129_664, shape: { layers: 45, experts: 128, topK: 8 }, downloadBytes: 213_702_410_240, allOnCard: { 'as-is': 215_390_216_136, q8: 115_239_329_736, q4: 62_446_280_648 }, plan: { precision: 'q4', verdict: 'does-not-fit', contextLength: 4096, budgetBytes: 6_442_450_944, weights: 4_705_786_368, experts: 87_588_864, kv: 1_543_503_872, rest: 183_240_216, slots: 9, tokensPerSecond: 0.55 } } },
];
