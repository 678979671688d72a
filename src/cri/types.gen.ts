/** The messages and services of `runtime.v1`; made by `tools/generate-grpc.ts`, not by hand. What is zero may be absent. */

/** Methods of `runtime.v1.RuntimeService`. */
export interface RuntimeService {
  Version: { request: VersionRequest; response: VersionResponse };
  RunPodSandbox: { request: RunPodSandboxRequest; response: RunPodSandboxResponse };
  StopPodSandbox: { request: StopPodSandboxRequest; response: StopPodSandboxResponse };
  RemovePodSandbox: { request: RemovePodSandboxRequest; response: RemovePodSandboxResponse };
  PodSandboxStatus: { request: PodSandboxStatusRequest; response: PodSandboxStatusResponse };
  ListPodSandbox: { request: ListPodSandboxRequest; response: ListPodSandboxResponse };
  StreamPodSandboxes: { request: StreamPodSandboxesRequest; response: StreamPodSandboxesResponse; streams: 'response' };
  CreateContainer: { request: CreateContainerRequest; response: CreateContainerResponse };
  StartContainer: { request: StartContainerRequest; response: StartContainerResponse };
  StopContainer: { request: StopContainerRequest; response: StopContainerResponse };
  RemoveContainer: { request: RemoveContainerRequest; response: RemoveContainerResponse };
  ListContainers: { request: ListContainersRequest; response: ListContainersResponse };
  StreamContainers: { request: StreamContainersRequest; response: StreamContainersResponse; streams: 'response' };
  ContainerStatus: { request: ContainerStatusRequest; response: ContainerStatusResponse };
  UpdateContainerResources: { request: UpdateContainerResourcesRequest; response: UpdateContainerResourcesResponse };
  ReopenContainerLog: { request: ReopenContainerLogRequest; response: ReopenContainerLogResponse };
  ExecSync: { request: ExecSyncRequest; response: ExecSyncResponse };
  Exec: { request: ExecRequest; response: ExecResponse };
  Attach: { request: AttachRequest; response: AttachResponse };
  PortForward: { request: PortForwardRequest; response: PortForwardResponse };
  ContainerStats: { request: ContainerStatsRequest; response: ContainerStatsResponse };
  ListContainerStats: { request: ListContainerStatsRequest; response: ListContainerStatsResponse };
  StreamContainerStats: { request: StreamContainerStatsRequest; response: StreamContainerStatsResponse; streams: 'response' };
  PodSandboxStats: { request: PodSandboxStatsRequest; response: PodSandboxStatsResponse };
  ListPodSandboxStats: { request: ListPodSandboxStatsRequest; response: ListPodSandboxStatsResponse };
  StreamPodSandboxStats: { request: StreamPodSandboxStatsRequest; response: StreamPodSandboxStatsResponse; streams: 'response' };
  UpdateRuntimeConfig: { request: UpdateRuntimeConfigRequest; response: UpdateRuntimeConfigResponse };
  Status: { request: StatusRequest; response: StatusResponse };
  CheckpointContainer: { request: CheckpointContainerRequest; response: CheckpointContainerResponse };
  GetContainerEvents: { request: GetEventsRequest; response: ContainerEventResponse; streams: 'response' };
  ListMetricDescriptors: { request: ListMetricDescriptorsRequest; response: ListMetricDescriptorsResponse };
  ListPodSandboxMetrics: { request: ListPodSandboxMetricsRequest; response: ListPodSandboxMetricsResponse };
  StreamPodSandboxMetrics: { request: StreamPodSandboxMetricsRequest; response: StreamPodSandboxMetricsResponse; streams: 'response' };
  RuntimeConfig: { request: RuntimeConfigRequest; response: RuntimeConfigResponse };
  UpdatePodSandboxResources: { request: UpdatePodSandboxResourcesRequest; response: UpdatePodSandboxResourcesResponse };
}

/** Methods of `runtime.v1.ImageService`. */
export interface ImageService {
  ListImages: { request: ListImagesRequest; response: ListImagesResponse };
  StreamImages: { request: StreamImagesRequest; response: StreamImagesResponse; streams: 'response' };
  ImageStatus: { request: ImageStatusRequest; response: ImageStatusResponse };
  PullImage: { request: PullImageRequest; response: PullImageResponse };
  RemoveImage: { request: RemoveImageRequest; response: RemoveImageResponse };
  ImageFsInfo: { request: ImageFsInfoRequest; response: ImageFsInfoResponse };
}

