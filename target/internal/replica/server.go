package replica

import (
	"context"
	"errors"
	"io"
	"net/url"
	"strconv"

	"github.com/tinylib/msgp/msgp"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/httpd"
	"github.com/aisle-store/aisle/cluster/intra"
	"github.com/aisle-store/aisle/target/internal/store"
)

// Holder is what a node does with the messages; *store.Store is one.
type Holder interface {
	Stage(ctx context.Context, r *store.StageRequest) (store.Staged, error)
	Prepare(ctx context.Context, r *store.PrepareRequest) (*store.PrepareReply, error)
	Decide(ctx context.Context, r *store.DecideRequest) (store.Standing, error)
	Doubts(ctx context.Context, r *store.DoubtsRequest) (*store.DoubtsReply, error)
	Forget(ctx context.Context, r *store.ForgetRequest) (store.Standing, error)
	Pull(ctx context.Context, r *store.PullRequest) (*store.PullReply, error)
	Compare(ctx context.Context, r *store.CompareRequest) (*store.CompareReply, error)
	Fetch(ctx context.Context, r *store.FetchRequest) (io.ReadCloser, error)
}

// handler answers one kind of message.
type handler func(ctx context.Context, h Holder, g *intra.Grant, req *httpd.Request, rep *httpd.Reply) error

var handlers = map[string]handler{
	pathStage: serveStage, pathPrepare: servePrepare, pathDecide: serveDecide, pathDoubts: serveDoubts, pathForget: serveForget,
	pathPull: servePull, pathCompare: serveCompare, pathFetch: serveFetch,
}

// Serve answers a request under PathPrefix, whose ticket has been opened into g.
func Serve(ctx context.Context, h Holder, g *intra.Grant, req *httpd.Request, rep *httpd.Reply) error {
	const op = "target/replica.Serve"
	handle, ok := handlers[req.Path]
	if !ok {
		return cluster.Fail(op, req.Path, cluster.KindNotFound, "there is no such message")
	}
	rep.Operation = "node.Copy"
	if err := handle(ctx, h, g, req, rep); err != nil {
		intra.WriteError(rep, cluster.E(op, req.Path, cluster.KindOther, err))
	}
	return nil
}

// receive reads a message into in, whose sender must be the one who sealed the ticket.
func receive(g *intra.Grant, req *httpd.Request, in msgp.Unmarshaler, from *sender) (store.Sender, error) {
	if err := intra.ReadMessage(g, req, in); err != nil {
		return store.Sender{}, err
	}
	if g.Gateway != from.Node {
		return store.Sender{}, cluster.Fail("target/replica.Serve", string(from.Node), cluster.KindDenied, "the ticket is another node's")
	}
	return store.Sender(*from), nil
}

func serveStage(ctx context.Context, h Holder, g *intra.Grant, req *httpd.Request, rep *httpd.Reply) error {
	if err := intra.CheckStream(g, req); err != nil {
		return err
	}
	query, err := url.ParseQuery(req.Query)
	if err != nil {
		return cluster.E("", "", cluster.KindInvalid, err)
	}
	size, err1 := strconv.ParseInt(query.Get("size"), 10, 64)
	incarnation, err2 := strconv.ParseUint(query.Get("incarnation"), 10, 64)
	if err := errors.Join(err1, err2); err != nil {
		return cluster.E("", "", cluster.KindInvalid, err)
	}
	body := newUnframed(req.Body)
	out, err := h.Stage(ctx, &store.StageRequest{
		Sender: store.Sender{Node: g.Gateway, Version: g.MapVersion, Incarnation: cluster.Incarnation(incarnation)},
		Bucket: g.BucketID, Key: g.Key, Size: size, Body: body, Footer: body.footer,
	})
	if err != nil {
		return err
	}
	reply := staged(out)
	return intra.WriteMessage(rep, &reply)
}

func servePrepare(ctx context.Context, h Holder, g *intra.Grant, req *httpd.Request, rep *httpd.Reply) error {
	var in prepare
	if _, err := receive(g, req, &in, &in.Sender); err != nil {
		return err
	}
	r, err := fromPrepare(&in)
	if err != nil {
		return err
	}
	out, err := h.Prepare(ctx, r)
	if err != nil {
		return err
	}
	return intra.WriteMessage(rep, &prepared{
		Standing: standing(out.Standing), Failed: out.Failed, Missing: each(out.Missing, func(p store.Piece) piece { return piece(p) }),
		Doubts: each(out.Doubts, toRef),
	})
}

