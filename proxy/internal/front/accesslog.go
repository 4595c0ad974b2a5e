package front

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/config"
	"github.com/aisle-store/aisle/cluster/control"
	"github.com/aisle-store/aisle/cluster/httpd"
	"github.com/aisle-store/aisle/cluster/intra"
	"github.com/aisle-store/aisle/s3"
	"github.com/aisle-store/aisle/s3/policy"
)

// Each gateway gathers the lines of the requests that it has answered in memory, and writes them as objects into the target
// buckets. It is best effort, as on AWS: what a gateway has gathered is lost when it crashes.
const (
	logLimit  = 4 << 20  // bytes of one log object, about
	logMemory = 32 << 20 // bytes that are gathered at a time, of all logs
	logTick   = 250 * time.Millisecond
	logWrite  = 10 * time.Second // for one object
	logAgain  = 5 * time.Second  // before it is tried again
	logTries  = 120              // to write it
)

var bucketLogging = documentKind{
	name: "logging", parse: parsed(s3.ParseLogging), check: checkLogTarget, decode: s3.DecodeLogging, status: http.StatusOK, initial: &s3.Logging{},
}

// accessLogs is what was gathered.
type accessLogs struct {
	delivering sync.Mutex // one delivery at a time
	buckets    atomic.Pointer[loggedBuckets]

	mu        sync.Mutex
	logs      map[logName]*accessLog // guarded by mu
	size      int                    // guarded by mu: bytes of all
	delivered int64                  // guarded by mu: lines
	dropped   int64                  // guarded by mu: lines
}

// loggedBuckets are the buckets with a log, by one version of the bucket table.
type loggedBuckets struct {
	version uint64
	names   map[cluster.BucketName]struct{}
}

// logName names a log that is being gathered: of a bucket, on a day.
type logName struct {
	bucket cluster.BucketID
	day    int64
}

// accessLog is what was gathered of one log.
type accessLog struct {
	source cluster.BucketEntry
	first  time.Time // of its requests
	text   []byte
	lines  int64
	key    cluster.ObjectKey // under which it is written; "" before the first try
	tries  int
	next   time.Time // when it is tried again
}

// checkLogTarget refuses a bucket for logs that does not exist, or that who asks for it may not write to, and grants of logs where
// there are none, or to somebody who does not exist.
func checkLogTarget(f *Front, ctx context.Context, r *s3Request, doc document) error {
	const op = "proxy/front.checkLogTarget"
	l := doc.(*s3.Logging)
	view, entry, err := f.bucket(ctx, cluster.Native(l.Bucket))
	if cluster.Is(err, cluster.KindBucketNotFound) {
		return s3.NewFault(op, s3.InvalidTargetBucketForLogging, "", s3.Field{Name: "TargetBucket", Value: string(l.Bucket)})
	}
	if err != nil {
		return err
	}
	res, err := f.resource(ctx, &r.judged, view, l.Bucket, false)
	if err == nil {
		err = f.allow(&r.judged, policy.PutObject, l.Bucket, cluster.ObjectKey(l.Prefix+"log"), res)
	}
	if cluster.Is(err, cluster.KindDenied) {
		return s3.NewFault(op, s3.InvalidTargetBucketForLogging, "You must be allowed to write objects into the target bucket", s3.Field{Name: "TargetBucket", Value: string(l.Bucket)})
	}
	if err != nil || len(l.Grants) == 0 {
		return err
	}
	mode, err := f.ownership(view, entry.ID)
	if err != nil {
		return err
	}
	if mode == s3.BucketOwnerEnforced {
		return s3.NewFault(op, s3.InvalidACLWithOwnership, "")
	}
	r.view = view
	if err := f.checkPublic(r, entry, l.ACL()); err != nil {
		return err
	}
	return l.CheckGrants(f.aclContext(view, "", false))
}

// hasLog reports whether a bucket has a log; view is as of now.
func (a *accessLogs) hasLog(view *control.View, name cluster.BucketName) bool {
	_, ok := a.logged(view)[name]
	return ok
}

// logged returns the buckets with a log.
func (a *accessLogs) logged(view *control.View) map[cluster.BucketName]struct{} {
	if b := a.buckets.Load(); b != nil && b.version == view.BMDVersion() {
		return b.names
	}
	b := &loggedBuckets{version: view.BMDVersion(), names: make(map[cluster.BucketName]struct{})}
	for _, e := range view.Buckets() {
		if _, ok := view.BucketConfig(e.ID, bucketLogging.name); ok {
			b.names[e.Bucket.Name] = struct{}{}
		}
	}
	a.buckets.Store(b)
	return b.names
}

