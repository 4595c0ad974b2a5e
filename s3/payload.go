package s3

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"strconv"
	"strings"

	"github.com/aisle-store/aisle/cluster"
)

// The values of x-amz-content-sha256 beside a hash.
const (
	modeUnsigned              = "UNSIGNED-PAYLOAD"
	modeUnsignedTrailer       = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
	modeSignedChunks          = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
	modeSignedChunksTrailer   = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
	modeAsymmetricChunks      = "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD"
	modeAsymmetricChunksTrail = "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD-TRAILER"
)

// Chunked reports whether the body is framed as aws-chunked.
func (p Payload) Chunked() bool { return strings.HasPrefix(p.Mode, "STREAMING-") }

// HasTrailer reports whether trailers may follow the body.
func (p Payload) HasTrailer() bool { return strings.HasSuffix(p.Mode, "-TRAILER") }

// SignedChunks reports whether each chunk carries a signature, so that the signing key is needed to read the body.
func (p Payload) SignedChunks() bool {
	return p.Mode == modeSignedChunks || p.Mode == modeSignedChunksTrailer
}

// payloadOf works out how the body of a verified request is protected.
func payloadOf(c *Call, cl *claim) (Payload, error) {
	const op = "s3.payloadOf"
	p := Payload{Mode: cl.payload, Length: c.Length, Seed: cl.signature, Scope: cl.scope(), Date: cl.date.Format(timeAmz)}
	if cl.presigned && p.Mode == modeUnsigned {
		if mode := c.Header.Get("x-amz-content-sha256"); mode != "" {
			p.Mode = mode // a presigned URL leaves the framing to who uses it
		}
	}
	switch p.Mode {
	case modeUnsigned:
		return p, nil
	case modeUnsignedTrailer, modeSignedChunks, modeSignedChunksTrailer:
		n, err := strconv.ParseInt(c.Get("x-amz-decoded-content-length"), 10, 64)
		if err != nil || n < 0 {
			return p, NewFault(op, MissingContentLength, "")
		}
		p.Length = n
		return p, nil
	case modeAsymmetricChunks, modeAsymmetricChunksTrail:
		return p, notImplemented(op, "Signature Version 4A is not implemented.", Field{"Header", "x-amz-content-sha256"})
	}
	if sum, err := hex.DecodeString(p.Mode); err != nil || len(sum) != sha256.Size {
		return p, invalidArgument(op, "x-amz-content-sha256", p.Mode, "x-amz-content-sha256 must be "+modeUnsigned+", "+modeUnsignedTrailer+", "+
			modeSignedChunks+", "+modeSignedChunksTrailer+", "+modeAsymmetricChunks+", "+modeAsymmetricChunksTrail+" or a valid sha256 value.")
	}
	p.SHA256 = strings.ToLower(p.Mode)
	return p, nil
}

// Body is the body of a request without its framing. Reading it to io.EOF verifies everything that the signature says
// of it; until then its bytes are only a proposal.
type Body struct {
	src      io.Reader // plain bytes, or the chunk reader
	chunks   *chunkReader
	length   int64 // that the whole must have; -1 when unknown
	most     int64 // that it may have; 0: any number
	got      int64
	want     []byte // sha256 of the whole; nil when not declared
	hash     hash.Hash
	checksum *Checksum // announced in the trailer; nil for none
	err      error
}

// BodyOptions say how a body is verified.
type BodyOptions struct {
	Payload  Payload
	Key      []byte    // the signing key, for signed chunks (SigningKeys.Get)
	Checksum *Checksum // what RequestChecksums found; its value is taken from the trailer when it is there
}

