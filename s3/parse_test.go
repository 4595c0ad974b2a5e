package s3

import (
	"encoding/xml"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/aisle-store/aisle/cluster"
)

func TestParseRange(t *testing.T) {
	f := func(s string, want *Range) {
		t.Helper()
		if got := ParseRange(s); !reflect.DeepEqual(got, want) {
			t.Fatalf("%q: %+v, want %+v", s, got, want)
		}
	}
	f("bytes=0-9", &Range{0, 9})
	f("bytes=5-", &Range{5, -1})
	f("bytes=-5", &Range{-1, 5})
	f("bytes=-0", &Range{-1, 0})
	f("BYTES = 1 - 2", &Range{1, 2})
	f("bytes=0-99999999999999999999", &Range{0, 1<<63 - 1})
	for _, ignored := range []string{"", "bytes", "bytes=", "bytes=-", "bytes=9-0", "bytes=a-b", "bytes=0-1,3-4", "items=0-1", "bytes=1--2", "bytes=+1-2", "bytes=0x1-2"} {
		f(ignored, nil)
	}
}

func TestParseCopyRange(t *testing.T) {
	if r, err := ParseCopyRange("bytes=0-9"); err != nil || *r != (Range{0, 9}) {
		t.Fatalf("%v %v", r, err)
	}
	if r, err := ParseCopyRange(""); err != nil || r != nil {
		t.Fatalf("%v %v", r, err)
	}
	for _, bad := range []string{"0-9", "bytes=0-", "bytes=-5", "bytes=5-1", "bytes=a-b", "bytes=0-1,2-3"} {
		_, err := ParseCopyRange(bad)
		wantCode(t, err, InvalidArgument)
	}
}

func TestParseETags(t *testing.T) {
	f := func(s string, any bool, tags ...string) {
		t.Helper()
		if got := ParseETags(s); got.Any != any || !reflect.DeepEqual(got.Tags, tags) {
			t.Fatalf("%q: %+v", s, got)
		}
	}
	f("", false)
	f("*", true)
	f(`"a"`, false, "a")
	f(`a`, false, "a")
	f(`"a", "b,c" , W/"d",e , `, false, "a", "b,c", "d", "e")
	f(`"*"`, false, "*")
	f(`"open`, false, "open")
}

func TestConditions(t *testing.T) {
	date := "Fri, 24 May 2013 00:00:00 GMT"
	c := newCall(t, "GET", "/b/k", "h", 0, fields{{"If-Match", `"a"`}, {"If-Unmodified-Since", date}, {"If-Modified-Since", date}, {"If-Range", `"r"`}})
	got := ReadConditions(c)
	if !got.UnmodifiedSince.IsZero() || !got.ModifiedSince.Equal(exampleTime) || got.RangeETag != "r" {
		t.Fatalf("%+v", got)
	}
	c.Header = fields{{"If-None-Match", "*"}, {"If-Modified-Since", date}, {"If-Range", date}, {"If-Unmodified-Since", "garbage"}}
	got = ReadConditions(c)
	if !got.ModifiedSince.IsZero() || !got.NoneMatch.Any || !got.RangeModified.Equal(exampleTime) || !got.UnmodifiedSince.IsZero() {
		t.Fatalf("%+v", got)
	}
	f := func(code Code, pairs ...string) {
		t.Helper()
		c.Header = fields{}.with(pairs...)
		_, err := WriteConditions(c)
		if code == "" && err == nil {
			return
		}
		wantCode(t, err, code)
	}
	f("", "If-Match", `"a"`)
	f("", "If-None-Match", "*")
	f("", "If-Match", "*")
	f(NotImplemented, "If-None-Match", `"a"`)
	f(NotImplemented, "If-None-Match", "*", "If-Match", `"a"`)
	f(NotImplemented, "If-Unmodified-Since", date)
	f(InvalidArgument, "If-Match", ",")
	c.Header = fields{{"x-amz-copy-source-if-modified-since", "garbage"}}
	_, err := CopyConditions(c)
	wantCode(t, err, InvalidArgument)
	c.Header = fields{{"x-amz-copy-source-if-none-match", "a"}, {"x-amz-copy-source-if-modified-since", date}, {"x-amz-copy-source-if-unmodified-since", date}}
	if got, err := CopyConditions(c); err != nil || !got.ModifiedSince.IsZero() || !got.UnmodifiedSince.Equal(exampleTime) {
		t.Fatalf("%+v %v", got, err)
	}
}

