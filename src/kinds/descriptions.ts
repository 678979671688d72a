/**
 * What `kubectl explain` says of the fields that people use most: a type (without `io.k8s.` and the package's path) and what it is,
 * then its fields, indented. Of a closed choice the values follow in brackets.
 */
export const DESCRIPTIONS = `
meta.v1.ObjectMeta: What every object bears: its name, its labels, who owns it, and what the server notes about it.
  name: The object's name, unique within its kind and namespace. It can't be changed.
  generateName: The beginning of a name that the server completes with random letters when no name is given.
  namespace: The namespace that the object lives in. It can't be changed.
  labels: Keys and values by which selectors find the object.
  annotations: Keys and values for tools and people; nothing selects by them.
  uid: The server's name for this very object, never given twice.
  resourceVersion: Changes with every write; sent back with an update, it refuses to overwrite what others wrote meanwhile.
  generation: Counts the changes of what is wanted (the spec).
  creationTimestamp: CreationTimestamp is a timestamp: when the server made the object.
  deletionTimestamp: When the object is to be gone; set by the server once its deletion was asked for.
  deletionGracePeriodSeconds: How many seconds the object has to end properly.
  finalizers: Words that each hold back the object's removal until whoever set it takes it away.
  ownerReferences: Objects that this one belongs to; when the last of them goes, it goes too.
  managedFields: Who set which fields, for server-side apply.
  selfLink: Not used any more.
meta.v1.OwnerReference: Names an object that another one belongs to.
  apiVersion: The owner's API version.
  kind: The owner's kind.
  name: The owner's name.
  uid: The owner's uid.
  controller: True for the one owner that manages the object.
  blockOwnerDeletion: Whether a foreground deletion of the owner waits for this object.
meta.v1.LabelSelector: Chooses objects by their labels; all conditions have to hold, and none chooses everything.
  matchLabels: Labels that an object must have with exactly these values.
  matchExpressions: Conditions on labels.
meta.v1.LabelSelectorRequirement: A condition on one label.
  key: The label's key.
  operator: How the label relates to the values: In, NotIn, Exists or DoesNotExist.
  values: The values for In and NotIn.
meta.v1.Condition: One aspect of an object's state.
  type: The aspect's name.
  status: Whether it holds: True, False or Unknown.
  reason: A word for programs that tells why.
  message: A sentence for people that tells why.
  lastTransitionTime: When the status changed last.
  observedGeneration: The generation that the condition is about.
meta.v1.Status: What the server answers when it has no object to show: success, or what went wrong.
  status: Success or Failure.
  message: What happened, for people.
  reason: What happened, for programs.
  code: The HTTP status code.
core.v1.Pod: A group of containers that run together on one node and share its network address and volumes.
  metadata: The object's name, labels and the like.
  spec: What is to run, and how.
  status: What the node last said of it.
core.v1.PodSpec: What runs in a pod, and how.
  containers: The pod's containers; at least one.
  initContainers: Containers that run one after another, each to its end, before the others start.
  ephemeralContainers: Containers added to a running pod to look into it.
  volumes: Directories and files that containers can mount.
  restartPolicy: What happens when a container ends. [Always Never OnFailure]
  terminationGracePeriodSeconds: Seconds between asking the containers to end and killing them.
  activeDeadlineSeconds: Seconds after which the pod counts as failed and is stopped.
  dnsPolicy: Where names are looked up. [ClusterFirst ClusterFirstWithHostNet Default None]
  dnsConfig: Name servers, search domains and options besides those of the policy.
  nodeSelector: Labels that a node must have for the pod to run there.
  nodeName: The node that the pod runs on; the scheduler sets it.
  affinity: Rules that draw the pod to nodes or other pods, or keep it from them.
  tolerations: Taints of nodes that the pod puts up with.
  topologySpreadConstraints: How pods like this one are spread over zones or nodes.
  serviceAccountName: The account whose rights the pod's programs have.
  serviceAccount: An old name for serviceAccountName.
  automountServiceAccountToken: Whether the account's token is mounted into the containers.
  hostNetwork: Whether the pod uses the node's network instead of one of its own.
  hostPID: Whether the containers see the node's processes.
  hostIPC: Whether the containers share the node's IPC.
  hostUsers: Whether the containers' users are the node's; false gives the pod a user namespace of its own.
  shareProcessNamespace: Whether the containers see each other's processes.
  securityContext: Users, groups and limits of privilege for all containers.
  imagePullSecrets: Secrets with the credentials for pulling images.
  hostname: The name that the pod's programs see as their host's.
  subdomain: With it the pod gets a DNS name below a headless Service of this name.
  hostAliases: Lines for the containers' /etc/hosts.
  schedulerName: Which scheduler places the pod.
  schedulingGates: Words that each hold back the scheduling until they are removed.
  priority: How important the pod is; found by priorityClassName.
  priorityClassName: The class that tells how important the pod is.
  preemptionPolicy: Whether less important pods may have to go for this one. [Never PreemptLowerPriority]
  readinessGates: Conditions that others set and that count for the pod's readiness.
  runtimeClassName: The class of container runtime that runs the pod.
  enableServiceLinks: Whether variables tell the containers about the namespace's Services.
  overhead: Resources that the pod takes besides those of its containers.
  os: The operating system of the pod's containers.
  resources: Resources of the pod as a whole.
  setHostnameAsFQDN: Whether the host name is the full domain name.
  resourceClaims: Claims of devices that have to be met before the pod starts.
core.v1.PodStatus: What is known of a running pod.
  phase: Where the pod is in its life. [Failed Pending Running Succeeded Unknown]
  conditions: Aspects of its state: PodScheduled, Initialized, ContainersReady, Ready.
  podIP: The pod's address.
  podIPs: The pod's addresses, one of each family.
  hostIP: The node's address.
  startTime: When the node took the pod.
  containerStatuses: The state of each container.
  initContainerStatuses: The state of each init container.
  qosClass: How resources are kept for it. [BestEffort Burstable Guaranteed]
  reason: A word that tells why the pod is in this state.
  message: A sentence that tells why the pod is in this state.
  nominatedNodeName: The node where room is being made for the pod.
core.v1.Container: One program in a pod: its image, command, surroundings and limits.
  name: The container's name, unique in the pod.
  image: The image to run.
  imagePullPolicy: When the image is pulled. [Always IfNotPresent Never]
  command: The program and its first arguments, instead of the image's entry point.
  args: The arguments, instead of the image's.
  workingDir: The directory that the program starts in.
  env: Environment variables.
  envFrom: ConfigMaps and Secrets whose entries become environment variables.
  ports: Ports that the container listens on.
  resources: How much processor time and memory it needs and may use.
  volumeMounts: Where the pod's volumes appear in the container.
  volumeDevices: Where the pod's block devices appear in the container.
  livenessProbe: A check whose failure restarts the container.
  readinessProbe: A check whose failure keeps requests away from the pod.
  startupProbe: A check that has to pass before the other two begin.
  lifecycle: What is done right after the start and before the end.
  securityContext: Users, groups and limits of privilege for this container.
  stdin: Whether standard input stays open.
  stdinOnce: Whether standard input closes when the first client goes.
  tty: Whether the container has a terminal.
  terminationMessagePath: The file whose text is shown as the container's last words.
  terminationMessagePolicy: Where the last words come from. [FallbackToLogsOnError File]
  restartPolicy: For init containers: Always makes it a sidecar, which runs beside the others.
core.v1.EnvVar: An environment variable.
  name: The variable's name.
  value: The variable's value.
  valueFrom: Where the value comes from.
core.v1.EnvVarSource: Where a variable's value comes from.
  configMapKeyRef: An entry of a ConfigMap.
  secretKeyRef: An entry of a Secret.
  fieldRef: A field of the pod.
  resourceFieldRef: A resource of a container.
core.v1.ContainerPort: A port that a container listens on.
  containerPort: The port's number.
  name: A name by which Services and probes can refer to the port.
  protocol: The port's protocol. [SCTP TCP UDP]
  hostPort: A port of the node that leads to this one.
  hostIP: The node's address that hostPort listens on.
core.v1.ResourceRequirements: How much of the node's resources a container needs and may use.
  requests: What is kept free for it.
  limits: What it may use at most.
  claims: Claims of devices that it uses.
core.v1.VolumeMount: Where a volume appears in a container.
  name: The volume's name.
  mountPath: The path in the container.
  readOnly: Whether it can only be read.
  subPath: A path within the volume that is mounted instead of all of it.
  mountPropagation: Whether mounts made later are seen on the other side. [Bidirectional HostToContainer None]
core.v1.Probe: A check of a container that is repeated.
  exec: Runs a command; 0 is well.
  httpGet: Asks by HTTP; a code from 200 to 399 is well.
  tcpSocket: Opens a TCP connection.
  grpc: Asks the gRPC health service.
  initialDelaySeconds: Seconds after the start before the first check.
  periodSeconds: Seconds between checks.
  timeoutSeconds: Seconds that a check may take.
  successThreshold: How many checks in a row have to pass after a failure.
  failureThreshold: How many checks in a row have to fail.
core.v1.HTTPGetAction: An HTTP request.
  path: The path to ask for.
  port: The port, by number or name.
  host: The host to ask; by default the pod.
  scheme: HTTP or HTTPS. [HTTP HTTPS]
core.v1.Volume: A directory or file that containers of a pod can mount.
  name: The volume's name, unique in the pod.
  emptyDir: An empty directory that lives as long as the pod.
  hostPath: A path of the node.
  configMap: The entries of a ConfigMap as files.
  secret: The entries of a Secret as files.
  persistentVolumeClaim: The volume that a claim is bound to.
  projected: Several sources in one directory.
  downwardAPI: Fields of the pod as files.
  nfs: A directory of an NFS server.
  csi: A volume of a storage driver.
  ephemeral: A claim that lives as long as the pod.
  image: The files of an image.
core.v1.SecurityContext: Users, groups and limits of privilege of a container.
  runAsUser: The number of the user that the program runs as.
  runAsGroup: The number of the group that the program runs as.
  runAsNonRoot: Refuses to start as root.
  privileged: Whether the container has all privileges of the node.
  allowPrivilegeEscalation: Whether programs may get more privileges than they started with.
  readOnlyRootFilesystem: Whether the container's own file system can only be read.
  capabilities: Linux capabilities added and dropped.
  seccompProfile: Which system calls are allowed.
core.v1.PodSecurityContext: Users, groups and limits of privilege of all containers of a pod.
  fsGroup: The group that owns the pod's volumes.
  runAsUser: The number of the user that programs run as.
  runAsGroup: The number of the group that programs run as.
  runAsNonRoot: Refuses to start as root.
  supplementalGroups: Further groups of the programs.
  sysctls: Kernel settings of the pod's own.
core.v1.Toleration: A taint that a pod puts up with.
  key: The taint's key; none stands for all.
  operator: How key and value are compared: Exists, Equal, Lt or Gt.
  value: The taint's value.
  effect: The taint's effect; none stands for all. [NoExecute NoSchedule PreferNoSchedule]
  tolerationSeconds: How many seconds a NoExecute taint is put up with.
core.v1.PodTemplateSpec: What pods are made like.
  metadata: Labels and annotations of the pods.
  spec: What runs in them.
core.v1.Service: A stable address and name for a set of pods.
  spec: Which pods, and how they are reached.
  status: Addresses that a load balancer gave.
core.v1.ServiceSpec: Which pods a Service leads to, and how.
  selector: Labels of the pods that requests go to.
  ports: The Service's ports.
  type: How it is reached. [ClusterIP ExternalName LoadBalancer NodePort]
  clusterIP: Its address in the cluster; None for one without.
  clusterIPs: Its addresses, one of each family.
  externalIPs: Further addresses whose traffic is led to the Service.
  externalName: The name that type ExternalName stands for.
  sessionAffinity: Whether a client always gets to the same pod. [ClientIP None]
  externalTrafficPolicy: Whether traffic from outside stays on the node that it reached. [Cluster Local]
  internalTrafficPolicy: Whether traffic from inside stays on its node. [Cluster Local]
  ipFamilies: Families of its addresses.
  ipFamilyPolicy: Whether it has addresses of one family or two. [PreferDualStack RequireDualStack SingleStack]
  publishNotReadyAddresses: Whether pods that are not ready count, too.
  loadBalancerClass: Which load balancer is asked.
  loadBalancerSourceRanges: Addresses that may use the load balancer.
  healthCheckNodePort: Where load balancers ask which nodes have pods.
  allocateLoadBalancerNodePorts: Whether a load balanced Service gets node ports.
core.v1.ServicePort: A port of a Service.
  name: The port's name, unique in the Service.
  port: The port that clients use.
  targetPort: The pods' port, by number or name.
  nodePort: The port on every node.
  protocol: The port's protocol.
  appProtocol: What is spoken on it.
core.v1.ConfigMap: Settings for programs, by key.
  data: Texts by key.
  binaryData: Bytes by key, in base64.
  immutable: Whether the entries can no longer change.
core.v1.Secret: Passwords, keys and the like, by key.
  data: Bytes by key, in base64.
  stringData: Texts by key, which are written into data.
  type: What the Secret is for.
  immutable: Whether the entries can no longer change.
core.v1.Namespace: A room for names: what lives in it does not clash with what lives in others.
  spec: What holds back its end.
  status: Whether it is ending.
core.v1.Node: A machine that runs pods.
  spec: How it takes part.
  status: What it is and has.
core.v1.NodeSpec: How a node takes part.
  unschedulable: Whether new pods are kept away.
  taints: Marks that keep pods away which do not tolerate them.
  podCIDR: Addresses for the node's pods.
  providerID: The node's name at its provider.
core.v1.ServiceAccount: An identity for programs.
  secrets: Secrets that pods of this account may use.
  imagePullSecrets: Secrets with credentials for pulling its pods' images.
  automountServiceAccountToken: Whether its token is mounted into its pods.
core.v1.PersistentVolumeClaim: Asks for storage.
  spec: How much, and of what kind.
  status: What it got.
core.v1.PersistentVolumeClaimSpec: What storage is asked for.
  accessModes: How many nodes may mount it, and how.
  resources: How much is asked for.
  storageClassName: The class of storage.
  volumeName: The volume that it is bound to.
  volumeMode: A file system or a raw device. [Block Filesystem]
  selector: Labels that a volume must have.
  dataSource: What it is filled with.
  volumeAttributesClassName: The class of changeable properties.
core.v1.PersistentVolume: A piece of storage.
core.v1.PersistentVolumeSpec: A piece of storage and its rules.
  capacity: How large it is.
  accessModes: How many nodes may mount it, and how.
  persistentVolumeReclaimPolicy: What happens to it when its claim goes. [Delete Recycle Retain]
  claimRef: The claim that it is bound to.
  storageClassName: Its class.
  nodeAffinity: Nodes from which it can be reached.
core.v1.Event: Something that happened to an object.
core.v1.ReplicationController: Keeps a number of pods running; Deployments do more.
core.v1.ResourceQuota: Bounds what a namespace may use.
core.v1.LimitRange: Bounds and defaults for what single pods and claims of a namespace may use.
core.v1.Endpoints: The addresses behind a Service, as old clients read them.
apps.v1.Deployment: Keeps a number of equal pods running, and replaces them step by step when their template changes.
  metadata: The object's name, labels and the like.
  spec: What is wanted.
  status: What there is.
apps.v1.DeploymentSpec: What a Deployment is to keep running.
  replicas: How many pods.
  selector: Labels of the pods that belong to it; must match the template's.
  template: What the pods are made like.
  strategy: How pods are replaced.
  minReadySeconds: How long a new pod has to be ready before it counts.
  revisionHistoryLimit: How many old ReplicaSets are kept for going back.
  progressDeadlineSeconds: Seconds without progress after which a rollout counts as failed.
  paused: Whether changes of the template wait.
apps.v1.DeploymentStrategy: How pods are replaced.
  type: All at once, or step by step. [Recreate RollingUpdate]
  rollingUpdate: The size of the steps.
apps.v1.RollingUpdateDeployment: The size of the steps of a rolling update.
  maxSurge: How many pods more than wanted there may be, as a number or a percentage.
  maxUnavailable: How many pods fewer than wanted there may be, as a number or a percentage.
apps.v1.DeploymentStatus: What a Deployment has reached.
  replicas: Pods there are.
  readyReplicas: Pods that are ready.
  availableReplicas: Pods that have been ready for long enough.
  updatedReplicas: Pods made from the present template.
  unavailableReplicas: Pods that are still missing.
  observedGeneration: The generation that was last acted on.
  conditions: Aspects of its state: Available, Progressing, ReplicaFailure.
  collisionCount: How often a ReplicaSet's name was taken.
apps.v1.ReplicaSet: Keeps a number of equal pods running; usually made by a Deployment.
apps.v1.ReplicaSetSpec: What a ReplicaSet is to keep running.
  replicas: How many pods.
  selector: Labels of the pods that belong to it.
  template: What the pods are made like.
  minReadySeconds: How long a new pod has to be ready before it counts.
apps.v1.StatefulSet: Keeps pods with lasting names and volumes running, in order.
apps.v1.StatefulSetSpec: What a StatefulSet is to keep running.
  replicas: How many pods.
  selector: Labels of the pods that belong to it.
  template: What the pods are made like.
  serviceName: The headless Service that gives the pods their names.
  volumeClaimTemplates: Claims that each pod gets of its own.
  podManagementPolicy: One after another, or all at once. [OrderedReady Parallel]
  updateStrategy: How pods are replaced.
  persistentVolumeClaimRetentionPolicy: When the pods' claims are deleted.
  ordinals: The number of the first pod.
  minReadySeconds: How long a new pod has to be ready before it counts.
  revisionHistoryLimit: How many old revisions are kept.
apps.v1.DaemonSet: Keeps one pod running on every node that it chooses.
apps.v1.DaemonSetSpec: What a DaemonSet is to keep running.
  selector: Labels of the pods that belong to it.
  template: What the pods are made like.
  updateStrategy: How pods are replaced.
  minReadySeconds: How long a new pod has to be ready before it counts.
  revisionHistoryLimit: How many old revisions are kept.
batch.v1.Job: Runs pods until a number of them has ended well.
batch.v1.JobSpec: What a Job is to run.
  template: What the pods are made like.
  parallelism: How many pods run at once at most.
  completions: How many pods have to end well.
  completionMode: Whether pods are all alike or each has an index. [Indexed NonIndexed]
  backoffLimit: How many failures are tried again.
  backoffLimitPerIndex: The same for each index.
  maxFailedIndexes: How many indexes may fail.
  activeDeadlineSeconds: Seconds after which the Job counts as failed.
  ttlSecondsAfterFinished: Seconds after its end when the Job is deleted.
  suspend: Whether no pods run for now.
  selector: Labels of its pods; usually set by the server.
  manualSelector: Whether the selector is the client's own.
  podFailurePolicy: What is done about failures, by exit code or condition.
  successPolicy: When an indexed Job has done enough.
  podReplacementPolicy: When a failed pod is replaced. [Failed TerminatingOrFailed]
  managedBy: Which controller acts on the Job.
batch.v1.CronJob: Makes Jobs by a timetable.
batch.v1.CronJobSpec: When Jobs are made, and what they are like.
  schedule: The timetable, as cron writes it.
  timeZone: The time zone of the timetable.
  jobTemplate: What the Jobs are made like.
  concurrencyPolicy: What happens when the last Job still runs. [Allow Forbid Replace]
  suspend: Whether no Jobs are made for now.
  startingDeadlineSeconds: How late a Job may still start.
  successfulJobsHistoryLimit: How many Jobs that ended well are kept.
  failedJobsHistoryLimit: How many failed Jobs are kept.
networking.v1.Ingress: Leads HTTP requests from outside to Services.
networking.v1.IngressSpec: Which requests go where.
  ingressClassName: The class of controller that serves it.
  rules: Hosts and paths.
  defaultBackend: Where all other requests go.
  tls: Certificates for hosts.
networking.v1.IngressRule: What happens to requests for one host.
  host: The host's name; none stands for all.
  http: Where its paths lead.
networking.v1.HTTPIngressPath: Where a path leads.
  path: The path.
  pathType: How the path is compared. [Exact ImplementationSpecific Prefix]
  backend: The Service that gets the requests.
networking.v1.NetworkPolicy: Says who may talk to the pods it chooses.
networking.v1.NetworkPolicySpec: Which connections of which pods are allowed.
  podSelector: The pods that it is about.
  ingress: Who may connect to them.
  egress: Where they may connect to.
  policyTypes: Which directions it is about.
autoscaling.v2.HorizontalPodAutoscaler: Sets the number of replicas by what is measured.
autoscaling.v2.HorizontalPodAutoscalerSpec: What is scaled, and by what.
  scaleTargetRef: What is scaled.
  minReplicas: The fewest replicas.
  maxReplicas: The most replicas.
  metrics: What the number of replicas follows.
  behavior: How quickly it goes up and down.
policy.v1.PodDisruptionBudget: Bounds how many pods may be taken down at once on purpose.
policy.v1.PodDisruptionBudgetSpec: The bound, and for which pods.
  minAvailable: How many pods must stay.
  maxUnavailable: How many pods may be missing.
  selector: The pods that it is about.
rbac.v1.Role: Rights within a namespace.
  rules: What is allowed.
rbac.v1.ClusterRole: Rights in the whole cluster, or to be given in single namespaces.
  rules: What is allowed.
  aggregationRule: Chooses ClusterRoles whose rules become this one's.
rbac.v1.RoleBinding: Gives rights within a namespace.
  subjects: Who gets them.
  roleRef: Which rights.
rbac.v1.ClusterRoleBinding: Gives rights in the whole cluster.
  subjects: Who gets them.
  roleRef: Which rights.
rbac.v1.PolicyRule: What is allowed.
  verbs: What may be done; * stands for everything.
  apiGroups: Groups of the resources; "" is the core group.
  resources: The resources; * stands for all.
  resourceNames: Names of single objects.
  nonResourceURLs: Paths that are no resources.
storage.v1.StorageClass: A kind of storage that claims can ask for.
  provisioner: Who makes the volumes.
  parameters: What the provisioner is told.
  reclaimPolicy: What happens to a volume when its claim goes.
  volumeBindingMode: At once, or when the first pod needs it. [Immediate WaitForFirstConsumer]
  allowVolumeExpansion: Whether claims may grow.
  mountOptions: Options for mounting.
scheduling.v1.PriorityClass: How important pods are.
  value: The larger, the more important.
  globalDefault: Whether it is for pods that name no class.
  preemptionPolicy: Whether less important pods may have to go.
  description: When it should be used.
coordination.v1.Lease: Tells who holds something, and since when.
apiextensions.v1.CustomResourceDefinition: Adds a kind of object to the API.
apiextensions.v1.CustomResourceDefinitionSpec: What the new kind is called and looks like.
  group: Its API group.
  names: Its names.
  scope: Whether its objects live in namespaces. [Cluster Namespaced]
  versions: Its versions, each with a schema.
  conversion: How objects are turned from one version into another.
`;