export interface VersionRequest {
  version?: string | undefined;
}

export interface VersionResponse {
  version?: string | undefined;
  runtimeName?: string | undefined;
  runtimeVersion?: string | undefined;
  runtimeApiVersion?: string | undefined;
}

export interface DNSConfig {
  servers?: string[] | undefined;
  searches?: string[] | undefined;
  options?: string[] | undefined;
}

export type Protocol = 'TCP' | 'UDP' | 'SCTP';

export interface PortMapping {
  protocol?: Protocol | undefined;
  containerPort?: number | undefined;
  hostPort?: number | undefined;
  hostIp?: string | undefined;
}

export type MountPropagation = 'PROPAGATION_PRIVATE' | 'PROPAGATION_HOST_TO_CONTAINER' | 'PROPAGATION_BIDIRECTIONAL';

export interface Mount {
  containerPath?: string | undefined;
  hostPath?: string | undefined;
  readonly?: boolean | undefined;
  selinuxRelabel?: boolean | undefined;
  propagation?: MountPropagation | undefined;
  uidMappings?: IDMapping[] | undefined;
  gidMappings?: IDMapping[] | undefined;
  recursiveReadOnly?: boolean | undefined;
  image?: ImageSpec | undefined;
  imageSubPath?: string | undefined;
}

export interface IDMapping {
  hostId?: number | undefined;
  containerId?: number | undefined;
  length?: number | undefined;
}

export type NamespaceMode = 'POD' | 'CONTAINER' | 'NODE' | 'TARGET';

export interface UserNamespace {
  mode?: NamespaceMode | undefined;
  uids?: IDMapping[] | undefined;
  gids?: IDMapping[] | undefined;
}

export interface NamespaceOption {
  network?: NamespaceMode | undefined;
  pid?: NamespaceMode | undefined;
  ipc?: NamespaceMode | undefined;
  targetId?: string | undefined;
  usernsOptions?: UserNamespace | undefined;
}

export type SupplementalGroupsPolicy = 'Merge' | 'Strict';

export interface Int64Value {
  value?: number | undefined;
}

export interface LinuxSandboxSecurityContext {
  namespaceOptions?: NamespaceOption | undefined;
  selinuxOptions?: SELinuxOption | undefined;
  runAsUser?: Int64Value | undefined;
  runAsGroup?: Int64Value | undefined;
  readonlyRootfs?: boolean | undefined;
  supplementalGroups?: number[] | undefined;
  supplementalGroupsPolicy?: SupplementalGroupsPolicy | undefined;
  privileged?: boolean | undefined;
  seccomp?: SecurityProfile | undefined;
  apparmor?: SecurityProfile | undefined;
  seccompProfilePath?: string | undefined;
}

export interface SecurityProfile {
  profileType?: SecurityProfile_ProfileType | undefined;
  localhostRef?: string | undefined;
}

export type SecurityProfile_ProfileType = 'RuntimeDefault' | 'Unconfined' | 'Localhost';

export interface LinuxPodSandboxConfig {
  cgroupParent?: string | undefined;
  securityContext?: LinuxSandboxSecurityContext | undefined;
  sysctls?: Record<string, string> | undefined;
  overhead?: LinuxContainerResources | undefined;
  resources?: LinuxContainerResources | undefined;
}

export interface PodSandboxMetadata {
  name?: string | undefined;
  uid?: string | undefined;
  namespace?: string | undefined;
  attempt?: number | undefined;
}

export interface PodSandboxConfig {
  metadata?: PodSandboxMetadata | undefined;
  hostname?: string | undefined;
  logDirectory?: string | undefined;
  dnsConfig?: DNSConfig | undefined;
  portMappings?: PortMapping[] | undefined;
  labels?: Record<string, string> | undefined;
  annotations?: Record<string, string> | undefined;
  linux?: LinuxPodSandboxConfig | undefined;
  windows?: WindowsPodSandboxConfig | undefined;
}

export interface RunPodSandboxRequest {
  config?: PodSandboxConfig | undefined;
  runtimeHandler?: string | undefined;
}

export interface RunPodSandboxResponse {
  podSandboxId?: string | undefined;
}

export interface StopPodSandboxRequest {
  podSandboxId?: string | undefined;
}

export type StopPodSandboxResponse = Record<string, never>;

export interface RemovePodSandboxRequest {
  podSandboxId?: string | undefined;
}

export type RemovePodSandboxResponse = Record<string, never>;

