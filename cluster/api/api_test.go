package api

import (
	"encoding/json"
	"fmt"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/aisle-store/aisle/cluster"
)

func TestEveryKindHasAStatus(t *testing.T) {
	for _, k := range cluster.Kinds() {
		o, ok := outcomes[k]
		if !ok {
			t.Errorf("kind %s has no status", k)
		}
		if o.status < 300 || o.status > 599 || o.code == "" {
			t.Errorf("kind %s: %+v", k, o)
		}
	}
	if len(outcomes) != len(cluster.Kinds()) {
		t.Errorf("the table has %d kinds, there are %d", len(outcomes), len(cluster.Kinds()))
	}
}

func TestErrorMessages(t *testing.T) {
	b := cluster.Native("photos")
	f := func(err error, status int, message string) {
		t.Helper()
		e := NewError(err)
		if e.Status != status || e.Message != message {
			t.Errorf("got %d %q, want %d %q", e.Status, e.Message, status, message)
		}
		body, _ := json.Marshal(e)
		back := RemoteError("op", e.Status, body)
		if back.Kind != cluster.KindOf(err) || back.Err.Error() != message {
			t.Errorf("came back as %v", back)
		}
	}
	f(cluster.Fail("a.B", b.Object("x/y"), cluster.KindObjectNotFound, "secret detail"), 404, "ais://photos/x/y does not exist")
	f(cluster.E("c.D", "", cluster.KindOther, cluster.Fail("a.B", b.String(), cluster.KindBucketNotFound, "")), 404, "ais://photos does not exist")
	f(cluster.Fail("a.B", b.String(), cluster.KindBucketExists, ""), 409, "ais://photos already exists")
	f(fmt.Errorf("pebble: /disk/1: broken"), 500, "internal error")
	f(cluster.E("a.B", "", cluster.KindInvalid, fmt.Errorf("bad name")), 400, "bad name")
	if e := RemoteError("op", 503, []byte("<html>")); e.Kind != cluster.KindUnavailable {
		t.Errorf("503 without a body is %v", e.Kind)
	}
}

func TestPaths(t *testing.T) {
	b := cluster.Native("photos")
	for key, want := range map[cluster.ObjectKey]string{
		"a/b.txt":    "/v1/objects/photos/a/b.txt",
		"a b?#%+":    "/v1/objects/photos/a%20b%3F%23%25%2B",
		"..":         "/v1/objects/photos/%2E%2E",
		"a/../b/.":   "/v1/objects/photos/a/%2E%2E/b/%2E",
		"trailing//": "/v1/objects/photos/trailing//",
		"ü\x00":      "/v1/objects/photos/%C3%BC%00",
	} {
		got := ObjectPath(b, key)
		if got != want {
			t.Errorf("ObjectPath(%q) = %q, want %q", key, got, want)
		}
		back, err := url.PathUnescape(strings.TrimPrefix(got, "/v1/objects/photos/"))
		if err != nil || cluster.ObjectKey(back) != key {
			t.Errorf("%q came back as %q, %v", key, back, err)
		}
	}
}

func TestParseBucket(t *testing.T) {
	f := func(name, query string, kind cluster.Kind) {
		t.Helper()
		q, _ := url.ParseQuery(query)
		b, err := ParseBucket(name, q)
		if cluster.KindOf(err) != kind || err == nil && b != cluster.Native(cluster.BucketName(name)) {
			t.Errorf("ParseBucket(%q, %q) = %v, %v", name, query, b, err)
		}
	}
	f("photos", "", 0)
	f("photos", "provider=ais&namespace=%40%23", 0)
	f("photos", "provider=aws", cluster.KindNotImplemented)
	f("photos", "namespace=%40u%23ns", cluster.KindNotImplemented)
	f("photos", "provider=none", cluster.KindInvalid)
	f("P", "", cluster.KindInvalid)
}

func TestObjectTo(t *testing.T) {
	b := cluster.Native("photos")
	gotBucket, gotKey, err := ParseObjectTo(ObjectTo(b, "a/b"))
	if err != nil || gotBucket != b || gotKey != "a/b" {
		t.Errorf("got %v %v %v", gotBucket, gotKey, err)
	}
	for _, bad := range []string{"", "ais/@#/photos", "ais/@#/photos/", "ais/@#//k", "x/@#/photos/k"} {
		if _, _, err := ParseObjectTo(bad); err == nil {
			t.Errorf("ParseObjectTo(%q) is accepted", bad)
		}
	}
}

