// Package state is the control state that every node of a cluster holds, and the pure function that a command applies to
// it. It knows no clock, disk, network or random source: time and every choice travel inside the command, so all nodes
// that applied the same commands hold the same state.
//
// A State is immutable: Apply returns another one. docs/consistency.md tells what the states mean.
package state
