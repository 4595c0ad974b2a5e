package front

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/httpd"
	"github.com/aisle-store/aisle/cluster/intra"
	"github.com/aisle-store/aisle/s3"
	"github.com/aisle-store/aisle/target/internal/store"
)

// Reads of a copy's source between nodes.
const (
	PathRead      = intra.PathPrefix + "read" // GET, with a ticket that names bucket and key
	operationRead = "Read"
	headerObject  = "Aisle-Object"                 // reply: what is known of the object
	headerFault   = "Aisle-Fault"                  // reply: the code of S3's error and its text, where they say more than the kind
	headerVersion = "x-amz-copy-source-version-id" // request: the version to read
	maxErrorBody  = 64 << 10
)

// source is the object that a copy reads.
type source struct {
	info    *store.Info
	version cluster.VersionID // "" where its bucket has no versions
	length  int64             // of what body gives
	body    io.Reader
	close   func() error
}

// openSource opens the object that a copy reads, here or at its owner. A false condition is a failed precondition also
// where a read would say "not modified".
func (f *Front) openSource(ctx context.Context, r *request, bucket cluster.Bucket, key cluster.ObjectKey, version cluster.VersionID, cond store.Conditions, part *store.Range, customer *s3.CustomerKey) (*source, error) {
	const op = "target/front.openSource"
	if err := f.o.Control.CheckLease(); err != nil {
		return nil, cluster.E(op, bucket.Object(key), cluster.KindUnavailable, err)
	}
	state := f.o.Control.Applied()
	entry, ok := state.Bucket(bucket)
	if !ok {
		missing := cluster.Fail(op, bucket.String(), cluster.KindBucketNotFound, "the source bucket does not exist")
		return nil, r.noSource(missing, s3.NoSuchBucket, s3.Field{Name: "BucketName", Value: string(bucket.Name)})
	}
	if entry.State == cluster.BucketFreezing { // whatever is there may have been written over under another id by now
		return nil, cluster.Fail(op, bucket.String(), cluster.KindUnavailable, "the layout of the source bucket is being changed")
	}
	slot := cluster.SlotOf(entry.ID, key)
	node, epoch := state.Map().Owner(slot)
	read := &store.GetRequest{
		Call: store.Call{Request: r.grant.Request, Epoch: epoch}, Bucket: entry, Key: key, Version: version, If: cond, Range: part,
		Keys:  &objectKeys{state: state, bucket: bucket, key: key, customer: customer},
		Judge: r.judgeSource,
	}
	var src *source
	var err error
	if node == f.o.Node.ID {
		src, err = f.openLocal(ctx, read)
	} else {
		src, err = f.openRemote(ctx, r, state.Map(), slot, node, read, customer)
	}
	switch {
	case cluster.Is(err, cluster.KindNotModified), cluster.Is(err, cluster.KindPreconditionFailed):
		return nil, r.sourceCondition(cluster.E(op, bucket.Object(key), cluster.KindPreconditionFailed, err), cluster.KindOf(err), cond)
	case cluster.Is(err, cluster.KindObjectNotFound):
		return nil, r.noSource(err, s3.NoSuchKey, s3.Field{Name: "Key", Value: string(key)})
	case cluster.Is(err, cluster.KindVersionNotFound):
		return nil, r.noSource(err, s3.NoSuchVersion, s3.Field{Name: "Key", Value: string(key)}, s3.Field{Name: "VersionId", Value: string(version)})
	case cluster.Is(err, cluster.KindMethod):
		return nil, s3.NewFault(op, s3.InvalidRequest, "The source of a copy request may not specifically refer to a delete marker by version id.")
	case err == nil && entry.Props.Versioning != cluster.VersioningOff:
		src.version = src.info.VersionID
	}
	return src, err
}

// noSource is the error about a source that does not exist. S3 names it, where it would name what the request is about.
func (r *request) noSource(err error, code s3.Code, names ...s3.Field) error {
	if r.grant.Dialect != intra.S3 {
		return err
	}
	return s3.NewFault("target/front.openSource", code, "", names...)
}

