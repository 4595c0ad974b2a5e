package intra

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net"
	"net/http"

	"github.com/tinylib/msgp/msgp"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/httpd"
)

// Doer carries requests to other nodes; *httpd.Client does.
type Doer interface {
	Do(ctx context.Context, addr string, out *httpd.OutRequest) (*httpd.InReply, error)
}

const opSend = "cluster/intra.Messenger"

// Messenger sends messages of a part's own to other nodes: under paths below PathPrefix that Serve does not know, on no
// client's behalf.
type Messenger struct {
	HTTP    Doer
	Tickets *Tickets
	Self    cluster.NodeID
}

// Call sends a message and reads the one that answers it.
func (m *Messenger) Call(ctx context.Context, to cluster.Node, path string, in msgp.Marshaler, out msgp.Unmarshaler) error {
	reply, err := m.open(ctx, to, path, in)
	if err != nil {
		return err
	}
	defer reply.Body.Close()
	return decodeReply(opSend+path, to.IntraAddr, reply, out)
}

// Open sends a message that is answered with a stream. The reader must be closed; it ends with an error when less than the
// whole stream came.
func (m *Messenger) Open(ctx context.Context, to cluster.Node, path string, in msgp.Marshaler) (io.ReadCloser, error) {
	reply, err := m.open(ctx, to, path, in)
	if err != nil {
		return nil, err
	}
	if reply.Status == http.StatusOK {
		return reply.Body, nil
	}
	defer reply.Body.Close()
	return nil, decodeReply(opSend+path, to.IntraAddr, reply, nil)
}

func (m *Messenger) open(ctx context.Context, to cluster.Node, path string, in msgp.Marshaler) (*httpd.InReply, error) {
	body, err := in.MarshalMsg(nil)
	if err != nil {
		return nil, cluster.E(opSend+path, to.IntraAddr, cluster.KindInvalid, err)
	}
	return m.post(ctx, to.ID, to.IntraAddr, path, new(Grant), body)
}

// post sends a message, bound to the ticket by its hash. It fills the rest of the grant.
func (m *Messenger) post(ctx context.Context, to cluster.NodeID, addr, path string, g *Grant, body []byte) (*httpd.InReply, error) {
	sum := sha256.Sum256(body)
	g.Payload = Payload{SHA256: hex.EncodeToString(sum[:]), Length: int64(len(body))}
	request := httpd.NewRequest(http.MethodPost, path, &net.Buffers{body}, int64(len(body)), "Content-Type", contentType)
	return m.send(ctx, to, addr, g, request)
}

// Stream sends a body that no hash is known of before; the receiver says what it got. The grant tells what the body is.
// length is -1 when it is unknown; a *net.Buffers of that length is sent from where it lies, and not used any more when Stream
// returns.
func (m *Messenger) Stream(ctx context.Context, to cluster.Node, g *Grant, target string, body io.Reader, length int64, out msgp.Unmarshaler) error {
	request := httpd.NewRequest(http.MethodPost, target, body, length)
	reply, err := m.send(ctx, to.ID, to.IntraAddr, g, request)
	if err != nil {
		return err
	}
	defer reply.Body.Close()
	return decodeReply(opSend+request.Path, to.IntraAddr, reply, out)
}

func (m *Messenger) send(ctx context.Context, to cluster.NodeID, addr string, g *Grant, request *httpd.Request) (*httpd.InReply, error) {
	g.Dialect, g.Operation, g.Owner, g.Gateway = Node, request.Path, to, m.Self
	request.Header.Add(HeaderTicket, m.Tickets.Seal(g, request))
	reply, err := m.HTTP.Do(ctx, addr, &httpd.OutRequest{
		Method: request.Method, Target: request.Target(), Header: request.Header, Body: request.Body, Length: request.Length,
	})
	if err != nil {
		return nil, cluster.E(opSend+request.Path, addr, cluster.KindOther, err)
	}
	return reply, nil
}

// ReadMessage reads a message that came with an opened ticket.
func ReadMessage(g *Grant, req *httpd.Request, in msgp.Unmarshaler) error {
	const op = "cluster/intra.ReadMessage"
	if err := CheckStream(g, req); err != nil {
		return err
	}
	body, err := readAll(req.Body, req.Length, maxRequest)
	if err != nil {
		return cluster.E(op, req.Path, cluster.KindOther, err)
	}
	if sum := sha256.Sum256(body); hex.EncodeToString(sum[:]) != g.Payload.SHA256 {
		return cluster.Fail(op, req.Path, cluster.KindDenied, "the message is not the one that was granted")
	}
	return decode(body, in)
}

// CheckStream refuses a request of another kind than the one that a ticket of a Messenger was made for.
func CheckStream(g *Grant, req *httpd.Request) error {
	if g.Dialect != Node || g.Operation != req.Path || req.Method != http.MethodPost {
		return cluster.Fail("cluster/intra.CheckStream", req.Path, cluster.KindDenied, "the ticket is for something else")
	}
	return nil
}

// WriteMessage answers with a message.
func WriteMessage(rep *httpd.Reply, out msgp.Marshaler) error {
	body, err := out.MarshalMsg(nil)
	if err != nil {
		return err
	}
	rep.Bytes(contentType, body)
	return nil
}