export interface PodSandboxStatusRequest {
  podSandboxId?: string | undefined;
  verbose?: boolean | undefined;
}

export interface PodIP {
  ip?: string | undefined;
}

export interface PodSandboxNetworkStatus {
  ip?: string | undefined;
  additionalIps?: PodIP[] | undefined;
}

export interface Namespace {
  options?: NamespaceOption | undefined;
}

export interface LinuxPodSandboxStatus {
  namespaces?: Namespace | undefined;
}

export type PodSandboxState = 'SANDBOX_READY' | 'SANDBOX_NOTREADY';

export interface PodSandboxStatus {
  id?: string | undefined;
  metadata?: PodSandboxMetadata | undefined;
  state?: PodSandboxState | undefined;
  createdAt?: number | undefined;
  network?: PodSandboxNetworkStatus | undefined;
  linux?: LinuxPodSandboxStatus | undefined;
  labels?: Record<string, string> | undefined;
  annotations?: Record<string, string> | undefined;
  runtimeHandler?: string | undefined;
}

export interface PodSandboxStatusResponse {
  status?: PodSandboxStatus | undefined;
  info?: Record<string, string> | undefined;
  containersStatuses?: ContainerStatus[] | undefined;
  timestamp?: number | undefined;
}

export interface PodSandboxStateValue {
  state?: PodSandboxState | undefined;
}

export interface PodSandboxFilter {
  id?: string | undefined;
  state?: PodSandboxStateValue | undefined;
  labelSelector?: Record<string, string> | undefined;
}

export interface ListPodSandboxRequest {
  filter?: PodSandboxFilter | undefined;
}

export interface PodSandbox {
  id?: string | undefined;
  metadata?: PodSandboxMetadata | undefined;
  state?: PodSandboxState | undefined;
  createdAt?: number | undefined;
  labels?: Record<string, string> | undefined;
  annotations?: Record<string, string> | undefined;
  runtimeHandler?: string | undefined;
}

export interface ListPodSandboxResponse {
  items?: PodSandbox[] | undefined;
}

export interface StreamPodSandboxesRequest {
  filter?: PodSandboxFilter | undefined;
}

export interface StreamPodSandboxesResponse {
  podSandboxes?: PodSandbox[] | undefined;
}

export interface PodSandboxStatsRequest {
  podSandboxId?: string | undefined;
}

export interface PodSandboxStatsResponse {
  stats?: PodSandboxStats | undefined;
}

export interface PodSandboxStatsFilter {
  id?: string | undefined;
  labelSelector?: Record<string, string> | undefined;
}

export interface ListPodSandboxStatsRequest {
  filter?: PodSandboxStatsFilter | undefined;
}

export interface ListPodSandboxStatsResponse {
  stats?: PodSandboxStats[] | undefined;
}

export interface StreamPodSandboxStatsRequest {
  filter?: PodSandboxStatsFilter | undefined;
}

export interface StreamPodSandboxStatsResponse {
  podSandboxStats?: PodSandboxStats[] | undefined;
}

export interface PodSandboxAttributes {
  id?: string | undefined;
  metadata?: PodSandboxMetadata | undefined;
  labels?: Record<string, string> | undefined;
  annotations?: Record<string, string> | undefined;
}

export interface PodSandboxStats {
  attributes?: PodSandboxAttributes | undefined;
  linux?: LinuxPodSandboxStats | undefined;
  windows?: WindowsPodSandboxStats | undefined;
}

export interface LinuxPodSandboxStats {
  cpu?: CpuUsage | undefined;
  memory?: MemoryUsage | undefined;
  network?: NetworkUsage | undefined;
  process?: ProcessUsage | undefined;
  containers?: ContainerStats[] | undefined;
  io?: IoUsage | undefined;
}

export interface WindowsPodSandboxStats {
  cpu?: WindowsCpuUsage | undefined;
  memory?: WindowsMemoryUsage | undefined;
  network?: WindowsNetworkUsage | undefined;
  process?: WindowsProcessUsage | undefined;
  containers?: WindowsContainerStats[] | undefined;
}

export interface NetworkUsage {
  timestamp?: number | undefined;
  defaultInterface?: NetworkInterfaceUsage | undefined;
  interfaces?: NetworkInterfaceUsage[] | undefined;
}

export interface WindowsNetworkUsage {
  timestamp?: number | undefined;
  defaultInterface?: WindowsNetworkInterfaceUsage | undefined;
  interfaces?: WindowsNetworkInterfaceUsage[] | undefined;
}

