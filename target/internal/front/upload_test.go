package front

import (
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
)

// create begins an upload and returns its id.
func (b *bed) create(key string, pairs ...string) string {
	b.t.Helper()
	a := b.do("POST", "/bucket/"+key+"?uploads", "", pairs...).want(b.t, 200, "<InitiateMultipartUploadResult", "<Key>"+key+"</Key>")
	return between(a.body, "<UploadId>", "</UploadId>")
}

func (b *bed) part(key, id string, number int, data string, pairs ...string) string {
	b.t.Helper()
	a := b.do("PUT", fmt.Sprintf("/bucket/%s?partNumber=%d&uploadId=%s", key, number, id), data, pairs...).want(b.t, 200)
	return strings.Trim(a.header("ETag"), `"`)
}

func completeBody(parts ...string) string {
	var s strings.Builder
	s.WriteString("<CompleteMultipartUpload>")
	for i := 0; i < len(parts); i += 2 {
		fmt.Fprintf(&s, "<Part><PartNumber>%s</PartNumber><ETag>\"%s\"</ETag></Part>", parts[i], parts[i+1])
	}
	s.WriteString("</CompleteMultipartUpload>")
	return s.String()
}

func (b *bed) complete(key, id, body string, pairs ...string) answer {
	b.t.Helper()
	return b.do("POST", "/bucket/"+key+"?uploadId="+id, body, pairs...)
}

func TestMultipart(t *testing.T) {
	b := newBed(t, "n1")
	id := b.create("k", "Content-Type", "text/m", "x-amz-meta-a", "1")
	big := strings.Repeat("0123456789abcdef", 5<<20/16)
	e3 := b.part("k", id, 3, "tail")
	e1 := b.part("k", id, 1, big, "Content-MD5", md5Base64(big))
	if e1 != md5Hex(big) {
		t.Fatalf("ETag of a part: %s", e1)
	}
	list := b.do("GET", "/bucket/k?uploadId="+id, "").want(t, 200, "<PartNumber>1</PartNumber>", "<PartNumber>3</PartNumber>", "<IsTruncated>false</IsTruncated>")
	if strings.Index(list.body, e1) > strings.Index(list.body, e3) {
		t.Fatal("parts out of order")
	}
	b.do("GET", "/bucket/k?uploadId="+id+"&max-parts=1", "").want(t, 200, "<NextPartNumberMarker>1</NextPartNumberMarker>", "<IsTruncated>true</IsTruncated>")
	b.do("GET", "/bucket/k?uploadId="+id+"&part-number-marker=1", "").want(t, 200, "<PartNumber>3</PartNumber>")
	if none := b.do("GET", "/bucket/k?uploadId="+id+"&max-parts=0", "").want(t, 200, "<IsTruncated>false</IsTruncated>"); strings.Contains(none.body, "<Part>") {
		t.Fatal("max-parts=0 lists parts")
	}
	b.do("GET", "/bucket/k", "").want(t, 404)

	b.complete("k", id, completeBody("3", e3, "1", e1)).want(t, 400, "InvalidPartOrder")
	b.complete("k", id, completeBody("1", e3, "3", e3)).want(t, 400, "InvalidPart")
	b.complete("k", id, completeBody("1", e1, "2", e1)).want(t, 400, "InvalidPart")
	b.complete("k", id, "<nonsense").want(t, 400, "MalformedXML")
	b.complete("k", id, completeBody("1", e1, "3", e3), "x-amz-mp-object-size", "7").want(t, 400, "InvalidRequest")
	sum := md5.New()
	for _, e := range []string{e1, e3} {
		raw, _ := hex.DecodeString(e)
		sum.Write(raw)
	}
	etag := hex.EncodeToString(sum.Sum(nil)) + "-2"
	done := b.complete("k", id, completeBody("1", e1, "3", e3)).want(t, 200, "<CompleteMultipartUploadResult", etag)
	again := b.complete("k", id, completeBody("1", e1, "3", e3)).want(t, 200, etag)
	if done.body != again.body {
		t.Fatal("a repeated Complete answers differently")
	}
	get := b.do("GET", "/bucket/k", "").want(t, 200).wantHeaders(t, "ETag", `"`+etag+`"`, "Content-Type", "text/m", "x-amz-meta-a", "1")
	if get.body != big+"tail" {
		t.Fatalf("%d bytes", len(get.body))
	}
	b.do("GET", "/bucket/k", "", "Range", fmt.Sprintf("bytes=%d-%d", len(big)-2, len(big)+1)).want(t, 206, "efta")
	b.do("GET", "/bucket/k?uploadId=nope", "").want(t, 404, "NoSuchUpload", "<UploadId>nope</UploadId>")
}

