package intra

import (
	"cmp"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"hash"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aisle-store/aisle/cluster"
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
	Skew time.Duration    // tolerated between the clocks of two nodes: 15 minutes, as between a client and a node
}

// Tickets seals grants into tickets and opens them. It is safe for concurrent use.
type Tickets struct {
	o        TicketOptions
	instance uint64        // random: names this process's tickets
	sequence atomic.Uint64 // of the last ticket for a write
	used     usedTickets
	sealers  sync.Pool // of *sealer
}

// A ticket is base64url of: version (1 byte), HMAC-SHA256 (32), instance (8), sequence (8), the grant in msgpack. The
// HMAC covers all the rest and the parts of the request that coverage lists.
const (
	ticketVersion = 5
	macOffset     = 1
	bodyOffset    = macOffset + sha256.Size
	grantOffset   = bodyOffset + 16
	maxTicket     = 24 << 10 // text: a key, an access control list, and what is left to judge
)

// redirectSkew is what is tolerated at most of a client that was redirected: it can repeat a read for as long.
const redirectSkew = time.Minute

// NewTickets returns the tickets of one node.
func NewTickets(o TicketOptions) *Tickets {
	if o.Now == nil {
		o.Now = time.Now
	}
	o.Life = cmp.Or(o.Life, time.Minute)
	o.Skew = cmp.Or(o.Skew, 15*time.Minute)
	t := &Tickets{o: o}
	var random [8]byte
	_, _ = rand.Read(random[:]) // it never fails
	t.instance = binary.BigEndian.Uint64(random[:])
	t.used.windows = make(map[uint64]*window)
	t.sealers.New = func() any { return &sealer{mac: hmac.New(sha256.New, t.o.Key)} }
	return t
}

// sealer is what making or checking one ticket needs, kept for the next.
type sealer struct {
	mac      hash.Hash
	ticket   []byte // binary
	text     []byte
	coverage []byte
	sum      []byte
}

// Seal returns the ticket for req under g: URL-safe text, to be sent as HeaderTicket with the very same request, or
// appended to its query as QueryTicket=... (Redirect does that). It sets g.Expires. req must not hold a ticket.
func (t *Tickets) Seal(g *Grant, req *httpd.Request) string {
	g.Expires = t.o.Now().Add(t.o.Life).UTC()
	s := t.sealers.Get().(*sealer)
	defer t.sealers.Put(s)
	b := append(s.ticket[:0], make([]byte, grantOffset)...)
	b[0] = ticketVersion
	binary.BigEndian.PutUint64(b[bodyOffset:], t.instance)
	if g.Write {
		binary.BigEndian.PutUint64(b[bodyOffset+8:], t.sequence.Add(1))
	}
	b, _ = g.MarshalMsg(b) // a Grant has no field that fails
	s.sign(b[macOffset:macOffset], b, req)
	s.ticket, s.text = b, base64.RawURLEncoding.AppendEncode(s.text[:0], b)
	return string(s.text)
}

// sign appends the HMAC of ticket b for req to dst.
func (s *sealer) sign(dst, b []byte, req *httpd.Request) []byte {
	s.coverage = appendCoverage(s.coverage[:0], len(b), req)
	s.mac.Reset()
	s.mac.Write(b[:macOffset])
	s.mac.Write(b[bodyOffset:])
	s.mac.Write(s.coverage)
	return s.mac.Sum(dst)
}

// Redirect returns the URL at base (the owner's public URL) that the client of req is sent to with the ticket.
func Redirect(base, ticket string, req *httpd.Request) string {
	var b strings.Builder
	b.WriteString(strings.TrimSuffix(base, "/"))
	b.WriteString(req.Path)
	b.WriteByte('?')
	if req.Query != "" {
		b.WriteString(req.Query)
		b.WriteByte('&')
	}
	b.WriteString(QueryTicket)
	b.WriteByte('=')
	b.WriteString(ticket)
	return b.String()
}

// Present reports whether req carries a ticket, in its header or its query.
func Present(req *httpd.Request) bool {
	if req.Header.Has(HeaderTicket) {
		return true
	}
	for part := range strings.SplitSeq(req.Query, "&") {
		if isTicketParameter(part) {
			return true
		}
	}
	return false
}

func isTicketParameter(part string) bool {
	name, _, _ := strings.Cut(part, "=")
	return name == QueryTicket
}

// errTicket is every refusal of a ticket: what exactly is wrong with a forged one is nobody's business.
func errTicket(reason string) error {
	return cluster.Fail("cluster/intra.Open", "", cluster.KindDenied, "the ticket is not valid: "+reason)
}

// errClocks is the refusal of a true ticket for its time. A clock may be wrong, so it is no answer to what was asked.
func errClocks(reason string) error {
	return cluster.Fail("cluster/intra.Open", "", cluster.KindUnavailable, "the ticket is not valid: "+reason)
}

// strictBase64 takes only what Seal writes.
var strictBase64 = base64.RawURLEncoding.Strict()

// OpenRedirected is Open of a request by a client that was redirected here. Less time may have passed.
func (t *Tickets) OpenRedirected(req *httpd.Request) (*Grant, error) {
	return t.open(req, min(t.o.Skew, redirectSkew))
}

// Open takes the ticket out of req (its header or query: what remains is the client's own request), verifies that it
// covers req, is not expired, is for this node, and for a write was not used before. It fails with KindDenied, or
// KindUnavailable when its time is over by this node's clock, or a used one could not be told from a new one. It sets req.ID to
// the grant's.
func (t *Tickets) Open(req *httpd.Request) (*Grant, error) { return t.open(req, t.o.Skew) }