func TestActionProps(t *testing.T) {
	f := func(body string, want map[string]string) {
		t.Helper()
		msg, err := ParseAction([]byte(body))
		if err != nil {
			t.Fatal(err)
		}
		got, err := msg.Props()
		if want == nil && err == nil || want != nil && !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v, %v", body, got, err)
		}
	}
	f(`{"action":"set-bprops","value":{"checksum":{"type":"md5"},"replicas":1}}`, map[string]string{"checksum.type": "md5", "replicas": "1"})
	f(`{"action":"set-bprops","value":{"checksum.type":"md5","ec":{"enabled":true},"mirror":null}}`, map[string]string{"checksum.type": "md5", "ec.enabled": "true"})
	f(`{"action":"create-bck"}`, map[string]string{})
	f(`{"action":"set-bprops","value":[1]}`, nil)
	f(`{"action":"set-bprops","value":{"a":[1]}}`, nil)
	for _, bad := range []string{"{", `{"action":1}`, `{} {}`, "[]"} {
		if _, err := ParseAction([]byte(bad)); !cluster.Is(err, cluster.KindInvalid) {
			t.Errorf("ParseAction(%q): %v", bad, err)
		}
	}
	if msg, err := ParseAction(nil); err != nil || msg.Action != "" {
		t.Errorf("empty body: %v, %v", msg, err)
	}
}

func TestListFormsAgree(t *testing.T) {
	page := ListResult{UUID: "u", Token: strings.Repeat("t", 300), Flags: 7, Entries: []ListEntry{
		{Name: "a", Size: 5 << 40, Checksum: "0123456789abcdef0123456789abcdef", Version: "1", Copies: 1, Flags: EntryCached},
		{Name: strings.Repeat("long/", 60), Atime: "01 Jan 70 00:00 UTC", Location: "t[x]", Custom: "[k:v]"},
		{Name: "dir/", Flags: EntryDir},
	}}
	var packed ListResult
	if err := packed.ParseMsgPack(page.AppendMsgPack(nil)); err != nil || !reflect.DeepEqual(page, packed) {
		t.Errorf("MessagePack: %v\n got %+v\nwant %+v", err, packed, page)
	}
	text, _ := json.Marshal(page)
	var decoded ListResult
	if err := json.Unmarshal(text, &decoded); err != nil || !reflect.DeepEqual(page, decoded) {
		t.Errorf("JSON: %v\n%s", err, text)
	}
	if !strings.Contains(string(text), `"size":"5497558138880"`) {
		t.Errorf("sizes are strings in JSON: %s", text)
	}
}

func TestListEntryHoldsWhatIsAsked(t *testing.T) {
	e := cluster.Entry{Key: "k", Size: 3, Checksum: "ab", ETag: "e", Version: 2, Accessed: time.Unix(1, 0).UTC()}
	f := func(msg ListMsg, want ListEntry) {
		t.Helper()
		if got := NewListEntry(e, &msg); got != want {
			t.Errorf("%+v: got %+v, want %+v", msg, got, want)
		}
	}
	f(ListMsg{}, ListEntry{Name: "k", Size: 3, Flags: EntryCached})
	f(ListMsg{Flags: ListNameOnly, Props: "size"}, ListEntry{Name: "k"})
	f(ListMsg{Props: "name,size, checksum,version"}, ListEntry{Name: "k", Size: 3, Checksum: "ab", Version: "2", Flags: EntryCached})
}

func TestListMsgForms(t *testing.T) {
	f := func(body string, limit int, ok bool) {
		t.Helper()
		msg, _ := ParseAction([]byte(`{"action":"list","value":` + body + `}`))
		var list ListMsg
		err := msg.Decode(&list)
		n := 0
		if err == nil {
			n, err = list.Limit()
		}
		if (err == nil) != ok || ok && n != limit {
			t.Errorf("%s: %d, %v", body, n, err)
		}
	}
	f(`{"uuid":"","prefix":"p","pagesize":5,"flags":"64","props":"name"}`, 5, true)
	f(`{"pagesize":0,"flags":"0"}`, MaxPage, true)
	f(`{"pagesize":"7"}`, 7, true)
	f(`{"pagesize":20000}`, MaxPage, true)
	f(`{"pagesize":-1}`, 0, false)
	f(`{"flags":64}`, 0, false)
}