// TestDefaultChecksumOfUploads: of an upload that asks for no checksum the object gets a CRC64NVME of its whole, which its parts have,
// whatever else they came with.
func TestDefaultChecksumOfUploads(t *testing.T) {
	b := newBed(t, "n1", "n2")
	big := strings.Repeat("0123456789abcdef", 5<<20/16)
	whole := b.do("PUT", "/bucket/whole", big+"tail").want(t, 200).header("x-amz-checksum-crc64nvme")
	id := b.create("k")
	e1 := b.part("k", id, 1, big, "x-amz-checksum-crc32", crc32Base64(big))
	tail := b.do("PUT", "/bucket/k?partNumber=2&uploadId="+id, "tail").want(t, 200)
	sum := tail.header("x-amz-checksum-crc64nvme")
	if list := b.do("GET", "/bucket/k?uploadId="+id, "").want(t, 200); sum == "" || strings.Contains(list.body, "Checksum") {
		t.Fatalf("part %q; %s", sum, list.body)
	}
	e2 := strings.Trim(tail.header("ETag"), `"`)
	body := completeBody("1", e1, "2", e2)
	b.complete("k", id, body, "x-amz-checksum-crc64nvme", nvmeOf123456789).want(t, 400, "BadDigest")
	b.complete("k", id, strings.Replace(body, e2+`"</ETag>`, e2+`"</ETag><ChecksumCRC64NVME>`+sum+"</ChecksumCRC64NVME>", 1), "x-amz-checksum-crc64nvme", whole).
		want(t, 200, "<ChecksumCRC64NVME>"+whole+"</ChecksumCRC64NVME>", "<ChecksumType>FULL_OBJECT</ChecksumType>")
	b.do("HEAD", "/bucket/k", "", "x-amz-checksum-mode", "ENABLED").want(t, 200).
		wantHeaders(t, "x-amz-checksum-crc64nvme", whole, "x-amz-checksum-type", "FULL_OBJECT", "x-amz-checksum-crc32", "")
	b.do("GET", "/bucket/k?attributes", "", "x-amz-object-attributes", "Checksum,ObjectParts").want(t, 200, "<ChecksumCRC64NVME>"+whole, "<ChecksumCRC64NVME>"+sum, "<PartsCount>2</PartsCount>")
	b.do("GET", "/bucket/k?partNumber=2", "", "x-amz-checksum-mode", "ENABLED").want(t, 206, "tail").wantHeaders(t, "x-amz-checksum-crc64nvme", sum)

	// Of a customer's key nothing is kept that tells of the bytes.
	id = b.create("secret", customer(sseHeader, 1)...)
	e1 = b.part("secret", id, 1, "tail", customer(sseHeader, 1)...)
	if done := b.complete("secret", id, completeBody("1", e1)).want(t, 200); strings.Contains(done.body, "Checksum") {
		t.Fatal(done.body)
	}
	// Copied parts have one, too.
	id = b.create("copied")
	e1 = between(b.do("PUT", "/bucket/copied?partNumber=1&uploadId="+id, "", "x-amz-copy-source", "bucket/k").want(t, 200, "<CopyPartResult").body, "&quot;", "&quot;")
	b.complete("copied", id, completeBody("1", e1)).want(t, 200, "<ChecksumCRC64NVME>"+whole)
}

