// Package dev runs a cluster of node processes on this machine, for trying Aisle and for tests. One supervisor process owns
// the nodes of a directory: it starts them, notices when one ends, keeps cluster.json true, and takes commands from
// other invocations of `aisle dev` over a socket in the directory. When the supervisor ends, in whatever way, the kernel
// ends its nodes.
package dev
