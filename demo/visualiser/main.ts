import { RoutingPage } from './page.ts';

const root = document.getElementById('app');
if (root) void new RoutingPage(root).start();
