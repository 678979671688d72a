import { judge } from './judge.ts';

judge('build', 'image', 'session', 'system', 'volume');
