// Package api is the contract of the native HTTP interface /v1: paths, action messages, bodies, headers, and the table
// from error kinds to status codes. The forms are AIStore's, so that its tools and SDK find what they know. Both the
// gateway (proxy) and the client (proxy/client) speak through this package; it does no I/O.
//
// Supported are exactly the operations that the routes in Routes name; every other path and action is refused with 501.
package api

//go:generate go test . -run TestDocumentation -update
