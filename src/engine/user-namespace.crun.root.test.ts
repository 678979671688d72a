import { runUserNamespaceSuite } from './user-namespace-suite.ts';

runUserNamespaceSuite('crun');
