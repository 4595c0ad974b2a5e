// Package ec turns bytes into shards and back: a Reed-Solomon code, streamed. It knows nothing of where shards lie: whoever
// calls it takes blocks as they are made, and opens ranges of shards when they are needed.
//
// Bytes are cut into stripes of Data blocks. Parity blocks are computed for each stripe, and shard i is the i-th block of each
// stripe, one behind the other. The blocks of the last stripe are shorter, so that little is padded (with zeros): all shards
// have the same length, which follows from the number of bytes alone.
package ec