func TestMultipartRefusals(t *testing.T) {
	b := newBed(t, "n1")
	id := b.create("k")
	e1, e2 := b.part("k", id, 1, "small"), b.part("k", id, 2, "small too")
	b.complete("k", id, completeBody("1", e1, "2", e2)).want(t, 400, "<Code>EntityTooSmall</Code>", "<ProposedSize>5</ProposedSize>", "<MinSizeAllowed>5242880</MinSizeAllowed>", "<PartNumber>1</PartNumber>", e1)
	b.do("PUT", "/bucket/k?uploadId="+id+"&partNumber=0", "x").want(t, 400, "InvalidArgument")
	b.do("PUT", "/bucket/k?uploadId="+id+"&partNumber=10001", "x").want(t, 400, "InvalidArgument")
	b.do("PUT", "/bucket/k?uploadId="+id, "x").want(t, 400, "InvalidArgument")
	b.do("PUT", "/bucket/k?uploadId=nope&partNumber=1", "x").want(t, 404, "NoSuchUpload")
	b.do("PUT", "/bucket/k?uploadId="+id+"&partNumber=1", "x", "Content-MD5", md5Base64("y")).want(t, 400, "BadDigest")
	b.do("POST", "/bucket/k?uploads", "", "x-amz-checksum-algorithm", "MD5").want(t, 400, "InvalidRequest")
	b.do("DELETE", "/bucket/k?uploadId="+id, "").want(t, 204)
	b.do("DELETE", "/bucket/k?uploadId="+id, "").want(t, 404, "NoSuchUpload")
	b.complete("k", id, completeBody("1", e1)).want(t, 404, "NoSuchUpload")
	b.do("GET", "/bucket/k", "").want(t, 404)
}

func TestMultipartChecksums(t *testing.T) {
	b := newBed(t, "n1")
	big := strings.Repeat("x", 5<<20)
	f := func(kind string) string {
		id := b.create("k", "x-amz-checksum-algorithm", "CRC32", "x-amz-checksum-type", kind)
		e1 := b.part("k", id, 1, big, "x-amz-checksum-crc32", crc32Base64(big))
		e2 := b.part("k", id, 2, "tail")
		b.do("PUT", "/bucket/k?partNumber=2&uploadId="+id, "tail", "x-amz-checksum-crc32", crc32Base64("other")).want(t, 400, "BadDigest")
		b.do("PUT", "/bucket/k?partNumber=2&uploadId="+id, "tail", "x-amz-checksum-crc32c", crc32Base64("tail")).want(t, 400, "InvalidRequest", "expected checksum Type: crc32, actual checksum Type: crc32c")
		b.do("GET", "/bucket/k?uploadId="+id, "").want(t, 200, "<ChecksumAlgorithm>CRC32</ChecksumAlgorithm>", "<ChecksumType>"+kind, "<ChecksumCRC32>"+crc32Base64("tail"))
		if kind == "COMPOSITE" {
			b.complete("k", id, partSums(completeBody("1", e1, "2", e2), big)).want(t, 400, "<Code>InvalidRequest</Code>", "missing for part 2")
		}
		body := partSums(completeBody("1", e1, "2", e2), big, "tail")
		b.complete("k", id, strings.Replace(body, crc32Base64(big), crc32Base64("?"), 1)).want(t, 400)
		a := b.complete("k", id, body).want(t, 200, "<ChecksumType>"+kind)
		sum := between(a.body, "<ChecksumCRC32>", "</ChecksumCRC32>")
		b.do("HEAD", "/bucket/k", "", "x-amz-checksum-mode", "ENABLED").want(t, 200).wantHeaders(t, "x-amz-checksum-crc32", sum, "x-amz-checksum-type", kind)
		return sum
	}
	if sum := f("FULL_OBJECT"); sum != crc32Base64(big+"tail") {
		t.Fatalf("checksum of the whole: %s", sum)
	}
	if sum := f("COMPOSITE"); !strings.HasSuffix(sum, "-2") {
		t.Fatalf("composite checksum: %s", sum)
	}
	b.do("PUT", "/bucket/copy", "", "x-amz-copy-source", "bucket/k").want(t, 200, "<ChecksumCRC32>"+crc32Base64(big+"tail"))
}

// partSums adds the checksums of the first parts to the body of a CompleteMultipartUpload.
func partSums(body string, contents ...string) string {
	parts := strings.Split(body, "</Part>")
	for i, content := range contents {
		parts[i] += "<ChecksumCRC32>" + crc32Base64(content) + "</ChecksumCRC32>"
	}
	return strings.Join(parts, "</Part>")
}

