//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"
)

const (
	tortureClients = 10
	eraLong        = 20 * time.Second // shared keys are written for an era, then only read: histories stay short enough to check
	eraKeys        = 6
	tortureLimit   = 15 * time.Second // of one request
	shunned        = 8 * time.Second
	torturePause   = 60 * time.Millisecond
	ownKeys        = 40 // of each client in each bucket
	metaMark       = "X-Amz-Meta-Mark"
	metaContent    = "X-Amz-Meta-Content"
)

// did is one operation on one key, and what came of it.
type did struct {
	client int
	bucket string
	in     deedInput
	out    deedOutput
	call   time.Duration
	done   time.Duration
	kind   string // of request
	node   int
	status string
}

// worker is one client. It does one thing after the other.
type worker struct {
	*torture
	id     int
	only   []string // endpoints to use, when not all
	random *rand.Rand
	count  int
	seen   map[string]content           // by bucket/key of shared keys: what it saw there last
	own    map[string]map[string]*owned // by bucket and key: what only it writes
	names  map[string][]string          // by bucket: the keys that it writes now; those in doubt are only read

	chains     map[string]*chain // by key, in the bucket with versions: what only it writes
	chainNames []string          // the keys that it writes now
}

// owned is a key that only one worker writes.
type owned struct {
	state   state
	content content
	doubt   []state // other states that may come, or have come, to be: a change of unknown outcome; the key is not changed again
}

func (o *owned) may(s state) bool { return o.state == s || slices.Contains(o.doubt, s) }

func (t *torture) newWorker(id int) *worker {
	w := &worker{torture: t, id: id, random: rand.New(rand.NewPCG(t.seed, uint64(id))), seen: make(map[string]content), chains: make(map[string]*chain)}
	w.own, w.names = make(map[string]map[string]*owned), make(map[string][]string)
	for _, b := range t.buckets {
		w.own[b] = make(map[string]*owned)
		for i := range ownKeys {
			w.names[b] = append(w.names[b], fmt.Sprintf("%s%03d", w.ownPrefix(), i))
		}
	}
	return w
}

func (w *worker) run(ctx context.Context) {
	for ctx.Err() == nil {
		bucket := w.buckets[w.random.IntN(len(w.buckets))]
		switch p := w.random.IntN(100); {
		case p < 20:
			w.versioned()
		case p < 60:
			w.shared(bucket)
		case p < 93:
			w.ownKey(bucket)
		case p < 97:
			w.listShared(bucket)
		default:
			w.listOwn(bucket)
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Duration(w.random.ExpFloat64() * float64(torturePause))):
		}
	}
}

// fresh names content that nobody has written, and the mark of its write. Half of what goes into a bucket of shards is large
// enough for real ones.
func (w *worker) fresh(bucket string, parts int) (content, state) {
	size := []int{0, 100, 6000, 90_000, 1_500_000}[w.random.IntN(5)]
	if bucket == shardsBucket && w.random.IntN(3) == 0 {
		size = 66_000 + w.random.IntN(400_000)
	} else if w.random.IntN(6) > 0 {
		size = min(size, 6000)
	}
	if parts > 1 {
		size += partSize
	}
	w.count++
	c := content{name: fmt.Sprintf("w%dn%d", w.id, w.count), size: size, parts: parts}
	return c, state{c.etag(), c.name}
}

func (w *worker) mark() string {
	w.count++
	return fmt.Sprintf("w%dn%d", w.id, w.count)
}

// answer is the reply to a request, with the time it took.
type answer struct {
	reply
	err        error
	call, done time.Duration
	kind       string
	target     string // bucket, key and query
	node       int
}

// status of an answer, for reports.
func (a answer) String() string {
	if a.err != nil {
		return a.err.Error()
	}
	return strings.TrimSpace(fmt.Sprint(a.status, " ", a.code()))
}

// never reports whether the request was certainly not received.
func (a answer) never() bool {
	var dial *net.OpError
	return errors.As(a.err, &dial) && dial.Op == "dial"
}

