// Package bench is the load generator: it sends one kind of S3 request from many connections for some time and reports
// rate, throughput, latency and, of processes that it is told, CPU time and memory. It works against any S3 endpoint.
//
// Its HTTP client writes requests straight to the connection and keeps signed heads, so that the generator takes little
// of a machine that it shares with the server. Bodies are not part of signatures (UNSIGNED-PAYLOAD).
package bench
