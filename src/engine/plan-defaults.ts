/** What a plan assumes of options that are absent. Alone in a file: the public entry exports them, and must not bring the planner into an app's first download. */
export const DEFAULT_CONTEXT = 4096;
export const DEFAULT_CHUNK = 256;
export const DEFAULT_GPU_BYTES = 6 * 2 ** 30;
