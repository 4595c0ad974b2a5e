//go:build e2e

package e2e

import (
	"bytes"
	"crypto/md5"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
)

// content names the bytes of an object: who reads them can make them again and compare bit for bit. It travels in the
// metadata.
type content struct {
	name  string // unique
	size  int
	parts int // 0 when written whole
}

const partSize = 5 << 20 // of all parts but the last

func (c content) String() string { return fmt.Sprintf("%s_%d_%d", c.name, c.size, c.parts) }

func parseContent(text string) (content, error) {
	fields := bytes.Split([]byte(text), []byte("_"))
	if len(fields) != 3 {
		return content{}, fmt.Errorf("%q names no content", text)
	}
	c := content{name: string(fields[0])}
	_, err := fmt.Sscanf(string(fields[1])+" "+string(fields[2]), "%d %d", &c.size, &c.parts)
	return c, err
}

// bytes returns the content: its name, and then noise that depends on it.
func (c content) bytes() []byte {
	head := []byte(c.String() + "\n")
	text := make([]byte, len(head)+c.size)
	copy(text, head)
	h := fnv.New64a()
	h.Write(head)
	noise := rand.NewPCG(h.Sum64(), 1)
	rest := text[len(head):]
	for ; len(rest) >= 8; rest = rest[8:] {
		binary.LittleEndian.PutUint64(rest, noise.Uint64())
	}
	for i := range rest {
		rest[i] = byte(noise.Uint64())
	}
	return text
}

// split cuts the content into its parts.
func (c content) split() [][]byte {
	text := c.bytes()
	var parts [][]byte
	for range c.parts - 1 {
		parts = append(parts, text[:partSize])
		text = text[partSize:]
	}
	return append(parts, text)
}

// etag returns the ETag that an object of this content has.
func (c content) etag() string {
	if c.parts == 0 {
		return etag(c.bytes())
	}
	var sums []byte
	for _, p := range c.split() {
		sum := md5.Sum(p)
		sums = append(sums, sum[:]...)
	}
	sum := md5.Sum(sums)
	return fmt.Sprintf("%s-%d", hex.EncodeToString(sum[:]), c.parts)
}
