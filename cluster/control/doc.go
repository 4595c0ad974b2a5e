// Package control is the control plane of one node: it joins the node to the cluster, keeps its lease, publishes what the
// node has applied as an immutable View, carries out control changes (buckets, settings, maps), and, on the leader, runs
// the loop that drives map changes, deletions and votes. docs/consistency.md has the protocol.
//
// A node makes a Control with New, hands it to the parts that ask it for views and leases, and then starts it with the
// part that serves slots as Participant.
//
// Order matters to whoever answers requests. About control state: CheckLease first, then View (Current does both). About the
// data of a slot: View, read, then CheckLease and that the owner and epoch are still the same.
package control
