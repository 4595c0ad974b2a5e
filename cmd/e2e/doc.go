// Package e2e tests bin/aisle from outside: real clusters of processes, the S3 clients that people use, and faults, with
// histories checked for linearizability. The tests stand behind the build tag e2e; run them by `make e2e`, and some of
// them by `make e2e E2E=TestClients`.
package e2e
