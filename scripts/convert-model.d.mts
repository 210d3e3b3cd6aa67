export const FORM_NAMES: readonly string[];

export function convertModel(options: { readonly model: string; readonly to: string; readonly out: string }): void;