func TestHTTPDates(t *testing.T) {
	for _, s := range []string{"Fri, 24 May 2013 00:00:00 GMT", "Friday, 24-May-13 00:00:00 GMT", "Fri May 24 00:00:00 2013", "Fri, 24 May 2013 02:00:00 +0200"} {
		if got, ok := parseHTTPDate(s); !ok || !got.Equal(exampleTime) {
			t.Errorf("%s: %v %v", s, got, ok)
		}
	}
	if got := FormatHTTPDate(exampleTime); got != "Fri, 24 May 2013 00:00:00 GMT" {
		t.Error(got)
	}
}

func TestCopySource(t *testing.T) {
	f := func(s, bucket, key string) {
		t.Helper()
		got, err := ParseCopySource(s)
		if err != nil || string(got.Bucket) != bucket || string(got.Key) != key {
			t.Fatalf("%q: %+v %v", s, got, err)
		}
	}
	f("b/k", "b", "k")
	f("/b/k", "b", "k")
	f("b%2Fk", "b", "k")
	f("%2Fb/a%20b+c/%C3%BC", "b", "a b+c/ü")
	f("b//k/", "b", "/k/")
	f("b/k%3FversionId=x", "b", "k?versionId=x")
	for _, bad := range []string{"", "b", "b/", "/", "//k", "b/%zz", "b/%ff", "b/k?x=y", "b/k?versionId=", "b/k?versionId=x", "b/" + strings.Repeat("k", 1025)} {
		_, err := ParseCopySource(bad)
		wantCode(t, err, InvalidArgument)
	}
	_, err := ParseCopySource("arn:aws:s3:::b/k")
	wantCode(t, err, NotImplemented)
	for _, id := range []cluster.VersionID{"null", "00000000000000ff"} {
		if got, err := ParseCopySource("b/k?versionId=" + string(id)); err != nil || got.Version != id || got.Key != "k" {
			t.Fatalf("%+v %v", got, err)
		}
	}
}

func TestMetadata(t *testing.T) {
	c := newCall(t, "PUT", "/b/k", "h", 0, fields{
		{"X-Amz-Meta-One", "1"}, {"x-amz-meta-two", "a"}, {"x-amz-meta-TWO", "b"}, {"x-amz-meta-word", "=?UTF-8?B?w7w=?="},
		{"x-amz-meta-broken", "=?nonsense"}, {"x-amz-meta-latin", "caf\xe9"}, {"x-amz-meta-utf", "café"}, {"Content-Encoding", "gzip, aws-chunked"}, {"Content-Type", "text/x"},
	})
	got, err := ReadUserMetadata(c)
	want := []Field{{"one", "1"}, {"two", "a,b"}, {"word", "ü"}, {"broken", "=?nonsense"}, {"latin", "café"}, {"utf", "café"}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("%v %v", got, err)
	}
	back := UserMetadataHeaders(got)
	if back[0] != (Field{"x-amz-meta-one", "1"}) || back[2] != (Field{"x-amz-meta-word", "=?UTF-8?B?w7w=?="}) || back[4].Value != "=?UTF-8?B?Y2Fmw6k=?=" {
		t.Fatalf("%v", back)
	}
	if h := ReadContentHeaders(c); !reflect.DeepEqual(h, []Field{{"Content-Type", "text/x"}, {"Content-Encoding", "gzip"}}) {
		t.Fatalf("%+v", h)
	}
	sized := func(n int) *Call {
		return newCall(t, "PUT", "/b/k", "h", 0, fields{{"x-amz-meta-a", strings.Repeat("x", n)}})
	}
	if _, err := ReadUserMetadata(sized(2047)); err != nil {
		t.Fatal(err)
	}
	_, err = ReadUserMetadata(sized(2048))
	wantCode(t, err, MetadataTooLarge)
	for _, name := range []string{"a%0D%0Ax-injected", "a%20b", "a:b", "%C3%BC", "a%00"} {
		_, err := ReadUserMetadata(newCall(t, "PUT", "/b/k?x-amz-meta-"+name+"=1", "h", 0, nil))
		wantCode(t, err, InvalidArgument)
	}
}

