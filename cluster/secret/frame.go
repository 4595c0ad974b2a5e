package secret

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/aisle-store/aisle/cluster"
)

// MaxMessage bounds the body of a control call and of its answer, in bytes.
const MaxMessage = 16 << 20

// A message is: length of the rest (4 bytes, big endian), version (1), and
//
//	a request: time left (4, milliseconds), length of the method (1), method, body
//	an answer: 0 and the body, or 1 and a wireError as JSON
const (
	frameV1     = 1
	frameExtra  = 64 << 10 // what a message may have beside the body
	answerOK    = 0
	answerError = 1
	maxMethod   = 255
)

// request is a parsed call.
type request struct {
	method  string
	timeout time.Duration
	body    []byte
}

// wireError is an error on the wire. A cluster.Error that wraps another keeps it as its cause.
type wireError struct {
	Op      string     `json:"op,omitempty"`
	Subject string     `json:"subject,omitempty"`
	Kind    string     `json:"kind"`
	Retry   int64      `json:"retry_ms,omitempty"`
	Message string     `json:"message,omitempty"`
	Cause   *wireError `json:"cause,omitempty"`
}

// appendRequest frames a call.
func appendRequest(b []byte, r request) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(1+4+1+len(r.method)+len(r.body)))
	b = append(b, frameV1)
	b = binary.BigEndian.AppendUint32(b, uint32(min(max(r.timeout.Milliseconds(), 1), 1<<31)))
	b = append(b, byte(len(r.method)))
	b = append(b, r.method...)
	return append(b, r.body...)
}

// parseRequest takes a frame without its length. The body shares memory with it.
func parseRequest(frame []byte) (request, error) {
	if len(frame) < 6 {
		return request{}, errors.New("a control call is too short")
	}
	if frame[0] != frameV1 {
		return request{}, fmt.Errorf("a control call has version %d, which this build does not know", frame[0])
	}
	timeout := time.Duration(binary.BigEndian.Uint32(frame[1:])) * time.Millisecond
	n, rest := int(frame[5]), frame[6:]
	if len(rest) < n {
		return request{}, errors.New("a control call ends within its method")
	}
	if len(rest)-n > MaxMessage {
		return request{}, fmt.Errorf("the body of a control call has %d bytes, more than %d", len(rest)-n, MaxMessage)
	}
	return request{method: string(rest[:n]), timeout: timeout, body: rest[n:]}, nil
}

// appendAnswer frames the outcome of a call.
func appendAnswer(b []byte, body []byte, err error) []byte {
	status := byte(answerOK)
	if err != nil {
		status, body = answerError, encodeError(err)
	}
	b = binary.BigEndian.AppendUint32(b, uint32(2+len(body)))
	b = append(b, frameV1, status)
	return append(b, body...)
}

// parseAnswer takes a frame without its length. The error is the one that the other side returned, or says why the frame
// cannot be read.
func parseAnswer(frame []byte) (body []byte, remote, err error) {
	if len(frame) < 2 {
		return nil, nil, errors.New("the answer to a control call is too short")
	}
	if frame[0] != frameV1 {
		return nil, nil, fmt.Errorf("the answer to a control call has version %d, which this build does not know", frame[0])
	}
	switch frame[1] {
	case answerOK:
		return frame[2:], nil, nil
	case answerError:
		remote, err := decodeError(frame[2:])
		return nil, remote, err
	}
	return nil, nil, fmt.Errorf("the answer to a control call has status %d, which this build does not know", frame[1])
}

// Bounds of an error on the wire.
const (
	maxCauses = 8
	maxText   = 2048
)

func encodeError(err error) []byte {
	b, failed := json.Marshal(toWire(err, maxCauses))
	if failed != nil {
		panic("secret: " + failed.Error()) // strings and numbers only
	}
	return b
}

func toWire(err error, depth int) *wireError {
	e, ok := err.(*cluster.Error)
	if !ok || depth == 0 {
		kind := cluster.KindOf(err)
		if kind == cluster.KindOther && (errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)) {
			kind = cluster.KindUnavailable
		}
		return &wireError{Kind: kind.String(), Message: clip(err.Error())}
	}
	w := &wireError{Op: clip(e.Op), Subject: clip(e.Subject), Kind: e.Kind.String(), Retry: e.RetryAfter.Milliseconds()}
	if _, nested := e.Err.(*cluster.Error); nested {
		w.Cause = toWire(e.Err, depth-1)
	} else if e.Err != nil {
		w.Message = clip(e.Err.Error())
	}
	return w
}

func clip(s string) string { return strings.ToValidUTF8(s[:min(len(s), maxText)], "") }

func decodeError(b []byte) (remote, err error) {
	var w wireError
	if err := json.Unmarshal(b, &w); err != nil {
		return nil, fmt.Errorf("the answer to a control call is an error that cannot be read: %w", err)
	}
	return fromWire(&w), nil
}

func fromWire(w *wireError) *cluster.Error {
	e := &cluster.Error{
		Op: w.Op, Subject: w.Subject, Kind: cluster.ParseKind(w.Kind), RetryAfter: time.Duration(max(w.Retry, 0)) * time.Millisecond,
	}
	switch {
	case w.Cause != nil:
		e.Err = fromWire(w.Cause)
	case w.Message != "":
		e.Err = errors.New(w.Message)
	}
	return e
}

// readFrame reads one message without its length. Memory grows with what arrives, not with what the length promises.
func readFrame(r io.Reader) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	size := int64(binary.BigEndian.Uint32(head[:]))
	if size > MaxMessage+frameExtra {
		return nil, fmt.Errorf("a message of %d bytes is too long", size)
	}
	frame, err := readN(r, size)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return frame, err
}

// readN reads exactly size bytes, taking memory in steps.
func readN(r io.Reader, size int64) ([]byte, error) {
	const step = 256 << 10
	frame := make([]byte, 0, min(size, step))
	for int64(len(frame)) < size {
		if len(frame) == cap(frame) {
			frame = append(frame, make([]byte, min(size-int64(len(frame)), int64(len(frame))))...)[:len(frame)]
		}
		end := min(int64(cap(frame)), size)
		n, err := io.ReadFull(r, frame[len(frame):end])
		frame = frame[:len(frame)+n]
		if err != nil {
			return nil, err
		}
	}
	return frame, nil
}
