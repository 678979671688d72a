import { UmiakError } from '#base/errors.ts';
import type { Served } from '../resources.ts';
import type { AdmissionPlugin } from '../write.ts';

/** Nothing is created of a kind whose definition is being deleted. */
export function customResourceAdmission(isTerminating: (served: Served) => boolean): AdmissionPlugin {
  return {
    name: 'CustomResourceLifecycle',
    mutate({ operation, served }) {
      if (operation === 'CREATE' && isTerminating(served))
        throw new UmiakError('MethodNotAllowed', 'create not allowed while custom resource definition is terminating');
    },
  };
}