export interface NetworkInterfaceUsage {
  name?: string | undefined;
  rxBytes?: UInt64Value | undefined;
  rxErrors?: UInt64Value | undefined;
  txBytes?: UInt64Value | undefined;
  txErrors?: UInt64Value | undefined;
}

export interface WindowsNetworkInterfaceUsage {
  name?: string | undefined;
  rxBytes?: UInt64Value | undefined;
  rxPacketsDropped?: UInt64Value | undefined;
  txBytes?: UInt64Value | undefined;
  txPacketsDropped?: UInt64Value | undefined;
}

export interface ProcessUsage {
  timestamp?: number | undefined;
  processCount?: UInt64Value | undefined;
}

export interface WindowsProcessUsage {
  timestamp?: number | undefined;
  processCount?: UInt64Value | undefined;
}

export interface ImageSpec {
  image?: string | undefined;
  annotations?: Record<string, string> | undefined;
  userSpecifiedImage?: string | undefined;
  runtimeHandler?: string | undefined;
  imageRef?: string | undefined;
}

export interface KeyValue {
  key?: string | undefined;
  value?: Uint8Array | undefined;
}

export interface LinuxContainerResources {
  cpuPeriod?: number | undefined;
  cpuQuota?: number | undefined;
  cpuShares?: number | undefined;
  memoryLimitInBytes?: number | undefined;
  oomScoreAdj?: number | undefined;
  cpusetCpus?: string | undefined;
  cpusetMems?: string | undefined;
  hugepageLimits?: HugepageLimit[] | undefined;
  unified?: Record<string, string> | undefined;
  memorySwapLimitInBytes?: number | undefined;
}

export interface HugepageLimit {
  pageSize?: string | undefined;
  limit?: number | undefined;
}

export interface SELinuxOption {
  user?: string | undefined;
  role?: string | undefined;
  type?: string | undefined;
  level?: string | undefined;
}

export interface Capability {
  addCapabilities?: string[] | undefined;
  dropCapabilities?: string[] | undefined;
  addAmbientCapabilities?: string[] | undefined;
}

export interface LinuxContainerSecurityContext {
  capabilities?: Capability | undefined;
  privileged?: boolean | undefined;
  namespaceOptions?: NamespaceOption | undefined;
  selinuxOptions?: SELinuxOption | undefined;
  runAsUser?: Int64Value | undefined;
  runAsGroup?: Int64Value | undefined;
  runAsUsername?: string | undefined;
  readonlyRootfs?: boolean | undefined;
  supplementalGroups?: number[] | undefined;
  supplementalGroupsPolicy?: SupplementalGroupsPolicy | undefined;
  noNewPrivs?: boolean | undefined;
  maskedPaths?: string[] | undefined;
  readonlyPaths?: string[] | undefined;
  seccomp?: SecurityProfile | undefined;
  apparmor?: SecurityProfile | undefined;
  apparmorProfile?: string | undefined;
  seccompProfilePath?: string | undefined;
}

export interface LinuxContainerConfig {
  resources?: LinuxContainerResources | undefined;
  securityContext?: LinuxContainerSecurityContext | undefined;
}

export interface LinuxContainerUser {
  uid?: number | undefined;
  gid?: number | undefined;
  supplementalGroups?: number[] | undefined;
}

export interface WindowsNamespaceOption {
  network?: NamespaceMode | undefined;
}

export interface WindowsSandboxSecurityContext {
  runAsUsername?: string | undefined;
  credentialSpec?: string | undefined;
  hostProcess?: boolean | undefined;
  namespaceOptions?: WindowsNamespaceOption | undefined;
}

export interface WindowsPodSandboxConfig {
  securityContext?: WindowsSandboxSecurityContext | undefined;
}

export interface WindowsContainerSecurityContext {
  runAsUsername?: string | undefined;
  credentialSpec?: string | undefined;
  hostProcess?: boolean | undefined;
}

export interface WindowsContainerConfig {
  resources?: WindowsContainerResources | undefined;
  securityContext?: WindowsContainerSecurityContext | undefined;
}

export interface WindowsContainerResources {
  cpuShares?: number | undefined;
  cpuCount?: number | undefined;
  cpuMaximum?: number | undefined;
  memoryLimitInBytes?: number | undefined;
  rootfsSizeInBytes?: number | undefined;
  affinityCpus?: WindowsCpuGroupAffinity[] | undefined;
}

export interface WindowsCpuGroupAffinity {
  cpuMask?: number | undefined;
  cpuGroup?: number | undefined;
}

