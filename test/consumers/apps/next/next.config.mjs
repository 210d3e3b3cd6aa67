export default {
  output: 'export',
  images: { unoptimized: true },
  turbopack: { root: new URL('../..', import.meta.url).pathname.replace(/\/$/, '') },
};
