import { fromSource } from './modules.mjs';
const { main } = await fromSource('zz-quality', ['cli/main.ts']);
console.error('bundled');
for (const kv of ['int8', 'f16']) {
  console.error(kv);
  await main(['quality', '--model', 'models/smolmoe-135m-instruct', '--text', 'CONTRIBUTING.md', '--tokens', '129', '--window', '129', '--context-length', '160', '--against-kv', kv]);
}
process.exit(0);
