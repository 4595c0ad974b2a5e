package s3

import (
	"crypto/hmac"
	"crypto/sha256"
	"strings"
	"sync"

	"github.com/aisle-store/aisle/cluster"
)

// maxSigningKeys bounds the cache; a scope names a day and a region, so a few per access key are live.
const maxSigningKeys = 4096

// maxCachedScope keeps scopes that a client made long on purpose out of the cache.
const maxCachedScope = 128

// SigningKeys caches signing keys, which cost four HMACs to derive. It is safe for concurrent use.
type SigningKeys struct {
	mu struct {
		sync.RWMutex
		keys map[signingKeyID]signingKey
	}
}

type signingKeyID struct {
	accessKey cluster.AccessKeyID
	scope     string
}

type signingKey struct {
	secret string // that the key was derived from: a changed secret misses
	key    []byte
}

// NewSigningKeys returns an empty cache.
func NewSigningKeys() *SigningKeys {
	c := &SigningKeys{}
	c.mu.keys = make(map[signingKeyID]signingKey)
	return c
}

// Get returns the signing key of a secret for a scope (date/region/service/aws4_request). The caller must not change it.
func (c *SigningKeys) Get(accessKey cluster.AccessKeyID, secret, scope string) []byte {
	id := signingKeyID{accessKey, scope}
	c.mu.RLock()
	k, ok := c.mu.keys[id]
	c.mu.RUnlock()
	if ok && k.secret == secret {
		return k.key
	}
	key := DeriveKey(secret, scope)
	if len(scope) > maxCachedScope {
		return key
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.mu.keys) >= maxSigningKeys {
		clear(c.mu.keys)
	}
	c.mu.keys[signingKeyID{accessKey, strings.Clone(scope)}] = signingKey{secret, key}
	return key
}

// DeriveKey returns the signing key of a secret for a scope.
func DeriveKey(secret, scope string) []byte {
	key := []byte("AWS4" + secret)
	for part := range strings.SplitSeq(scope, "/") {
		key = hmacSHA256(key, part)
	}
	return key
}

func hmacSHA256(key []byte, data string) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(data))
	return mac.Sum(nil)
}
