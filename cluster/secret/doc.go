// Package secret keeps what the nodes of a cluster share and nobody else may have, and the connections that rest on it.
//
// The cluster secret lets a node in. Everything that proves membership derives from it by HKDF: the key of tickets, the
// key of gossip, and one TLS identity that both sides of every raft and control connection prove to hold. The cluster key
// is a separate random key, under which secrets lie in the replicated state; a node receives it when it joins.
//
// Mux shares one TCP port between plain HTTP, whose requests carry tickets, and TLS with the identity, for raft streams
// and control calls. Server and Caller are the two ends of control calls.
package secret
