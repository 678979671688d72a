import { defineController } from '#client/index.ts';
import { CronJob } from '#kinds/cron-job.ts';
import { Job } from '#kinds/job.ts';

/** Starts a CronJob's Jobs when they are due. What it does is loaded with the first CronJob. */
export const cronJobController = defineController<CronJob>({
  name: 'cronjob-controller',
  watches: CronJob,
  owns: [Job],
  reconcile: async (key, context) => (await import('./cron-job-reconcile.ts')).reconcileCronJob(key, context),
});
