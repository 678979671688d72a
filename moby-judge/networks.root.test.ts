import { judge } from './judge.ts';

judge('network', 'network/bridge', 'network/ipvlan', 'network/macvlan', 'networking');
