// Package disk keeps the bytes of one mountpath: extents of segments for small objects and parts, a blob file each for
// large ones. It knows nothing of buckets and keys: a Place says where bytes lie, the index (target/internal/meta) says
// what they are. docs/ondisk.md has the formats byte by byte.
//
// The hard ideas, in the order in which a write meets them:
//
//   - Names never repeat. Each Open durably takes the next boot number, and every file is named by boot and sequence, so a
//     file that a crash left behind can never be mistaken for a later one, and nothing is ever renamed.
//   - Durable bytes are never written again. Extents begin at multiples of 4 KiB, so no later write touches a sector of an
//     extent that is already on stable storage.
//   - One sync serves many. Writers write at reserved offsets at the same time; the first to finish syncs for all that have
//     finished by then (group commit); directories of blobs are synced the same way.
//   - Every 64 KiB of data has a CRC-32C of its own, and every read checks it, so a changed bit is an error of
//     cluster.KindCorrupt and never data.
//   - Readers pin. Freed bytes are punched out or unlinked only when nobody reads them; a place freed before it was opened
//     is an ErrGone, which tells the caller to read the record again.
//
// Everything but reads goes through vfs.FS, in production too, so that the crash and fault tests prove the path that runs.
package disk
