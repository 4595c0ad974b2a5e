// Package raftnode runs a replicated state machine on hashicorp/raft, and is the only package that imports it.
//
// An Engine is one member. It is built from three pieces: an FSM (the state machine), Stores (where log, vote and
// snapshots live: a directory, or a MemoryDisk that survives simulated crashes) and a Link (how members reach each
// other: streams over an authenticated listener, or a simulated Network with faults). Members are named by
// cluster.NodeID everywhere, also in the replicated configuration: addresses are looked up at each dial, so a member may
// come back at another address at any time.
package raftnode