func TestReadParts(t *testing.T) {
	b := newBed(t, "n1")
	big := strings.Repeat("0123456789abcdef", 5<<20/16)
	id := b.create("k", "x-amz-checksum-algorithm", "CRC32")
	e1, e3, e7 := b.part("k", id, 1, big), b.part("k", id, 3, big[1:]+"z"), b.part("k", id, 7, "tail")
	b.complete("k", id, partSums(completeBody("1", e1, "3", e3, "7", e7), big, big[1:]+"z", "tail")).want(t, 200)
	size := 2*len(big) + 4
	f := func(number, offset int, content string) {
		t.Helper()
		for _, method := range []string{"GET", "HEAD"} {
			a := b.do(method, fmt.Sprintf("/bucket/k?partNumber=%d", number), "", "x-amz-checksum-mode", "ENABLED").want(t, 206).wantHeaders(t,
				"Content-Range", fmt.Sprintf("bytes %d-%d/%d", offset, offset+len(content)-1, size), "x-amz-mp-parts-count", "3",
				"x-amz-checksum-crc32", crc32Base64(content), "x-amz-checksum-type", "COMPOSITE")
			if a.rep.Length() != int64(len(content)) || method == "GET" && a.body != content {
				t.Fatalf("%s part %d: %d bytes, body %d", method, number, a.rep.Length(), len(a.body))
			}
		}
	}
	f(1, 0, big)
	f(2, len(big), big[1:]+"z")
	f(3, 2*len(big), "tail")
	b.do("GET", "/bucket/k", "").want(t, 200).wantHeaders(t, "x-amz-mp-parts-count", "")
	b.do("GET", "/bucket/k?partNumber=4", "").want(t, 416, "<Code>InvalidPartNumber</Code>", "<ActualPartCount>3</ActualPartCount>", "<PartNumberRequested>4</PartNumberRequested>")
	b.do("HEAD", "/bucket/k?partNumber=4", "").want(t, 416)
	b.do("GET", "/bucket/k?partNumber=0", "").want(t, 400, "InvalidArgument")
	b.do("GET", "/bucket/k?partNumber=10001", "").want(t, 400, "InvalidArgument")
	b.do("GET", "/bucket/k?partNumber=1", "", "Range", "bytes=0-1").want(t, 400, "InvalidRequest", "Cannot specify both")
	b.do("GET", "/bucket/k?partNumber=1", "", "If-Match", `"other"`).want(t, 412)
	b.do("GET", "/bucket/none?partNumber=1", "").want(t, 404, "NoSuchKey")

	b.do("PUT", "/bucket/simple", "hello").want(t, 200)
	b.do("GET", "/bucket/simple?partNumber=1", "").want(t, 206, "hello").wantHeaders(t, "Content-Range", "bytes 0-4/5", "x-amz-mp-parts-count", "")
	b.do("GET", "/bucket/simple?partNumber=2", "").want(t, 416, "<ActualPartCount>1</ActualPartCount>")
	b.do("PUT", "/bucket/empty", "").want(t, 200)
	b.do("GET", "/bucket/empty?partNumber=1", "").want(t, 200).wantHeaders(t, "Content-Range", "")
	b.do("GET", "/bucket/empty?partNumber=2", "").want(t, 416)
}