func serveDecide(ctx context.Context, h Holder, g *intra.Grant, req *httpd.Request, rep *httpd.Reply) error {
	var in decide
	s, err := receive(g, req, &in, &in.Sender)
	if err != nil {
		return err
	}
	out, err := h.Decide(ctx, &store.DecideRequest{Sender: s, Decisions: each(in.Decisions, func(d decision) store.Decision {
		return store.Decision{Refs: refs(d.Refs), Drop: d.Drop}
	})})
	if err != nil {
		return err
	}
	reply := standing(out)
	return intra.WriteMessage(rep, &reply)
}

func serveDoubts(ctx context.Context, h Holder, g *intra.Grant, req *httpd.Request, rep *httpd.Reply) error {
	var in doubts
	s, err := receive(g, req, &in, &in.Sender)
	if err != nil {
		return err
	}
	out, err := h.Doubts(ctx, &store.DoubtsRequest{Sender: s, Keys: each(in.Keys, func(k keyName) store.KeyName { return store.KeyName(k) })})
	if err != nil {
		return err
	}
	return intra.WriteMessage(rep, &doubtsReply{
		Standing:    standing(out.Standing),
		Generations: each(out.Generations, func(all []cluster.Generation) []generation { return each(all, toGeneration) }),
	})
}

func serveForget(ctx context.Context, h Holder, g *intra.Grant, req *httpd.Request, rep *httpd.Reply) error {
	var in forget
	s, err := receive(g, req, &in, &in.Sender)
	if err != nil {
		return err
	}
	out, err := h.Forget(ctx, &store.ForgetRequest{Sender: s, Refs: refs(in.Refs), Keep: in.Keep})
	if err != nil {
		return err
	}
	reply := standing(out)
	return intra.WriteMessage(rep, &reply)
}

func servePull(ctx context.Context, h Holder, g *intra.Grant, req *httpd.Request, rep *httpd.Reply) error {
	var in pull
	s, err := receive(g, req, &in, &in.Sender)
	if err != nil {
		return err
	}
	out, err := h.Pull(ctx, &store.PullRequest{Sender: s, Digest: in.Digest, Cursor: fromCursor(in.Kind, in.After)})
	if err != nil {
		return err
	}
	reply := &pulled{Standing: standing(out.Standing), Done: out.Done, Passed: out.Passed}
	reply.Kind, reply.After = toCursor(out.Next)
	if reply.Records, err = toRecords(out.Records); err != nil {
		return err
	}
	return intra.WriteMessage(rep, reply)
}

func serveCompare(ctx context.Context, h Holder, g *intra.Grant, req *httpd.Request, rep *httpd.Reply) error {
	var in compare
	s, err := receive(g, req, &in, &in.Sender)
	if err != nil {
		return err
	}
	out, err := h.Compare(ctx, &store.CompareRequest{Sender: s, Digest: in.Digest, Refs: refs(in.Refs)})
	if err != nil {
		return err
	}
	return intra.WriteMessage(rep, &compared{Standing: standing(out.Standing), Visible: out.Visible})
}

func serveFetch(ctx context.Context, h Holder, g *intra.Grant, req *httpd.Request, rep *httpd.Reply) error {
	var in fetch
	s, err := receive(g, req, &in, &in.Sender)
	if err != nil {
		return err
	}
	body, err := h.Fetch(ctx, &store.FetchRequest{Sender: s, Ref: fromRef(in.Ref), Piece: in.Piece, Range: fromRange(in.Range)})
	if err != nil {
		return err
	}
	rep.Stream(-1, &stream{in: body})
	return nil
}

// stream is a reader as the body of a reply.
type stream struct {
	in  io.ReadCloser
	buf []byte
}

const streamBuffer = 256 << 10

// Next implements httpd.Body.
func (s *stream) Next() (httpd.Section, error) {
	if s.buf == nil {
		s.buf = make([]byte, streamBuffer)
	}
	n, err := io.ReadFull(s.in, s.buf)
	if errors.Is(err, io.ErrUnexpectedEOF) || err == io.EOF && n > 0 {
		err = nil
	}
	return httpd.Section{Bytes: s.buf[:n]}, err
}

// Close implements httpd.Body.
func (s *stream) Close() error { return s.in.Close() }
