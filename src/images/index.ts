/**
 * Images: references, registries, content, layers.
 *
 * - Content (`content/sha256/<hex>`) is immutable, verified and durable before anything speaks of it. Names (`images/*.json`) point to
 *   manifests; a name changes whole or not at all. Layers (`layers/<diffID>/fs`) are derived from content, in overlay's form,
 *   shared by all images that have them, and can be lost without loss.
 * - What no name, no lease and no container (`isInUse`) needs is removed with the last name that needed it.
 * - Everything from outside is checked where it enters: digests and sizes, documents by field, archive entries by where they land.
 * - A blob that the disk altered goes to `content/quarantine` with a note when a read, an unpack or `verify` meets it; its images then are
 *   not found, so that whoever needs one pulls it again. Names list what they need, so that nothing in use goes with a damaged document.
 *   A name's record that was altered goes to `images/quarantine` at the start; its image stays, without a name.
 * - Leases are of this process and outlast a kill only as whole blobs, which the next pull uses and the next collection removes. Half ones
 *   stay for whoever wants them within a day, and are believed only when the whole has its digest.
 * - Unpacking runs beside the event loop; hashes of what comes and goes, a chunk a turn. Memory does not grow with an image's size.
 * - `assemble.ts` (images from packages; `assembleArchive` for programs without a store of their own) is imported when it is used.
 * - Not here: running containers (engine), building (builder), the registry server, docker's and CRI's wire forms.
 */
export type { AssembleOptions, AssembleResult, AssembleStep } from './assemble.ts';
export type { Lease } from './content-store.ts';
export { type Digest, isDigest } from './digest.ts';
export {
  type CommitLayerOptions,
  type CommittedLayer,
  type ImageRecord,
  type ImageStore,
  type ImageStoreOptions,
  type LoadOptions,
  openImages,
  type RemoveOptions,
  type RemoveResult,
  type VerifyReport,
} from './images.ts';
export { type ContainerConfig, type Descriptor, hostPlatform, type ImageConfig, type Platform, parsePlatform } from './oci.ts';
export { type ProxySettings, proxyOf } from './proxy.ts';
export type { PullEvent, PullOptions } from './pull.ts';
export type { PushEvent, PushedImage, PushOptions } from './push.ts';
export { type ImageReference, parseReference, toCanonicalName, toFamiliarName, toRepositoryName } from './reference.ts';
export type { RegistryAuth } from './registry-auth.ts';
export type { RegistryHost, RegistryHosts } from './registry-session.ts';