// Observe notes a request that has ended.
func (f *Front) Observe(ex *httpd.Exchange) {
	view := f.o.Control.View()
	if len(f.logs.logged(view)) == 0 || ex.Request.Method == "" {
		return
	}
	var call *s3.Call
	website := false
	switch f.dialect(ex.Request) {
	case dialectS3:
		call, _ = f.router().Parse(seen(ex.Request))
	case dialectWebsite:
		website = true
		call, _ = f.router().Website(seen(ex.Request))
	default:
		return
	}
	if !f.logs.hasLog(view, call.Bucket) {
		return
	}
	entry, ok := view.Bucket(cluster.Native(call.Bucket))
	if !ok {
		return
	}
	r := f.logRecord(view, ex, call)
	r.Owner = string(entry.Creator)
	if website {
		r.Operation = "WEBSITE." + ex.Request.Method + ".OBJECT"
	}
	f.logs.add(entry, r)
}

// logRecord is what a log tells of a request.
func (f *Front) logRecord(view *control.View, ex *httpd.Exchange, call *s3.Call) *s3.LogRecord {
	req := ex.Request
	r := &s3.LogRecord{
		Bucket: call.Bucket, Time: ex.Started, Request: req.ID, Operation: call.LogOperation(), Key: call.Key, Status: ex.Status, Sent: ex.BytesOut, Size: -1,
		Took: ex.Duration, Referer: req.Header.Get("Referer"), Agent: req.Header.Get("User-Agent"), Version: call.Params.Get("versionId"), HostID: string(f.o.Self),
		Host: req.Host,
	}
	r.Remote, _, _ = net.SplitHostPort(req.Remote)
	r.Line = req.Method + " " + loggedTarget(req) + " HTTP/1.1"
	if ex.Status >= http.StatusBadRequest {
		if r.Error = s3.CodeOf(refused(ex.Status)); ex.Err != nil {
			r.Error = s3.CodeOf(ex.Err)
		}
	}
	if id := ex.Reply.Identity; id != "" {
		r.Requester, r.Signature, r.AuthType = string(id), "SigV4", "QueryString"
		if by, err := f.caller(view, id, ""); err == nil {
			r.Requester = by.who.ARN()
		}
		if req.Header.Get("Authorization") != "" {
			r.AuthType = "AuthHeader"
		}
	}
	r.Size = objectSize(ex, call)
	return r
}

// loggedTarget is the target of a request without what would let a reader of the log repeat it.
func loggedTarget(req *httpd.Request) string {
	if !req.HasQuery || intra.Present(req) {
		return req.Path
	}
	parts := strings.Split(req.Query, "&")
	for i, part := range parts {
		name, _, _ := strings.Cut(part, "=")
		if decoded, err := url.QueryUnescape(name); err != nil || secretParameter(strings.ToLower(decoded)) {
			parts[i] = name + "=..."
		}
	}
	return req.Path + "?" + strings.Join(parts, "&")
}

// secretParameter reports whether the value of a parameter must not be told.
func secretParameter(name string) bool {
	switch name {
	case "x-amz-signature", "signature", "x-amz-security-token":
		return true
	}
	return strings.HasSuffix(name, "server-side-encryption-customer-key")
}

// objectSize is the size of the object that a request was about, as far as its reply tells; else negative.
func objectSize(ex *httpd.Exchange, call *s3.Call) int64 {
	switch call.Op {
	case s3.GetObject, s3.HeadObject:
		if ex.Status == http.StatusOK {
			return ex.Reply.Length()
		}
		if _, total, ok := strings.Cut(ex.Reply.Header("Content-Range"), "/"); ok {
			if n, err := strconv.ParseInt(total, 10, 64); err == nil {
				return n
			}
		}
	case s3.PutObject, s3.UploadPart:
		if ex.Status == http.StatusOK && ex.Request.Length >= 0 && call.Get("x-amz-decoded-content-length") == "" {
			return ex.Request.Length
		}
		if n, err := strconv.ParseInt(call.Get("x-amz-decoded-content-length"), 10, 64); err == nil && ex.Status == http.StatusOK {
			return n
		}
	}
	return -1
}

// add gathers a line.
func (a *accessLogs) add(source cluster.BucketEntry, r *s3.LogRecord) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.size >= logMemory {
		a.dropped++
		return
	}
	name := logName{source.ID, r.Time.Unix() / 86400}
	l := a.logs[name]
	if l == nil {
		l = &accessLog{source: source, first: r.Time}
		if a.logs == nil {
			a.logs = make(map[logName]*accessLog)
		}
		a.logs[name] = l
	}
	before := len(l.text)
	l.text = r.Append(l.text)
	l.lines++
	a.size += len(l.text) - before
}

// take returns what is to be written: what is old or large enough, or all.
func (a *accessLogs) take(before time.Time, all bool) []*accessLog {
	a.mu.Lock()
	defer a.mu.Unlock()
	var due []*accessLog
	for name, l := range a.logs {
		if all || l.first.Before(before) || len(l.text) >= logLimit {
			due = append(due, l)
			delete(a.logs, name)
		}
	}
	return due
}

// ended counts a log that was written, or will not be.
func (a *accessLogs) ended(l *accessLog, written bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.size -= len(l.text)
	if written {
		a.delivered += l.lines
	} else {
		a.dropped += l.lines
	}
}

