// Package client is the Go client of the native API /v1: buckets, objects and the cluster itself. It signs requests with
// AWS Signature Version 4 or carries a bearer token, follows redirects to the owner of an object, goes to the next
// endpoint when one does not answer, waits where the cluster asks it to try again, and verifies checksums of what it
// sends and receives.
package client