export interface ContainerMetadata {
  name?: string | undefined;
  attempt?: number | undefined;
}

export interface Device {
  containerPath?: string | undefined;
  hostPath?: string | undefined;
  permissions?: string | undefined;
}

export interface CDIDevice {
  name?: string | undefined;
}

export interface ContainerConfig {
  metadata?: ContainerMetadata | undefined;
  image?: ImageSpec | undefined;
  command?: string[] | undefined;
  args?: string[] | undefined;
  workingDir?: string | undefined;
  envs?: KeyValue[] | undefined;
  mounts?: Mount[] | undefined;
  devices?: Device[] | undefined;
  labels?: Record<string, string> | undefined;
  annotations?: Record<string, string> | undefined;
  logPath?: string | undefined;
  stdin?: boolean | undefined;
  stdinOnce?: boolean | undefined;
  tty?: boolean | undefined;
  linux?: LinuxContainerConfig | undefined;
  windows?: WindowsContainerConfig | undefined;
  CDIDevices?: CDIDevice[] | undefined;
  stopSignal?: Signal | undefined;
}

export type Signal =
  | 'RUNTIME_DEFAULT'
  | 'SIGABRT'
  | 'SIGALRM'
  | 'SIGBUS'
  | 'SIGCHLD'
  | 'SIGCLD'
  | 'SIGCONT'
  | 'SIGFPE'
  | 'SIGHUP'
  | 'SIGILL'
  | 'SIGINT'
  | 'SIGIO'
  | 'SIGIOT'
  | 'SIGKILL'
  | 'SIGPIPE'
  | 'SIGPOLL'
  | 'SIGPROF'
  | 'SIGPWR'
  | 'SIGQUIT'
  | 'SIGSEGV'
  | 'SIGSTKFLT'
  | 'SIGSTOP'
  | 'SIGSYS'
  | 'SIGTERM'
  | 'SIGTRAP'
  | 'SIGTSTP'
  | 'SIGTTIN'
  | 'SIGTTOU'
  | 'SIGURG'
  | 'SIGUSR1'
  | 'SIGUSR2'
  | 'SIGVTALRM'
  | 'SIGWINCH'
  | 'SIGXCPU'
  | 'SIGXFSZ'
  | 'SIGRTMIN'
  | 'SIGRTMINPLUS1'
  | 'SIGRTMINPLUS2'
  | 'SIGRTMINPLUS3'
  | 'SIGRTMINPLUS4'
  | 'SIGRTMINPLUS5'
  | 'SIGRTMINPLUS6'
  | 'SIGRTMINPLUS7'
  | 'SIGRTMINPLUS8'
  | 'SIGRTMINPLUS9'
  | 'SIGRTMINPLUS10'
  | 'SIGRTMINPLUS11'
  | 'SIGRTMINPLUS12'
  | 'SIGRTMINPLUS13'
  | 'SIGRTMINPLUS14'
  | 'SIGRTMINPLUS15'
  | 'SIGRTMAXMINUS14'
  | 'SIGRTMAXMINUS13'
  | 'SIGRTMAXMINUS12'
  | 'SIGRTMAXMINUS11'
  | 'SIGRTMAXMINUS10'
  | 'SIGRTMAXMINUS9'
  | 'SIGRTMAXMINUS8'
  | 'SIGRTMAXMINUS7'
  | 'SIGRTMAXMINUS6'
  | 'SIGRTMAXMINUS5'
  | 'SIGRTMAXMINUS4'
  | 'SIGRTMAXMINUS3'
  | 'SIGRTMAXMINUS2'
  | 'SIGRTMAXMINUS1'
  | 'SIGRTMAX';

export interface CreateContainerRequest {
  podSandboxId?: string | undefined;
  config?: ContainerConfig | undefined;
  sandboxConfig?: PodSandboxConfig | undefined;
}

export interface CreateContainerResponse {
  containerId?: string | undefined;
}

export interface StartContainerRequest {
  containerId?: string | undefined;
}

export type StartContainerResponse = Record<string, never>;

export interface StopContainerRequest {
  containerId?: string | undefined;
  timeout?: number | undefined;
}

export type StopContainerResponse = Record<string, never>;

export interface RemoveContainerRequest {
  containerId?: string | undefined;
}

export type RemoveContainerResponse = Record<string, never>;

export type ContainerState = 'CONTAINER_CREATED' | 'CONTAINER_RUNNING' | 'CONTAINER_EXITED' | 'CONTAINER_UNKNOWN';

