package secret

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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

// wireError is a cluster.Error on the wire.
type wireError struct {
	Subject string `json:"subject,omitempty"`
	Kind    string `json:"kind"`
	Message string `json:"message"`
	Retry   int64  `json:"retry_ms,omitempty"`
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

func encodeError(err error) []byte {
	w := wireError{Kind: cluster.KindOf(err).String(), Message: err.Error()}
	var e *cluster.Error
	if errors.As(err, &e) {
		w.Subject, w.Retry = e.Subject, e.RetryAfter.Milliseconds()
	}
	w.Message = w.Message[:min(len(w.Message), frameExtra/8)]
	w.Subject = w.Subject[:min(len(w.Subject), frameExtra/8)]
	b, err := json.Marshal(w)
	if err != nil {
		panic("secret: " + err.Error()) // strings and numbers only
	}
	return b
}

func decodeError(b []byte) (remote, err error) {
	var w wireError
	if err := json.Unmarshal(b, &w); err != nil {
		return nil, fmt.Errorf("the answer to a control call is an error that cannot be read: %w", err)
	}
	return &cluster.Error{
		Subject:    w.Subject,
		Kind:       cluster.ParseKind(w.Kind),
		RetryAfter: time.Duration(max(w.Retry, 0)) * time.Millisecond,
		Err:        errors.New(w.Message),
	}, nil
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
