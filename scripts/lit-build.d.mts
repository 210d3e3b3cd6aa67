import type { Plugin } from 'rolldown';

export const litWithoutDom: Plugin;
export const minifiedTemplates: Plugin;
/** @param program the syntax tree of `code`, in ESTree's shape */
export function minifyTemplates(code: string, program: object): string;
