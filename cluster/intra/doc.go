// Package intra is what nodes say to each other about objects: the Grant that a gateway gives for a request it has
// authenticated, the signed Ticket that carries a grant to another process, and the messages of the calls under
// /-/node/.
//
// A ticket is bound to the request it was made for: method, raw path, every query parameter, every x-amz-* field, range,
// conditions, content fields, payload hash and length, owner, epoch and map version. Whatever it does not cover is
// refused, and a ticket for a write is good for one use.
package intra
