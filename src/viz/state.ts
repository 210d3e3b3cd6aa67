/** Values of a view's controls: plain, so that a link can hold them. */
export type State = Readonly<Record<string, string | number | boolean>>;
