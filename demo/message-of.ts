/** The words of anything that can be thrown; `errorSentence` is for what visitors read. */
export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
