package bench

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/api"
	"github.com/aisle-store/aisle/proxy/client"
)

// signer makes heads of signed requests.
type signer struct {
	client.Signer
	bucket string
}

// head returns the head of a request, without the empty line at its end. length below zero is a request without a body.
func (s *signer) head(host, method, key string, query url.Values, length int, extra ...client.Header) []byte {
	path := "/" + s.bucket
	if key != "" {
		path += "/" + api.EscapeKey(cluster.ObjectKey(key))
	}
	text, now, payload := client.Query(query), time.Now(), client.UnsignedPayload
	if length < 0 {
		payload = client.EmptyPayload
	}
	authorization := s.Sign(method, host, path, text, now, payload, extra...)
	var b strings.Builder
	b.WriteString(method + " " + path)
	if text != "" {
		b.WriteString("?" + text)
	}
	b.WriteString(" HTTP/1.1\r\nHost: " + host + "\r\nUser-Agent: aisle-bench\r\n")
	b.WriteString("X-Amz-Date: " + now.UTC().Format("20060102T150405Z") + "\r\nX-Amz-Content-Sha256: " + payload + "\r\n")
	b.WriteString("Authorization: " + authorization + "\r\n")
	if length >= 0 {
		b.WriteString("Content-Length: " + strconv.Itoa(length) + "\r\n")
	}
	for _, h := range extra {
		b.WriteString(h.Name + ": " + h.Value + "\r\n")
	}
	return []byte(b.String())
}

// failure is a reply that is not the one wanted.
type failure struct {
	status int
	body   []byte
}

// Error returns the status and S3's code, if there is one.
func (f *failure) Error() string {
	text := string(f.body)
	if _, rest, ok := strings.Cut(text, "<Code>"); ok {
		code, rest, _ := strings.Cut(rest, "</Code>")
		if _, rest, ok = strings.Cut(rest, "<Message>"); ok {
			message, _, _ := strings.Cut(rest, "</Message>")
			code += ": " + message
		}
		text = code
	}
	if len(text) > 200 {
		text = text[:200]
	}
	return fmt.Sprintf("status %d %s", f.status, text)
}
