package s3

import (
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// exampleChunks is the body of AWS's published chunked upload.
func exampleChunks() string {
	return "10000;chunk-signature=ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648\r\n" + strings.Repeat("a", 65536) + "\r\n" +
		"400;chunk-signature=0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497\r\n" + strings.Repeat("a", 1024) + "\r\n" +
		"0;chunk-signature=b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9\r\n\r\n"
}

func exampleChunkedHeader() fields {
	return fields{
		{"x-amz-storage-class", "REDUCED_REDUNDANCY"},
		{"x-amz-content-sha256", modeSignedChunks},
		{"x-amz-date", "20130524T000000Z"},
		{"Content-Encoding", "aws-chunked"},
		{"x-amz-decoded-content-length", "66560"},
		{"Content-Length", "66824"},
		{"Authorization", exampleAuthorization("content-encoding;content-length;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-storage-class",
			"4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9")},
	}
}

func exampleTrailerHeader() fields {
	return fields{
		{"x-amz-storage-class", "REDUCED_REDUNDANCY"},
		{"x-amz-content-sha256", modeSignedChunksTrailer},
		{"x-amz-date", "20130524T000000Z"},
		{"Content-Encoding", "aws-chunked"},
		{"x-amz-decoded-content-length", "66560"},
		{"x-amz-trailer", "x-amz-checksum-crc32c"},
		{"Authorization", exampleAuthorization("content-encoding;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-storage-class;x-amz-trailer",
			"106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e")},
	}
}

func exampleTrailerChunks(trailer string) string {
	return "10000;chunk-signature=b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2\r\n" + strings.Repeat("a", 65536) + "\r\n" +
		"400;chunk-signature=1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7\r\n" + strings.Repeat("a", 1024) + "\r\n" +
		"0;chunk-signature=2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992\r\n" + trailer
}

const exampleTrailer = "x-amz-checksum-crc32c:sOO8/Q==\r\nx-amz-trailer-signature:d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435\r\n\r\n"

// openExample verifies the seed and opens the body.
func openExample(t *testing.T, header fields, body io.Reader) (*Body, *Checksum) {
	t.Helper()
	c := newCall(t, "PUT", "/examplebucket/chunkObject.txt", "s3.amazonaws.com", 66824, header)
	a, err := exampleVerifier().Verify(c, exampleTime)
	if err != nil {
		t.Fatal(err)
	}
	_, sum, err := RequestChecksums(c)
	if err != nil {
		t.Fatal(err)
	}
	b, err := OpenBody(body, BodyOptions{Payload: a.Payload, Key: DeriveKey(exampleSecret, a.Payload.Scope), Checksum: sum})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b, sum
}

func TestChunkedExample(t *testing.T) {
	readers := map[string]func(io.Reader) io.Reader{
		"whole": func(r io.Reader) io.Reader { return r }, "halves": iotest.HalfReader, "bytes": iotest.OneByteReader, "data with error": iotest.DataErrReader,
	}
	for name, wrap := range readers {
		b, _ := openExample(t, exampleChunkedHeader(), wrap(strings.NewReader(exampleChunks())))
		data, err := io.ReadAll(b)
		if err != nil || string(data) != strings.Repeat("a", 66560) {
			t.Fatalf("%s: %d bytes, %v", name, len(data), err)
		}
	}
}

func TestChunkedTrailerExample(t *testing.T) {
	for _, trailer := range []string{
		exampleTrailer,
		strings.Replace(exampleTrailer, "==\r\n", "==\n\r\n", 1), // as minio-go writes it
	} {
		b, sum := openExample(t, exampleTrailerHeader(), strings.NewReader(exampleTrailerChunks(trailer)))
		data, err := io.ReadAll(b)
		if err != nil || len(data) != 66560 {
			t.Fatalf("%d bytes, %v", len(data), err)
		}
		want := crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli))
		if got := hex.EncodeToString(sum.Value); got != fmt.Sprintf("%08x", want) {
			t.Fatalf("trailer says %s, bytes have %08x", got, want)
		}
	}
}

// TestChunkedTampering changes one thing of the published bodies at a time.
func TestChunkedTampering(t *testing.T) {
	f := func(header fields, body string, code Code) {
		t.Helper()
		b, _ := openExample(t, header, strings.NewReader(body))
		_, err := io.ReadAll(b)
		wantCode(t, err, code)
	}
	good := exampleChunks()
	h := exampleChunkedHeader()
	f(h, strings.Replace(good, "aaaa", "aaba", 1), SignatureDoesNotMatch)
	f(h, strings.Replace(good, "ad80", "ad81", 1), SignatureDoesNotMatch)
	f(h, strings.Replace(good, "b6c6", "b6c7", 1), SignatureDoesNotMatch)
	f(h, strings.Replace(good, ";chunk-signature=", ";signature=", 1), InvalidRequest)
	f(h, strings.Replace(good, "10000;", "1000g;", 1), InvalidRequest)
	f(h, strings.Replace(good, "10000;", ";", 1), InvalidRequest)
	f(h, strings.Replace(good, "10000;", "ffffffffffffffff;", 1), InvalidRequest)
	f(h, strings.Replace(good, "10000;", "10001;", 1), InvalidRequest)
	f(h, strings.Replace(good, "10000;", "20000;", 1), IncompleteBody)
	f(h, strings.Replace(good, "10000;", strings.Repeat(" ", 2000)+"10000;", 1), InvalidRequest)
	f(h, good+"x", InvalidRequest)
	f(h, good[:len(good)-120], IncompleteBody)
	f(h, good[:40000], IncompleteBody)
	f(h, good[:20], IncompleteBody)
	f(h, "", IncompleteBody)
	f(h, "0;chunk-signature=b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9\r\n\r\n", IncompleteBody)

	h = exampleTrailerHeader()
	f(h, exampleTrailerChunks(strings.Replace(exampleTrailer, "sOO8", "sOO9", 1)), SignatureDoesNotMatch)
	f(h, exampleTrailerChunks(strings.Replace(exampleTrailer, "d81f", "d81e", 1)), SignatureDoesNotMatch)
	f(h, exampleTrailerChunks(""), SignatureDoesNotMatch)
	f(h, exampleTrailerChunks("x-amz-trailer-signature:00\r\nx-amz-checksum-crc32c:sOO8/Q==\r\n"), MalformedTrailer)
	f(h, exampleTrailerChunks("nonsense\r\n"), MalformedTrailer)
	f(h, exampleTrailerChunks(strings.Repeat("x", maxTrailers)), MalformedTrailer)
}