func TestAttributes(t *testing.T) {
	b := newBed(t, "n1")
	big := strings.Repeat("0123456789abcdef", 5<<20/16)
	id := b.create("k", "x-amz-checksum-algorithm", "CRC32")
	e1, e2 := b.part("k", id, 1, big), b.part("k", id, 2, "tail")
	done := b.complete("k", id, partSums(completeBody("1", e1, "2", e2), big, "tail")).want(t, 200)
	composite, _, _ := strings.Cut(between(done.body, "<ChecksumCRC32>", "</ChecksumCRC32>"), "-")
	const header = "x-amz-object-attributes"
	a := b.do("GET", "/bucket/k?attributes", "", header, "ETag,Checksum,ObjectParts", header, "StorageClass, ObjectSize").want(t, 200,
		"<ETag>"+between(done.body, "&quot;", "&quot;")+"</ETag>", "<Checksum><ChecksumCRC32>"+composite+"</ChecksumCRC32><ChecksumType>COMPOSITE</ChecksumType></Checksum>",
		"<ObjectParts><IsTruncated>false</IsTruncated><MaxParts>1000</MaxParts><NextPartNumberMarker>2</NextPartNumberMarker><PartNumberMarker>0</PartNumberMarker><Part>",
		"<Part><ChecksumCRC32>"+crc32Base64("tail")+"</ChecksumCRC32><PartNumber>2</PartNumber><Size>4</Size></Part><PartsCount>2</PartsCount></ObjectParts>",
		"<StorageClass>STANDARD</StorageClass>", fmt.Sprintf("<ObjectSize>%d</ObjectSize>", len(big)+4))
	if a.header("Last-Modified") == "" {
		t.Error("no Last-Modified")
	}
	b.do("GET", "/bucket/k?attributes", "", header, "ObjectParts", "x-amz-max-parts", "1").want(t, 200, "<IsTruncated>true</IsTruncated>", "<NextPartNumberMarker>1</NextPartNumberMarker>", "<PartNumber>1</PartNumber>")
	page := b.do("GET", "/bucket/k?attributes", "", header, "ObjectParts", "x-amz-part-number-marker", "1").want(t, 200, "<IsTruncated>false</IsTruncated>", "<PartNumber>2</PartNumber>")
	if strings.Contains(page.body, "<ETag>") || strings.Contains(page.body, "<PartNumber>1</PartNumber>") {
		t.Errorf("more than was asked for: %s", page.body)
	}
	b.do("GET", "/bucket/k?attributes", "", header, "ObjectParts", "x-amz-part-number-marker", "9000").want(t, 200, "<PartsCount>2</PartsCount>", "<IsTruncated>false</IsTruncated>")
	b.do("PUT", "/bucket/simple", "hello").want(t, 200)
	b.do("GET", "/bucket/simple?attributes", "", header, "Checksum").want(t, 200, "<Checksum><ChecksumCRC64NVME>M3eFcAZSQlc=</ChecksumCRC64NVME><ChecksumType>FULL_OBJECT</ChecksumType></Checksum>")
	simple := b.do("GET", "/bucket/simple?attributes", "", header, "ETag,ObjectParts,Checksum,ObjectSize").want(t, 200, "<ETag>"+md5Hex("hello")+"</ETag>", "<ObjectSize>5</ObjectSize>")
	if strings.Contains(simple.body, "Parts") {
		t.Errorf("%s", simple.body)
	}
	b.do("GET", "/bucket/k?attributes", "", header, "Nothing").want(t, 400, "InvalidArgument")
	b.do("GET", "/bucket/none?attributes", "", header, "ETag").want(t, 404, "NoSuchKey")
}

func TestPartCopy(t *testing.T) {
	b := newBed(t, "n1", "n2")
	big := strings.Repeat("0123456789", 600<<10)
	for i := range 4 { // sources on both nodes
		source := fmt.Sprint("source", i)
		b.do("PUT", "/bucket/"+source, big).want(t, 200)
		id := b.create("k")
		copyPart := func(number int, pairs ...string) answer {
			return b.do("PUT", fmt.Sprintf("/bucket/k?partNumber=%d&uploadId=%s", number, id), "", append([]string{"x-amz-copy-source", "/bucket/" + source}, pairs...)...)
		}
		e1 := between(copyPart(1).want(t, 200, "<CopyPartResult").body, "&quot;", "&quot;")
		e2 := between(copyPart(2, "x-amz-copy-source-range", "bytes=3-5").want(t, 200).body, "&quot;", "&quot;")
		if e2 != md5Hex("345") {
			t.Fatalf("ETag of a copied range: %s", e2)
		}
		copyPart(3, "x-amz-copy-source-range", fmt.Sprintf("bytes=0-%d", len(big))).want(t, 400, "InvalidArgument", "Range specified is not valid for source object of size")
		copyPart(3, "x-amz-copy-source-range", "bytes=5-").want(t, 400, "InvalidArgument")
		copyPart(3, "x-amz-copy-source-if-match", `"no"`).want(t, 412)
		b.complete("k", id, completeBody("1", e1, "2", e2)).want(t, 200)
		if got := b.do("GET", "/bucket/k", ""); got.body != big+"345" {
			t.Fatalf("%d bytes", len(got.body))
		}
	}
}
