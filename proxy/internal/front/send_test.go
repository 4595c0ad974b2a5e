package front

import (
	"context"
	"testing"
	"time"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/httpd"
	"github.com/aisle-store/aisle/cluster/intra"
)

// relayOwner is the node that requests are relayed to. It refuses writes that do not know its clock.
type relayOwner struct {
	t      *testing.T
	seen   []intra.Grant
	always bool // refuse
}

// Seal implements Sealer.
func (o *relayOwner) Seal(g *intra.Grant, _ *httpd.Request) string {
	o.seen = append(o.seen, *g)
	return "ticket"
}

// Relay implements Relay.
func (o *relayOwner) Relay(_ context.Context, _ string, _ *httpd.Request, rep *httpd.Reply, _ ...httpd.Field) error {
	rep.SetHeader(intra.HeaderClock, intra.ClockText(7, 5*time.Hour))
	rep.Status = 200
	if g := o.seen[len(o.seen)-1]; o.always || g.Write && g.Incarnation != 7 {
		rep.Status = 503
		rep.SetHeader(intra.HeaderKind, cluster.KindUnavailable.String())
	}
	return nil
}

func TestRelayLearnsTheClock(t *testing.T) {
	o := &relayOwner{t: t}
	f := &Front{o: Options{Relay: o, Tickets: o, Clocks: intra.NewClocks(func() time.Duration { return time.Hour })}}
	relay := func(write bool) (*httpd.Reply, error) {
		rep := httpd.NewReply()
		req := httpd.NewRequest("PUT", "/b/k", nil, 0)
		err := f.relay(context.Background(), cluster.Node{ID: "n2", Incarnation: 7}, &intra.Grant{Write: write, Owner: "n2"}, time.Hour, req, rep)
		return rep, err
	}
	rep, err := relay(true)
	if err != nil || rep.StatusCode() != 200 || len(o.seen) != 2 || o.seen[1].Began != 5*time.Hour {
		t.Fatalf("%v, %d, %+v", err, rep.StatusCode(), o.seen)
	}
	if rep.Header(intra.HeaderClock) != "" {
		t.Fatal("the client is told the clock")
	}
	if _, err := relay(true); err != nil || len(o.seen) != 3 {
		t.Fatalf("%v: %d attempts when the clock is known", err, len(o.seen))
	}
	o.always = true
	if _, err := relay(true); !cluster.Is(err, cluster.KindUnavailable) || len(o.seen) != 4 {
		t.Fatalf("%v: %d attempts when the refusal has another reason", err, len(o.seen))
	}
	if _, err := relay(false); !cluster.Is(err, cluster.KindUnavailable) || len(o.seen) != 5 {
		t.Fatalf("%v: %d attempts of a read", err, len(o.seen))
	}
}

// localOwner is a target in the gateway's process, with an outcome that is not certain.
type localOwner struct {
	Local
	seen []intra.Grant
}

// ServeObject implements Local.
func (o *localOwner) ServeObject(_ context.Context, g *intra.Grant, _ *httpd.Request, _ *httpd.Reply) error {
	o.seen = append(o.seen, *g)
	return cluster.Fail("test", "", cluster.KindUnavailable, "no certain outcome")
}

// TestLocalAttemptsSayTheirAge: a write that stays in the process says when its request began, each time.
func TestLocalAttemptsSayTheirAge(t *testing.T) {
	o := &localOwner{}
	f := &Front{o: Options{Self: "n1", Local: o, Clocks: intra.NewClocks(func() time.Duration { return 2 * time.Hour })}}
	self := cluster.Node{ID: "n1", Incarnation: 7}
	for range 2 {
		_ = f.call(t.Context(), self, &intra.Grant{Write: true, Owner: "n1"}, time.Hour, httpd.NewRequest("PUT", "/b/k", nil, 0), httpd.NewReply())
	}
	_ = f.call(t.Context(), self, &intra.Grant{Owner: "n1"}, 0, httpd.NewRequest("GET", "/b/k", nil, 0), httpd.NewReply())
	if len(o.seen) != 3 || o.seen[2].Incarnation != 0 {
		t.Fatalf("%+v", o.seen)
	}
	for _, g := range o.seen[:2] {
		if g.Incarnation != 7 || g.Began != time.Hour {
			t.Errorf("a local write began at %v by the clock of %d", g.Began, g.Incarnation)
		}
	}
}
