import { interPodAffinity, interPodAffinityScore } from './inter-pod-affinity.ts';
import { nodeAffinity, nodeName, nodePorts, nodeUnschedulable, taintToleration } from './node-filters.ts';
import { imageLocality, nodeAffinityScore, taintTolerationScore } from './node-scores.ts';
import type { Filter, Plugins } from './plugin.ts';
import { balancedAllocation, type FitStrategy, resourcesFit, resourcesFitScore } from './resources-fit.ts';
import { DEFAULT_CONSTRAINTS, type OwnSelector, topologySpread, topologySpreadScore } from './topology-spread.ts';

export interface PluginOptions {
  /** What looks at the pod's claims. */
  volumes?: readonly Filter[];
  ownSelector?: OwnSelector;
  fit?: FitStrategy;
  /** Soft spreading of pods without constraints; default: over hosts and zones. */
  defaultConstraints?: typeof DEFAULT_CONSTRAINTS;
}

/** Upstream's filters and scores, in its order and with its weights. */
export function createPlugins({ volumes = [], ownSelector, fit, defaultConstraints = DEFAULT_CONSTRAINTS }: PluginOptions = {}): Plugins {
  return {
    filters: [
      nodeUnschedulable,
      nodeName,
      taintToleration,
      nodeAffinity,
      nodePorts,
      resourcesFit,
      ...volumes,
      topologySpread,
      interPodAffinity,
    ],
    scores: [
      taintTolerationScore,
      nodeAffinityScore,
      topologySpreadScore(ownSelector, defaultConstraints),
      interPodAffinityScore,
      resourcesFitScore(fit),
      balancedAllocation,
      imageLocality,
    ],
  };
}
