package replica

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"net"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/httpd"
	"github.com/aisle-store/aisle/cluster/intra"
	"github.com/aisle-store/aisle/target/internal/disk"
	"github.com/aisle-store/aisle/target/internal/meta"
	"github.com/aisle-store/aisle/target/internal/store"
)

// holder keeps what it was asked and answers what it is told to.
type holder struct {
	asked  any
	answer any
	err    error
	body   []byte
	footer []byte
}

func reply[T any](h *holder, r any) (T, error) {
	h.asked = r
	if h.err != nil {
		var none T
		return none, h.err
	}
	return h.answer.(T), nil
}

func (h *holder) Stage(_ context.Context, r *store.StageRequest) (s store.Staged, err error) {
	if h.body, err = io.ReadAll(r.Body); err != nil {
		return s, err
	}
	if h.footer, err = r.Footer(); err != nil {
		return s, err
	}
	c := *r
	c.Body, c.Footer = nil, nil
	return reply[store.Staged](h, &c)
}

func (h *holder) Prepare(_ context.Context, r *store.PrepareRequest) (*store.PrepareReply, error) {
	return reply[*store.PrepareReply](h, r)
}

func (h *holder) Decide(_ context.Context, r *store.DecideRequest) (store.Standing, error) {
	return reply[store.Standing](h, r)
}

func (h *holder) Doubts(_ context.Context, r *store.DoubtsRequest) (*store.DoubtsReply, error) {
	return reply[*store.DoubtsReply](h, r)
}

func (h *holder) Forget(_ context.Context, r *store.ForgetRequest) (store.Standing, error) {
	return reply[store.Standing](h, r)
}

func (h *holder) Pull(_ context.Context, r *store.PullRequest) (*store.PullReply, error) {
	return reply[*store.PullReply](h, r)
}

func (h *holder) Compare(_ context.Context, r *store.CompareRequest) (*store.CompareReply, error) {
	return reply[*store.CompareReply](h, r)
}

func (h *holder) Fetch(_ context.Context, r *store.FetchRequest) (io.ReadCloser, error) {
	return reply[io.ReadCloser](h, r)
}

// network delivers requests to one holder, through tickets.
type network struct {
	t       *testing.T
	h       *holder
	tickets *intra.Tickets
	change  func([]byte) []byte // what arrives of a body
}

func (n *network) Do(ctx context.Context, _ string, out *httpd.OutRequest) (*httpd.InReply, error) {
	body, err := io.ReadAll(out.Body)
	if err != nil {
		return nil, err
	}
	if n.change != nil {
		body = n.change(body)
	}
	request := httpd.NewRequest(out.Method, out.Target, bytes.NewReader(body), out.Length)
	request.Header = out.Header
	g, err := n.tickets.Open(request)
	if err != nil {
		return nil, err
	}
	rep := httpd.NewReply()
	if err := Serve(ctx, n.h, g, request, rep); err != nil {
		return nil, err
	}
	status := rep.StatusCode()
	text, err := rep.ReadAll()
	if err != nil {
		return nil, err
	}
	in := &httpd.InReply{Status: status, Length: int64(len(text)), Body: io.NopCloser(bytes.NewReader(text))}
	for name, value := range rep.Headers() {
		in.Header.Add(name, value)
	}
	return in, nil
}

func newNetwork(t *testing.T) (*network, *Client) {
	key := []byte(strings.Repeat("k", 32))
	n := &network{t: t, h: &holder{}, tickets: intra.NewTickets(intra.TicketOptions{Key: key, Self: "t2"})}
	m := &cluster.Map{Version: 3, Removed: map[cluster.NodeID]bool{}}
	m.SetNode(cluster.Node{ID: "t2", IntraAddr: "t2:1", Incarnation: 9})
	sealing := intra.NewTickets(intra.TicketOptions{Key: key, Self: "t1"})
	return n, NewClient(intra.Messenger{HTTP: n, Tickets: sealing, Self: "t1"}, func() *cluster.Map { return m })
}

var from1 = store.Sender{Node: "t1", Version: 3, Incarnation: 9}

