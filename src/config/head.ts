import type { ModelConfig } from './model-config.ts';

/** Rows of the head: the vocabulary's, or one for each label. */
export const headRows = ({ head, vocab }: Pick<ModelConfig, 'head' | 'vocab'>): number => head.labels?.length ?? vocab;