// sourceCondition is the error about a condition that the source does not meet.
func (r *request) sourceCondition(err error, kind cluster.Kind, cond store.Conditions) error {
	if r.grant.Dialect != intra.S3 {
		return err
	}
	name := "If-Unmodified-Since"
	switch {
	case kind == cluster.KindNotModified && cond.NoneMatch.IsSet():
		name = "If-None-Match"
	case kind == cluster.KindNotModified:
		name = "If-Modified-Since"
	case cond.Match.IsSet():
		name = "If-Match"
	}
	return failedSource(name)
}

// failedSource is the answer to a copy whose source does not meet a condition.
func failedSource(name string) error {
	return s3.NewFault("target/front.openSource", s3.PreconditionFailed, "", s3.Field{Name: "Condition", Value: "x-amz-copy-source-" + name})
}

func (f *Front) openLocal(ctx context.Context, read *store.GetRequest) (*source, error) {
	if err := f.settle(ctx, read.Bucket, read.Key); err != nil {
		return nil, err
	}
	object, err := f.o.Store.Open(ctx, read)
	if err != nil {
		return nil, err
	}
	_, length, _ := object.Range()
	return &source{info: object.Info(), length: length, body: object.Reader(), close: object.Close}, nil
}

// openRemote asks the owner of the source for it.
func (f *Front) openRemote(ctx context.Context, r *request, m *cluster.Map, slot cluster.Slot, owner cluster.NodeID, read *store.GetRequest, customer *s3.CustomerKey) (*source, error) {
	const op = "target/front.openRemote"
	node, ok := m.Node(owner)
	if !ok {
		return nil, cluster.Fail(op, string(owner), cluster.KindUnavailable, "the owner of the source is not in the map")
	}
	grant := &intra.Grant{
		Request: r.grant.Request, Identity: r.grant.Identity, Root: r.grant.Root, Dialect: intra.Node, Operation: operationRead,
		Bucket: read.Bucket.Bucket, BucketID: read.Bucket.ID, Key: read.Key, Slot: slot, Owner: owner, Epoch: read.Epoch,
		MapVersion: m.Version, Gateway: f.o.Node.ID, Provisos: r.grant.Source,
	}
	secret, err := f.customerHeaders(customer)
	if err != nil {
		return nil, cluster.E(op, node.IntraAddr, cluster.KindOther, err)
	}
	out := httpd.NewRequest(http.MethodGet, PathRead, nil, 0, append(readHeaders(read), secret...)...)
	out.Header.Add(intra.HeaderTicket, f.o.Tickets.Seal(grant, out))
	in, err := f.o.Peers.Do(ctx, node.IntraAddr, &httpd.OutRequest{Method: out.Method, Target: out.Path, Header: out.Header})
	if err != nil {
		return nil, err
	}
	if in.Status != http.StatusOK {
		defer in.Body.Close()
		text, err := io.ReadAll(io.LimitReader(in.Body, maxErrorBody))
		if err != nil {
			return nil, cluster.E(op, node.IntraAddr, cluster.KindUnavailable, err)
		}
		if code, message, ok := strings.Cut(in.Header.Get(headerFault), " "); ok {
			return nil, s3.NewFault(op, s3.Code(code), message)
		}
		return nil, intra.ReadError(op, node.IntraAddr, in.Status, &in.Header, text)
	}
	info, err := decodeInfo(in.Header.Get(headerObject))
	if err != nil {
		return nil, cluster.E(op, node.IntraAddr, cluster.KindOther, joinClose(err, in.Body))
	}
	return &source{info: info, length: in.Length, body: in.Body, close: in.Body.Close}, nil
}

func joinClose(err error, c io.Closer) error {
	if closeErr := c.Close(); closeErr != nil {
		return closeErr
	}
	return err
}

// readHeaders writes the conditions and the range of a read as headers.
func readHeaders(read *store.GetRequest) []string {
	var h []string
	tags := func(name string, e store.ETags) {
		if e.Any {
			h = append(h, name, "*")
		} else if len(e.Tags) > 0 {
			h = append(h, name, `"`+strings.Join(e.Tags, `", "`)+`"`)
		}
	}
	date := func(name string, t time.Time) {
		if !t.IsZero() {
			h = append(h, name, s3.FormatHTTPDate(t))
		}
	}
	if read.Version != "" {
		h = append(h, headerVersion, string(read.Version))
	}
	tags("If-Match", read.If.Match)
	tags("If-None-Match", read.If.NoneMatch)
	date("If-Modified-Since", read.If.ModifiedSince)
	date("If-Unmodified-Since", read.If.UnmodifiedSince)
	if r := read.Range; r != nil {
		h = append(h, "Range", "bytes="+strconv.FormatInt(r.First, 10)+"-"+strconv.FormatInt(r.Last, 10))
	}
	return h
}