func TestOverrides(t *testing.T) {
	c := newCall(t, "GET", "/b/k?response-content-type=text/html&response-expires=x&response-cache-control=a%0D%0Ab", "h", 0, nil)
	if got := ResponseOverrides(c); !reflect.DeepEqual(got, []Field{{"Content-Type", "text/html"}, {"Expires", "x"}}) {
		t.Fatalf("%v", got)
	}
}

func TestRequestChecksums(t *testing.T) {
	f := func(code Code, pairs ...string) {
		t.Helper()
		_, _, err := RequestChecksums(newCall(t, "PUT", "/b/k", "h", 0, fields{}.with(pairs...)))
		if code == "" && err == nil {
			return
		}
		wantCode(t, err, code)
	}
	f("")
	f("", "Content-MD5", "XUFAKrxLKna5cZ2REBfFkg==")
	f("", "x-amz-checksum-crc32", "NhCmhg==", "x-amz-sdk-checksum-algorithm", "CRC32")
	f("", "x-amz-trailer", "x-amz-checksum-crc64nvme", "x-amz-sdk-checksum-algorithm", "CRC64NVME")
	f("", "Content-MD5", "XUFAKrxLKna5cZ2REBfFkg==", "x-amz-sdk-checksum-algorithm", "CRC32")
	f(InvalidDigest, "Content-MD5", "short")
	f(InvalidDigest, "Content-MD5", "")
	f(InvalidDigest, "Content-MD5", "NhCmhg==")
	f(InvalidRequest, "x-amz-checksum-crc32", "NhCm")
	f(InvalidRequest, "x-amz-checksum-crc32", "NhCmhg==", "x-amz-checksum-crc32c", "NhCmhg==")
	f(InvalidRequest, "x-amz-checksum-crc32", "NhCmhg==", "x-amz-trailer", "x-amz-checksum-crc32c")
	f(InvalidRequest, "x-amz-trailer", "x-amz-meta-a")
	f(InvalidRequest, "x-amz-sdk-checksum-algorithm", "CRC32")
	f(InvalidRequest, "x-amz-sdk-checksum-algorithm", "MD5")
	f(InvalidRequest, "x-amz-checksum-crc32", "NhCmhg==", "x-amz-sdk-checksum-algorithm", "SHA1")
}

func TestUploadChecksum(t *testing.T) {
	f := func(algorithm, kind string, a Algorithm, composite bool, code Code) {
		t.Helper()
		c := newCall(t, "POST", "/b/k?uploads", "h", 0, fields{{"x-amz-checksum-algorithm", algorithm}, {"x-amz-checksum-type", kind}})
		gotA, gotC, err := UploadChecksum(c)
		if code != "" {
			wantCode(t, err, code)
		} else if err != nil || gotA != a || gotC != composite {
			t.Fatalf("%s %s: %v %v %v", algorithm, kind, gotA, gotC, err)
		}
	}
	f("", "", NoAlgorithm, false, "")
	f("crc32", "", CRC32, true, "")
	f("CRC32", "FULL_OBJECT", CRC32, false, "")
	f("CRC64NVME", "", CRC64NVME, false, "")
	f("SHA256", "COMPOSITE", SHA256, true, "")
	f("SHA256", "FULL_OBJECT", 0, false, InvalidRequest)
	f("CRC64NVME", "COMPOSITE", 0, false, InvalidRequest)
	f("MD5", "", 0, false, InvalidRequest)
	f("CRC32", "HALF", 0, false, InvalidRequest)
	f("", "COMPOSITE", 0, false, InvalidRequest)
}

