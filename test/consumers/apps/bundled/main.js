import { start } from '../shared/app.js';

void start();
