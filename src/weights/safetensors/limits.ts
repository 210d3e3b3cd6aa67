/** What a file may ask of us. Published files stay far below; beyond these a file is refused before anything is allocated for it. */
export const MAX_HEADER_BYTES = 100_000_000;
/** What is read unless the caller allows more, up to MAX_HEADER_BYTES. */
export const DEFAULT_HEADER_BYTES = 32 * 2 ** 20;
export const MAX_TENSORS = 300_000;
export const MAX_RANK = 8;
export const MAX_DIMENSION = 2 ** 32;
export const MAX_NAME_BYTES = 1024;
export const MAX_METADATA_ENTRIES = 1000;
export const MAX_METADATA_BYTES = 2 ** 20;
/** An entry is an object in the header's object, with lists inside: deeper nesting has no meaning. */
export const MAX_HEADER_DEPTH = 3;

export const MAX_INDEX_BYTES = 250_000_000;
export const MAX_INDEX_ENTRIES = 1_000_000;
export const MAX_INDEX_DEPTH = 64;
export const MAX_SHARDS = 10_000;
export const MAX_FILE_NAME = 1024;
