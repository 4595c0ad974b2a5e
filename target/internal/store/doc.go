// Package store is the object store of one target: it spreads objects over the target's mountpaths and orders the
// operations of each key. DESIGN.md beside this file gives the states, the steps and what a crash leaves at each of them.
package store
