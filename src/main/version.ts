/** The program's own version; the API's is Kubernetes 1.36. */
export const VERSION = '0.1.0';
