/** Where an expert can be, from far to near; what tells of all experts at once names a place by its index. */
export const PLACES = ['not kept', 'on disk', 'in memory', 'loading', 'on the card'] as const;

export type Place = (typeof PLACES)[number];
