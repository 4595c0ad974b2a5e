package cluster

import "sync"

// MaxBucketConfig bounds the document of a BucketConfig, in bytes.
const MaxBucketConfig = 512 << 10

// BucketConfig is one document that configures a bucket, as its CORS rules. It is immutable; what the document means, and
// how it is written, is up to those who set and read it.
type BucketConfig struct {
	Kind  string `json:"kind"`
	Value []byte `json:"value"`

	once   sync.Once
	parsed any
	err    error
}

// Parsed returns what parse makes of the document. It is called once for each document: every request may ask.
func (c *BucketConfig) Parsed(parse func(value []byte) (any, error)) (any, error) {
	c.once.Do(func() { c.parsed, c.err = parse(c.Value) })
	return c.parsed, c.err
}
