package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"html"
	"net/url"
	"strconv"
	"strings"

	"github.com/aisle-store/aisle/proxy/client"
)

// errDone ends a load that has used up its objects.
var errDone = errors.New("no object is left")

// operation returns the function that does one operation of the load and returns how many bytes of data it moved.
func (w *worker) operation() func(ctx context.Context) (int64, error) {
	size := w.run.o.Size
	switch w.run.o.Operation {
	case "put":
		return func(ctx context.Context) (int64, error) { return size, w.put(ctx, w.sequential()) }
	case "get":
		return func(ctx context.Context) (int64, error) { return size, w.get(ctx, w.random()) }
	case "head":
		return func(ctx context.Context) (int64, error) { return 0, w.head(ctx, w.random()) }
	case "delete":
		return func(ctx context.Context) (int64, error) {
			key := w.run.deleted.Add(1) - 1
			if key >= int64(w.run.o.Objects) {
				return 0, errDone
			}
			return 0, w.delete(ctx, int(key))
		}
	case "list":
		return w.list
	case "range":
		return w.part
	case "multipart":
		return w.multipart
	}
	return w.mixed
}

// keptHeads is up to how many keys signed heads are kept.
const keptHeads = 100_000

// sequential returns the next of the worker's keys, from the start again after the last.
func (w *worker) sequential() int {
	key := w.index + w.next%w.own()*len(w.run.workers)
	w.next++
	return key
}

// own returns how many keys are the worker's: index, index + workers, and so on.
func (w *worker) own() int {
	return (w.run.o.Objects - w.index + len(w.run.workers) - 1) / len(w.run.workers)
}

// random returns any key.
func (w *worker) random() int { return w.rand.IntN(w.run.o.Objects) }

func (w *worker) key(i int) string { return fmt.Sprintf("%s%08d", w.run.o.Prefix, i) }

// signed returns the head of a request for a key. It is signed once, unless there are so many keys that keeping all heads
// would take too much memory.
func (w *worker) signed(method string, key, length int) []byte {
	sign := func() []byte { return w.run.signer.head(w.conn.endpoint.Host, method, w.key(key), nil, length) }
	if w.run.o.Objects > keptHeads {
		return sign()
	}
	kept := w.heads[method]
	if kept[key].Load() == nil {
		head := sign()
		kept[key].Store(&head)
	}
	return *kept[key].Load()
}

// send sends a request and checks the status.
func (w *worker) send(ctx context.Context, head, body []byte, want int, keep bool) (reply, error) {
	r, err := w.conn.do(ctx, head, body, keep)
	if err == nil && r.status != want {
		err = &failure{r.status, bytes.Clone(r.body)}
	}
	return r, err
}

func (w *worker) put(ctx context.Context, key int) error {
	_, err := w.send(ctx, w.signed("PUT", key, len(w.run.body)), w.run.body, 200, false)
	return err
}

func (w *worker) get(ctx context.Context, key int) error {
	r, err := w.send(ctx, w.signed("GET", key, -1), nil, 200, false)
	if err == nil && r.bytes != w.run.o.Size {
		err = fmt.Errorf("%s has %d bytes, not %d", w.key(key), r.bytes, w.run.o.Size)
	}
	return err
}

func (w *worker) head(ctx context.Context, key int) error {
	_, err := w.send(ctx, w.signed("HEAD", key, -1), nil, 200, false)
	return err
}

func (w *worker) delete(ctx context.Context, key int) error {
	_, err := w.send(ctx, w.signed("DELETE", key, -1), nil, 204, false)
	return err
}

// list reads one page that begins at a random key.
func (w *worker) list(ctx context.Context) (int64, error) {
	pages := max(1, w.run.o.Objects-w.run.o.PageSize)
	after := w.key(w.rand.IntN(pages))
	query := url.Values{"list-type": {"2"}, "prefix": {w.run.o.Prefix}, "max-keys": {strconv.Itoa(w.run.o.PageSize)}, "start-after": {after}}
	r, err := w.send(ctx, w.run.signer.head(w.conn.endpoint.Host, "GET", "", query, -1), nil, 200, true)
	if err != nil {
		return 0, err
	}
	want := min(w.run.o.PageSize, w.run.o.Objects-1)
	if got := bytes.Count(r.body, []byte("<Key>")); got < want {
		return 0, fmt.Errorf("a page has %d keys, not %d", got, want)
	}
	return r.bytes, nil
}

// part reads a range from a random place of a random object.
func (w *worker) part(ctx context.Context) (int64, error) {
	o := w.run.o
	from := w.rand.Int64N(o.Size - o.RangeSize + 1)
	header := client.Header{Name: "range", Value: fmt.Sprintf("bytes=%d-%d", from, from+o.RangeSize-1)}
	head := w.run.signer.head(w.conn.endpoint.Host, "GET", w.key(w.random()), nil, -1, header)
	r, err := w.send(ctx, head, nil, 206, false)
	if err == nil && r.bytes != o.RangeSize {
		err = fmt.Errorf("a range has %d bytes, not %d", r.bytes, o.RangeSize)
	}
	return o.RangeSize, err
}

// multipart uploads one object in parts, one after the other.
func (w *worker) multipart(ctx context.Context) (int64, error) {
	host, key, s := w.conn.endpoint.Host, w.key(w.sequential()), w.run.signer
	r, err := w.send(ctx, s.head(host, "POST", key, url.Values{"uploads": {""}}, 0), nil, 200, true)
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(r.body), "<UploadId>")
	upload, _, ok := strings.Cut(rest, "</UploadId>")
	if !ok {
		return 0, fmt.Errorf("the reply names no upload: %s", r.body)
	}
	upload = html.UnescapeString(upload)
	var parts strings.Builder
	parts.WriteString("<CompleteMultipartUpload>")
	for number, from := 1, int64(0); from < w.run.o.Size; number, from = number+1, from+w.run.o.PartSize {
		body := w.run.body[from:min(from+w.run.o.PartSize, w.run.o.Size)]
		query := url.Values{"partNumber": {strconv.Itoa(number)}, "uploadId": {upload}}
		if r, err = w.send(ctx, s.head(host, "PUT", key, query, len(body)), body, 200, false); err != nil {
			return 0, err
		}
		fmt.Fprintf(&parts, "<Part><PartNumber>%d</PartNumber><ETag>%s</ETag></Part>", number, r.etag)
	}
	parts.WriteString("</CompleteMultipartUpload>")
	body := []byte(parts.String())
	r, err = w.send(ctx, s.head(host, "POST", key, url.Values{"uploadId": {upload}}, len(body)), body, 200, true)
	if err == nil && !strings.Contains(string(r.body), "CompleteMultipartUploadResult") {
		err = &failure{r.status, bytes.Clone(r.body)}
	}
	return w.run.o.Size, err
}

// mixed reads 45 %, heads 30 %, writes 15 % and deletes 10 % of the time; what it deleted it writes again instead of
// reading it. Each worker keeps to its own keys, so that it knows which exist.
func (w *worker) mixed(ctx context.Context) (int64, error) {
	key := w.index + w.rand.IntN(w.own())*len(w.run.workers)
	dice := w.rand.IntN(100)
	if w.gone[key] || dice >= 75 && dice < 90 {
		err := w.put(ctx, key)
		if err == nil {
			delete(w.gone, key)
		}
		return w.run.o.Size, err
	}
	switch {
	case dice < 45:
		return w.run.o.Size, w.get(ctx, key)
	case dice < 75:
		return 0, w.head(ctx, key)
	}
	w.gone[key] = true
	return 0, w.delete(ctx, key)
}
