/** Whether the browser knows that there is no network. When it knows of one, a server may be away all the same; Node never says. */
export const isOffline = (): boolean =>
  (globalThis as { navigator?: { onLine?: boolean } }).navigator?.onLine === false;
