// Package cluster holds Aisle's nouns: names, nodes, slots, the cluster map, buckets, generations, list entries and
// errors. Everything here is a pure value: no I/O, no clock, no goroutine. It imports nothing else of Aisle, so every
// other package can speak in its types.
package cluster
