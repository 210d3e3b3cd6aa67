/** What a GGUF file may ask of us before a tensor is read. Published files stay far below. */

/** Metadata with its vocabulary, and the table of tensors: a vocabulary of 262,144 tokens takes some 20 MB. */
export const MAX_HEADER_BYTES = 128 * 2 ** 20;
export const MAX_ENTRIES = 4096;
/** Of all lists together: tokens, their scores and types, merges. */
export const MAX_ELEMENTS = 2 ** 23;
export const MAX_KEY_BYTES = 1024;
export const MAX_RANK = 4;
export const MAX_ALIGNMENT = 2 ** 20;
export const MAX_SPLITS = 1000;
