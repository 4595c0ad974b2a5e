package control

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/aisle-store/aisle/cluster"
)

// simClient sends one request after the other through any node.
type simClient struct {
	sim    *sim
	random *rand.Rand
	number int
	sent   int
}

func newClient(s *sim, number int) *simClient {
	return &simClient{sim: s, number: number, random: rand.New(rand.NewPCG(s.seed, uint64(100+number)))}
}

// run makes requests until the context ends.
func (c *simClient) run(ctx context.Context) {
	for sleep(ctx, time.Duration(c.random.IntN(200))*time.Millisecond) {
		p := c.gateway()
		if p == nil {
			continue
		}
		request, cancel := context.WithTimeout(ctx, 6*time.Second)
		c.request(request, p)
		cancel()
	}
}

// gateway returns a node that runs.
func (c *simClient) gateway() *simProcess {
	nodes := c.sim.all()
	return nodes[c.random.IntN(len(nodes))].running()
}

func (c *simClient) request(ctx context.Context, p *simProcess) {
	number, copies := c.random.IntN(3), 1
	if number > 0 {
		copies = 2 + int(c.sim.seed%2)
	}
	b := cluster.Native(cluster.BucketName(fmt.Sprintf("bucket-%d", number)))
	key := cluster.ObjectKey(fmt.Sprintf("key-%d", c.random.IntN(4)))
	c.sent++
	req := cluster.RequestID(fmt.Sprintf("c%d-%d", c.number, c.sent))
	switch n := c.random.IntN(100); {
	case n < 8:
		c.change(p, req, "create "+b.String(), func() error {
			_, err := p.control.CreateBucket(ctx, req, b, cluster.BucketProps{Checksum: cluster.ChecksumMD5, Replicas: copies}, "root", "")
			return err
		})
	case n < 12:
		c.change(p, req, "delete "+b.String(), func() error { return p.control.DeleteBucket(ctx, req, b) })
	case n < 16:
		c.change(p, req, "props "+b.String(), func() error {
			was, _ := p.control.View().Bucket(b)
			_, err := p.control.SetBucketProps(ctx, req, b, was.Props, cluster.BucketProps{Checksum: cluster.ChecksumXXHash, Replicas: copies, Redirect: fmt.Sprint(c.random.IntN(1000))})
			return err
		})
	case n < 18:
		c.change(p, req, "set", func() error { return p.control.SetSettings(ctx, req, map[string]string{"number": string(req)}) })
	case n < 50:
		c.object(ctx, p, b, key, func(t *simTarget, k simKey, e cluster.Epoch) error {
			began := c.sim.checks.begin(k)
			v, err := t.read(k, e)
			if err == nil {
				c.sim.checks.read(k, v, began)
			}
			return err
		})
	default:
		exists := n < 80
		c.object(ctx, p, b, key, func(t *simTarget, k simKey, e cluster.Epoch) error {
			_, err := t.write(k, exists, e)
			return err
		})
	}
}

// change makes a control change. A definite answer, refusals included, is an acknowledgement.
func (c *simClient) change(p *simProcess, req cluster.RequestID, what string, f func() error) {
	err := f()
	if p.life.Err() != nil || cluster.Is(err, cluster.KindUnavailable) || err != nil && cluster.KindOf(err) == cluster.KindOther {
		c.sim.checks.event("%s %s at %s: unknown (%v)", req, what, p.node.id, err)
		return
	}
	c.sim.checks.acknowledged(req, fmt.Sprintf("%s at %s: %v", what, p.node.id, err))
}

// view is what a gateway answers from, and the changes that were acknowledged before the request began. The order is what
// matters.
func (c *simClient) view(p *simProcess) (v *View, began uint64, err error) {
	changes := c.sim.checks.changes
	switch f := c.sim.flaw; {
	case f.leaseBeforeRead: // on a connection that waits for its next request
		err = p.control.CheckLease()
		c.pauseHere(p)
		began = changes()
		v = p.control.View()
	case f.viewBeforeLease:
		began = changes()
		v = p.control.View()
		c.pauseHere(p)
		err = p.control.CheckLease()
	default:
		began = changes()
		c.pauseHere(p)
		v, err = p.control.Current()
		c.pauseHere(p)
	}
	return v, began, err
}

// pauseHere is a place where a request is often held up: by a disk, a slow client, or a pause of the process.
func (c *simClient) pauseHere(p *simProcess) {
	wait := time.Duration(c.random.IntN(2000)) * time.Microsecond
	if c.random.IntN(8) == 0 {
		wait *= 500
	}
	time.Sleep(wait)
	p.node.wait()
}

// object answers a request about an object: what the bucket is, from the view; then the owner does the rest.
func (c *simClient) object(ctx context.Context, p *simProcess, b cluster.Bucket, key cluster.ObjectKey, f func(*simTarget, simKey, cluster.Epoch) error) {
	v, began, err := c.view(p)
	if err != nil || p.life.Err() != nil {
		return
	}
	c.sim.checks.answered(p, v, began)
	e, ok := v.Bucket(b)
	if !ok {
		return
	}
	k := simKey{e.ID, key}
	id, epoch := v.Map().Owner(cluster.SlotOf(e.ID, key))
	owner := c.sim.node(id)
	if owner == nil {
		return
	}
	way, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if id != p.node.id && c.sim.network.Pass(way, p.node.id, id) != nil {
		return
	}
	if t := owner.running(); t != nil && t.target != nil {
		f(t.target, k, epoch)
	}
}
