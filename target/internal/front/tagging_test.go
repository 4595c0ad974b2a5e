package front

import (
	"strings"
	"testing"
	"time"

	"github.com/aisle-store/aisle/cluster/intra"
)

func tagging(pairs ...string) string {
	s := "<Tagging><TagSet>"
	for i := 0; i < len(pairs); i += 2 {
		s += "<Tag><Key>" + pairs[i] + "</Key><Value>" + pairs[i+1] + "</Value></Tag>"
	}
	return s + "</TagSet></Tagging>"
}

// TestTagging changes an object's tags, which changes nothing else of it.
func TestTagging(t *testing.T) {
	b := newBed(t, "n1", "n2")
	const path, ask = "/bucket/k", "/bucket/k?tagging"
	b.do("GET", ask, "").want(t, 404, "NoSuchKey")
	b.do("PUT", ask, tagging("a", "1")).want(t, 404, "NoSuchKey")
	b.do("DELETE", ask, "").want(t, 404, "NoSuchKey")

	b.do("PUT", path, strings.Repeat("x", 5000), "x-amz-tagging", "a=1&b=2%203", "x-amz-meta-m", "n", "Content-Type", "text/x").want(t, 200)
	first := b.do("HEAD", path, "").want(t, 200)
	first.wantHeaders(t, "x-amz-tagging-count", "2")
	b.do("GET", ask, "").want(t, 200, "<TagSet><Tag><Key>a</Key><Value>1</Value></Tag><Tag><Key>b</Key><Value>2 3</Value></Tag></TagSet>")

	time.Sleep(1100 * time.Millisecond) // Last-Modified has seconds
	b.do("PUT", ask, tagging("c", "")).want(t, 200)
	b.do("GET", path, "").want(t, 200).wantHeaders(t, "x-amz-tagging-count", "1", "ETag", first.header("ETag"),
		"Last-Modified", first.header("Last-Modified"), "x-amz-meta-m", "n", "Content-Type", "text/x")
	b.do("PUT", ask, tagging("c", "1", "c", "2")).want(t, 400, "InvalidTag")
	b.do("PUT", ask, tagging("c", "1"), "Content-MD5", md5Base64("else")).want(t, 400, "BadDigest")
	b.do("PUT", path, "y", "x-amz-tagging", "c=1&c=2").want(t, 400, "InvalidArgument")

	copies := func(want string, pairs ...string) {
		t.Helper()
		for _, to := range []string{"/bucket/to1", "/bucket/to2", "/bucket/to3"} { // owned by either
			b.do("PUT", to, "", append(pairs, "x-amz-copy-source", path)...).want(t, 200)
			b.do("GET", to+"?tagging", "").want(t, 200, "<TagSet>"+want+"</TagSet>")
		}
	}
	copies("<Tag><Key>c</Key><Value></Value></Tag>")
	copies("<Tag><Key>c</Key><Value></Value></Tag>", "x-amz-tagging", "d=1")
	copies("<Tag><Key>d</Key><Value>1</Value></Tag>", "x-amz-tagging", "d=1", "x-amz-tagging-directive", "REPLACE")
	copies("", "x-amz-tagging-directive", "REPLACE", "x-amz-metadata-directive", "REPLACE")
	b.rights = 0
	b.do("PUT", "/bucket/to1", "", "x-amz-copy-source", path).want(t, 403, "AccessDenied")
	copies("", "x-amz-tagging-directive", "REPLACE", "x-amz-metadata-directive", "REPLACE")
	b.rights = intra.CarryTags
	b.do("PUT", "/bucket/to1", "", "x-amz-copy-source", path, "x-amz-tagging-directive", "x").want(t, 400, "InvalidArgument")
	b.do("PUT", path, "", "x-amz-copy-source", path, "x-amz-metadata-directive", "REPLACE").want(t, 200)
	b.do("GET", ask, "").want(t, 200, "<Key>c</Key>")

	b.do("DELETE", ask, "").want(t, 204)
	b.do("GET", ask, "").want(t, 200, "<TagSet></TagSet>")
	b.do("GET", path, "").want(t, 200).wantHeaders(t, "x-amz-tagging-count", "")

	id := b.create("mp", "x-amz-tagging", "e=f")
	part := b.do("PUT", "/bucket/mp?partNumber=1&uploadId="+id, "part").want(t, 200)
	b.do("POST", "/bucket/mp?uploadId="+id, "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>"+part.header("ETag")+
		"</ETag></Part></CompleteMultipartUpload>").want(t, 200)
	b.do("GET", "/bucket/mp?tagging", "").want(t, 200, "<Key>e</Key><Value>f</Value>")
	b.do("PUT", "/bucket/mp?tagging", tagging("g", "h")).want(t, 200)
	b.do("GET", "/bucket/mp", "").want(t, 200, "part").wantHeaders(t, "x-amz-tagging-count", "1", "x-amz-mp-parts-count", "")
}