func records() []*meta.Record {
	g := cluster.Generation{Epoch: 5, Counter: 7}
	r := &meta.Record{Ref: meta.Ref{Kind: meta.Current, Bucket: 11, Key: "a\x00b", Generation: g}}
	r.Size, r.ETag, r.PartCount = 30, "e", 2
	r.Place = disk.Place{}
	r.Parts = []meta.Part{
		{Number: 1, Size: 10, Place: disk.Place{Kind: disk.Extent, File: 3, Offset: 4096, Length: 10, Span: 4096, Sum: 8}},
		{Number: 2, Size: 20, Inline: []byte("twenty bytes in line")},
	}
	inline := &meta.Record{Ref: meta.Ref{Kind: meta.UploadPart, Bucket: 11, Key: "a\x00b", Upload: "u", Part: 4, Generation: g}}
	inline.Size, inline.Inline = 5, []byte("bytes")
	return []*meta.Record{r, inline}
}

// TestMessages sends every message and compares what arrives, and what comes back.
func TestMessages(t *testing.T) {
	n, c := newNetwork(t)
	ctx := context.Background()
	ref := records()[1].Ref
	st := store.Standing{Refused: true, Version: 12}
	f := func(asked, answer any, call func() (any, error)) {
		t.Helper()
		n.h.answer = answer
		got, err := call()
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(n.h.asked, asked) {
			t.Errorf("asked\n%+v, want\n%+v", n.h.asked, asked)
		}
		if !reflect.DeepEqual(got, answer) {
			t.Errorf("answered\n%+v, want\n%+v", got, answer)
		}
	}
	prepare := &store.PrepareRequest{
		Sender: from1, Slot: 1 << 20, Epoch: 5, Generation: cluster.Generation{Epoch: 5, Counter: 7}, Records: records(), Beside: records()[1:],
		Abandon: []meta.Ref{ref}, Visible: []meta.Ref{ref, ref}, Sources: []store.Source{{Record: 0, Piece: 1, Token: 77}, {Record: 0, Piece: 2, From: ref, At: 1}},
	}
	f(prepare, &store.PrepareReply{Standing: st, Missing: []store.Piece{{Record: 1, Piece: 2}}, Failed: "dead", Doubts: []meta.Ref{ref}}, func() (any, error) { return c.Prepare(ctx, "t2", prepare) })
	decide := &store.DecideRequest{Sender: from1, Decisions: []store.Decision{{Refs: []meta.Ref{ref, records()[0].Ref}, Drop: true}}}
	f(decide, st, func() (any, error) { return c.Decide(ctx, "t2", decide) })
	doubts := &store.DoubtsRequest{Sender: from1, Keys: []store.KeyName{{Bucket: 1, Key: "k"}, {Bucket: 2, Key: "l"}}}
	f(doubts, &store.DoubtsReply{Generations: [][]cluster.Generation{{{Epoch: 1, Counter: 2}}, nil}}, func() (any, error) { return c.Doubts(ctx, "t2", doubts) })
	forget := &store.ForgetRequest{Sender: from1, Refs: []meta.Ref{ref}}
	f(forget, st, func() (any, error) { return c.Forget(ctx, "t2", forget) })
	pull := &store.PullRequest{Sender: from1, Digest: 1 << 63, Cursor: store.Cursor{Kind: 2, After: &ref}}
	f(pull, &store.PullReply{Records: records(), Next: store.Cursor{Kind: 1, After: &ref}, Done: true}, func() (any, error) { return c.Pull(ctx, "t2", pull) })
	compare := &store.CompareRequest{Sender: from1, Digest: 3, Refs: []meta.Ref{ref}}
	f(compare, &store.CompareReply{Visible: []bool{true}}, func() (any, error) { return c.Compare(ctx, "t2", compare) })

	fetch := &store.FetchRequest{Sender: from1, Ref: ref, Piece: 3}
	want := bytes.Repeat([]byte("0123456789"), 100_000)
	n.h.answer = io.NopCloser(bytes.NewReader(want))
	in, err := c.Fetch(ctx, "t2", fetch)
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(in)
	if err != nil || !bytes.Equal(got, want) || !reflect.DeepEqual(n.h.asked, fetch) {
		t.Fatalf("%d bytes, %v, asked %+v", len(got), err, n.h.asked)
	}
}