// unknown reports whether the outcome of a write is not known.
func (a answer) unknown() bool {
	return a.err != nil || a.status >= 500 || a.status == http.StatusConflict || a.status == 200 && bytes.Contains(a.body, []byte("<Error>"))
}

// ask sends a request through a random gateway; when that one is not there, through another one.
func (w *worker) ask(kind string, r request) answer {
	var a answer
	for range 4 {
		nodes := w.only
		if nodes == nil {
			nodes = *w.endpoints.Load()
		}
		n := w.gateway(nodes)
		r.endpoint = nodes[n]
		client := w.client
		if w.id%2 == 1 {
			client = w.follow
		}
		ctx, cancel := context.WithTimeout(context.Background(), tortureLimit)
		a = answer{call: time.Since(w.began), kind: kind, target: r.bucket + "/" + r.key + "?" + r.query, node: n}
		a.reply, a.err = client.do(ctx, r)
		cancel()
		a.done = time.Since(w.began)
		if a.err != nil && w.only == nil {
			w.shunned.Store(nodes[n], time.Now().Add(shunned))
		}
		if !a.never() {
			break
		}
	}
	w.asked(a)
	return a
}

// gateway picks one of the nodes. One that did not answer is left alone for a while, mostly, as people do.
func (w *worker) gateway(nodes []string) int {
	n := w.random.IntN(len(nodes))
	for range 20 {
		until, shun := w.shunned.Load(nodes[n])
		if !shun || time.Now().After(until.(time.Time)) || w.random.IntN(200) == 0 {
			break
		}
		n = w.random.IntN(len(nodes))
	}
	return n
}

// note records an operation on a shared key.
func (w *worker) note(a answer, bucket string, in deedInput, out deedOutput) {
	if out.result == never || out.result == unknown && (in.deed == read || in.deed == glance) {
		return
	}
	w.record(did{w.id, bucket, in, out, a.call, a.done, a.kind, a.node, a.String()})
}

func eraOf(at time.Duration) int { return int(at / eraLong) }

func eraKey(era, k int) string { return fmt.Sprintf("shared/%05d/%d", era, k) }

// shared does a random operation on a key that others work on.
func (w *worker) shared(bucket string) {
	era := eraOf(time.Since(w.began))
	key := eraKey(era, w.random.IntN(eraKeys))
	if era > 0 && w.random.IntN(8) == 0 {
		w.readShared(bucket, eraKey(w.random.IntN(era), w.random.IntN(eraKeys)))
		return
	}
	known, seen := w.seen[bucket+"/"+key]
	switch p := w.random.IntN(100); {
	case p < 35:
		w.readShared(bucket, key)
	case p < 53:
		w.writeShared(bucket, deedInput{deed: write, key: key}, 0)
	case p < 63:
		w.writeShared(bucket, deedInput{deed: writeNew, key: key}, 0)
	case p < 72 && seen:
		w.writeShared(bucket, deedInput{deed: writeOn, key: key, expect: known.etag()}, 0)
	case p < 78 && seen:
		w.copyTo(bucket, key, key, known, true)
	case p < 84 && seen && known.parts == 0: // a copy of parts is one piece, of another ETag
		w.copyTo(bucket, key, eraKey(era, w.random.IntN(eraKeys)), known, true)
	case p < 88:
		w.writeShared(bucket, deedInput{deed: write, key: key}, 1+w.random.IntN(8)/7)
	case p < 93:
		a := w.ask("DELETE", request{method: http.MethodDelete, bucket: bucket, key: key})
		w.note(a, bucket, deedInput{deed: erase, key: key}, w.outcome(a, deedInput{deed: erase, key: key}))
	case p < 96:
		w.deleteSome(bucket, []string{key, eraKey(era, w.random.IntN(eraKeys))}, true)
	default:
		w.readShared(bucket, key)
	}
}