func TestUnsignedTrailer(t *testing.T) {
	f := func(body string, length int64, code Code, want string) {
		t.Helper()
		sum := &Checksum{Algorithm: CRC32, Trailer: true}
		b, err := OpenBody(strings.NewReader(body), BodyOptions{Payload: Payload{Mode: modeUnsignedTrailer, Length: length}, Checksum: sum})
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		data, err := io.ReadAll(b)
		if code != "" {
			wantCode(t, err, code)
			return
		}
		if err != nil || string(data) != want || hex.EncodeToString(sum.Value) != "3610a686" {
			t.Fatalf("%q %x %v", data, sum.Value, err)
		}
	}
	const trailer = "x-amz-checksum-crc32:NhCmhg==\r\n\r\n"
	f("5\r\nhello\r\n0\r\n"+trailer, 5, "", "hello")
	f("2\r\nhe\r\n3;ignored=1\r\nllo\r\n0\r\n"+trailer, 5, "", "hello")
	f("5\r\nhello\r\n0\r\nX-Amz-Checksum-CRC32: NhCmhg==\r\n\r\n", 5, "", "hello")
	f("5\r\nhello\r\n0\r\n\r\n", 5, MalformedTrailer, "")
	f("5\r\nhello\r\n0\r\nx-amz-checksum-sha1:NhCmhg==\r\n\r\n", 5, MalformedTrailer, "")
	f("5\r\nhello\r\n0\r\nx-amz-checksum-crc32:NhCm\r\n\r\n", 5, InvalidRequest, "")
	f("5\r\nhello\r\n0\r\n"+trailer, 4, IncompleteBody, "")
	f("5\r\nhello\r\n0\r\n"+trailer, 6, IncompleteBody, "")
	f("5\nhello\r\n0\r\n"+trailer, 5, InvalidRequest, "")
	f("5\r\nhello0\r\n"+trailer, 5, InvalidRequest, "")
	f("5\r\nhell", 5, IncompleteBody, "")
}

func TestSmallSignedChunks(t *testing.T) {
	key := []byte("key")
	c := &chunkReader{key: key, date: "d", scope: "s", previous: "p"}
	sign := func(data string) string {
		body := fmt.Sprintf("%x;chunk-signature=", len(data))
		sum := sha256Hex(data)
		c.previous = hex.EncodeToString(hmacSHA256(key, algorithm+"-PAYLOAD\nd\ns\n"+c.previous+"\n"+emptySHA+"\n"+sum))
		return body + c.previous + "\r\n" + data + "\r\n"
	}
	big := strings.Repeat("x", minSignedChunk)
	f := func(code Code, chunks ...string) {
		t.Helper()
		c.previous = "p"
		body, length := "", 0
		for _, chunk := range append(chunks, "") {
			body += sign(chunk)
			length += len(chunk)
		}
		b, err := OpenBody(strings.NewReader(body), BodyOptions{Key: key, Payload: Payload{Mode: modeSignedChunks, Length: int64(length), Seed: "p", Date: "d", Scope: "s"}})
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		_, err = io.ReadAll(b)
		if code == "" && err == nil {
			return
		}
		wantCode(t, err, code)
	}
	f("", big, big, "end")
	f("", "only")
	f("")
	f(InvalidChunkSize, "small", "again")
	f(InvalidChunkSize, big, "small", big)
}

func TestBodyReadError(t *testing.T) {
	broken := errors.New("the wire is cut")
	b, err := OpenBody(iotest.ErrReader(broken), BodyOptions{Payload: Payload{Length: 5}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err = io.ReadAll(b); !errors.Is(err, broken) {
		t.Fatal(err)
	}
	if _, again := b.Read(make([]byte, 1)); again != err {
		t.Fatalf("a failed body must stay failed: %v", again)
	}
}

func TestSignedChunksNeedAKey(t *testing.T) {
	if _, err := OpenBody(strings.NewReader(""), BodyOptions{Payload: Payload{Mode: modeSignedChunks}}); err == nil {
		t.Fatal("opened without a key")
	}
}
