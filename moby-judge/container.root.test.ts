import { judge } from './judge.ts';

judge('container');