func TestListParams(t *testing.T) {
	f := func(code Code, query string, want ListParams) {
		t.Helper()
		c, err := parse("GET", "/b?"+query)
		if err != nil {
			t.Fatal(err)
		}
		got, err := ReadListParams(c)
		if code != "" {
			wantCode(t, err, code)
			return
		}
		want.Bucket = "b"
		if err != nil || got != want {
			t.Fatalf("%s: %+v %v", query, got, err)
		}
	}
	token := EncodeToken("a/ü")
	f("", "", ListParams{MaxKeys: 1000})
	f("", "max-keys=0&marker=m&delimiter=%2F", ListParams{Marker: "m", After: "m", Delimiter: "/"})
	f("", "list-type=2&max-keys=5000&start-after=s", ListParams{V2: true, MaxKeys: 5000, StartAfter: "s", After: "s"})
	f("", "list-type=2&start-after=s&continuation-token="+token+"&encoding-type=url&fetch-owner=true",
		ListParams{V2: true, MaxKeys: 1000, StartAfter: "s", After: "a/ü", Token: token, HasToken: true, URL: true, FetchOwner: true})
	f(InvalidArgument, "max-keys=-1", ListParams{})
	f(InvalidArgument, "max-keys=many", ListParams{})
	f(InvalidArgument, "max-keys=99999999999", ListParams{})
	f(InvalidArgument, "encoding-type=base64", ListParams{})
	f(InvalidArgument, "list-type=3", ListParams{})
	f("", "list-type=2&continuation-token=&start-after=s", ListParams{V2: true, MaxKeys: 1000, StartAfter: "s", After: "s", HasToken: true})
	f(InvalidArgument, "list-type=2&continuation-token=zzz", ListParams{})
	f(InvalidArgument, "prefix=%ff", ListParams{})
}

func TestUploadParams(t *testing.T) {
	f := func(query string, part int, code Code) {
		t.Helper()
		_, got, err := UploadParams(newCall(t, "PUT", "/b/k?uploadId=u&"+query, "h", 0, nil))
		if code != "" {
			wantCode(t, err, code)
		} else if err != nil || got != part {
			t.Fatalf("%s: %d %v", query, got, err)
		}
	}
	f("partNumber=1", 1, "")
	f("partNumber=10000", 10000, "")
	for _, bad := range []string{"partNumber=0", "partNumber=10001", "partNumber=-1", "partNumber=x", "partNumber=", ""} {
		f(bad, 0, InvalidArgument)
	}
}

// TestListXML reads our lists back with the standard decoder.
func TestListXML(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.UTC)
	page := ListPage{
		Params: ListParams{V2: true, Bucket: "b", Prefix: "a&b", Delimiter: "/", MaxKeys: 5000, FetchOwner: true, HasToken: true, Token: "t"},
		Entries: []cluster.Entry{
			{Key: "a&b<c>\"d'\r\n", Size: 5, ETag: "abc", Modified: at, Owner: "me", Additional: cluster.ChecksumSet(0).With(cluster.ChecksumCRC32)},
			{Key: "a&b/", Prefix: true},
		},
		Truncated: true,
	}
	var got struct {
		XMLName               xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ ListBucketResult"`
		Name, Prefix          string
		MaxKeys, KeyCount     int
		IsTruncated           bool
		ContinuationToken     string
		NextContinuationToken string
		Contents              []struct {
			Key, ETag, LastModified, StorageClass, ChecksumAlgorithm, ChecksumType string
			Size                                                                   int
			Owner                                                                  struct{ ID string }
		}
		CommonPrefixes []struct{ Prefix string }
	}
	if err := xml.Unmarshal(page.XML(), &got); err != nil {
		t.Fatal(err)
	}
	if got.MaxKeys != 1000 || got.KeyCount != 2 || !got.IsTruncated || got.ContinuationToken != "t" || got.Prefix != "a&b" {
		t.Fatalf("%+v", got)
	}
	c := got.Contents[0]
	if c.Key != "a&b<c>\"d'\r\n" || c.ETag != `"abc"` || c.LastModified != "2026-01-02T03:04:05.678Z" || c.Owner.ID != "me" || c.ChecksumAlgorithm != "CRC32" || c.ChecksumType != "FULL_OBJECT" {
		t.Fatalf("%+v", c)
	}
	if after, err := DecodeToken(got.NextContinuationToken); err != nil || after != "a&b/" || got.CommonPrefixes[0].Prefix != "a&b/" {
		t.Fatalf("%q %v", after, err)
	}
}

