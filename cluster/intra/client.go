package intra

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/api"
	"github.com/aisle-store/aisle/cluster/httpd"
	"github.com/tinylib/msgp/msgp"
)

// Limits of messages, in bytes.
const (
	maxRequest = 8 << 20  // 1,000 keys of 1 KiB, and room
	maxReply   = 64 << 20 // a page of entries
	maxError   = 64 << 10
)

const contentType = "application/msgpack"

// Client makes the calls under /-/node/.
type Client struct {
	HTTP    *httpd.Client
	Tickets *Tickets
	Self    cluster.NodeID
	Clocks  *Clocks // of the nodes that are called
}

// Call says who is called, and on whose behalf.
type Call struct {
	Addr     string // the owner's intra address
	Owner    cluster.NodeID
	Request  cluster.RequestID
	Identity cluster.AccessKeyID
	Holder   string // see Grant
	Root     bool
	Bucket   cluster.Bucket

	Incarnation cluster.Incarnation // of the owner, by the map
	Began       time.Duration       // when the client's request came, by Clocks; of writes
}

// List fetches one target's part of a page.
func (c *Client) List(ctx context.Context, call Call, in *ListRequest) (*ListReply, error) {
	out := new(ListReply)
	g := Grant{BucketID: in.BucketID, MapVersion: in.MapVersion}
	return out, c.call(ctx, call, PathList, g, in, out)
}

// Delete deletes a batch at its owner.
func (c *Client) Delete(ctx context.Context, call Call, in *DeleteRequest) (*DeleteReply, error) {
	const op = "cluster/intra.Client.Delete"
	out := new(DeleteReply)
	if err := c.call(ctx, call, PathDelete, Grant{BucketID: in.BucketID, Write: true}, in, out); err != nil {
		return nil, err
	}
	if len(out.Results) != len(in.Items) {
		return nil, cluster.Fail(op, call.Addr, cluster.KindOther, "the node answered with another number of results")
	}
	return out, nil
}

// Stat fetches the entry of one object from its owner.
func (c *Client) Stat(ctx context.Context, call Call, in *StatRequest) (*StatReply, error) {
	out := new(StatReply)
	g := Grant{BucketID: in.BucketID, Key: in.Key, Epoch: in.Epoch}
	return out, c.call(ctx, call, PathStat, g, in, out)
}

// Move asks the owner of keys to move them, or whether they are moved.
func (c *Client) Move(ctx context.Context, call Call, in *MoveRequest) (*MoveReply, error) {
	const op = "cluster/intra.Client.Move"
	out := new(MoveReply)
	if err := c.call(ctx, call, PathMove, Grant{BucketID: in.BucketID}, in, out); err != nil {
		return nil, err
	}
	if len(out.Keys) != len(in.Keys) {
		return nil, cluster.Fail(op, call.Addr, cluster.KindOther, "the node answered about another number of keys")
	}
	return out, nil
}

// call makes one call. A write that the owner may have refused because nothing, or nothing recent, was known of its clock, is
// sent again with what its refusal told.
func (c *Client) call(ctx context.Context, call Call, path string, g Grant, in msgp.Marshaler, out msgp.Unmarshaler) error {
	op := "cluster/intra.Client" + path
	body, err := in.MarshalMsg(nil)
	if err != nil {
		return cluster.E(op, call.Addr, cluster.KindInvalid, err)
	}
	g.Owner, g.Request, g.Identity, g.Root, g.Bucket, g.Holder = call.Owner, call.Request, call.Identity, call.Root, call.Bucket, call.Holder
	for again := false; ; again = true {
		sure := !g.Write || c.Clocks.Stamp(&g, call.Incarnation, call.Began)
		err := c.attempt(ctx, op, call, path, &g, body, out)
		if sure || again || !cluster.Is(err, cluster.KindUnavailable) {
			return err
		}
	}
}

// attempt makes a call once.
func (c *Client) attempt(ctx context.Context, op string, call Call, path string, g *Grant, body []byte, out msgp.Unmarshaler) error {
	m := Messenger{HTTP: c.HTTP, Tickets: c.Tickets, Self: c.Self}
	reply, err := m.post(ctx, call.Owner, call.Addr, path, g, body)
	if err != nil {
		return err
	}
	defer reply.Body.Close()
	c.Clocks.Note(call.Owner, reply.Header.Get(HeaderClock))
	return decodeReply(op, call.Addr, reply, out)
}

func decodeReply(op, addr string, reply *httpd.InReply, out msgp.Unmarshaler) error {
	limit := int64(maxReply)
	if reply.Status != http.StatusOK {
		limit = maxError
	}
	body, err := readAll(reply.Body, reply.Length, limit)
	switch {
	case err != nil && cluster.KindOf(err) == cluster.KindOther:
		return cluster.E(op, addr, cluster.KindUnavailable, err)
	case err != nil:
		return cluster.E(op, addr, cluster.KindOther, err)
	case reply.Status != http.StatusOK:
		return ReadError(op, addr, reply.Status, &reply.Header, body)
	}
	if rest, err := out.UnmarshalMsg(body); err != nil || len(rest) > 0 {
		return cluster.E(op, addr, cluster.KindOther, fmt.Errorf("the node's answer is malformed: %w", errors.Join(err)))
	}
	return nil
}

