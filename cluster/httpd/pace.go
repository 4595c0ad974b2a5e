package httpd

import (
	"errors"
	"net"
	"os"
	"time"

	"github.com/aisle-store/aisle/cluster"
)

// pace ends transfers that make no progress, in one direction of a connection: each wait for the peer ends after stall
// without a byte, and a transfer that has waited stall in all must have had minRate bytes a second of that time. Time that
// the node itself needs does not count.
type pace struct {
	set     func(time.Time) error // SetReadDeadline or SetWriteDeadline
	stall   time.Duration
	minRate int64

	armed   time.Time     // when the deadline was set last
	span    time.Duration // to how far ahead
	blocked time.Duration // in this transfer
	moved   int64         // bytes in this transfer
}

// rearmAfter is how old a deadline may get before it is set anew (an eighth of a shorter stall): setting it takes time.
const rearmAfter = time.Second

// reset begins a transfer.
func (p *pace) reset() { p.blocked, p.moved = 0, 0 }

// before is called before each wait and returns the time.
func (p *pace) before() time.Time {
	now := time.Now()
	if p.span != p.stall || now.Sub(p.armed) >= min(rearmAfter, p.stall/8) {
		p.arm(now, p.stall)
	}
	return now
}

func (p *pace) arm(now time.Time, d time.Duration) {
	// A connection that is closed already fails in the read or write that follows.
	_ = p.set(now.Add(d))
	p.armed, p.span = now, d
}

// disarm makes the next wait set its deadline anew, because another kind of wait has set its own.
func (p *pace) disarm() { p.armed = time.Time{} }

// after is called after each wait with the bytes it moved.
func (p *pace) after(began time.Time, n int, err error) error {
	p.blocked += time.Since(began)
	p.moved += int64(n)
	if err != nil && (n == 0 || !errors.Is(err, os.ErrDeadlineExceeded)) {
		return stalled(err)
	}
	if err != nil {
		p.disarm() // the deadline passed within one long write, but there was progress
	}
	if p.blocked > p.stall && float64(p.moved) < p.blocked.Seconds()*float64(p.minRate) {
		return errTooSlow
	}
	return nil
}

var errTooSlow = cluster.Fail("cluster/httpd", "", cluster.KindTimeout, "the other side is too slow")

// stalled gives the error of a deadline its kind.
func stalled(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return cluster.E("cluster/httpd", "", cluster.KindTimeout, errors.New("the other side made no progress"))
	}
	return err
}

// source is the reading side of a connection, under the bufio.Reader. Heads have one deadline for the whole, bodies a pace.
type source struct {
	nc      net.Conn
	pace    pace
	inBody  bool
	pending []byte // read before, to be read first
}

// Read reads what is pending, then from the connection.
func (s *source) Read(p []byte) (int, error) {
	if len(s.pending) > 0 {
		n := copy(p, s.pending)
		if s.pending = s.pending[n:]; len(s.pending) == 0 {
			s.pending = nil // it may be the whole of a large buffer
		}
		return n, nil
	}
	if !s.inBody {
		return s.nc.Read(p)
	}
	began := s.pace.before()
	n, err := s.nc.Read(p)
	if perr := s.pace.after(began, n, err); perr != nil {
		return n, perr
	}
	return n, err
}
