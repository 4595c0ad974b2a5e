package intra

import (
	"context"
	"net"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/httpd"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// service answers with what it is given, or with err.
type service struct {
	serving sync.Mutex
	err     error
	grant   *Grant
	list    *ListRequest
	delete  *DeleteRequest

	onDelete func(*Grant) error
	clock    string // of the node
}

// between divides what the test reads and changes from the calls before and after: that a call is over is known
// by its answer only, which the race detector does not see.
func (s *service) between() {
	s.serving.Lock()
	defer s.serving.Unlock()
}

func (s *service) List(_ context.Context, g *Grant, in *ListRequest) (*ListReply, error) {
	s.grant, s.list = g, in
	return &ListReply{MapVersion: in.MapVersion, More: true, Entries: []cluster.Entry{
		{Key: "a", Size: 1 << 40, ETag: "e", Modified: epoch, Version: 3, ChecksumType: cluster.ChecksumMD5, Checksum: "00", Additional: cluster.ChecksumSet(0).With(cluster.ChecksumCRC32) | cluster.CompositeChecksums},
		{Key: "b/", Prefix: true},
	}}, s.err
}

func (s *service) Delete(_ context.Context, g *Grant, in *DeleteRequest) (*DeleteReply, error) {
	s.grant, s.delete = g, in
	if s.onDelete != nil {
		if err := s.onDelete(g); err != nil {
			return nil, err
		}
	}
	return &DeleteReply{Results: make([]DeleteResult, len(in.Items))}, s.err
}

func (s *service) Stat(_ context.Context, g *Grant, in *StatRequest) (*StatReply, error) {
	s.grant = g
	return &StatReply{Entry: cluster.Entry{Key: in.Key}}, s.err
}

func (s *service) Move(_ context.Context, g *Grant, in *MoveRequest) (*MoveReply, error) {
	s.grant = g
	reply := &MoveReply{}
	for _, key := range in.Keys {
		reply.Keys = append(reply.Keys, MovedKey{Moved: true, Exists: in.Look, Entry: &cluster.Entry{Key: key}})
	}
	return reply, s.err
}

// start serves svc on loopback as node t1 and returns a client and how to call it.
func start(t *testing.T, svc Service) (*Client, Call) {
	t.Helper()
	owner := NewTickets(TicketOptions{Key: []byte("secret"), Self: "t1"})
	server := httpd.NewServer(httpd.Options{Handler: func(ctx context.Context, req *httpd.Request, rep *httpd.Reply) error {
		g, err := owner.Open(req)
		if err != nil {
			WriteError(rep, err)
			return nil
		}
		if s, ok := svc.(*service); ok {
			s.serving.Lock()
			defer s.serving.Unlock()
			rep.SetHeader(HeaderClock, s.clock)
		}
		return Serve(ctx, svc, g, req, rep)
	}})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- server.Serve(ln) }()
	client := &Client{HTTP: httpd.NewClient(httpd.ClientOptions{}), Tickets: NewTickets(TicketOptions{Key: []byte("secret"), Self: "p1"}), Self: "p1", Clocks: NewClocks(func() time.Duration { return time.Hour })}
	t.Cleanup(func() {
		client.HTTP.Close()
		if err := server.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return client, Call{Addr: ln.Addr().String(), Owner: "t1", Request: "R", Identity: "AK", Bucket: cluster.Native("bucket")}
}

func TestCalls(t *testing.T) {
	svc := new(service)
	client, call := start(t, svc)
	ctx := context.Background()
	in := &ListRequest{MapVersion: 7, BucketID: 3, Uploads: true, Prefix: "p", Delimiter: "/", After: "a", AfterID: "u", Limit: 100}
	page, err := client.List(ctx, call, in)
	svc.between()
	if err != nil || !reflect.DeepEqual(svc.list, in) || page.MapVersion != 7 || !page.More || len(page.Entries) != 2 ||
		!page.Entries[0].Modified.Equal(epoch) || page.Entries[0].Additional != cluster.ChecksumSet(0).With(cluster.ChecksumCRC32)|cluster.CompositeChecksums || !page.Entries[1].Prefix {
		t.Fatalf("%+v, %v", page, err)
	}
	if g := svc.grant; g.Identity != "AK" || g.Request != "R" || g.Gateway != "p1" || g.Dialect != Node || g.Bucket != call.Bucket || g.Write {
		t.Fatalf("%+v", g)
	}
	size := int64(5)
	batch := &DeleteRequest{BucketID: 3, Items: []DeleteItem{{Key: "a", Epoch: 4, IfMatch: "e", IfSize: &size, IfModifiedAt: &epoch}, {Key: "b"}}}
	svc.between()
	results, err := client.Delete(ctx, call, batch)
	svc.between()
	if err != nil || len(results.Results) != 2 || *svc.delete.Items[0].IfSize != 5 || !svc.delete.Items[0].IfModifiedAt.Equal(epoch) || svc.delete.Items[1].IfSize != nil || !svc.grant.Write {
		t.Fatalf("%+v, %v", svc.delete, err)
	}
	svc.between()
	if stat, err := client.Stat(ctx, call, &StatRequest{Key: "x"}); err != nil || stat.Entry.Key != "x" {
		t.Fatal(stat, err)
	}
}

func TestCallErrors(t *testing.T) {
	svc := new(service)
	client, call := start(t, svc)
	ctx := context.Background()
	for _, kind := range cluster.Kinds() {
		svc.err = &cluster.Error{Op: "o", Subject: "s", Kind: kind, RetryAfter: 1500 * time.Millisecond}
		svc.between()
		_, err := client.List(ctx, call, &ListRequest{})
		if cluster.KindOf(err) != kind || err == nil {
			t.Errorf("%v came back as %v", kind, err)
		}
		if e := cluster.E("", "", 0, err); e.RetryAfter != 2*time.Second {
			t.Errorf("%v: to be tried after %v", kind, e.RetryAfter)
		}
	}
	svc.err = nil
	svc.between()
	call.Owner = "t2"
	if _, err := client.List(ctx, call, &ListRequest{}); !cluster.Is(err, cluster.KindDenied) {
		t.Error(err)
	}
	call.Addr = "127.0.0.1:1"
	if _, err := client.List(ctx, call, &ListRequest{}); !cluster.Is(err, cluster.KindUnavailable) {
		t.Error(err)
	}
}

// TestServeChecksMessage sends messages that are not what the ticket was sealed for.
func TestServeChecksMessage(t *testing.T) {
	svc := new(service)
	f := func(name string, kind cluster.Kind, g Grant, method, path, body string) {
		t.Helper()
		rep := httpd.NewReply()
		req := httpd.NewRequest(method, path, nil, 0)
		if body != "" {
			req = httpd.NewRequest(method, path, strings.NewReader(body), int64(len(body)))
		}
		if err := Serve(context.Background(), svc, &g, req, rep); err != nil {
			t.Fatal(err)
		}
		if got := cluster.ParseKind(rep.Header(HeaderKind)); got != kind {
			t.Errorf("%s: %v, want %v", name, got, kind)
		}
	}
	const ofEmptyMap = "76be8b528d0075f7aae98d6fa57a6d3c83ae480a8469e668d7b0af968995ac71" // sha256 of 0x80
	granted := Grant{Dialect: Node, Operation: PathDelete, Payload: Payload{SHA256: ofEmptyMap}}
	f("another dialect", cluster.KindDenied, Grant{Operation: PathDelete, Payload: granted.Payload}, "POST", PathDelete, "\x80")
	f("another call", cluster.KindDenied, granted, "POST", PathStat, "\x80")
	f("another method", cluster.KindDenied, granted, "PUT", PathDelete, "\x80")
	f("another message", cluster.KindDenied, granted, "POST", PathDelete, "\x81\xa1b\x01")
	f("a delete by a ticket for reads", cluster.KindDenied, granted, "POST", PathDelete, "\x80")
	granted.Operation = PathPrefix + "nothing"
	f("no such call", cluster.KindNotFound, granted, "POST", granted.Operation, "\x80")
	granted.Operation, granted.Payload.SHA256 = PathList, "b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9"
	f("not a message", cluster.KindInvalid, granted, "POST", PathList, "hello world")
}