interface TypeDescription {
  about: string;
  fields: Map<string, { about: string; values?: string[] }>;
}

let described: Map<string, TypeDescription> | undefined;

/** What a type of the schema is (`io.k8s.api.core.v1.Pod`). */
export function describedType(type: string): string | undefined {
  return find(type)?.about;
}

/** What a field of a type is. */
export function describedField(type: string, field: string): string | undefined {
  return find(type)?.fields.get(field)?.about ?? (isOfObject(type) ? COMMON[field] : undefined);
}

/** The values of a field with a closed choice. */
export function enumOf(type: string, field: string): string[] | undefined {
  return find(type)?.fields.get(field)?.values;
}

const COMMON: Record<string, string> = {
  metadata: "The object's name, labels and the like.",
  spec: 'What is wanted.',
  status: 'What there is.',
};

function isOfObject(type: string): boolean {
  return !/(Spec|Status|Reference|Source)$/.test(type);
}

function find(type: string): TypeDescription | undefined {
  described ??= parse(DESCRIPTIONS);
  return described.get(type.split('.').slice(-3).join('.'));
}

function parse(text: string): Map<string, TypeDescription> {
  const types = new Map<string, TypeDescription>();
  let current: TypeDescription | undefined;
  for (const line of text.split('\n')) {
    const [, indent = '', name = '', whole = ''] = /^(\s*)([\w.]+): (.*)$/.exec(line) ?? [];
    if (!name) continue;
    if (indent === '') {
      current = { about: whole, fields: new Map() };
      types.set(name, current);
      continue;
    }
    const [, about = whole, values] = /^(.*) \[([\w ]+)\]$/.exec(whole) ?? [];
    current?.fields.set(name, { about, ...(values && { values: values.split(' ') }) });
  }
  return types;
}