export interface ContainerStateValue {
  state?: ContainerState | undefined;
}

export interface ContainerFilter {
  id?: string | undefined;
  state?: ContainerStateValue | undefined;
  podSandboxId?: string | undefined;
  labelSelector?: Record<string, string> | undefined;
}

export interface ListContainersRequest {
  filter?: ContainerFilter | undefined;
}

export interface Container {
  id?: string | undefined;
  podSandboxId?: string | undefined;
  metadata?: ContainerMetadata | undefined;
  image?: ImageSpec | undefined;
  imageRef?: string | undefined;
  state?: ContainerState | undefined;
  createdAt?: number | undefined;
  labels?: Record<string, string> | undefined;
  annotations?: Record<string, string> | undefined;
  imageId?: string | undefined;
}

export interface ListContainersResponse {
  containers?: Container[] | undefined;
}

export interface StreamContainersRequest {
  filter?: ContainerFilter | undefined;
}

export interface StreamContainersResponse {
  containers?: Container[] | undefined;
}

export interface ContainerStatusRequest {
  containerId?: string | undefined;
  verbose?: boolean | undefined;
}

export interface ContainerStatus {
  id?: string | undefined;
  metadata?: ContainerMetadata | undefined;
  state?: ContainerState | undefined;
  createdAt?: number | undefined;
  startedAt?: number | undefined;
  finishedAt?: number | undefined;
  exitCode?: number | undefined;
  image?: ImageSpec | undefined;
  imageRef?: string | undefined;
  reason?: string | undefined;
  message?: string | undefined;
  labels?: Record<string, string> | undefined;
  annotations?: Record<string, string> | undefined;
  mounts?: Mount[] | undefined;
  logPath?: string | undefined;
  resources?: ContainerResources | undefined;
  imageId?: string | undefined;
  user?: ContainerUser | undefined;
  stopSignal?: Signal | undefined;
}

export interface ContainerStatusResponse {
  status?: ContainerStatus | undefined;
  info?: Record<string, string> | undefined;
}

export interface ContainerResources {
  linux?: LinuxContainerResources | undefined;
  windows?: WindowsContainerResources | undefined;
}

export interface ContainerUser {
  linux?: LinuxContainerUser | undefined;
}

export interface UpdateContainerResourcesRequest {
  containerId?: string | undefined;
  linux?: LinuxContainerResources | undefined;
  windows?: WindowsContainerResources | undefined;
  annotations?: Record<string, string> | undefined;
}

export type UpdateContainerResourcesResponse = Record<string, never>;

export interface ExecSyncRequest {
  containerId?: string | undefined;
  cmd?: string[] | undefined;
  timeout?: number | undefined;
}

export interface ExecSyncResponse {
  stdout?: Uint8Array | undefined;
  stderr?: Uint8Array | undefined;
  exitCode?: number | undefined;
}

export interface ExecRequest {
  containerId?: string | undefined;
  cmd?: string[] | undefined;
  tty?: boolean | undefined;
  stdin?: boolean | undefined;
  stdout?: boolean | undefined;
  stderr?: boolean | undefined;
}

export interface ExecResponse {
  url?: string | undefined;
}

export interface AttachRequest {
  containerId?: string | undefined;
  stdin?: boolean | undefined;
  tty?: boolean | undefined;
  stdout?: boolean | undefined;
  stderr?: boolean | undefined;
}

export interface AttachResponse {
  url?: string | undefined;
}

export interface PortForwardRequest {
  podSandboxId?: string | undefined;
  port?: number[] | undefined;
}

export interface PortForwardResponse {
  url?: string | undefined;
}

export interface ImageFilter {
  image?: ImageSpec | undefined;
}

export interface ListImagesRequest {
  filter?: ImageFilter | undefined;
}

export interface Image {
  id?: string | undefined;
  repoTags?: string[] | undefined;
  repoDigests?: string[] | undefined;
  size?: number | undefined;
  uid?: Int64Value | undefined;
  username?: string | undefined;
  spec?: ImageSpec | undefined;
  pinned?: boolean | undefined;
}

export interface ListImagesResponse {
  images?: Image[] | undefined;
}

export interface StreamImagesRequest {
  filter?: ImageFilter | undefined;
}

export interface StreamImagesResponse {
  images?: Image[] | undefined;
}

export interface ImageStatusRequest {
  image?: ImageSpec | undefined;
  verbose?: boolean | undefined;
}