// outcome judges an answer to a change.
func (w *worker) outcome(a answer, in deedInput) deedOutput {
	switch {
	case a.never():
		return deedOutput{result: never}
	case a.unknown():
		return deedOutput{result: unknown}
	case a.status == 200 || a.status == 204:
		if tag := answeredETag(a.reply); in.deed != erase && tag != in.next.etag {
			w.problem("%s %s: ETag %s, want %s", a.kind, in.key, tag, in.next.etag)
		}
		return deedOutput{result: done}
	case a.status == http.StatusNotFound && a.code() == "NoSuchKey" && (in.deed == writeOn || in.deed == touch):
		return deedOutput{result: absent}
	case a.status == http.StatusPreconditionFailed && (in.deed == writeNew || in.deed == writeOn || in.deed == touch):
		return deedOutput{result: refused}
	}
	w.problem("%s %s through node %d: %s", a.kind, in.key, a.node, a)
	return deedOutput{result: unknown}
}

// answeredETag returns the ETag of a reply, which some operations put into the body.
func answeredETag(r reply) string {
	tag := r.header.Get("ETag")
	if tag == "" {
		var body struct{ ETag string }
		if xml.Unmarshal(r.body, &body) == nil {
			tag = body.ETag
		}
	}
	return strings.Trim(tag, `"`)
}

// look reads a key by GET, a ranged GET or HEAD and checks every byte of it. It returns false when there is no answer.
func (w *worker) look(bucket, key string) (answer, deedOutput, content, bool) {
	r := request{method: http.MethodGet, bucket: bucket, key: key}
	kind := "GET"
	var piece func([]byte) []byte
	switch w.random.IntN(5) {
	case 0:
		kind, r.method = "HEAD", http.MethodHead
	case 1:
		kind = "GET range"
		r.header = make(map[string]string)
		r.header["Range"], piece = w.someRange()
	}
	a := w.ask(kind, r)
	if a.err == nil && a.status == http.StatusNotFound && (a.code() == "NoSuchKey" || kind == "HEAD") {
		return a, deedOutput{result: absent}, content{}, true
	}
	if a.err != nil || a.status >= 500 {
		return a, deedOutput{}, content{}, false
	}
	if a.status != 200 && a.status != 206 {
		w.problem("%s %s/%s through node %d: %s", kind, bucket, key, a.node, a)
		return a, deedOutput{}, content{}, false
	}
	out := deedOutput{done, state{answeredETag(a.reply), a.header.Get(metaMark)}}
	c, err := parseContent(a.header.Get(metaContent))
	if err != nil {
		w.problem("%s %s/%s through node %d: %v", kind, bucket, key, a.node, err)
		return a, out, c, true
	}
	text := c.bytes()
	if got := c.etag(); got != out.seen.etag {
		w.problem("%s %s/%s through node %d: ETag %s, want %s of %s", kind, bucket, key, a.node, out.seen.etag, got, c)
	}
	if kind == "HEAD" {
		return a, out, c, true
	}
	if piece != nil {
		text = piece(text)
	}
	if !bytes.Equal(text, a.body) {
		w.problem("%s %s/%s through node %d: %d bytes differ from the %d of %s", kind, bucket, key, a.node, len(a.body), len(text), c)
	}
	return a, out, c, true
}

// someRange returns a range that every object has, at its begin or its end, and the cut that it is.
func (w *worker) someRange() (string, func([]byte) []byte) {
	if w.random.IntN(2) == 0 {
		n := 1 + w.random.IntN(300_000)
		return fmt.Sprintf("bytes=-%d", n), func(text []byte) []byte { return text[max(0, len(text)-n):] }
	}
	from := w.random.IntN(8)
	to := from + w.random.IntN(8000)
	return fmt.Sprintf("bytes=%d-%d", from, to), func(text []byte) []byte { return text[from:min(to+1, len(text))] }
}

func (w *worker) readShared(bucket, key string) bool {
	a, out, c, ok := w.look(bucket, key)
	if !ok {
		return false
	}
	if out.result == done {
		w.seen[bucket+"/"+key] = c
	} else {
		delete(w.seen, bucket+"/"+key)
	}
	w.note(a, bucket, deedInput{deed: read, key: key}, out)
	return true
}