// readAll reads a body of length bytes (-1 when unknown), no more than limit.
func readAll(r io.Reader, length, limit int64) ([]byte, error) {
	if length > limit {
		return nil, errTooLong
	}
	if length >= 0 {
		body := make([]byte, length)
		_, err := io.ReadFull(r, body)
		return body, err
	}
	body, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil && int64(len(body)) > limit {
		err = errTooLong
	}
	return body, err
}

var errTooLong = cluster.Fail("cluster/intra", "", cluster.KindTooLarge, "the message is too long")

// Service is what the owner of slots answers.
type Service interface {
	List(ctx context.Context, g *Grant, in *ListRequest) (*ListReply, error)
	Delete(ctx context.Context, g *Grant, in *DeleteRequest) (*DeleteReply, error)
	Stat(ctx context.Context, g *Grant, in *StatRequest) (*StatReply, error)
	Move(ctx context.Context, g *Grant, in *MoveRequest) (*MoveReply, error)
}

// Serve answers a request under PathPrefix, whose ticket has been opened into g: it reads and checks the message, calls
// svc and writes the reply. Errors go back as their kind (WriteError).
func Serve(ctx context.Context, svc Service, g *Grant, req *httpd.Request, rep *httpd.Reply) error {
	out, err := dispatch(ctx, svc, g, req)
	if err == nil {
		err = WriteMessage(rep, out)
	}
	if err != nil {
		WriteError(rep, err)
	}
	return nil
}

func dispatch(ctx context.Context, svc Service, g *Grant, req *httpd.Request) (msgp.Marshaler, error) {
	const op = "cluster/intra.Serve"
	switch req.Path {
	case PathList:
		in := new(ListRequest)
		if err := ReadMessage(g, req, in); err != nil {
			return nil, err
		}
		return answer(svc.List(ctx, g, in))
	case PathDelete:
		in := new(DeleteRequest)
		if err := ReadMessage(g, req, in); err != nil {
			return nil, err
		}
		if !g.Write {
			return nil, cluster.Fail(op, req.Path, cluster.KindDenied, "the ticket is for a read")
		}
		return answer(svc.Delete(ctx, g, in))
	case PathStat:
		in := new(StatRequest)
		if err := ReadMessage(g, req, in); err != nil {
			return nil, err
		}
		return answer(svc.Stat(ctx, g, in))
	case PathMove:
		in := new(MoveRequest)
		if err := ReadMessage(g, req, in); err != nil {
			return nil, err
		}
		return answer(svc.Move(ctx, g, in))
	}
	return nil, cluster.Fail(op, req.Path, cluster.KindNotFound, "there is no such call")
}

// answer keeps a nil pointer from becoming a message that is not nil.
func answer[M msgp.Marshaler](out M, err error) (msgp.Marshaler, error) {
	if err != nil {
		return nil, err
	}
	return out, nil
}

func decode(body []byte, in msgp.Unmarshaler) error {
	rest, err := in.UnmarshalMsg(body)
	if err == nil && len(rest) > 0 {
		err = errors.New("bytes after the message")
	}
	if err != nil {
		return cluster.E("cluster/intra.Serve", "", cluster.KindInvalid, err)
	}
	return nil
}

// WriteError fills rep with err in the form that nodes understand: the status, HeaderKind, Retry-After and a text.
func WriteError(rep *httpd.Reply, err error) {
	kind := cluster.KindOf(err)
	rep.Status = api.Status(kind)
	rep.SetHeader(HeaderKind, kind.String())
	var e *cluster.Error
	if errors.As(err, &e) && e.RetryAfter > 0 {
		rep.SetHeader("Retry-After", strconv.Itoa(cluster.RetryAfter(err)))
	}
	rep.Bytes("text/plain; charset=utf-8", []byte(err.Error()))
}

// ReadError makes an error of a reply between nodes that is not a success: kind, delay and text as WriteError wrote them.
func ReadError(op, addr string, status int, h *httpd.Header, body []byte) error {
	e := cluster.Fail(op, addr, cluster.ParseKind(h.Get(HeaderKind)), string(body))
	if !h.Has(HeaderKind) && status == http.StatusServiceUnavailable {
		e.Kind = cluster.KindUnavailable // the door of the node, not its service
	}
	if seconds, err := strconv.Atoi(h.Get("Retry-After")); err == nil && seconds > 0 {
		e.RetryAfter = time.Duration(seconds) * time.Second
	}
	return e
}
