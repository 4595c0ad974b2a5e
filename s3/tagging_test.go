package s3

import (
	"reflect"
	"strings"
	"testing"
)

func TestReadTagging(t *testing.T) {
	f := func(text string, want ...Field) {
		t.Helper()
		tags, err := ReadTagging(&Call{Request: Request{Header: fields{{"X-Amz-Tagging", text}}}})
		if err != nil || !reflect.DeepEqual(tags, want) {
			t.Fatalf("%q: %v, %v", text, tags, err)
		}
	}
	f("")
	f("a=b", Field{"a", "b"})
	f("b=&a", Field{"b", ""}, Field{"a", ""})
	f("a+b=c%20d&%C3%A9=%40:/=", Field{"a b", "c d"}, Field{"é", "@:/="})
	for text, code := range map[string]Code{
		"a=1&a=2":                       InvalidArgument,
		"%zz=1":                         InvalidArgument,
		"%ff=1":                         InvalidArgument,
		"=1":                            InvalidTag,
		"a=%26":                         InvalidTag,
		"aws:x=1":                       InvalidTag,
		strings.Repeat("k", 129) + "=1": InvalidTag,
		"a=" + strings.Repeat("v", 257): InvalidTag,
		"a&b&c&d&e&f&g&h&i&j&k":         InvalidTag,
	} {
		_, err := ReadTagging(&Call{Request: Request{Header: fields{{"X-Amz-Tagging", text}}}})
		wantCode(t, err, code)
	}
}

func TestParseObjectTagging(t *testing.T) {
	tag := func(key, value string) string {
		return "<Tag><Value>" + value + "</Value><Key>" + key + "</Key></Tag>"
	}
	set := func(tags ...string) string {
		return `<Tagging xmlns="` + Namespace + `"><TagSet>` + strings.Join(tags, "\n") + "</TagSet></Tagging>"
	}
	f := func(doc string, want ...Field) {
		t.Helper()
		tags, err := ParseObjectTagging([]byte(doc))
		if err != nil || !reflect.DeepEqual(tags, want) {
			t.Fatalf("%s: %v, %v", doc, tags, err)
		}
		if again, err := ParseObjectTagging(TaggingXML(tags)); err != nil || !reflect.DeepEqual(again, want) {
			t.Fatalf("%s came back as %v, %v", doc, again, err)
		}
	}
	f(set())
	f(set(tag("a", "")), Field{"a", ""})
	f(set(tag(strings.Repeat("é", 128), strings.Repeat("v", 256)), tag("b", "x y+-=._:/@")),
		Field{strings.Repeat("é", 128), strings.Repeat("v", 256)}, Field{"b", "x y+-=._:/@"})
	bad := func(code Code, doc string) {
		t.Helper()
		_, err := ParseObjectTagging([]byte(doc))
		wantCode(t, err, code)
	}
	bad(MalformedXML, "")
	bad(MalformedXML, "<Tagging/>")
	bad(MalformedXML, "<Tagging><TagSet/><TagSet/></Tagging>")
	bad(MalformedXML, "<TagSet></TagSet>")
	bad(MalformedXML, set("<Tag><Key>a</Key></Tag>"))
	bad(MalformedXML, set("<Tag><Key>a</Key><Value/><Value/></Tag>"))
	bad(MalformedXML, set("<Tag><Key>a</Key><Value><x/></Value></Tag>"))
	bad(MalformedXML, set("<Key>a</Key>"))
	bad(InvalidTag, set(tag("", "x")))
	bad(InvalidTag, set(tag("a", "1"), tag("a", "2")))
	bad(InvalidTag, set(tag("AWS:a", "1")))
	bad(InvalidTag, set(tag(strings.Repeat("é", 129), "1")))
	bad(InvalidTag, set(tag("a", strings.Repeat("é", 257))))
	bad(InvalidTag, set(tag("a", "&#x1;")))
	bad(InvalidTag, set(strings.Split(strings.Repeat(tag("a", "1")+"|", 11), "|")[:11]...))
}

func FuzzTagging(f *testing.F) {
	f.Add("a=b&c=%20", []byte("<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>"))
	f.Fuzz(func(t *testing.T, header string, doc []byte) {
		_, err := ReadTagging(&Call{Request: Request{Header: fields{{"x-amz-tagging", header}}}})
		classified(t, err)
		tags, err := ParseObjectTagging(doc)
		classified(t, err)
		if err != nil {
			return
		}
		if again, err := ParseObjectTagging(TaggingXML(tags)); err != nil || !reflect.DeepEqual(again, tags) {
			t.Fatalf("%v came back as %v, %v", tags, again, err)
		}
	})
}