func TestListXMLV1(t *testing.T) {
	page := ListPage{Params: ListParams{Bucket: "b", Delimiter: "/", MaxKeys: 1, URL: true, Marker: "m n"},
		Entries: []cluster.Entry{{Key: "quux ab/\x01+", Prefix: true}}, Truncated: true}
	body := string(page.XML())
	for _, want := range []string{"<Marker>m%20n</Marker>", "<NextMarker>quux%20ab/%01%2B</NextMarker>", "<EncodingType>url</EncodingType>", "<Prefix>quux%20ab/%01%2B</Prefix>"} {
		if !strings.Contains(body, want) {
			t.Errorf("no %s in %s", want, body)
		}
	}
	if strings.Contains(body, "KeyCount") {
		t.Error("v1 has no KeyCount")
	}
}

func TestEscapedText(t *testing.T) {
	f := func(in, want string) {
		t.Helper()
		if got := string(appendEscaped(nil, in)); got != want {
			t.Fatalf("%q: %q, want %q", in, got, want)
		}
	}
	f("plain ü", "plain ü")
	f("a\x01b\x1fc\x00", "a&#x1;b&#x1f;c&#x0;")
	f("\r\n\t", "&#13;\n\t")
	f("x\uFFFEy\uFFFF", "x&#xFFFE;y&#xFFFF;")
	f("bad\xffbyte", "bad\uFFFDbyte")
}

func TestOtherXML(t *testing.T) {
	f := func(doc []byte, wants ...string) {
		t.Helper()
		var any struct{}
		if err := xml.Unmarshal(doc, &any); err != nil {
			t.Fatalf("%s: %v", doc, err)
		}
		for _, want := range wants {
			if !strings.Contains(string(doc), want) {
				t.Fatalf("no %s in %s", want, doc)
			}
		}
	}
	f((&BucketList{Owner: Owner{"id", "me"}, Buckets: []cluster.BucketEntry{{Bucket: cluster.Native("b1"), Created: exampleTime}}, Next: "b1"}).XML(),
		"<Name>b1</Name>", "<CreationDate>2013-05-24T00:00:00.000Z</CreationDate>", "<ContinuationToken>")
	f(LocationXML("us-east-1"), `/2006-03-01/"></LocationConstraint>`)
	f(LocationXML("eu-west-1"), `>eu-west-1</LocationConstraint>`)
	f(CopyResultXML(CopyObject, "e", exampleTime, []Field{{"ChecksumCRC32", "x=="}}, "FULL_OBJECT"), "<CopyObjectResult", "<ETag>&quot;e&quot;</ETag>", "<ChecksumCRC32>x==</ChecksumCRC32>", "<ChecksumType>FULL_OBJECT</ChecksumType>")
	f(CopyResultXML(UploadPartCopy, "e", exampleTime, nil, ""), "<CopyPartResult")
	both := cluster.CompositeChecksums.With(cluster.ChecksumSHA256).With(cluster.ChecksumCRC32)
	f((&UploadPage{Entries: []cluster.Entry{{Key: "k", UploadID: "u", Additional: both}, {Key: "none", UploadID: "u", Additional: cluster.CompositeChecksums}}}).XML(),
		"<ChecksumAlgorithm>CRC32</ChecksumAlgorithm><ChecksumAlgorithm>SHA256</ChecksumAlgorithm><ChecksumType>COMPOSITE</ChecksumType></Upload>", "Z</Initiated></Upload>")
	f(CreateUploadXML("b", "k<", "u"), "<Key>k&lt;</Key><UploadId>u</UploadId>")
	f((&PartPage{Bucket: "b", Key: "k", Params: PartListParams{UploadID: "u", MaxParts: 2}, Parts: []ListedPart{{Number: 3, Size: 4, ETag: "e"}}, Truncated: true}).XML(),
		"<NextPartNumberMarker>3</NextPartNumberMarker>", "<Size>4</Size>", "<IsTruncated>true</IsTruncated>")
	f((&UploadPage{Params: UploadListParams{Bucket: "b", MaxUploads: 1}, Entries: []cluster.Entry{{Key: "k", UploadID: "u"}, {Key: "p/", Prefix: true}}}).XML(),
		"<UploadId>u</UploadId>", "<CommonPrefixes><Prefix>p/</Prefix></CommonPrefixes>")
	f((&CompleteResult{Location: "/b/k", Bucket: "b", Key: "k", ETag: "e-1"}).XML(), "<ETag>&quot;e-1&quot;</ETag>")
	f(DeleteResultXML([]DeleteOutcome{{Key: "a"}, {Key: "b", Err: NewFault("op", AccessDenied, "")}}, false), "<Deleted><Key>a</Key></Deleted>", "<Code>AccessDenied</Code>")
	if quiet := string(DeleteResultXML([]DeleteOutcome{{Key: "a"}}, true)); strings.Contains(quiet, "Deleted") {
		t.Fatal(quiet)
	}
}

