package intra

import (
	"time"

	"github.com/aisle-store/aisle/cluster/httpd"
)

// Where a ticket travels.
const (
	HeaderTicket = "Aisle-Ticket"   // on a relayed request and on /-/node/ calls
	QueryTicket  = "x-aisle-ticket" // on the URL of a redirect
	// HeaderKind carries the cluster.Kind of an error reply between nodes, so that a gateway knows a refusal that it may
	// try again ("unavailable") from an answer. It is never sent to a client.
	HeaderKind = "Aisle-Kind"
)

// TicketOptions configures Tickets. Zero values are replaced by the defaults named beside each.
type TicketOptions struct {
	Key  []byte           // the HMAC key, derived from the cluster secret; required
	Self string           // this node's id: tickets for another owner are refused; required to Open
	Now  func() time.Time // time.Now
	Life time.Duration    // of a ticket: 60 s
	Skew time.Duration    // tolerated between the clocks of two nodes: 60 s
	Uses int              // writes remembered within Life + 2 Skew: 4 Mi; above, writes by ticket are KindUnavailable
}

// Tickets seals grants into tickets and opens them. It is safe for concurrent use.
type Tickets struct{ o TicketOptions }

// NewTickets returns the tickets of one node.
func NewTickets(o TicketOptions) *Tickets { return &Tickets{o: o} }

// Seal returns the ticket for req under g: URL-safe text, to be sent as HeaderTicket with the very same request, or
// appended to its query as QueryTicket=... (Redirect does that). req must not hold a ticket.
func (t *Tickets) Seal(g *Grant, req *httpd.Request) string { return "" }

// Redirect returns the URL at base (the owner's public URL) that the client of req is sent to with the ticket.
func Redirect(base, ticket string, req *httpd.Request) string { return "" }

// Present reports whether req carries a ticket, in its header or its query.
func Present(req *httpd.Request) bool { return false }

// Open takes the ticket out of req (its header or query: what remains is the client's own request), verifies that it
// covers req, is not expired, is for this node, and for a write was not used before. It fails with KindDenied, or
// KindUnavailable when a used one could not be told from a new one. It sets req.ID to the grant's.
func (t *Tickets) Open(req *httpd.Request) (*Grant, error) { return nil, nil }