func metadata(mark string, c content) map[string]string {
	return map[string]string{metaMark: mark, metaContent: c.String()}
}

// put writes fresh content to a key, in parts when asked to.
func (w *worker) put(bucket string, in *deedInput, parts int) (answer, content, bool) {
	c, next := w.fresh(bucket, parts)
	in.next = next
	header := metadata(next.mark, c)
	if crc32.ChecksumIEEE([]byte(next.mark))%3 == 0 {
		header["X-Amz-Server-Side-Encryption"] = "AES256"
	}
	if parts > 0 {
		a, began := w.multipart(bucket, in.key, c, header)
		return a, c, began
	}
	kind := "PUT"
	switch in.deed {
	case writeNew:
		kind, header["If-None-Match"] = "PUT if none", "*"
	case writeOn:
		kind, header["If-Match"] = "PUT if match", `"`+in.expect+`"`
	}
	return w.ask(kind, request{method: http.MethodPut, bucket: bucket, key: in.key, body: c.bytes(), header: header}), c, true
}

func (w *worker) writeShared(bucket string, in deedInput, parts int) {
	a, c, began := w.put(bucket, &in, parts)
	if !began {
		return
	}
	out := w.outcome(a, in)
	if out.result == done {
		w.seen[bucket+"/"+in.key] = c
	}
	w.note(a, bucket, in, out)
}

// multipart uploads content in parts and returns the answer to the last step; false when it did not come to that.
func (w *worker) multipart(bucket, key string, c content, header map[string]string) (answer, bool) {
	a := w.ask("create upload", request{method: http.MethodPost, bucket: bucket, key: key, query: "uploads=", header: header})
	if a.err != nil || a.status != 200 {
		return a, false
	}
	var created struct {
		UploadID string `xml:"UploadId"`
	}
	if err := xml.Unmarshal(a.body, &created); err != nil {
		w.problem("create upload of %s: %v", key, err)
		return a, false
	}
	list := "<CompleteMultipartUpload>"
	for i, text := range c.split() {
		for try := 0; ; try++ {
			a = w.ask("part", request{method: http.MethodPut, bucket: bucket, key: key, body: text, query: query("partNumber", fmt.Sprint(i+1), "uploadId", created.UploadID)})
			if a.err == nil && a.status == 200 {
				break
			}
			if !a.unknown() {
				w.problem("part %d of %s through node %d: %s", i+1, key, a.node, a)
			}
			if try == 2 {
				w.ask("abort", request{method: http.MethodDelete, bucket: bucket, key: key, query: query("uploadId", created.UploadID)})
				return a, false
			}
		}
		list += fmt.Sprintf("<Part><PartNumber>%d</PartNumber><ETag>%s</ETag></Part>", i+1, etag(text))
	}
	r := request{method: http.MethodPost, bucket: bucket, key: key, query: query("uploadId", created.UploadID), body: []byte(list + "</CompleteMultipartUpload>")}
	first := w.ask("complete", r)
	if first.never() || !first.unknown() {
		return first, true
	}
	again := w.ask("complete", r) // it may not happen twice: the later answer tells of both
	again.call = first.call
	if again.never() {
		return first, true
	}
	return again, true
}

// copyTo copies known content to a key, under a new mark. From a key to itself only the metadata change.
func (w *worker) copyTo(bucket, from, to string, c content, record bool) (answer, deedInput, deedOutput) {
	in := deedInput{deed: write, key: to, next: state{c.etag(), w.mark()}}
	kind := "copy"
	if from == to {
		in.deed, in.expect, kind = touch, c.etag(), "metadata"
	}
	header := metadata(in.next.mark, c)
	header["X-Amz-Copy-Source"] = "/" + bucket + "/" + from
	header["X-Amz-Copy-Source-If-Match"] = `"` + c.etag() + `"`
	header["X-Amz-Metadata-Directive"] = "REPLACE"
	a := w.ask(kind, request{method: http.MethodPut, bucket: bucket, key: to, header: header})
	var out deedOutput
	if in.deed == write && (a.status == http.StatusPreconditionFailed || a.status == http.StatusNotFound) {
		out.result = never // because of the source
	} else {
		out = w.outcome(a, in)
	}
	if record {
		w.note(a, bucket, in, out)
	}
	return a, in, out
}