export interface ImageStatusResponse {
  image?: Image | undefined;
  info?: Record<string, string> | undefined;
}

export interface AuthConfig {
  username?: string | undefined;
  password?: string | undefined;
  auth?: string | undefined;
  serverAddress?: string | undefined;
  identityToken?: string | undefined;
  registryToken?: string | undefined;
}

export interface PullImageRequest {
  image?: ImageSpec | undefined;
  auth?: AuthConfig | undefined;
  sandboxConfig?: PodSandboxConfig | undefined;
}

export interface PullImageResponse {
  imageRef?: string | undefined;
}

export interface RemoveImageRequest {
  image?: ImageSpec | undefined;
}

export type RemoveImageResponse = Record<string, never>;

export interface NetworkConfig {
  podCidr?: string | undefined;
}

export interface RuntimeConfig {
  networkConfig?: NetworkConfig | undefined;
}

export interface UpdateRuntimeConfigRequest {
  runtimeConfig?: RuntimeConfig | undefined;
}

export type UpdateRuntimeConfigResponse = Record<string, never>;

export interface RuntimeCondition {
  type?: string | undefined;
  status?: boolean | undefined;
  reason?: string | undefined;
  message?: string | undefined;
}

export interface RuntimeStatus {
  conditions?: RuntimeCondition[] | undefined;
}

export interface StatusRequest {
  verbose?: boolean | undefined;
}

export interface RuntimeHandlerFeatures {
  recursiveReadOnlyMounts?: boolean | undefined;
  userNamespaces?: boolean | undefined;
}

export interface RuntimeHandler {
  name?: string | undefined;
  features?: RuntimeHandlerFeatures | undefined;
}

export interface RuntimeFeatures {
  supplementalGroupsPolicy?: boolean | undefined;
  userNamespacesHostNetwork?: boolean | undefined;
}

export interface StatusResponse {
  status?: RuntimeStatus | undefined;
  info?: Record<string, string> | undefined;
  runtimeHandlers?: RuntimeHandler[] | undefined;
  features?: RuntimeFeatures | undefined;
}

export type ImageFsInfoRequest = Record<string, never>;

export interface UInt64Value {
  value?: number | undefined;
}

export interface FilesystemIdentifier {
  mountpoint?: string | undefined;
}

export interface FilesystemUsage {
  timestamp?: number | undefined;
  fsId?: FilesystemIdentifier | undefined;
  usedBytes?: UInt64Value | undefined;
  inodesUsed?: UInt64Value | undefined;
}

export interface WindowsFilesystemUsage {
  timestamp?: number | undefined;
  fsId?: FilesystemIdentifier | undefined;
  usedBytes?: UInt64Value | undefined;
}

export interface ImageFsInfoResponse {
  imageFilesystems?: FilesystemUsage[] | undefined;
  containerFilesystems?: FilesystemUsage[] | undefined;
}

export interface ContainerStatsRequest {
  containerId?: string | undefined;
}

export interface ContainerStatsResponse {
  stats?: ContainerStats | undefined;
}

export interface ListContainerStatsRequest {
  filter?: ContainerStatsFilter | undefined;
}

export interface ContainerStatsFilter {
  id?: string | undefined;
  podSandboxId?: string | undefined;
  labelSelector?: Record<string, string> | undefined;
}

export interface ListContainerStatsResponse {
  stats?: ContainerStats[] | undefined;
}

export interface StreamContainerStatsRequest {
  filter?: ContainerStatsFilter | undefined;
}

export interface StreamContainerStatsResponse {
  containerStats?: ContainerStats[] | undefined;
}

export interface ContainerAttributes {
  id?: string | undefined;
  metadata?: ContainerMetadata | undefined;
  labels?: Record<string, string> | undefined;
  annotations?: Record<string, string> | undefined;
}

export interface ContainerStats {
  attributes?: ContainerAttributes | undefined;
  cpu?: CpuUsage | undefined;
  memory?: MemoryUsage | undefined;
  writableLayer?: FilesystemUsage | undefined;
  swap?: SwapUsage | undefined;
  io?: IoUsage | undefined;
}

export interface WindowsContainerStats {
  attributes?: ContainerAttributes | undefined;
  cpu?: WindowsCpuUsage | undefined;
  memory?: WindowsMemoryUsage | undefined;
  writableLayer?: WindowsFilesystemUsage | undefined;
}

export interface PsiStats {
  Full?: PsiData | undefined;
  Some?: PsiData | undefined;
}

