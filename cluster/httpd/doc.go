// Package httpd is the HTTP kit of a node: listeners, exact request bodies, one exit for every reply, and the client
// that nodes use among themselves. It is the only importer of fasthttp.
//
// A Handler gets a Request, fills a Reply and returns an error. It never writes to the connection: the server does, in
// one place, which also recovers panics, turns errors into replies (Options.WriteError), counts, times and logs. Nothing
// of a Request or Reply may be used after the handler returned, except the strings in it, which may be kept.
//
// DESIGN.md beside this file says what the server promises about bodies, framing and slow clients, and why the
// connection loop is our own.
package httpd
