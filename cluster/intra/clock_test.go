package intra

import (
	"context"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/aisle-store/aisle/cluster"
)

func TestStamp(t *testing.T) {
	now := 100 * time.Second
	c := NewClocks(func() time.Duration { return now })
	f := func(owner cluster.Incarnation, began time.Duration, wantSure bool, want time.Duration) {
		t.Helper()
		g := &Grant{Owner: "t1", Incarnation: 99, Began: 99}
		sure := c.Stamp(g, owner, began)
		known := want != 0
		if sure != wantSure || known != (g.Incarnation == owner) || !known && g.Incarnation != 0 {
			t.Fatalf("sure %v, incarnation %v, want %v", sure, g.Incarnation, wantSure)
		}
		if g.Began > want || g.Began < want-100 {
			t.Fatalf("began at %v, want %v", g.Began, want)
		}
	}
	f(7, now, false, 0)
	for _, text := range []string{"", "x", "7", "7 x", "0 5", "g 5"} {
		c.Note("t1", text)
	}
	f(7, now, false, 0)
	c.Note("t1", ClockText(7, 1000*time.Second))
	f(8, now, false, 0)
	f(7, now, true, 1000*time.Second)
	f(7, now+11*time.Second, true, 1010*time.Second)
	f(7, now-10*time.Second, true, 989*time.Second)
	now += 29 * time.Second
	f(7, now, true, 1000*time.Second+29*time.Second*10/11)
	now += 2 * time.Second
	f(7, now, false, 1000*time.Second+31*time.Second*10/11)
	c.Note("t1", ClockText(7, 1001*time.Second)) // this one came late: it tells less than the first
	f(7, now, false, 1000*time.Second+31*time.Second*10/11)
	c.Note("t1", ClockText(8, time.Second)) // another process
	f(7, now, false, 0)
	f(8, now, true, time.Second)
}

// Whatever the two clocks do within their rates, an attempt is never taken to be younger than it is.
func TestStampIsABound(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		real := func(d time.Duration, rate float64) time.Duration { return time.Duration(float64(d) * rate) }
		// Rates differ by a tenth at most.
		own := 0.5 + r.Float64()
		other := own * (1 + (r.Float64()*2-1)*0.09)
		var at time.Duration // true time
		c := NewClocks(func() time.Duration { return real(at, own) })
		began := time.Duration(r.Int64N(int64(time.Hour)))
		for range 5 {
			read := time.Duration(r.Int64N(int64(2 * time.Hour)))
			at = read + time.Duration(r.Int64N(int64(time.Minute)))
			c.Note("t1", ClockText(1, real(read, other)))
			g := &Grant{Owner: "t1"}
			c.Stamp(g, 1, real(began, own))
			if truth := real(began, other); g.Began > truth+1000 { // what floating point loses
				t.Fatalf("seed %d: it began at %v by the owner's clock, and %v is said", seed, truth, g.Began)
			}
		}
	}
}

// A write is sent again at once when the owner may have refused it because its clock was not known.
func TestCallLearnsTheClock(t *testing.T) {
	svc := new(service)
	client, call := start(t, svc)
	call.Incarnation, call.Began = 7, time.Hour
	var seen []Grant
	svc.onDelete = func(g *Grant) error {
		seen = append(seen, *g)
		if g.Incarnation != 7 {
			return cluster.Fail("test", "", cluster.KindUnavailable, "the clock is not known")
		}
		return nil
	}
	svc.clock = ClockText(7, 5*time.Hour)
	svc.between()
	if _, err := client.Delete(context.Background(), call, &DeleteRequest{}); err != nil {
		t.Fatal(err)
	}
	svc.between()
	if len(seen) != 2 || seen[0].Incarnation != 0 || seen[1].Began != 5*time.Hour {
		t.Fatalf("%+v", seen)
	}
	svc.onDelete = func(g *Grant) error {
		seen = append(seen, *g)
		return cluster.Fail("test", "", cluster.KindUnavailable, "for another reason")
	}
	svc.between()
	if _, err := client.Delete(context.Background(), call, &DeleteRequest{}); !cluster.Is(err, cluster.KindUnavailable) || len(seen) != 3 {
		t.Fatal(err, len(seen))
	}
}
