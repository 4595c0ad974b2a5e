// Package access says who may do what: it compiles the identities of the cluster (Book), judges requests by their policies
// and those of buckets (Subject.Decide), and makes changes of identities (Edit). It knows no request, connection or cluster;
// package front does.
package access
