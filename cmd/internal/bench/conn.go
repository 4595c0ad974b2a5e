package bench

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strconv"
	"time"
)

// conn is one connection to the server; it is made when it is first needed, and again after an error.
type conn struct {
	endpoint *url.URL
	tls      *tls.Config
	timeout  time.Duration
	raw      net.Conn
	in       *bufio.Reader
	out      []byte    // the head and small body of the request being sent
	kept     []byte    // the body of the reply that was read last
	armed    time.Time // when the deadline was set
}

// reply is what of a reply is looked at.
type reply struct {
	status int
	bytes  int64  // of the body
	etag   string // without quotes
	body   []byte // when it was asked for; valid until the next request
}

// smallBody is up to which size a body is sent in one write with the head.
const smallBody = 8 << 10

func (c *conn) close() {
	if c.raw != nil {
		c.raw.Close()
		c.raw = nil
	}
}

func (c *conn) dial(ctx context.Context) error {
	dialer := net.Dialer{Timeout: 10 * time.Second}
	raw, err := dialer.DialContext(ctx, "tcp", c.endpoint.Host)
	if err != nil {
		return err
	}
	if c.endpoint.Scheme == "https" {
		config := c.tls.Clone()
		if config == nil {
			config = &tls.Config{}
		}
		config.ServerName = c.endpoint.Hostname()
		raw = tls.Client(raw, config)
	}
	c.raw = raw
	if c.in == nil {
		c.in = bufio.NewReaderSize(raw, 64<<10)
	}
	c.in.Reset(raw)
	c.armed = time.Time{}
	return nil
}

// do sends a request (a head that ends before its empty line, and a body) and reads the reply. keep asks for the
// reply's body.
func (c *conn) do(ctx context.Context, head, body []byte, keep bool) (reply, error) {
	if c.raw == nil {
		if err := c.dial(ctx); err != nil {
			return reply{}, err
		}
	}
	if err := c.arm(); err != nil {
		return reply{}, err
	}
	r, again, err := c.exchange(head, body, keep)
	if err != nil || !again {
		c.close()
	}
	return r, err
}

// arm sets the deadline, at most once a second: setting it takes time.
func (c *conn) arm() error {
	now := time.Now()
	if now.Sub(c.armed) < min(time.Second, c.timeout/4) {
		return nil
	}
	c.armed = now
	return c.raw.SetDeadline(now.Add(c.timeout))
}

func (c *conn) exchange(head, body []byte, keep bool) (r reply, again bool, err error) {
	c.out = append(c.out[:0], head...)
	c.out = append(c.out, "\r\n"...)
	if len(body) <= smallBody {
		c.out = append(c.out, body...)
		_, err = c.raw.Write(c.out)
	} else {
		buffers := net.Buffers{c.out, body}
		_, err = buffers.WriteTo(c.raw)
	}
	if err != nil {
		return r, false, err
	}
	return c.readReply(bytes.HasPrefix(head, []byte("HEAD ")), keep)
}

// framing is how the body of a reply is delimited.
type framing struct {
	length  int64 // -1 when there is none
	chunked bool
	close   bool
}

func (c *conn) readReply(headOnly, keep bool) (reply, bool, error) {
	var r reply
	line, err := c.line()
	if err != nil {
		return r, false, err
	}
	if len(line) < 12 || !bytes.HasPrefix(line, []byte("HTTP/1.")) {
		return r, false, fmt.Errorf("the reply begins with %q", line)
	}
	if r.status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return r, false, err
	}
	f, err := c.readHeader(&r)
	if err != nil || headOnly || r.status == 204 || r.status == 304 {
		return r, !f.close, err
	}
	if r.status == 100 {
		return c.readReply(headOnly, keep)
	}
	keep = keep || r.status >= 300
	c.kept = c.kept[:0]
	if f.chunked {
		r.bytes, err = c.readChunks(keep)
	} else if f.length >= 0 {
		r.bytes, err = c.take(f.length, keep)
	} else {
		f.close = true
		r.bytes, err = c.take(1<<62, keep)
		if errors.Is(err, io.EOF) {
			err = nil
		}
	}
	r.body = c.kept
	return r, !f.close, err
}

func (c *conn) readHeader(r *reply) (framing, error) {
	f := framing{length: -1}
	for {
		line, err := c.line()
		if err != nil || len(line) == 0 {
			return f, err
		}
		name, value, ok := bytes.Cut(line, []byte(":"))
		if !ok {
			return f, fmt.Errorf("a header line is %q", line)
		}
		value = bytes.TrimSpace(value)
		switch {
		case bytes.EqualFold(name, []byte("Content-Length")):
			if f.length, err = strconv.ParseInt(string(value), 10, 64); err != nil {
				return f, err
			}
		case bytes.EqualFold(name, []byte("Transfer-Encoding")):
			f.chunked = bytes.EqualFold(value, []byte("chunked"))
		case bytes.EqualFold(name, []byte("Connection")):
			f.close = bytes.EqualFold(value, []byte("close"))
		case bytes.EqualFold(name, []byte("ETag")):
			r.etag = string(bytes.Trim(value, `"`))
		}
	}
}

func (c *conn) line() ([]byte, error) {
	line, err := c.in.ReadSlice('\n')
	if err != nil {
		return nil, err
	}
	return bytes.TrimRight(line, "\r\n"), nil
}

// take reads n bytes, and keeps or skips them.
func (c *conn) take(n int64, keep bool) (int64, error) {
	done := int64(0)
	for done < n {
		if c.in.Buffered() == 0 {
			if _, err := c.in.Peek(1); err != nil {
				return done, err
			}
		}
		step := int(min(n-done, int64(c.in.Buffered())))
		if keep {
			b, _ := c.in.Peek(step) // is in the buffer
			c.kept = append(c.kept, b...)
		}
		if _, err := c.in.Discard(step); err != nil {
			return done, err
		}
		done += int64(step)
	}
	return done, nil
}

func (c *conn) readChunks(keep bool) (int64, error) {
	total := int64(0)
	for {
		line, err := c.line()
		if err != nil {
			return total, err
		}
		digits, _, _ := bytes.Cut(line, []byte(";"))
		size, err := strconv.ParseInt(string(bytes.TrimSpace(digits)), 16, 64)
		if err != nil {
			return total, err
		}
		n, err := c.take(size, keep)
		total += n
		if err != nil {
			return total, err
		}
		if line, err = c.line(); err != nil || size == 0 && len(line) == 0 {
			return total, err
		}
		if len(line) != 0 {
			return total, fmt.Errorf("a chunk is followed by %q", line)
		}
	}
}