// deleteSome removes keys by one request and returns what became of each.
func (w *worker) deleteSome(bucket string, keys []string, record bool) map[string]result {
	slices.Sort(keys)
	keys = slices.Compact(keys)
	body := "<Delete>"
	for _, k := range keys {
		body += "<Object><Key>" + k + "</Key></Object>"
	}
	text := []byte(body + "</Delete>")
	a := w.ask("DeleteObjects", request{method: http.MethodPost, bucket: bucket, query: "delete=", body: text, header: map[string]string{"Content-Md5": contentMD5(text)}})
	gone := make(map[string]result)
	for _, k := range keys {
		gone[k] = unknown
		if a.never() {
			gone[k] = never
		}
	}
	var res struct {
		Deleted []struct{ Key string }
		Error   []struct{ Key, Code string }
	}
	switch {
	case a.err != nil || a.status >= 500:
	case a.status != 200:
		w.problem("DeleteObjects through node %d: %s", a.node, a)
	case xml.Unmarshal(a.body, &res) != nil || len(res.Deleted)+len(res.Error) != len(keys):
		w.problem("DeleteObjects through node %d: %s", a.node, a)
	}
	for _, d := range res.Deleted {
		gone[d.Key] = done
	}
	if record {
		for _, k := range keys {
			w.note(a, bucket, deedInput{deed: erase, key: k}, deedOutput{result: gone[k]})
		}
	}
	return gone
}

// page is one answer to a list.
type page struct {
	answer
	Contents              []struct{ Key, ETag string }
	IsTruncated           bool
	NextContinuationToken string
}

// list asks for one page.
func (w *worker) list(bucket, prefix, token string, most int) (page, bool) {
	q := []string{"list-type", "2", "prefix", prefix, "max-keys", fmt.Sprint(most)}
	if token != "" {
		q = append(q, "continuation-token", token)
	}
	p := page{answer: w.ask("LIST "+bucket, request{method: http.MethodGet, bucket: bucket, query: query(q...)})}
	if p.err != nil || p.status >= 500 {
		return p, false
	}
	if p.status != 200 {
		w.problem("LIST %s/%s through node %d: %s", bucket, prefix, p.node, p)
		return p, false
	}
	if err := xml.Unmarshal(p.body, &p); err != nil {
		w.problem("LIST %s/%s: %v", bucket, prefix, err)
		return p, false
	}
	return p, true
}

// listShared lists the keys of an era: a page is a glance at every key between its first and its last one.
func (w *worker) listShared(bucket string) {
	era := eraOf(time.Since(w.began))
	if era > 0 && w.random.IntN(3) == 0 {
		era = w.random.IntN(era)
	}
	w.listEra(bucket, era, 1+w.random.IntN(eraKeys+2))
}

// listEra lists one era through one or more pages; false when a page had no answer.
func (w *worker) listEra(bucket string, era, most int) bool {
	token, after := "", ""
	for {
		p, ok := w.list(bucket, fmt.Sprintf("shared/%05d/", era), token, most)
		if !ok {
			return false
		}
		found := make(map[string]string)
		last := ""
		for _, o := range p.Contents {
			if o.Key <= last || o.Key <= after {
				w.problem("LIST %s: %s after %s", bucket, o.Key, max(last, after))
			}
			last = o.Key
			found[o.Key] = strings.Trim(o.ETag, `"`)
		}
		for k := range eraKeys {
			key := eraKey(era, k)
			if key <= after || p.IsTruncated && key > last {
				continue
			}
			out := deedOutput{result: absent}
			if tag, ok := found[key]; ok {
				out = deedOutput{done, state{etag: tag}}
			}
			delete(found, key)
			w.note(p.answer, bucket, deedInput{deed: glance, key: key}, out)
		}
		if len(found) > 0 {
			w.problem("LIST %s has keys that nobody wrote: %v", bucket, slices.Sorted(maps.Keys(found)))
		}
		if !p.IsTruncated {
			return true
		}
		token, after = p.NextContinuationToken, last
	}
}

