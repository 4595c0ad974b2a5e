package s3

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aisle-store/aisle/s3/lifecycle"
)

func lifecycleXML(rules ...string) string {
	return `<LifecycleConfiguration xmlns="` + Namespace + `"><Rule>` + strings.Join(rules, "</Rule><Rule>") + `</Rule></LifecycleConfiguration>`
}

func TestLifecycle(t *testing.T) {
	body := lifecycleXML(
		`<ID>a</ID><Status>Enabled</Status><Filter/><Expiration><Days>3</Days></Expiration>`,
		`<ID>b</ID><Status>Disabled</Status><Filter><Prefix>x&amp;y</Prefix></Filter><Expiration><Date>2030-01-02T00:00:00.000Z</Date></Expiration>`,
		`<ID>c</ID><Status>Enabled</Status><Filter><And><Prefix>p</Prefix><Tag><Key>k</Key><Value>v</Value></Tag><Tag><Key>l</Key><Value></Value></Tag>`+
			`<ObjectSizeGreaterThan>0</ObjectSizeGreaterThan><ObjectSizeLessThan>1000</ObjectSizeLessThan></And></Filter>`+
			`<NoncurrentVersionExpiration><NoncurrentDays>1</NoncurrentDays><NewerNoncurrentVersions>2</NewerNoncurrentVersions></NoncurrentVersionExpiration>`,
		`<ID>d</ID><Status>Enabled</Status><Filter><Prefix></Prefix></Filter><Expiration><ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker></Expiration>`+
			`<AbortIncompleteMultipartUpload><DaysAfterInitiation>7</DaysAfterInitiation></AbortIncompleteMultipartUpload>`,
	)
	l, err := ParseLifecycle([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	call := newCall(t, "PUT", "/b?lifecycle", "", int64(len(body)), fields{})
	if err := l.ReadHeader(call); err != nil || l.Header()[0] != (Field{"x-amz-transition-default-minimum-object-size", "all_storage_classes_128K"}) {
		t.Fatalf("%v, header %v", err, l.Header())
	}
	kept, err := json.Marshal(l)
	if err != nil {
		t.Fatal(err)
	}
	again, err := DecodeLifecycle(kept)
	if err != nil {
		t.Fatal(err)
	}
	told := again.(*Lifecycle).XML()
	l2, err := ParseLifecycle(told)
	if err != nil {
		t.Fatalf("%v: %s", err, told)
	}
	if string(l2.XML()) != string(l.XML()) || string(told) != string(l.XML()) {
		t.Fatalf("told %s\nthen %s", told, l2.XML())
	}
	for _, want := range []string{
		"<Filter></Filter>", "<Prefix>x&amp;y</Prefix>", "<Date>2030-01-02T00:00:00.000Z</Date>", "<Status>Disabled</Status>", "<NewerNoncurrentVersions>2</NewerNoncurrentVersions>",
		"<And><Prefix>p</Prefix><Tag><Key>k</Key><Value>v</Value></Tag><Tag><Key>l</Key><Value></Value></Tag><ObjectSizeGreaterThan>0</ObjectSizeGreaterThan>",
		"<ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker>", "<DaysAfterInitiation>7</DaysAfterInitiation>",
	} {
		if !strings.Contains(string(told), want) {
			t.Errorf("%s is not in %s", want, told)
		}
	}
}

// TestLifecycleFirstForm reads rules as PutBucketLifecycle has them, and gives those an id that have none.
func TestLifecycleFirstForm(t *testing.T) {
	l, err := ParseLifecycle([]byte(lifecycleXML(
		`<Prefix>a/</Prefix><Status>Enabled</Status><Expiration><Days>1</Days></Expiration>`,
		`<ID></ID><Prefix/><Status>Enabled</Status><Expiration><Date>2030-01-02</Date></Expiration>`)))
	if err != nil {
		t.Fatal(err)
	}
	if a, b := l.Rules[0].ID, l.Rules[1].ID; a == "" || b == "" || a == b {
		t.Fatalf("ids %q and %q", a, b)
	}
	if got := string(l.XML()); !strings.Contains(got, "<Prefix>a/</Prefix><Status>") || strings.Contains(got, "Filter") {
		t.Fatal(got)
	}
}

func TestLifecycleErrors(t *testing.T) {
	f := func(code Code, rules ...string) {
		t.Helper()
		if _, err := ParseLifecycle([]byte(lifecycleXML(rules...))); CodeOf(err) != code || err == nil {
			t.Errorf("%v, want %s", err, code)
		}
	}
	const on, day = `<Status>Enabled</Status>`, `<Expiration><Days>1</Days></Expiration>`
	const all = on + `<Filter></Filter>`
	filter := func(f string) string { return on + `<Filter>` + f + `</Filter>` + day }

	f(MalformedXML, `<Filter/>`+day)
	f(MalformedXML, `<Status>enabled</Status><Filter/>`+day)
	f(MalformedXML, on+day)
	f(MalformedXML, all+all+day)
	f(MalformedXML, all+day+day)
	f(MalformedXML, all+day+`<Else/>`)
	f(InvalidRequest, all)
	f(InvalidArgument, all+day+`<ID>`+strings.Repeat("x", 256)+`</ID>`)
	f(InvalidArgument, all+day+`<ID>x</ID>`, all+day+`<ID>x</ID>`)
	f(InvalidRequest, all+day, on+`<Prefix>a</Prefix>`+day)
	f(InvalidRequest, on+`<Prefix>a</Prefix>`+day, all+day)
	f(InvalidRequest, on+`<Prefix>`+strings.Repeat("x", 1025)+`</Prefix>`+day)

	f(InvalidArgument, all+`<Expiration><Days>0</Days></Expiration>`)
	f(InvalidArgument, all+`<Expiration><Days>-1</Days></Expiration>`)
	f(MalformedXML, all+`<Expiration><Days>x</Days></Expiration>`)
	f(MalformedXML, all+`<Expiration><Days>99999999999</Days></Expiration>`)
	f(MalformedXML, all+`<Expiration/>`)
	f(InvalidArgument, all+`<Expiration><Date>1970-08-22T19:08:21Z</Date></Expiration>`)
	f(InvalidArgument, all+`<Expiration><Date>2030-01-01T00:00:00+01:00</Date></Expiration>`)
	f(MalformedXML, all+`<Expiration><Date>tomorrow</Date></Expiration>`)
	f(MalformedXML, all+`<Expiration><Days>1</Days><Date>2030-01-01T00:00:00Z</Date></Expiration>`)
	f(MalformedXML, all+`<Expiration><Days>1</Days><ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker></Expiration>`)
	f(MalformedXML, all+`<Expiration><ExpiredObjectDeleteMarker>yes</ExpiredObjectDeleteMarker></Expiration>`)

	f(MalformedXML, all+`<NoncurrentVersionExpiration><NewerNoncurrentVersions>1</NewerNoncurrentVersions></NoncurrentVersionExpiration>`)
	f(InvalidArgument, all+`<NoncurrentVersionExpiration><NoncurrentDays>0</NoncurrentDays></NoncurrentVersionExpiration>`)
	f(InvalidArgument, all+`<NoncurrentVersionExpiration><NoncurrentDays>1</NoncurrentDays><NewerNoncurrentVersions>0</NewerNoncurrentVersions></NoncurrentVersionExpiration>`)
	f(InvalidArgument, all+`<NoncurrentVersionExpiration><NoncurrentDays>1</NoncurrentDays><NewerNoncurrentVersions>101</NewerNoncurrentVersions></NoncurrentVersionExpiration>`)
	f(MalformedXML, all+`<AbortIncompleteMultipartUpload></AbortIncompleteMultipartUpload>`)
	f(InvalidArgument, all+`<AbortIncompleteMultipartUpload><DaysAfterInitiation>0</DaysAfterInitiation></AbortIncompleteMultipartUpload>`)

	const tag = `<Tag><Key>a</Key><Value>b</Value></Tag>`
	f(MalformedXML, filter(tag+`<Tag><Key>c</Key><Value>b</Value></Tag>`))
	f(MalformedXML, filter(`<Prefix>a</Prefix>`+tag))
	f(MalformedXML, filter(`<And>`+tag+`</And>`))
	f(MalformedXML, filter(`<And>`+tag+tag+`</And>`+tag))
	f(InvalidRequest, filter(`<And>`+tag+tag+`</And>`))
	f(InvalidTag, filter(`<Tag><Key></Key><Value>b</Value></Tag>`))
	f(InvalidRequest, filter(`<ObjectSizeGreaterThan>-1</ObjectSizeGreaterThan>`))
	f(InvalidRequest, filter(`<ObjectSizeLessThan>0</ObjectSizeLessThan>`))
	f(InvalidRequest, filter(`<And><ObjectSizeGreaterThan>10</ObjectSizeGreaterThan><ObjectSizeLessThan>10</ObjectSizeLessThan></And>`))
	for _, narrow := range []string{tag, `<ObjectSizeGreaterThan>1</ObjectSizeGreaterThan>`} {
		f(InvalidRequest, on+`<Filter>`+narrow+`</Filter><Expiration><ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker></Expiration>`)
		f(InvalidRequest, on+`<Filter>`+narrow+`</Filter><AbortIncompleteMultipartUpload><DaysAfterInitiation>1</DaysAfterInitiation></AbortIncompleteMultipartUpload>`)
	}

	f(NotImplemented, all+day+`<Transition><Days>1</Days><StorageClass>GLACIER</StorageClass></Transition>`)
	f(NotImplemented, all+`<NoncurrentVersionTransition><NoncurrentDays>1</NoncurrentDays><StorageClass>STANDARD_IA</StorageClass></NoncurrentVersionTransition>`)
	f(MalformedXML, all+`<Transition><Days>1</Days><StorageClass>COLD</StorageClass></Transition>`)
	f(MalformedXML, all+`<Transition><StorageClass>GLACIER</StorageClass></Transition>`)
	f(InvalidArgument, all+`<Transition><Date>2030-01-01T00:00:01Z</Date><StorageClass>GLACIER</StorageClass></Transition>`)

	many := make([]string, 1001)
	for i := range many {
		many[i] = all + day
	}
	f(InvalidRequest, many...)
	if l, err := ParseLifecycle([]byte(lifecycleXML(many[:1000]...))); err != nil || len(l.Rules) != 1000 {
		t.Errorf("1000 rules: %v", err)
	}
	for _, body := range []string{"", "<LifecycleConfiguration/>", "<Other><Rule/></Other>", "<LifecycleConfiguration><Rule/></LifecycleConfiguration>", "<LifecycleConfiguration><Role/></LifecycleConfiguration>"} {
		if _, err := ParseLifecycle([]byte(body)); CodeOf(err) != MalformedXML || err == nil {
			t.Errorf("%q: %v", body, err)
		}
	}
	call := newCall(t, "PUT", "/b?lifecycle", "", 0, fields{}.with(transitionMinimum, "else"))
	if err := new(Lifecycle).ReadHeader(call); CodeOf(err) != InvalidRequest || err == nil {
		t.Errorf("another minimum: %v", err)
	}
}

func TestExpirationHeader(t *testing.T) {
	c := &lifecycle.Configuration{Rules: []lifecycle.Rule{{ID: "a rule", Prefix: new(string), Expiration: &lifecycle.Expiration{Days: 1}}, {ID: "b\r\nX: y", Prefix: new(string), AbortDays: 2}}}
	made := time.Date(2012, 12, 19, 11, 0, 0, 0, time.UTC)
	got := ExpirationHeader(c, &lifecycle.Version{Key: "k", Modified: made})
	if len(got) != 1 || got[0] != (Field{"x-amz-expiration", `expiry-date="Fri, 21 Dec 2012 00:00:00 GMT", rule-id="a+rule"`}) {
		t.Errorf("%v", got)
	}
	got = AbortHeader(c, "k", made)
	if len(got) != 2 || got[0].Value != "Sat, 22 Dec 2012 00:00:00 GMT" || strings.ContainsAny(got[1].Value, "\r\n") {
		t.Errorf("%v", got)
	}
	if _, err := http.ParseTime(got[0].Value); err != nil {
		t.Error(err)
	}
	if got := ExpirationHeader(&lifecycle.Configuration{}, &lifecycle.Version{Key: "k"}); got != nil {
		t.Errorf("without rules: %v", got)
	}
}