// OpenBody returns the body behind its framing.
func OpenBody(r io.Reader, o BodyOptions) (*Body, error) {
	const op = "s3.OpenBody"
	b := &Body{src: r, length: o.Payload.Length}
	if o.Checksum != nil && o.Checksum.Trailer {
		b.checksum = o.Checksum
	}
	if o.Payload.Chunked() {
		if o.Payload.SignedChunks() && len(o.Key) == 0 {
			return nil, cluster.Fail(op, "", cluster.KindUnauthenticated, "signed chunks without a key")
		}
		b.chunks = newChunkReader(r, o)
		b.src = b.chunks
	}
	if o.Payload.SHA256 != "" {
		want, err := hex.DecodeString(o.Payload.SHA256)
		if err != nil || len(want) != sha256.Size {
			return nil, cluster.Fail(op, "", cluster.KindInvalid, "the payload hash is not a sha256 value")
		}
		b.want, b.hash = want, sha256.New()
	}
	return b, nil
}

// Length returns the number of bytes that the body will give, or -1.
func (b *Body) Length() int64 { return b.length }

// Limit refuses a body of more than n bytes: at once when its length is known, else when they have come.
func (b *Body) Limit(n int64) error {
	b.most = n
	if b.length > n {
		return b.tooLarge(b.length)
	}
	return nil
}

func (b *Body) tooLarge(n int64) error {
	return NewFault("s3.Body", EntityTooLarge, "", Field{"ProposedSize", strconv.FormatInt(n, 10)}, Field{"MaxSizeAllowed", strconv.FormatInt(b.most, 10)})
}

// Read gives the decoded bytes; io.EOF means that they are what the client signed.
func (b *Body) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	n, err := b.src.Read(p)
	b.got += int64(n)
	if b.hash != nil {
		b.hash.Write(p[:n])
	}
	switch {
	case err == io.EOF:
		b.err = b.finish()
	case err != nil:
		b.err = bodyError(err)
	case b.length >= 0 && b.got > b.length:
		b.err = incomplete()
	case b.most > 0 && b.got > b.most:
		b.err = b.tooLarge(b.got)
	}
	return n, b.err
}

// finish judges the whole body and returns io.EOF when it holds.
func (b *Body) finish() error {
	const op = "s3.Body.finish"
	if b.length >= 0 && b.got != b.length {
		return incomplete()
	}
	if b.hash != nil {
		sum := b.hash.Sum(nil)
		if subtle.ConstantTimeCompare(sum, b.want) != 1 {
			return NewFault(op, XAmzContentSHA256Mismatch, "", Field{"ClientComputedContentSHA256", hex.EncodeToString(b.want)},
				Field{"S3ComputedContentSHA256", hex.EncodeToString(sum)})
		}
	}
	if b.checksum == nil {
		return io.EOF
	}
	value, err := b.chunks.trailerChecksum(b.checksum.Algorithm)
	if err != nil {
		return err
	}
	b.checksum.Value = value
	return io.EOF
}

// Close gives pooled memory back. The body must not be read afterwards.
func (b *Body) Close() {
	if b.chunks != nil {
		b.chunks.close()
	}
	if b.err == nil {
		b.err = errors.New("s3: the body is closed")
	}
}

func incomplete() error { return NewFault("s3.Body.Read", IncompleteBody, "") }

// bodyError gives the fault for a failed read of the body.
func bodyError(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return incomplete()
	}
	return cluster.E("s3.Body.Read", "", cluster.KindOther, err)
}

// ReadAll reads a small body, as of XML requests, up to limit bytes and verifies it.
func ReadAll(b *Body, limit int64) ([]byte, error) {
	const op = "s3.ReadAll"
	if b.length > limit {
		return nil, NewFault(op, MaxMessageLengthExceeded, "", Field{"MaxMessageLengthBytes", strconv.FormatInt(limit, 10)})
	}
	data, err := io.ReadAll(io.LimitReader(b, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, NewFault(op, MaxMessageLengthExceeded, "", Field{"MaxMessageLengthBytes", strconv.FormatInt(limit, 10)})
	}
	return data, nil
}

func itoa(n int) string { return strconv.Itoa(n) }