func (w *worker) ownPrefix() string { return fmt.Sprintf("own/%02d/", w.id) }

// ownKey does a random operation on a key that only this worker writes, and so knows.
func (w *worker) ownKey(bucket string) {
	i := w.random.IntN(ownKeys)
	key := w.names[bucket][i]
	o := w.own[bucket][key]
	if o == nil {
		o = &owned{}
		w.own[bucket][key] = o
	}
	if len(o.doubt) > 0 || w.random.IntN(100) < 40 {
		if len(o.doubt) > 0 && w.random.IntN(3) == 0 { // the doubt may last for ever: go on under another name
			w.names[bucket][i] = fmt.Sprintf("%s%03d.%d", w.ownPrefix(), i, w.count)
		}
		w.readOwn(bucket, key, o)
		return
	}
	in := deedInput{deed: write, key: key}
	var a answer
	var out deedOutput
	var c content
	switch p := w.random.IntN(100); {
	case p < 60:
		var began bool
		if a, c, began = w.put(bucket, &in, 0); began {
			out = w.outcome(a, in)
		}
	case p < 68:
		var began bool
		if a, c, began = w.put(bucket, &in, 1+w.random.IntN(8)/7); !began {
			return
		}
		out = w.outcome(a, in)
	case p < 80 && o.state != state{}:
		c = o.content
		a, in, out = w.copyTo(bucket, key, key, c, false)
		if out.result == absent || out.result == refused {
			w.problem("%s/%s: metadata through node %d: %s, and it was %v", bucket, key, a.node, a, o.state)
		}
	case p < 92:
		in.deed = erase
		a = w.ask("DELETE", request{method: http.MethodDelete, bucket: bucket, key: key})
		out = w.outcome(a, in)
	default:
		in.deed = erase
		out.result = w.deleteSome(bucket, []string{key}, false)[key]
	}
	switch out.result {
	case done:
		o.state, o.content = in.next, c
	case unknown:
		o.doubt = append(o.doubt, in.next)
	}
}

func (w *worker) readOwn(bucket, key string, o *owned) {
	a, out, _, ok := w.look(bucket, key)
	if ok && !o.may(out.seen) {
		w.problem("%s %s/%s through node %d: %v, want %v or one of %v: %s", a.kind, bucket, key, a.node, out.seen, o.state, o.doubt, a.code())
	}
}

// listOwn lists what this worker wrote: nothing may be missing, and nothing may have come back.
func (w *worker) listOwn(bucket string) {
	w.listKeys(bucket, w.ownPrefix(), w.own[bucket], 1+w.random.IntN(60))
}

// listKeys compares a list of a prefix with what must be there; false when a page had no answer.
func (w *worker) listKeys(bucket, prefix string, want map[string]*owned, most int) bool {
	found := make(map[string]string)
	var where []int
	for token := ""; ; {
		p, ok := w.list(bucket, prefix, token, most)
		if !ok {
			return false
		}
		where = append(where, p.node)
		for _, o := range p.Contents {
			found[o.Key] = strings.Trim(o.ETag, `"`)
		}
		if token = p.NextContinuationToken; !p.IsTruncated {
			break
		}
	}
	for key, o := range want {
		tag := found[key]
		if o.state.etag != tag && !slices.ContainsFunc(o.doubt, func(s state) bool { return s.etag == tag }) {
			w.problem("LIST %s through nodes %v: %s has ETag %q, want %v or one of %v", bucket, where, key, tag, o.state, o.doubt)
		}
		delete(found, key)
	}
	if len(found) > 0 {
		w.problem("LIST %s through nodes %v has keys that nobody wrote: %v", bucket, where, found)
	}
	return true
}
