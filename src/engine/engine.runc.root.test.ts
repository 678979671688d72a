import { runEngineSuite } from './engine-suite.ts';

runEngineSuite('runc');