func TestToken(t *testing.T) {
	now := time.Unix(1000, 0)
	secrets := func(id cluster.AccessKeyID) (string, bool) { return "s3cret", id == "ro.ot" }
	token := NewToken("ro.ot", "s3cret", now.Add(time.Minute))
	if id, err := VerifyToken(token, now, secrets); err != nil || id != "ro.ot" {
		t.Errorf("got %q, %v", id, err)
	}
	refuse := func(token string, now time.Time) {
		t.Helper()
		if _, err := VerifyToken(token, now, secrets); !cluster.Is(err, cluster.KindUnauthenticated) {
			t.Errorf("%q at %v: %v", token, now, err)
		}
	}
	refuse(token, now.Add(time.Minute))
	refuse(token[:len(token)-1]+"x", now)
	refuse(strings.Replace(token, ".1060.", ".2060.", 1), now)
	refuse(NewToken("other", "s3cret", now.Add(time.Minute)), now)
	refuse(NewToken("ro.ot", "wrong", now.Add(time.Minute)), now)
	for _, bad := range []string{"", "...", "AISLE1.!.1.x", "Bearer x"} {
		refuse(bad, now)
	}
}

func TestSmap(t *testing.T) {
	m := &cluster.Map{Version: 3, ClusterID: "c", Created: time.Unix(0, 0)}
	m.AddLayout(cluster.OneCopy())
	m.SetNode(cluster.Node{ID: "a", Roles: cluster.Proxy | cluster.Target, PublicURL: "https://h:1", IntraAddr: "h:2", Mountpaths: make([]cluster.Mountpath, 2)})
	m.SetNode(cluster.Node{ID: "b", Roles: cluster.Proxy, PublicURL: "http://i", IntraAddr: "i:2"})
	m.Slots[7].Holders = []cluster.Holder{{Node: "a"}}
	s := NewSmap(m, nil, "b")
	if len(s.Proxies) != 2 || len(s.Targets) != 1 || s.Primary.ID != "b" || s.Version != "3" || s.Pending != "" {
		t.Errorf("got %+v", s)
	}
	if a := s.Targets["a"]; a.Slots != 1 || a.Mountpaths != 2 || a.Public != (NetInfo{"h", "1", "https://h:1"}) || a.IntraData.URL != "http://h:2" {
		t.Errorf("got %+v", a)
	}
	if b := s.Proxies["b"]; b.Public != (NetInfo{"i", "", "http://i"}) {
		t.Errorf("got %+v", b)
	}
}

func TestBucketPropsForms(t *testing.T) {
	e := cluster.BucketEntry{ID: 9, Bucket: cluster.Native("photos"), Props: cluster.BucketProps{Checksum: "md5", Replicas: 1, Redirect: "always"},
		Created: time.Unix(5, 6).UTC(), Creator: "root"}
	text, err := json.Marshal(NewBucketProps(e))
	if err != nil || !strings.Contains(string(text), `"bid":"9"`) {
		t.Fatalf("%s, %v", text, err)
	}
	var props BucketProps
	if err := json.Unmarshal(text, &props); err != nil || props.Entry(e.Bucket) != e {
		t.Errorf("got %+v, %v", props.Entry(e.Bucket), err)
	}
	bmd := NewBMD("c", 4, []cluster.BucketEntry{e})
	if bmd.Providers["ais"]["@#"]["photos"].BID != 9 || bmd.Version != "4" {
		t.Errorf("got %+v", bmd)
	}
}

func FuzzParseMsgPack(f *testing.F) {
	page := ListResult{UUID: "u", Token: "t", Entries: []ListEntry{{Name: "a", Size: 1 << 40}, {Name: "b/", Flags: EntryDir}}}
	f.Add(page.AppendMsgPack(nil))
	f.Add([]byte{0x81, 0xa1, 'x', 0x91, 0xc0})
	f.Fuzz(func(t *testing.T, b []byte) {
		var r ListResult
		if r.ParseMsgPack(b) != nil {
			return
		}
		var again ListResult
		if err := again.ParseMsgPack(r.AppendMsgPack(nil)); err != nil {
			t.Fatalf("%+v: %v", r, err)
		}
	})
}

func FuzzParseAction(f *testing.F) {
	f.Add([]byte(`{"action":"list","value":{"pagesize":5,"flags":"64"}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		msg, err := ParseAction(b)
		if err != nil {
			return
		}
		var list ListMsg
		if msg.Decode(&list) == nil {
			list.Limit()
		}
		msg.Props()
	})
}