// LogStats returns how many lines were delivered, and dropped.
func (f *Front) LogStats() (delivered, dropped int64) {
	f.logs.mu.Lock()
	defer f.logs.mu.Unlock()
	return f.logs.delivered, f.logs.dropped
}

// DeliverLogs writes logs from time to time, until the context ends.
func (f *Front) DeliverLogs(ctx context.Context) {
	tick := time.NewTicker(logTick)
	defer tick.Stop()
	var waiting []*accessLog // could not be written
	for {
		select {
		case <-ctx.Done():
			f.logs.giveBack(waiting)
			return
		case <-tick.C:
		}
		old := f.o.Now().Add(-config.LoggingInterval.Get(f.o.Control.View().Setting))
		waiting = f.deliver(ctx, append(waiting, f.logs.take(old, false)...), false)
	}
}

// giveBack keeps logs for FlushLogs.
func (a *accessLogs) giveBack(logs []*accessLog) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i, l := range logs {
		if a.logs == nil {
			a.logs = make(map[logName]*accessLog)
		}
		a.logs[logName{l.source.ID, -1 - int64(i)}] = l
	}
}

// FlushLogs writes what was gathered now. What cannot be written is lost.
func (f *Front) FlushLogs(ctx context.Context) error {
	left := f.deliver(ctx, f.logs.take(time.Time{}, true), true)
	for _, l := range left {
		f.logs.ended(l, false)
	}
	return ctx.Err()
}

// deliver writes logs, those that failed before only when it is time or all are to be written, and returns those that are to be tried again.
func (f *Front) deliver(ctx context.Context, logs []*accessLog, all bool) (again []*accessLog) {
	f.logs.delivering.Lock()
	defer f.logs.delivering.Unlock()
	for _, l := range logs {
		if f.o.Now().Before(l.next) && !all {
			again = append(again, l)
			continue
		}
		err := f.writeLog(ctx, l)
		if err == nil {
			f.logs.ended(l, true)
			continue
		}
		if l.tries++; l.tries < logTries && cluster.Is(err, cluster.KindUnavailable) {
			l.next = f.o.Now().Add(logAgain)
			again = append(again, l)
			continue
		}
		f.o.Logger.Error("an access log cannot be written: it is dropped", "bucket", l.source.Bucket.String(), "lines", l.lines, "error", err)
		f.logs.ended(l, false)
	}
	return again
}

// writeLog writes a log as an object, as its target bucket's owner would.
func (f *Front) writeLog(ctx context.Context, l *accessLog) error {
	const op = "proxy/front.writeLog"
	ctx, cancel := context.WithTimeout(ctx, logWrite)
	defer cancel()
	view, err := f.o.Control.Current()
	if err != nil {
		return cluster.E(op, "", cluster.KindUnavailable, err)
	}
	doc, err := bucketLogging.of(view, l.source.ID)
	if err != nil {
		return err
	}
	to, ok := doc.(*s3.Logging)
	if !ok {
		return cluster.Fail(op, l.source.Bucket.String(), cluster.KindNotFound, "the bucket has no log any more")
	}
	target, ok := view.Bucket(cluster.Native(to.Bucket))
	if !ok {
		return cluster.Fail(op, string(to.Bucket), cluster.KindBucketNotFound, "the target bucket does not exist any more")
	}
	if l.key == "" {
		l.key = to.LogKey(l.source.Bucket.Name, f.o.Region, l.first, f.o.Now(), rand.Text()[:16])
	}
	req := httpd.NewRequest(http.MethodPut, "/"+string(to.Bucket)+"/"+s3.EscapeKey(string(l.key)), bytes.NewReader(l.text), int64(len(l.text)),
		"Host", "logging", "Content-Type", "text/plain", HeaderRedirect, "never")
	req.ID = cluster.RequestID(rand.Text())
	call, err := s3.Granted(seen(req), to.Bucket, l.key)
	if err != nil {
		return err
	}
	r := &s3Request{call: call, view: view, req: req, rep: httpd.NewReply(), log: to}
	r.auth = s3.Auth{Payload: s3.Payload{Mode: "UNSIGNED-PAYLOAD", Length: int64(len(l.text))}}
	by := caller{control.Key{ID: target.Creator}, f.root} // whoever set the log was allowed to write there
	r.judged = judged{by, conditions{who: by.who, req: req, call: call, auth: r.auth, region: f.o.Region, now: f.o.Now()}}
	if err := f.s3Object(ctx, r); err != nil {
		return err
	}
	defer r.rep.Reset()
	if status := r.rep.StatusCode(); status != http.StatusOK {
		kind := cluster.KindOther
		if status == http.StatusServiceUnavailable {
			kind = cluster.KindUnavailable
		}
		return cluster.Fail(op, string(to.Bucket), kind, fmt.Sprintf("the log was answered with status %d", status))
	}
	return nil
}
