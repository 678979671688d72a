import { runSecuritySuite } from './security-suite.ts';

runSecuritySuite('crun');
