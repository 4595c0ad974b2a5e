package intra

import (
	"context"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/httpd"
)

// Client makes the calls under /-/node/.
type Client struct {
	HTTP    *httpd.Client
	Tickets *Tickets
	Self    cluster.NodeID
}

// Call says who is called, and on whose behalf.
type Call struct {
	Addr     string // the owner's intra address
	Owner    cluster.NodeID
	Request  cluster.RequestID
	Identity cluster.AccessKeyID
	Root     bool
	Bucket   cluster.Bucket
}

// List fetches one target's part of a page.
func (c *Client) List(ctx context.Context, call Call, in *ListRequest) (*ListReply, error) {
	return nil, cluster.Fail("cluster/intra.Client.List", call.Addr, cluster.KindUnavailable, "not connected")
}

// Delete deletes a batch at its owner.
func (c *Client) Delete(ctx context.Context, call Call, in *DeleteRequest) (*DeleteReply, error) {
	return nil, cluster.Fail("cluster/intra.Client.Delete", call.Addr, cluster.KindUnavailable, "not connected")
}

// Stat fetches the entry of one object from its owner.
func (c *Client) Stat(ctx context.Context, call Call, in *StatRequest) (*StatReply, error) {
	return nil, cluster.Fail("cluster/intra.Client.Stat", call.Addr, cluster.KindUnavailable, "not connected")
}

// Service is what the owner of slots answers.
type Service interface {
	List(ctx context.Context, g *Grant, in *ListRequest) (*ListReply, error)
	Delete(ctx context.Context, g *Grant, in *DeleteRequest) (*DeleteReply, error)
	Stat(ctx context.Context, g *Grant, in *StatRequest) (*StatReply, error)
}

// Serve answers a request under PathPrefix, whose ticket has been opened into g: it reads and checks the message, calls
// svc and writes the reply. Errors go back as their kind (WriteError).
func Serve(ctx context.Context, svc Service, g *Grant, req *httpd.Request, rep *httpd.Reply) error {
	return nil
}

// WriteError fills rep with err in the form that nodes understand: the status, HeaderKind, Retry-After and a text.
func WriteError(rep *httpd.Reply, err error) {}

// ReadError makes an error of a reply between nodes that is not a success: kind, delay and text as WriteError wrote them.
func ReadError(op, addr string, status int, h *httpd.Header, body []byte) error { return nil }