func TestParseComplete(t *testing.T) {
	parts, err := ParseComplete([]byte(`<?xml version="1.0"?><CompleteMultipartUpload xmlns="http://s3.amazonaws.com/doc/2006-03-01/">` +
		`<Part><ETag>&quot;a&quot;</ETag><PartNumber>1</PartNumber><ChecksumCRC32>NhCmhg==</ChecksumCRC32></Part><Part><PartNumber>2</PartNumber><ETag>b</ETag></Part></CompleteMultipartUpload>`))
	if err != nil || len(parts) != 2 || parts[0].ETag != "a" || parts[0].Checksum.Algorithm != CRC32 || parts[1].Number != 2 {
		t.Fatalf("%+v %v", parts, err)
	}
	for _, bad := range []string{"", "x", "<CompleteMultipartUpload/>", "<Other><Part/></Other>", "<CompleteMultipartUpload><Part><PartNumber>x</PartNumber><ETag>a</ETag></Part></CompleteMultipartUpload>",
		"<CompleteMultipartUpload><Part><ETag>a</ETag></Part></CompleteMultipartUpload>", "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber></Part></CompleteMultipartUpload>",
		"<CompleteMultipartUpload><Part>", "<CompleteMultipartUpload><Foo/></CompleteMultipartUpload>"} {
		_, err := ParseComplete([]byte(bad))
		wantCode(t, err, MalformedXML)
	}
	_, err = ParseComplete([]byte("<CompleteMultipartUpload><Part><PartNumber>10001</PartNumber><ETag>a</ETag></Part></CompleteMultipartUpload>"))
	wantCode(t, err, InvalidArgument)
}

func TestParseDelete(t *testing.T) {
	items, quiet, err := ParseDelete([]byte("<Delete><Quiet>true</Quiet><Object><Key>a&#x1;&#13;&amp;<![CDATA[<b>]]></Key></Object>" +
		"<Object><Key> k </Key><VersionId>v</VersionId><ETag>\"e\"</ETag><Size>5</Size><LastModifiedTime>Fri, 24 May 2013 00:00:00 GMT</LastModifiedTime></Object></Delete>"))
	if err != nil || !quiet || len(items) != 2 || items[0].Key != "a\x01\r&<b>" {
		t.Fatalf("%+v %v %v", items, quiet, err)
	}
	if i := items[1]; i.Key != " k " || i.Version != "v" || i.IfMatch != "e" || *i.IfSize != 5 || !i.IfModifiedAt.Equal(exampleTime) {
		t.Fatalf("%+v", i)
	}
	object := "<Object><Key>k</Key></Object>"
	if items, _, err := ParseDelete([]byte("<Delete>" + strings.Repeat(object, 1000) + "</Delete>")); err != nil || len(items) != 1000 {
		t.Fatal(err)
	}
	for _, bad := range []string{"<Delete/>", "<Delete>" + strings.Repeat(object, 1001) + "</Delete>", "<Delete><Object/></Delete>", "<Delete>" + object + "<Object><Key></Key></Object></Delete>", "<Delete><Object><Key>k</Key><Nope/></Object></Delete>",
		"<!DOCTYPE d [<!ENTITY x 'y'>]><Delete>" + object + "</Delete>", "<Delete>" + object + "</Delete>trailing", "<Delete>" + object + "</Delet>", "<Delete><Object><Key>&nope;</Key></Object></Delete>",
		"<Delete><Object><Key>a\x01</Key></Object></Delete>", "<Delete><Object><Key>\xff</Key></Object></Delete>", "<Delete><Object><Key>&#xD800;</Key></Object></Delete>",
		"<Delete><Object><Key>a</Key><Key>b</Key></Object></Delete>", "<Delete><Object><Key>a<x/></Key></Object></Delete>",
		"<Delete><Object><Key>a</Key><ETag></ETag></Object></Delete>", "<Delete><Object><Key>a</Key><ETag>&quot;&quot;</ETag></Object></Delete>"} {
		_, _, err := ParseDelete([]byte(bad))
		wantCode(t, err, MalformedXML)
	}
	items, _, err = ParseDelete([]byte("<Delete>" + object + "<Object><Key>" + strings.Repeat("k", 1025) + "</Key></Object>" + object +
		"<Object><Key>k</Key><VersionId>v</VersionId></Object><Object><Key>k</Key><VersionId>null</VersionId></Object></Delete>"))
	if err != nil || len(items) != 5 || items[0].Err != nil || items[2].Err != nil || items[4].Err != nil {
		t.Fatalf("%+v %v", items, err)
	}
	wantCode(t, items[1].Err, KeyTooLong)
	wantCode(t, items[3].Err, NoSuchVersion)
}