// ServeRead answers another node's read of a copy's source.
func (f *Front) ServeRead(ctx context.Context, g *intra.Grant, req *httpd.Request, rep *httpd.Reply) error {
	const op = "target/front.ServeRead"
	r := &request{grant: g, req: req, rep: rep, front: f}
	rep.Operation, rep.Identity = "node.Read", g.Identity
	if g.Dialect != intra.Node || g.Operation != operationRead || req.Method != http.MethodGet {
		return cluster.Fail(op, r.subject(), cluster.KindDenied, "the request is not the one that was granted")
	}
	var err error
	if r.bucket, err = f.bucket(g); err != nil {
		return cluster.E(op, r.subject(), cluster.KindOther, err)
	}
	if err := f.settle(ctx, r.bucket, g.Key); err != nil {
		return cluster.E(op, r.subject(), cluster.KindOther, err)
	}
	r.call = &s3.Call{Request: s3.Request{Header: &req.Header}}
	r.version = cluster.VersionID(req.Header.Get(headerVersion))
	r.keys = objectKeys{state: f.o.Control.Applied(), bucket: r.bucket.Bucket, key: g.Key}
	if r.keys.customer, err = s3.ReadCustomerKey(r.call, f.openSealed); err != nil {
		return cluster.E(op, r.subject(), cluster.KindOther, err)
	}
	defer clearCustomer(r.keys.customer)
	object, err := f.o.Store.Open(ctx, r.read())
	if err != nil {
		return cluster.E(op, r.subject(), cluster.KindOther, err)
	}
	head, err := encodeInfo(object.Info())
	if err != nil {
		return cluster.E(op, r.subject(), cluster.KindOther, joinClose(err, object))
	}
	_, length, _ := object.Range()
	rep.Status = http.StatusOK
	rep.SetHeader(headerObject, head)
	rep.Stream(length, objectBody{object})
	return nil
}

// wireInfo is store.Info in headerObject. Names and values are bytes: metadata need not be UTF-8, which JSON wants.
type wireInfo struct {
	Size                        int64
	ETag                        string
	VersionID                   cluster.VersionID
	Modified                    time.Time
	Sums                        store.Sums
	Composite                   bool
	PartCount                   int
	Headers, User, Custom, Tags []wirePair
}

type wirePair struct{ Name, Value []byte }

func encodeInfo(info *store.Info) (string, error) {
	wire := func(p []store.Pair) []wirePair {
		out := make([]wirePair, len(p))
		for i := range p {
			out[i] = wirePair{[]byte(p[i].Name), []byte(p[i].Value)}
		}
		return out
	}
	text, err := json.Marshal(wireInfo{
		Size: info.Size, ETag: info.ETag, VersionID: info.VersionID, Modified: info.Modified, Sums: info.Sums, Composite: info.Composite, PartCount: info.PartCount,
		Headers: wire(info.Headers), User: wire(info.User), Custom: wire(info.Custom), Tags: wire(info.Tags),
	})
	return base64.StdEncoding.EncodeToString(text), err
}

func decodeInfo(s string) (*store.Info, error) {
	text, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		return nil, err
	}
	var w wireInfo
	if err := json.Unmarshal(text, &w); err != nil {
		return nil, err
	}
	plain := func(p []wirePair) []store.Pair {
		var out []store.Pair
		for _, x := range p {
			out = append(out, store.Pair{Name: string(x.Name), Value: string(x.Value)})
		}
		return out
	}
	return &store.Info{
		Size: w.Size, ETag: w.ETag, VersionID: w.VersionID, Modified: w.Modified, Sums: w.Sums, Composite: w.Composite, PartCount: w.PartCount,
		Metadata: store.Metadata{Headers: plain(w.Headers), User: plain(w.User), Custom: plain(w.Custom), Tags: plain(w.Tags)},
	}, nil
}