func TestRefusals(t *testing.T) {
	n, c := newNetwork(t)
	ctx := context.Background()
	n.h.err = cluster.Fail("x", "y", cluster.KindConflict, "another content")
	if _, err := c.Prepare(ctx, "t2", &store.PrepareRequest{Sender: from1, Records: records()}); !cluster.Is(err, cluster.KindConflict) {
		t.Errorf("the kind of an error is lost: %v", err)
	}
	if _, err := c.Fetch(ctx, "t2", &store.FetchRequest{Sender: from1}); !cluster.Is(err, cluster.KindConflict) {
		t.Errorf("the kind of an error is lost: %v", err)
	}
	n.h.err, n.h.answer = nil, store.Standing{}
	other := from1
	other.Node = "t3"
	if _, err := c.Forget(ctx, "t2", &store.ForgetRequest{Sender: other}); !cluster.Is(err, cluster.KindDenied) {
		t.Errorf("a message under another node's name: %v", err)
	}
	if _, err := c.Forget(ctx, "t9", &store.ForgetRequest{Sender: from1}); !cluster.Is(err, cluster.KindUnavailable) {
		t.Errorf("a node that the map does not have: %v", err)
	}
	n.change = func(b []byte) []byte { return append(b[:len(b)-1], b[len(b)-1]^1) }
	if _, err := c.Forget(ctx, "t2", &store.ForgetRequest{Sender: from1}); !cluster.Is(err, cluster.KindDenied) {
		t.Errorf("a message that was changed: %v", err)
	}
}

func TestStage(t *testing.T) {
	n, c := newNetwork(t)
	ctx := context.Background()
	n.h.answer = store.Staged{Token: 5, Length: 6, Sum: 7}
	bodies := map[string]func([]byte) io.Reader{
		"read":    func(b []byte) io.Reader { return iotest.HalfReader(bytes.NewReader(b)) },
		"held":    func(b []byte) io.Reader { return &net.Buffers{b} },
		"in many": func(b []byte) io.Reader { return &net.Buffers{b[:len(b)/3], nil, b[len(b)/3:]} },
	}
	for i := range 4 * len(bodies) {
		size, how := []int{0, 1, 100_000, 3_000_000}[i%4], slices.Sorted(maps.Keys(bodies))[i/4]
		want := bytes.Repeat([]byte{7}, size)
		r := &store.StageRequest{
			Sender: from1, Bucket: 11, Key: "a/\x00?&", Size: int64(size), Body: bodies[how](want),
			Footer: func() ([]byte, error) { return []byte("footer"), nil },
		}
		got, err := c.Stage(ctx, "t2", r)
		if err != nil || got != n.h.answer || !bytes.Equal(n.h.body, want) || string(n.h.footer) != "footer" {
			t.Fatalf("%d bytes %s: %+v, %v, %d arrived, %q", size, how, got, err, len(n.h.body), n.h.footer)
		}
		asked := n.h.asked.(*store.StageRequest)
		if asked.Sender != from1 || asked.Key != r.Key || asked.Bucket != 11 || asked.Size != int64(size) {
			t.Fatalf("asked %+v", asked)
		}
	}
	broken := errors.New("the client went away")
	_, err := c.Stage(ctx, "t2", &store.StageRequest{Sender: from1, Size: -1, Body: iotest.ErrReader(broken)})
	if !errors.Is(err, broken) {
		t.Fatalf("a body that breaks off: %v", err)
	}
	for i := range 2 * 19 { // a stream that was cut anywhere is not a body
		cut, body := i/2, io.Reader(strings.NewReader("body"))
		if i%2 == 1 {
			body = &net.Buffers{[]byte("body")}
		}
		n.change = func(b []byte) []byte { return b[:cut] }
		_, err := c.Stage(ctx, "t2", &store.StageRequest{
			Sender: from1, Size: -1, Body: body, Footer: func() ([]byte, error) { return []byte("foot"), nil },
		})
		if err == nil {
			t.Fatalf("a stream of %d bytes is taken for whole", cut)
		}
	}
}

func FuzzUnframed(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x04body\x00\x00\x00\x00\x00\x00\x00\x04foot"))
	f.Fuzz(func(t *testing.T, text []byte) {
		u := newUnframed(bytes.NewReader(text))
		body, err := io.ReadAll(u)
		if err != nil {
			return
		}
		if footer, err := u.footer(); err == nil && len(body)+len(footer) > len(text) {
			t.Fatal("more came out than went in")
		}
	})
}
