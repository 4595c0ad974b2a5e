// Package meta is the index of one mountpath: the records of the objects, uploads and parts that lie on it, in Pebble.
// It is the only importer of Pebble. docs/ondisk.md has the keys and values byte by byte.
//
// A key is kind, bucket, escaped object key, version or upload and part, and the inverted generation, so that the order of
// bytes is the order of a list and the newest generation of a key comes first. Every value carries a CRC-32C over its key
// and itself: a record that was changed, or that stands under another key, is an error of cluster.KindCorrupt.
//
// The index knows nothing of visibility: a record is prepared while its in-doubt key exists, and which generations are
// hidden is told by the caller, who is asked after the record was read.
//
// Pebble ends the process when its log or manifest cannot be written. Here it only marks the index dead and parks: every
// call waits for its result or for that mark, so a failed commit is never reported as done.
package meta