func TestParseCreateBucket(t *testing.T) {
	f := func(body, location string, code Code) {
		t.Helper()
		got, err := ParseCreateBucket([]byte(body))
		if code != "" {
			wantCode(t, err, code)
		} else if err != nil || got.Location != location {
			t.Fatalf("%q: %+v %v", body, got, err)
		}
	}
	f("", "", "")
	f(" \n", "", "")
	f(`<CreateBucketConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><LocationConstraint>eu-west-1</LocationConstraint></CreateBucketConfiguration>`, "eu-west-1", "")
	f("<CreateBucketConfiguration/>", "", "")
	f("<CreateBucketConfiguration><Tags><Tag/></Tags></CreateBucketConfiguration>", "", MalformedXML)
	f("<CreateBucketConfiguration><Tags><Tag><Key/><Value/></Tag></Tags></CreateBucketConfiguration>", "", InvalidTag)
	f("<CreateBucketConfiguration><Tags><Tag><Key>a</Key><Value>b</Value></Tag></Tags></CreateBucketConfiguration>", "", "")
	f("<CreateBucketConfiguration><Bucket><Type>Directory</Type></Bucket></CreateBucketConfiguration>", "", NotImplemented)
	f("<CreateBucketConfiguration><Nope/></CreateBucketConfiguration>", "", MalformedXML)
	f("<Tagging/>", "", MalformedXML)
	f("not xml", "", MalformedXML)
	f(strings.Repeat("<a>", 20)+strings.Repeat("</a>", 20), "", MalformedXML)
	f("<CreateBucketConfiguration>"+strings.Repeat("<a/>", 300)+"</CreateBucketConfiguration>", "", MalformedXML)
}

func TestBucketListParams(t *testing.T) {
	c, err := parse("GET", "/?max-buckets=10&prefix=p&bucket-region=r&continuation-token="+EncodeToken("x"))
	if err != nil {
		t.Fatal(err)
	}
	if p, err := ReadBucketListParams(c); err != nil || p != (BucketListParams{"p", "x", 10, "r"}) {
		t.Fatalf("%+v %v", p, err)
	}
	for _, bad := range []string{"max-buckets=0", "max-buckets=10001", "continuation-token=x"} {
		c, err := parse("GET", "/?"+bad)
		if err != nil {
			t.Fatal(err)
		}
		_, err = ReadBucketListParams(c)
		wantCode(t, err, InvalidArgument)
	}
}

func TestCompleteChecksums(t *testing.T) {
	c := newCall(t, "POST", "/b/k?uploadId=u", "h", 0, fields{{"x-amz-checksum-crc32", "NhCmhg==-3"}, {"x-amz-mp-object-size", "10"}})
	sum, composite, size, err := CompleteChecksums(c)
	if err != nil || sum.Algorithm != CRC32 || !composite || size != 10 {
		t.Fatalf("%v %v %v %v", sum, composite, size, err)
	}
	c.Header = fields{{"x-amz-checksum-crc32", "NhCmhg==-x"}}
	_, _, _, err = CompleteChecksums(c)
	wantCode(t, err, InvalidRequest)
}