func (t *Tickets) open(req *httpd.Request, skew time.Duration) (*Grant, error) {
	text, err := take(req)
	if err != nil {
		return nil, err
	}
	s := t.sealers.Get().(*sealer)
	defer t.sealers.Put(s)
	s.text = append(s.text[:0], text...)
	b, err := strictBase64.AppendDecode(s.ticket[:0], s.text)
	s.ticket = b
	if err != nil || len(b) < grantOffset || b[0] != ticketVersion {
		return nil, errTicket("malformed")
	}
	s.sum = s.sign(s.sum[:0], b, req)
	if !hmac.Equal(s.sum, b[macOffset:bodyOffset]) {
		return nil, errTicket("it does not cover this request")
	}
	g := new(Grant)
	if rest, err := g.UnmarshalMsg(b[grantOffset:]); err != nil || len(rest) > 0 {
		return nil, errTicket("malformed")
	}
	now := t.o.Now()
	switch {
	case now.After(g.Expires.Add(skew)):
		return nil, errClocks("it has expired, or the clock of a node is wrong")
	case g.Expires.After(now.Add(t.o.Life + skew)):
		return nil, errClocks("it is from the future: the clocks of the nodes differ too much")
	case string(g.Owner) != t.o.Self:
		return nil, errTicket("it is for another node")
	case !g.Write && changes(req.Method):
		return nil, errTicket("it is for a read")
	}
	if g.Write {
		keep := g.Expires.Add(2 * skew)
		if err := t.used.use(binary.BigEndian.Uint64(b[bodyOffset:]), binary.BigEndian.Uint64(b[bodyOffset+8:]), now, keep); err != nil {
			return nil, err
		}
	}
	req.ID = g.Request
	return g, nil
}

// changes reports whether a method changes objects. POST may be a read of the cluster's own.
func changes(method string) bool { return method == "PUT" || method == "DELETE" }

// take removes the ticket from req and returns it.
func take(req *httpd.Request) (string, error) {
	tickets := req.Header.Values(HeaderTicket)
	req.Header.Del(HeaderTicket)
	if strings.Contains(req.Query, QueryTicket) {
		kept := make([]string, 0, 8)
		for part := range strings.SplitSeq(req.Query, "&") {
			if isTicketParameter(part) {
				_, value, _ := strings.Cut(part, "=")
				tickets = append(tickets, value)
				continue
			}
			kept = append(kept, part)
		}
		req.Query = strings.Join(kept, "&")
		req.HasQuery = req.Query != ""
	}
	// Clients lose or keep it as they like when they follow a redirect, so no ticket covers it; nothing here uses it.
	req.Header.Del("X-Amz-Security-Token")
	if len(tickets) != 1 || len(tickets[0]) > maxTicket {
		return "", errTicket("one is needed")
	}
	return tickets[0], nil
}

// usedTickets remembers which tickets for writes were used: one bit for each, in a window over the sequence of every
// process that issues tickets. A ticket older than its window is refused, since nobody knows any more.
type usedTickets struct {
	mu      sync.Mutex
	windows map[uint64]*window
	// forgotten is the latest time of the windows that were dropped: a ticket from before it could have been used, also when
	// the wall clock is set back.
	forgotten time.Time
}

// windowSize is how far back a sequence is remembered: half a minute at 10,000 writes a second through one gateway. Relayed
// tickets are used at once, and redirects of writes wait for one round trip of the client.
const windowSize = 1 << 18

// keptWindows is how many windows are kept at least: then little is refused when the wall clock is set back, since hardly anything
// was forgotten.
const keptWindows = 64

type window struct {
	top   uint64 // the highest sequence seen
	keep  time.Time
	since time.Time // what is older may have been used, and forgotten
	bits  [windowSize / 64]uint64
}

var (
	errUsed   = errTicket("it was used before")
	errTooOld = cluster.Fail("cluster/intra.Open", "", cluster.KindUnavailable, "the ticket is too old to tell whether it was used")
)

// use notes one use.
func (u *usedTickets) use(instance, sequence uint64, now, keep time.Time) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	w := u.windows[instance]
	if w == nil {
		if len(u.windows) >= keptWindows {
			u.forget(now)
		}
		w = &window{since: u.forgotten}
		u.windows[instance] = w
	}
	if !keep.After(w.since) {
		return errTooOld
	}
	if w.keep.Before(keep) {
		w.keep = keep
	}
	if sequence > w.top {
		w.clear(w.top+1, sequence)
		w.top = sequence
	} else if w.top-sequence >= windowSize {
		return errTooOld
	}
	word, bit := sequence%windowSize/64, uint64(1)<<(sequence%64)
	if w.bits[word]&bit != 0 {
		return errUsed
	}
	w.bits[word] |= bit
	return nil
}

// clear forgets the sequences that the places of first to last stood for before.
func (w *window) clear(first, last uint64) {
	if last-first >= windowSize {
		clear(w.bits[:])
		return
	}
	for s := first; s <= last; s++ {
		w.bits[s%windowSize/64] &^= 1 << (s % 64)
	}
}

// forget drops the windows of processes all of whose tickets have expired.
func (u *usedTickets) forget(now time.Time) {
	for instance, w := range u.windows {
		if now.After(w.keep) {
			delete(u.windows, instance)
			if u.forgotten.Before(w.keep) {
				u.forgotten = w.keep
			}
		}
	}
}