export interface PsiData {
  Total?: number | undefined;
  Avg10?: number | undefined;
  Avg60?: number | undefined;
  Avg300?: number | undefined;
}

export interface CpuUsage {
  timestamp?: number | undefined;
  usageCoreNanoSeconds?: UInt64Value | undefined;
  usageNanoCores?: UInt64Value | undefined;
  psi?: PsiStats | undefined;
}

export interface WindowsCpuUsage {
  timestamp?: number | undefined;
  usageCoreNanoSeconds?: UInt64Value | undefined;
  usageNanoCores?: UInt64Value | undefined;
}

export interface MemoryUsage {
  timestamp?: number | undefined;
  workingSetBytes?: UInt64Value | undefined;
  availableBytes?: UInt64Value | undefined;
  usageBytes?: UInt64Value | undefined;
  rssBytes?: UInt64Value | undefined;
  pageFaults?: UInt64Value | undefined;
  majorPageFaults?: UInt64Value | undefined;
  psi?: PsiStats | undefined;
}

export interface IoUsage {
  timestamp?: number | undefined;
  psi?: PsiStats | undefined;
}

export interface SwapUsage {
  timestamp?: number | undefined;
  swapAvailableBytes?: UInt64Value | undefined;
  swapUsageBytes?: UInt64Value | undefined;
}

export interface WindowsMemoryUsage {
  timestamp?: number | undefined;
  workingSetBytes?: UInt64Value | undefined;
  availableBytes?: UInt64Value | undefined;
  pageFaults?: UInt64Value | undefined;
  commitMemoryBytes?: UInt64Value | undefined;
}

export interface ReopenContainerLogRequest {
  containerId?: string | undefined;
}

export type ReopenContainerLogResponse = Record<string, never>;

export interface CheckpointContainerRequest {
  containerId?: string | undefined;
  location?: string | undefined;
  timeout?: number | undefined;
}

export type CheckpointContainerResponse = Record<string, never>;

export type GetEventsRequest = Record<string, never>;

export interface ContainerEventResponse {
  containerId?: string | undefined;
  containerEventType?: ContainerEventType | undefined;
  createdAt?: number | undefined;
  podSandboxStatus?: PodSandboxStatus | undefined;
  containersStatuses?: ContainerStatus[] | undefined;
}

export type ContainerEventType =
  | 'CONTAINER_CREATED_EVENT'
  | 'CONTAINER_STARTED_EVENT'
  | 'CONTAINER_STOPPED_EVENT'
  | 'CONTAINER_DELETED_EVENT';

export type ListMetricDescriptorsRequest = Record<string, never>;

export interface ListMetricDescriptorsResponse {
  descriptors?: MetricDescriptor[] | undefined;
}

export interface MetricDescriptor {
  name?: string | undefined;
  help?: string | undefined;
  labelKeys?: string[] | undefined;
}

export type ListPodSandboxMetricsRequest = Record<string, never>;

export interface ListPodSandboxMetricsResponse {
  podMetrics?: PodSandboxMetrics[] | undefined;
}

export type StreamPodSandboxMetricsRequest = Record<string, never>;

export interface StreamPodSandboxMetricsResponse {
  podSandboxMetrics?: PodSandboxMetrics[] | undefined;
}

export interface PodSandboxMetrics {
  podSandboxId?: string | undefined;
  metrics?: Metric[] | undefined;
  containerMetrics?: ContainerMetrics[] | undefined;
}

export interface ContainerMetrics {
  containerId?: string | undefined;
  metrics?: Metric[] | undefined;
}

export interface Metric {
  name?: string | undefined;
  timestamp?: number | undefined;
  metricType?: MetricType | undefined;
  labelValues?: string[] | undefined;
  value?: UInt64Value | undefined;
}

export type MetricType = 'COUNTER' | 'GAUGE';

export type RuntimeConfigRequest = Record<string, never>;

export interface RuntimeConfigResponse {
  linux?: LinuxRuntimeConfiguration | undefined;
}

export interface LinuxRuntimeConfiguration {
  cgroupDriver?: CgroupDriver | undefined;
}

export type CgroupDriver = 'SYSTEMD' | 'CGROUPFS';

export interface UpdatePodSandboxResourcesRequest {
  podSandboxId?: string | undefined;
  overhead?: LinuxContainerResources | undefined;
  resources?: LinuxContainerResources | undefined;
}

export type UpdatePodSandboxResourcesResponse = Record<string, never>;
