/** How much is recorded of a request. */
export type AuditLevel = 'None' | 'Metadata' | 'Request' | 'RequestResponse';

/** `audit.k8s.io/v1` Event, as far as the server fills it in. */
export interface AuditRecord {
  auditID: string;
  level: Exclude<AuditLevel, 'None'>;
  stage: 'RequestReceived' | 'ResponseStarted' | 'ResponseComplete' | 'Panic';
  requestURI: string;
  verb: string;
  user: { username: string; uid?: string; groups?: string[]; extra?: Record<string, string[]> };
  impersonatedUser?: AuditRecord['user'];
  sourceIPs: string[];
  userAgent?: string;
  objectRef?: {
    apiGroup?: string;
    apiVersion?: string;
    resource?: string;
    subresource?: string;
    namespace?: string;
    name?: string;
    uid?: string;
    resourceVersion?: string;
  };
  responseStatus?: { code: number; reason?: string; message?: string };
  requestObject?: unknown;
  responseObject?: unknown;
  /** `metav1.MicroTime`. */
  requestReceivedTimestamp: string;
  stageTimestamp: string;
  annotations?: Record<string, string>;
}

/** Takes records; keeps order, drops none that it accepted, and never makes a request wait. */
export interface AuditSink extends AsyncDisposable {
  write(record: AuditRecord): void;
}

/** Decides how much is recorded, before anything else is known of a request than its line and who asks. */
export type AuditPolicy = (request: { verb: string; user: string; groups: string[]; requestURI: string }) => AuditLevel;

/** Records nothing. */
export const auditNothing: { policy: AuditPolicy; sink: AuditSink } = {
  policy: () => 'None',
  sink: { write() {}, async [Symbol.asyncDispose]() {} },
};
